//! Which test fires which alert, as operators' documents say.

use std::{collections::BTreeMap, fs, path::Path};

use super::super::{alerts, read};

const HEADING: &str = "## Which test fires which alert\n";
/// Begins what is said of an alert that no test fires.
const NONE: &str = "none: ";

/// Each alert with the test that fires it, or why none does.
fn listed(document: &str) -> BTreeMap<String, String> {
    let section = document.split(HEADING).nth(1).expect(HEADING);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| {
        let mut cells = row.trim_end_matches(" |").split(" | ");
        let (alert, test) = (cells.next()?, cells.next()?);
        let is_alert = alert.starts_with(|of: char| of.is_ascii_uppercase());
        is_alert.then(|| (alert.to_owned(), test.trim_matches('`').to_owned()))
    })
    .collect()
}

/// The tests beside this one: each with what it does.
fn tests() -> BTreeMap<String, String> {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/metrics");
    let mut files = vec![scenarios.join("alerts.rs")];
    let entries = fs::read_dir(scenarios.join("alerts")).unwrap();
    files.extend(entries.map(|entry| entry.unwrap().path()));
    let mut tests = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for test in text.split("#[tokio::test]\nasync fn ").skip(1) {
            let (name, does) = test.split_once('(').unwrap();
            let does = does.split("\n}\n").next().unwrap_or_default();
            tests.insert(name.to_owned(), does.to_owned());
        }
    }
    tests
}

#[test]
fn each_alert_is_fired_by_the_test_that_is_named_or_says_why_by_none() {
    let listed = listed(&read("docs/alerts.md"));
    let tests = tests();
    let alerts = alerts();
    for alert in alerts.keys() {
        let test = listed
            .get(alert)
            .unwrap_or_else(|| panic!("{alert} is not listed"));
        if let Some(why) = test.strip_prefix(NONE) {
            assert!(why.split(' ').count() > 5, "{alert}: {why}");
            continue;
        }
        let does = tests
            .get(test)
            .unwrap_or_else(|| panic!("{alert}: no test {test}"));
        assert!(does.contains(&format!("\"{alert}\"")), "{test}: no {alert}");
    }
    for alert in listed.keys() {
        assert!(alerts.contains_key(alert), "{alert} is no alert");
    }
    let without = listed
        .values()
        .filter(|test| test.starts_with(NONE))
        .count();
    assert!(without <= 2, "{without} alerts are fired by no test");
}
