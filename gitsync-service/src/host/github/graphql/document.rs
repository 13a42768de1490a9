//! The texts of the queries. No value is ever written into one: all of them are variables.

use super::{
    progress,
    row::{Row, Sort},
};

const LOOK: &str = include_str!("../queries/look.graphql");
const FINGERPRINT: &str = include_str!("../queries/fingerprint.graphql");
const STATUS: &str = include_str!("../queries/status.graphql");
const LINK: &str = include_str!("../queries/link.graphql");
const THREADS: &str = include_str!("../queries/threads.graphql");

/// The operation's name in the source.
const NAME: &str = "query Look(";
/// The line before which a section ends.
const END: &str = "# end";

/// The sort of all rows, if they are of one.
pub(super) fn only_sort<'r, 'a: 'r>(rows: impl IntoIterator<Item = &'r Row<'a>>) -> Option<Sort> {
    let mut sorts = rows.into_iter().map(Row::sort);
    let first = sorts.next()?;
    sorts.all(|sort| sort == first).then_some(first)
}

/// The name in metrics of a query for rows of this sort, or of several.
pub(super) fn endpoint(sort: Option<Sort>) -> &'static str {
    match sort {
        Some(Sort::Probe | Sort::LightProbe) => "graphql_probe",
        Some(Sort::Detail) => "graphql_detail",
        Some(Sort::Numbers) => "graphql_numbers",
        Some(Sort::Discover) => "graphql_discover",
        None => "graphql_mixed",
    }
}

fn operation(sort: Option<Sort>) -> &'static str {
    match sort {
        Some(Sort::Probe | Sort::LightProbe) => "query Probe(",
        Some(Sort::Detail) => "query Detail(",
        Some(Sort::Numbers) => "query Numbers(",
        Some(Sort::Discover) => "query Discover(",
        None => "query Mixed(",
    }
}

