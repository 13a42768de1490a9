//! The texts of the queries. No value is ever written into one: all of them are variables.

const PROBE: &str = include_str!("../queries/probe.graphql");
const DETAIL: &str = include_str!("../queries/detail.graphql");
const NUMBERS: &str = include_str!("../queries/numbers.graphql");
const DISCOVER: &str = include_str!("../queries/discover.graphql");
const FINGERPRINT: &str = include_str!("../queries/fingerprint.graphql");
const STATUS: &str = include_str!("../queries/status.graphql");

/// Lines around what is there once for each question.
const EACH: &str = "# each";
const END: &str = "# end";

/// A query, and for how many questions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Document {
    Probe,
    Detail,
    Numbers(usize),
    Discover(usize),
}

impl Document {
    /// The name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Probe => "graphql_probe",
            Self::Detail => "graphql_detail",
            Self::Numbers(_) => "graphql_numbers",
            Self::Discover(_) => "graphql_discover",
        }
    }

    /// The whole text, with the fragments that it needs and without its comments.
    pub(super) fn text(self) -> String {
        let (query, count) = match self {
            Self::Probe => (PROBE, 1),
            Self::Detail => (DETAIL, 1),
            Self::Numbers(count) => (NUMBERS, count),
            Self::Discover(count) => (DISCOVER, count),
        };
        let mut text = String::with_capacity(query.len() * count);
        write_repeated(&mut text, query, count);
        write_repeated(&mut text, FINGERPRINT, 1);
        if !matches!(self, Self::Probe) {
            write_repeated(&mut text, STATUS, 1);
        }
        text
    }
}

/// Writes the lines of `source`; those between [`EACH`] and [`END`] `count` times, each time with
/// another number in place of 0.
fn write_repeated(text: &mut String, source: &str, count: usize) {
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line == EACH {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
            for index in 0..count {
                let index = index.to_string();
                for line in &block {
                    text.push_str(&line.replace('0', &index));
                    text.push('\n');
                }
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that `.ci/validate-queries` checks against GitHub's published schema. To make them
    /// anew: `UPDATE_QUERIES=1 cargo test -p gitsync-service golden`.
    #[test]
    fn what_is_sent_is_what_ci_validates_its_golden_files() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/host/github/queries/sent");
        for (name, document) in [
            ("probe", Document::Probe),
            ("detail", Document::Detail),
            ("numbers-1", Document::Numbers(1)),
            ("numbers-20", Document::Numbers(20)),
            ("discover-1", Document::Discover(1)),
            ("discover-20", Document::Discover(20)),
        ] {
            let path = format!("{folder}/{name}.graphql");
            if option_env!("UPDATE_QUERIES").is_some() {
                std::fs::write(&path, document.text()).unwrap();
            }
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(golden == document.text(), "{path} is not what is sent");
        }
    }

    #[test]
    fn each_question_has_its_own_names() {
        let text = Document::Discover(12).text();
        assert!(text.contains("r11: repository(owner: $owner11, name: $name11"));
        assert_eq!(text.matches("$owner1:").count(), 1);
        assert!(!text.contains("r12"));
    }
}
