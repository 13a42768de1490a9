//! What documents point to exists: files and folders, headings of other documents, and tests.

use std::{collections::BTreeSet, fs, path::Path};

use super::{members, root, rust_files};

/// Documents that a contributor follows. Every path and every test that they name exists; `<name>`
/// stands for one that is to be made.
const FOLLOWED: [&str; 8] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "chat-service/policies/README.md",
    "chat-service/web/README.md",
    "migrations/README.md",
    "proto/README.md",
    "tests/README.md",
];
/// The README is read before anything else.
const README_LINES: usize = 160;
/// Endings of the names of this repository's files; names of other files are those of an operator.
const EXTENSIONS: [&str; 13] = [
    "cedar",
    "cedarschema",
    "css",
    "graphql",
    "mjs",
    "proto",
    "rs",
    "sql",
    "snap",
    "toml",
    "tpl",
    "ts",
    "tsx",
];
/// Underscores of a test's name at least: a setting or a column has fewer.
const UNDERSCORES: usize = 4;

/// All files below the root but those that are built or downloaded, by their paths from there.
fn files() -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", "node_modules", ".git", "gen"].contains(&name) {
                    folders.push(path);
                }
            } else {
                files.insert(from_root(&path));
            }
        }
    }
    files
}

fn from_root(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    let parts = text.split("\n```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

/// The words in backticks.
fn code(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let spans = prose.split('`').skip(1).step_by(2);
    let words = spans.flat_map(str::split_whitespace);
    words
        .map(|word| word.trim_matches(|c| ",;()".contains(c)).to_owned())
        .collect()
}

/// The targets of links that lead to other places of this repository.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.contains("://"))
        .collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// Whether a word names a file or folder of this repository. `top` are the names at its root.
fn is_path(word: &str, top: &BTreeSet<String>) -> bool {
    if word.contains(['<', '*', '=', ':', '$'])
        || word.starts_with(['/', '-', '.']) && !word.starts_with(".ci/")
    {
        return false;
    }
    let first = word.split('/').next().unwrap_or_default();
    let extension = Path::new(word).extension();
    word.contains('/') && top.contains(first)
        || extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

/// A path beside a document, as in `../README.md`, from the root.
fn beside(document: &str, path: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether `path` names a file or a folder: from the root, from the document's folder, or a file by
/// its name alone, wherever it is.
fn exists(files: &BTreeSet<String>, document: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let places = [path.to_owned(), beside(document, path)];
    let is_there = |place: &String| root().join(place).exists();
    places.iter().any(is_there)
        || !path.contains('/')
            && files
                .iter()
                .any(|file| file.rsplit('/').next() == Some(path))
}

#[test]
fn the_architecture_says_who_writes_each_table_of_the_schema() {
    let schema = read("migrations/schema.sql");
    let made = schema.lines().filter(|line| line.starts_with("CREATE "));
    let tables: Vec<_> = made
        .filter_map(|line| line.split_once("TABLE ")?.1.strip_suffix(" ("))
        .collect();
    let document = read("ARCHITECTURE.md");
    let missing: Vec<_> = tables
        .iter()
        .filter(|table| !document.contains(&format!("\n| `{table}` | ")))
        .collect();
    assert!(missing.is_empty(), "no row has {missing:?}");
    assert!(tables.len() > 10, "{tables:?}");
}

#[test]
fn every_path_that_a_followed_document_names_exists() {
    let files = files();
    let top = fs::read_dir(root()).unwrap();
    let top: BTreeSet<String> = top
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut problems = Vec::new();
    for document in FOLLOWED {
        let paths: Vec<String> = code(&read(document))
            .into_iter()
            .filter(|word| is_path(word, &top))
            .collect();
        let missing = paths
            .iter()
            .filter(|path| !exists(&files, document, path))
            .map(|path| format!("{document}: {path}"));
        problems.extend(missing);
        assert!(
            document != "ARCHITECTURE.md" || paths.len() > 40,
            "{document} names {} paths",
            paths.len()
        );
    }
    assert!(problems.is_empty(), "there is no {problems:#?}");
}

#[test]
fn every_test_that_a_followed_document_names_exists() {
    let mut tests = BTreeSet::new();
    for member in members() {
        for (_, source) in rust_files(member) {
            let functions = source.split("fn ").skip(1);
            tests.extend(
                functions.filter_map(|rest| Some(rest.split_once(['(', '<'])?.0.to_owned())),
            );
        }
    }
    for document in FOLLOWED {
        for word in code(&read(document)) {
            let is_name = word.matches('_').count() >= UNDERSCORES
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            assert!(
                !is_name || tests.contains(&word),
                "{document}: no test {word}"
            );
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut followed = 0;
    for document in files().iter().filter(|file| file.ends_with(".md")) {
        for link in links(&read(document)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                beside(document, path)
            };
            assert!(root().join(&target).exists(), "{document}: {link}");
            assert!(
                anchor.is_empty() || anchors(&read(&target)).contains(anchor),
                "{document}: {target} has no heading {anchor}"
            );
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed} links");
}

#[test]
fn the_readme_is_short_and_shows_the_page_first() {
    let text = read("README.md");
    let lines = text.lines().count();
    assert!(lines < README_LINES, "{lines} lines");
    let first = text.lines().filter(|line| !line.is_empty()).nth(1).unwrap();
    let (_, picture) = first.split_once("](").unwrap();
    assert!(
        picture.starts_with("chat-service/web/screenshot.png"),
        "{first}"
    );
}

#[test]
fn what_a_document_names_is_read_as_it_is_written() {
    let text = "See `src/lib.rs`, `cargo test -p e2e`, `<name>.sql` and [it](b.md#a-b).\n```sh\n`x.rs`\n```\n\
                Then `a/b.rs, c.rs`.\n## A `B`, c";
    let words = code(text);
    let top = BTreeSet::from(["a".to_owned()]);
    let paths: Vec<&String> = words.iter().filter(|word| is_path(word, &top)).collect();
    assert_eq!(paths, ["a/b.rs", "c.rs", "src/lib.rs"]);
    assert_eq!(links(text), ["b.md#a-b"]);
    assert_eq!(anchors(text), ["a-b-c".to_owned()].into());
    assert_eq!(
        beside("deploy/docs/tls.md", "../README.md"),
        "deploy/README.md"
    );
    assert!(!exists(&files(), "README.md", "chat-service/src/absent.rs"));
    assert!(exists(&files(), "README.md", "chat-service/src/"));
}
