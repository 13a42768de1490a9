//! The targets hold for their seeds, among which is every input that once made one panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn below(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The directory with a target's seeds: for policies, those that are shipped.
fn seeds(target: &str) -> PathBuf {
    match target {
        "policy" => below("../../chat-service/policies"),
        target => below("corpus").join(target),
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn every_target_holds_for_its_seeds() {
    for (name, target) in fuzz::TARGETS {
        let directory = seeds(name);
        let seeds = names(&directory);
        assert!(seeds.len() >= 2, "{name} has too few seeds");
        for seed in seeds {
            let data = fs::read(directory.join(&seed)).unwrap();
            let held = std::panic::catch_unwind(|| target(&data));
            assert!(held.is_ok(), "{name} panics for {seed}");
        }
    }
}

#[test]
fn every_target_is_a_program_and_has_seeds() {
    let targets = fuzz::TARGETS.map(|(name, _)| name.to_owned());
    let targets = BTreeSet::from(targets);
    let mut with_seeds = names(&below("corpus"));
    with_seeds.insert("policy".to_owned());
    assert_eq!(with_seeds, targets);
    let programs = targets.iter().map(String::as_str).chain(["planted"]);
    let programs = programs.map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&below("src/bin")), programs);
}

#[test]
fn the_planted_panic_is_one() {
    fuzz::planted(b"plant?");
    let planted = std::panic::catch_unwind(|| fuzz::planted(b"plant!"));
    assert!(planted.is_err());
}
