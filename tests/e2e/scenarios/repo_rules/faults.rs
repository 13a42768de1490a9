//! Every fault that the product is to survive has a test, and `tests/README.md` says which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{root, rust_files};

const LIST: &str = "tests/README.md";
const SECTION: &str = "\n## Faults\n";
/// All of whose tests are in the list.
const SUITE: &str = "tests/e2e/faults";
/// What the product is to survive.
const FAULTS: [&str; 25] = [
    "PostgreSQL killed",
    "PostgreSQL restarted",
    "PostgreSQL read-only",
    "PostgreSQL's disk full",
    "PostgreSQL failed over to a standby",
    "network of the callers cut",
    "network of the callers slow",
    "network of the workers cut",
    "network of the workers slow",
    "network of PostgreSQL cut",
    "network of PostgreSQL slow",
    "network of the git host cut",
    "network of the git host slow",
    "chat-service restarted, rolling",
    "chat-service killed or stopped",
    "relay cut off",
    "worker killed",
    "worker stopped past its lease",
    "git host down",
    "git host slow",
    "git host lying",
    "clocks off by an hour",
    "twice the load that is allowed",
    "flood of bad tokens and bad requests",
    "migrations under load",
];

/// A file, and a test in it.
type Test = (String, String);

/// The tests of each fault that `text` lists.
fn listed(text: &str) -> BTreeMap<String, BTreeSet<Test>> {
    let section = text.split(SECTION).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (mut faults, mut fault, mut file) = (BTreeMap::new(), String::new(), String::new());
    for line in section.lines() {
        let Some(item) = line.trim_start().strip_prefix("- ") else {
            continue;
        };
        let code = item
            .strip_prefix('`')
            .and_then(|item| item.strip_suffix('`'));
        match code {
            None => {
                item.clone_into(&mut fault);
                faults.insert(fault.clone(), BTreeSet::new());
            }
            Some(path) if path.ends_with(".rs") => path.clone_into(&mut file),
            Some(test) => {
                let tests = faults.get_mut(&fault).expect("a fault comes first");
                tests.insert((file.clone(), test.to_owned()));
            }
        }
    }
    faults
}

/// The names of the tests in `source` that run.
fn tests(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut attributes = String::new();
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            attributes.push_str(line);
        } else if !line.starts_with("//") {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some((name, _)) = name.and_then(|name| name.split_once('('))
                && attributes.contains("test")
                && !attributes.contains("ignore")
            {
                found.insert(name.to_owned());
            }
            attributes.clear();
        }
    }
    found
}

#[test]
fn every_fault_has_tests_and_the_list_names_all_of_the_suite() {
    let listed = listed(&fs::read_to_string(root().join(LIST)).unwrap());
    let names: BTreeSet<&str> = listed.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        BTreeSet::from(FAULTS),
        "{LIST}: which faults are there?"
    );
    let mut problems = Vec::new();
    for (fault, named) in &listed {
        if named.is_empty() {
            problems.push(format!("{fault} has no test"));
        }
        for (file, test) in named {
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !tests(&source).contains(test) {
                problems.push(format!("{fault}: {file} has no test {test}"));
            }
        }
    }
    let named: BTreeSet<&Test> = listed.values().flatten().collect();
    for (file, source) in rust_files(SUITE) {
        for test in tests(&source) {
            let test = (file.clone(), test);
            if !named.contains(&test) {
                problems.push(format!("{}: {} is of no fault", test.0, test.1));
            }
        }
    }
    assert!(problems.is_empty(), "{LIST}: {problems:#?}");
}

#[test]
fn a_test_that_is_gone_or_ignored_does_not_count() {
    let source = "#[tokio::test]\nasync fn a() {}\n#[test]\n#[ignore]\nfn b() {}\nfn c() {}\n\
                  /// Says.\n#[test]\n// So.\nfn d() {}";
    assert_eq!(tests(source), ["a", "d"].map(str::to_owned).into());
    let text = "\n## Faults\n\n- rain\n   - `a/b.rs`\n     - `wet`\n- snow\n\n## More\n- none";
    let listed = listed(text);
    assert_eq!(
        listed["rain"],
        [("a/b.rs".to_owned(), "wet".to_owned())].into()
    );
    assert!(listed["snow"].is_empty());
    assert_eq!(listed.len(), 2);
}
