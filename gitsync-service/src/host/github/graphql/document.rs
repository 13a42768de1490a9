//! The texts of the queries. No value is ever written into one: all of them are variables.

const PROBE: &str = include_str!("../queries/probe.graphql");
const DETAIL: &str = include_str!("../queries/detail.graphql");
const NUMBERS: &str = include_str!("../queries/numbers.graphql");
const DISCOVER: &str = include_str!("../queries/discover.graphql");
const FINGERPRINT: &str = include_str!("../queries/fingerprint.graphql");
const STATUS: &str = include_str!("../queries/status.graphql");
const LINK: &str = include_str!("../queries/link.graphql");

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

    /// The whole text, with the fragments that it needs and without its comments and the `dropped`
    /// fields, each of which has a line of its own.
    pub(super) fn text(self, dropped: &[&str]) -> String {
        let (query, count) = match self {
            Self::Probe => (PROBE, 1),
            Self::Detail => (DETAIL, 1),
            Self::Numbers(count) => (NUMBERS, count),
            Self::Discover(count) => (DISCOVER, count),
        };
        let mut text = String::with_capacity(query.len() * count);
        write_repeated(&mut text, query, count, &[]);
        write_repeated(&mut text, FINGERPRINT, 1, dropped);
        if !matches!(self, Self::Probe) {
            write_repeated(&mut text, STATUS, 1, &[]);
        }
        if matches!(self, Self::Discover(_)) {
            write_repeated(&mut text, LINK, 1, &[]);
        }
        text
    }
}

/// Writes the lines of `source`; those between [`EACH`] and [`END`] `count` times, each time with
/// another number in place of 0.
fn write_repeated(text: &mut String, source: &str, count: usize, dropped: &[&str]) {
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
        } else if !line.is_empty() && !line.starts_with('#') && !dropped.contains(&line) {
            text.push_str(line);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written into the folder `SENT_QUERIES`, if that is set: `.ci/validate-queries` checks them
    /// against GitHub's published schema.
    #[test]
    fn each_question_has_its_own_names_and_a_query_no_fragment_that_it_does_not_use() {
        for document in [
            Document::Probe,
            Document::Detail,
            Document::Numbers(2),
            Document::Discover(2),
        ] {
            let text = document.text(&[]);
            for fragment in ["Fingerprint", "Status"] {
                let count = |part: String| text.matches(&part).count();
                let defined = count(format!("fragment {fragment} "));
                let used = count(format!("...{fragment}"));
                assert_eq!(defined, usize::from(used > 0), "{fragment} in {document:?}");
            }
            if let Some(folder) = std::env::var_os("SENT_QUERIES") {
                let file = std::path::Path::new(&folder).join(document.name());
                std::fs::write(file.with_extension("graphql"), text).unwrap();
            }
        }
        let text = Document::Discover(12).text(&[]);
        assert!(text.contains("r11: repository(owner: $owner11, name: $name11"));
        assert_eq!(text.matches("$owner1:").count(), 1);
        assert!(!text.contains("r12"));
    }
}