/// The whole text of a query for these rows, with the fragments that it needs and without its
/// comments and what is `dropped`: a line of its own, or a part under a comment of that word.
pub(super) fn text(rows: &[&Row<'_>], dropped: &[&str]) -> String {
    let sort = only_sort(rows.iter().copied());
    let has = |sort: Sort| rows.iter().any(|row| row.sort() == sort);
    let mut text = String::with_capacity(LOOK.len() * rows.len());
    let sections = |section: &str| sections(section, rows);
    write(
        &mut text,
        &LOOK.replace(NAME, operation(sort)),
        sections,
        &[],
    );
    let parts = |section: &str| part(section, dropped);
    write(&mut text, FINGERPRINT, parts, dropped);
    if !matches!(sort, Some(Sort::Probe | Sort::LightProbe)) {
        write(&mut text, STATUS, parts, dropped);
    }
    if has(Sort::Discover) {
        write(&mut text, LINK, |_| None, &[]);
    }
    text
}

/// The whole text of the query for who began review threads.
pub(super) fn threads() -> String {
    let mut text = String::with_capacity(THREADS.len());
    write(&mut text, THREADS, |_| None, &[]);
    text
}

/// Whether what is under a comment of one word is written. `None`: it is another comment.
fn part(line: &str, dropped: &[&str]) -> Option<Vec<usize>> {
    let word = line.strip_prefix("# ")?;
    let is_part = progress::OPTIONAL.contains(&word);
    is_part.then(|| {
        if dropped.contains(&word) {
            Vec::new()
        } else {
            vec![0]
        }
    })
}

/// The places that a section of the source is written for. `None`: it is a comment, and no section.
fn sections(line: &str, rows: &[&Row<'_>]) -> Option<Vec<usize>> {
    let places = |of: &dyn Fn(Sort) -> bool| -> Vec<usize> {
        let rows = rows.iter().enumerate();
        let rows = rows.filter(|(_, row)| of(row.sort()));
        rows.map(|(place, _)| place).collect()
    };
    let once = |of: &dyn Fn(Sort) -> bool| places(of).into_iter().take(1).collect();
    Some(match line {
        "# ids" => once(&|sort| matches!(sort, Sort::Probe | Sort::LightProbe | Sort::Detail)),
        "# probes" => once(&|sort| matches!(sort, Sort::Probe | Sort::LightProbe)),
        "# details" => once(&|sort| sort == Sort::Detail),
        "# repository" => places(&|sort| matches!(sort, Sort::Numbers | Sort::Discover)),
        "# number" => places(&|sort| sort == Sort::Numbers),
        "# branch" => places(&|sort| sort == Sort::Discover),
        _ => return None,
    })
}

/// Writes the lines of `source`; those of a section once for each of its places, with the place in
/// place of 0.
fn write(
    text: &mut String,
    source: &str,
    sections: impl Fn(&str) -> Option<Vec<usize>>,
    dropped: &[&str],
) {
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(places) = sections(line) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
            for place in places {
                let place = place.to_string();
                for line in &block {
                    text.push_str(&line.replace('0', &place));
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
    use proto::sync::RepositoryPath;

    use super::{super::row::BranchRow, *};

    /// Written into the folder `SENT_QUERIES`, if that is set: `.ci/validate-queries` checks them
    /// against GitHub's published schema.
    #[test]
    fn each_row_has_its_own_names_and_a_query_nothing_that_it_does_not_use() {
        let path = RepositoryPath::parse("acme/web").unwrap();
        let branch = Row::Branch(BranchRow {
            at: &path,
            head: &path,
            branch: "feature",
            commit: None,
            whole: true,
        });
        let number = Row::Number(path.clone(), 7);
        let (probe, detail) = (Row::Probe("id"), Row::Detail("id"));
        let light = Row::LightProbe("id");
        for rows in [
            vec![&probe],
            vec![&light],
            vec![&detail],
            vec![&number, &number],
            vec![&branch, &branch],
            vec![&branch, &detail, &number],
            vec![&probe, &branch],
        ] {
            let text = text(&rows, &[]);
            for fragment in ["Fingerprint", "Status", "Link"] {
                let count = |part: String| text.matches(&part).count();
                let defined = count(format!("fragment {fragment} "));
                let used = count(format!("...{fragment}"));
                assert_eq!(defined, usize::from(used > 0), "{fragment} in {text}");
            }
            let has = |sort: Sort| rows.iter().any(|row| row.sort() == sort);
            let has_ids = has(Sort::Probe) || has(Sort::LightProbe) || has(Sort::Detail);
            assert_eq!(text.contains("nodes(ids: $ids)"), has_ids, "{text}");
            for (place, row) in rows.iter().enumerate() {
                let own = format!("r{place}: repository(owner: $owner{place}, name: $name{place},");
                assert_eq!(text.contains(&own), row.id().is_none(), "{text}");
                let whole = format!("$whole{place}: Boolean!");
                assert_eq!(
                    text.contains(&whole),
                    matches!(row, Row::Branch(_)),
                    "{text}"
                );
            }
            if let Some(folder) = std::env::var_os("SENT_QUERIES") {
                let name: Vec<_> = rows.iter().map(|row| format!("{:?}", row.sort())).collect();
                let file = std::path::Path::new(&folder).join(name.join("_"));
                std::fs::write(file.with_extension("graphql"), text).unwrap();
            }
        }
        if let Some(folder) = std::env::var_os("SENT_QUERIES") {
            let file = std::path::Path::new(&folder).join("threads.graphql");
            std::fs::write(file, threads()).unwrap();
        }
        let many = vec![&branch; 12];
        let text = text(&many, &[]);
        assert!(text.contains("r11: repository(owner: $owner11, name: $name11"));
        assert_eq!(text.matches("$owner1:").count(), 1);
        assert!(!text.contains("r12"));
    }

    #[test]
    fn what_a_host_lacks_is_left_out_as_a_whole_and_nothing_else_is() {
        let detail = Row::Detail("id");
        let has = |text: &str, field: &str| {
            let mut lines = text.lines();
            lines.any(|line| line.split([' ', '(']).next() == Some(field))
        };
        let whole = text(&[&detail], &[]);
        for dropped in progress::OPTIONAL {
            let left = text(&[&detail], &[dropped]);
            assert!(has(&whole, dropped) && !has(&left, dropped), "{dropped}");
            let braces = |of: char| left.matches(of).count();
            assert_eq!(braces('{'), braces('}'), "{dropped}");
            for other in progress::OPTIONAL {
                assert!(other == dropped || has(&left, other), "{dropped}: {other}");
            }
        }
        let light = Row::LightProbe("id");
        assert!(text(&[&light], &[]).contains(progress::ROLLUP));
        assert!(!text(&[&light], &[progress::ROLLUP]).contains(progress::ROLLUP));
    }
}
