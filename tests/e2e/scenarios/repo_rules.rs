//! Rules of the repository itself: who may know what, how large a file may be, which tests prove
//! what is promised, which settings an operator sees, and where documents point.

mod documents;
mod faults;
mod modules;
mod promises;
mod settings;
mod words;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file of more lines is two files. Those named here are over it, each with its reason; the list
/// may only shrink.
const MOST_LINES: usize = 500;
const LONG_FILES: [&str; 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every Rust file under `directory`, by its path from the root.
fn rust_files(directory: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(directory), &mut files);
    assert!(!files.is_empty(), "{directory} has no Rust file");
    files
}

fn collect(directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn members() -> [&'static str; 10] {
    [
        "proto",
        "migrations",
        "chat-service",
        "gitsync-service",
        "tests/bench",
        "tests/testkit",
        "tests/e2e",
        "tests/fuzz",
        "deploy/local",
        "deploy/runtime",
    ]
}

/// Fails for each source line below `directory` that has `text`, outside `allowed`.
fn only_in(directory: &str, text: &str, allowed: &[&str]) {
    for (name, source) in rust_files(directory) {
        if allowed.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for (index, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(
                !code.contains(text),
                "{name}:{}: {text} belongs in {allowed:?} only",
                index + 1
            );
        }
    }
}

#[test]
fn sql_stays_in_the_store() {
    let config = "chat-service/src/config"; // Checks that a URL parses.
    let notifier = "chat-service/src/events/notifier.rs"; // LISTEN and NOTIFY want a connection of their own.
    only_in(
        "chat-service/src",
        "tokio_postgres",
        &["chat-service/src/store", config, notifier],
    );
    only_in("gitsync-service/src", "tokio_postgres", &[]);
}

#[test]
fn contract_types_stay_in_the_grpc_modules() {
    let server = "chat-service/src/server"; // Registers the services.
    let terminal = "chat-service/src/command/terminal"; // A client, of what a running server serves.
    only_in(
        "chat-service/src",
        "proto::chat",
        &["chat-service/src/grpc", server, terminal],
    );
    // It is a client and nothing else: what it shows, policy has let its caller see.
    for inside in [
        "crate::store",
        "crate::authz",
        "crate::grpc",
        "crate::events",
    ] {
        for (name, source) in rust_files(terminal) {
            assert!(!source.contains(inside), "{name}: {inside} is a server's");
        }
    }
    let server = "gitsync-service/src/server.rs";
    let client = "gitsync-service/src/sync_client.rs"; // Calls what chat-service serves.
    only_in("gitsync-service/src", "proto::chat", &[client]);
    only_in(
        "gitsync-service/src",
        "proto::gitsync",
        &["gitsync-service/src/grpc", server],
    );
}

#[test]
fn http_to_git_hosts_stays_behind_the_host_trait() {
    only_in(
        "gitsync-service/src",
        "reqwest",
        &["gitsync-service/src/host"],
    );
    only_in("chat-service/src", "reqwest", &["chat-service/src/oauth"]); // Renews tokens.
}

/// The testkit searches all that its processes and commands print for secrets.
#[test]
fn scenarios_start_processes_through_the_testkit() {
    let rules = "tests/e2e/scenarios/repo_rules"; // Reads the help.
    let limited = "tests/e2e/scenarios/connections.rs"; // Wraps one that the testkit starts.
    let player = "tests/e2e/browser"; // Node, which plays the page.
    for starts in [".spawn()", ".output()", "Command::new"] {
        only_in("tests/e2e", starts, &[rules, limited, player]);
    }
}

#[test]
fn the_services_never_link_each_other() {
    let manifest = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    assert!(!manifest("chat-service/Cargo.toml").contains("gitsync-service"));
    assert!(!manifest("gitsync-service/Cargo.toml").contains("chat-service"));
    assert!(!manifest("gitsync-service/Cargo.toml").contains("migrations"));
}

#[test]
fn versions_and_features_are_chosen_in_one_place() {
    for member in members() {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("dependencies]").skip(1);
        for line in dependencies
            .filter_map(|section| section.split("\n[").next())
            .flat_map(str::lines)
            .filter(|line| line.contains('='))
        {
            let plain = line.ends_with("workspace = true") || !line.contains("version");
            assert!(plain && !line.contains("features"), "{member}: {line}");
        }
    }
}

/// Cargo chooses features for the packages that are selected: with one alone, sixty dependencies
/// are built once more.
#[test]
fn steps_of_ci_select_the_whole_workspace() {
    let run = fs::read_to_string(root().join(".ci/run")).unwrap();
    let called = run.split("bash .ci/").skip(1);
    let called = called.filter_map(|rest| rest.split_whitespace().next());
    let mut builds = 0;
    for name in called.chain(["run"]).collect::<BTreeSet<_>>() {
        let script = fs::read_to_string(root().join(".ci").join(name)).unwrap_or_default();
        for line in script.lines().filter(|line| !line.trim().starts_with('#')) {
            let commands = ["cargo build", "cargo clippy", "cargo run", "cargo test"];
            if commands.iter().any(|command| line.contains(command)) {
                let is_whole = line.contains("--workspace") || line.contains("grep");
                assert!(is_whole, ".ci/{name}: {line}");
                builds += 1;
            }
        }
    }
    assert!(builds > 5, "{builds} commands of Cargo");
}

#[test]
fn files_stay_small_and_are_named_for_what_is_in_them() {
    let banned = [
        "utils", "common", "helpers", "misc", "types", "models", "manager", "mod",
    ];
    for member in members() {
        for (name, source) in rust_files(member) {
            let stem = Path::new(&name).file_stem().unwrap().to_str().unwrap();
            assert!(!banned.contains(&stem), "{name}: names nothing");
            let lines = source.lines().count();
            assert!(
                lines <= MOST_LINES || LONG_FILES.contains(&name.as_str()),
                "{name} has {lines} lines"
            );
        }
    }
}

#[test]
fn no_statement_is_composed_outside_the_planner() {
    for (name, source) in rust_files("chat-service/src") {
        // These tests run statements that no service has.
        let own = [
            "store/predicate.rs",
            "store/tests.rs",
            "events/watch/catch_up/tests.rs",
        ];
        if name.starts_with("chat-service/src/store/page")
            || own.iter().any(|file| name.ends_with(file))
        {
            continue;
        }
        for keyword in ["SELECT ", "INSERT INTO", "DELETE FROM", "UPDATE "] {
            for line in source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                assert!(
                    !line.contains(keyword),
                    "{name}: {line}: statements are .sql files"
                );
            }
        }
    }
}
