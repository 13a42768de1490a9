//! Every promise of the design has tests that say so, and `tests/README.md` lists exactly those.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{members, root, rust_files};

const LIST: &str = "tests/README.md";
const SECTION: &str = "## Promises";
/// Those of the design that have tests so far.
const PROMISES: [u32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];

/// A file, and a test in it.
type Test = (String, String);

/// The tests of each promise that the list names.
fn listed() -> BTreeMap<u32, BTreeSet<Test>> {
    let text = fs::read_to_string(root().join(LIST)).unwrap();
    let section = text.split(SECTION).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut promises: BTreeMap<u32, BTreeSet<Test>> = BTreeMap::new();
    let mut promise = 0;
    let mut file = String::new();
    for line in section.lines() {
        let named = line
            .trim_start()
            .strip_prefix("- `")
            .and_then(|rest| rest.strip_suffix('`'));
        match (named, line.split_once(". ")) {
            (Some(path), _) if path.ends_with(".rs") => path.clone_into(&mut file),
            (Some(test), _) => {
                let new = promises
                    .entry(promise)
                    .or_default()
                    .insert((file.clone(), test.to_owned()));
                assert!(new, "{LIST}: {file}: {test} is there twice");
            }
            (None, Some((number, _))) if !line.starts_with(' ') => {
                if let Ok(number) = number.parse() {
                    promise = number;
                    promises.entry(promise).or_default();
                }
            }
            (None, _) => {}
        }
    }
    promises
}

/// The tests of each promise whose comments begin with it.
fn marked() -> BTreeMap<u32, BTreeSet<Test>> {
    let mut promises: BTreeMap<u32, BTreeSet<Test>> = BTreeMap::new();
    for member in members() {
        for (file, source) in rust_files(member) {
            for (promise, test) in marked_in(&file, &source) {
                promises
                    .entry(promise)
                    .or_default()
                    .insert((file.clone(), test));
            }
        }
    }
    promises
}

/// The promise and the name of each function in `source` whose comment begins with a promise. It
/// must be a test that runs.
fn marked_in(file: &str, source: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut promise = None;
    let mut attributes = String::new();
    for (index, line) in source.lines().map(str::trim_start).enumerate() {
        let at = format!("{file}:{}", index + 1);
        if let Some(rest) = line.strip_prefix("/// Promise ") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            assert!(promise.is_none(), "{at}: one promise for each test");
            promise = Some(digits.parse().unwrap_or_else(|_| panic!("{at}: which?")));
            attributes.clear();
        } else if let Some(number) = promise {
            if line.starts_with("#[") {
                attributes.push_str(line);
            } else if !line.starts_with("///") {
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                let name = name.and_then(|name| name.split('(').next());
                let name = name.unwrap_or_else(|| panic!("{at}: no test has this comment"));
                assert!(
                    attributes.contains("test") && !attributes.contains("ignore"),
                    "{at}: {name} is no test that runs"
                );
                found.push((number, name.to_owned()));
                promise = None;
            }
        }
    }
    found
}

#[test]
fn every_promise_has_tests_that_say_so_and_the_list_names_exactly_those() {
    let (listed, marked) = (listed(), marked());
    for promise in PROMISES {
        let tests = listed.get(&promise);
        assert!(
            tests.is_some_and(|tests| !tests.is_empty()),
            "{LIST}: promise {promise} names no test"
        );
    }
    let numbers: Vec<u32> = listed.keys().copied().collect();
    assert_eq!(numbers, PROMISES, "{LIST}: which promises are there?");
    let mut problems = Vec::new();
    for (promise, tests) in &listed {
        let marked = marked.get(promise).cloned().unwrap_or_default();
        for (file, test) in tests.difference(&marked) {
            problems.push(format!("{file} has no test {test} of promise {promise}"));
        }
    }
    for (promise, tests) in &marked {
        let listed = listed.get(promise).cloned().unwrap_or_default();
        for (file, test) in tests.difference(&listed) {
            problems.push(format!("promise {promise} lacks {file}: {test}"));
        }
    }
    assert!(problems.is_empty(), "{LIST}: {problems:#?}");
}

#[test]
fn a_comment_of_a_promise_is_of_a_test_that_runs() {
    let source =
        "/// Promise 3, for this.\n/// And more.\n#[tokio::test]\nasync fn a() {}\nfn b() {}";
    assert_eq!(marked_in("here", source), [(3, "a".to_owned())]);
    for wrong in [
        "/// Promise 3.\nfn a() {}",
        "/// Promise 3.\n#[test]\n#[ignore]\nfn a() {}",
        "/// Promise 3.\nstruct A;",
        "/// Promise.\n/// Promise many.\n#[test]\nfn a() {}",
    ] {
        let read = std::panic::catch_unwind(|| marked_in("here", wrong));
        assert!(read.is_err(), "{wrong}");
    }
}
