//! The words of the repository: comments and names use the field's words, comments fit their lines,
//! and a type is a noun with one meaning.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{root, rust_files};

/// Words and phrases that leave the subject of a sentence open, or that replace a term of the
/// field.
const WORDS: [&str; 13] = [
    "somebody",
    "nobody",
    "whoever",
    "everybody",
    "told",
    "is none",
    "so many",
    "leave alone",
    "left alone",
    "gave up",
    "trouble",
    "forgiven",
    "lately",
];
/// How often [`WORDS`] are used. The number may only shrink, and is never higher than the count.
const USES: usize = 10;
/// The file that lists the words.
const RULE: &str = "tests/e2e/scenarios/repo_rules/words.rs";
/// Identifiers of the standard library that contain one of [`WORDS`].
const IDENTIFIERS: [&str; 2] = ["is_none", "is_none_or"];
/// Directories of dependencies and generated files.
const GENERATED: [&str; 5] = [".git", "target", "node_modules", "dist", "gen"];
const EXTENSIONS: [&str; 12] = [
    "rs", "sql", "cedar", "proto", "ts", "tsx", "mjs", "md", "yaml", "yml", "sh", "toml",
];

/// Columns of a comment line, as rustfmt's `max_width` for code.
const MAX_COLUMNS: usize = 100;

/// The sources of the product.
const PRODUCT: [&str; 6] = [
    "chat-service/src",
    "chat-service/policy/src",
    "gitsync-service/src",
    "deploy/runtime/src",
    "migrations/src",
    "proto/src",
];
/// Types that are named by a participle. The list may only shrink.
const PARTICIPLES: [&str; 3] = ["Authorized", "Failing", "Learned"];
/// Last words of type names that look like participles and are nouns.
const NOUNS: [&str; 5] = ["ceiling", "finding", "meaning", "pred", "ring"];
/// Participles that end otherwise than in `ed` or `ing`.
const IRREGULAR: [&str; 21] = [
    "begun", "broken", "found", "given", "heard", "held", "kept", "known", "left", "lent", "lost",
    "made", "out", "seen", "sent", "shown", "spent", "taken", "unread", "unsent", "withheld",
];
/// Type names that stand for several types of the services, each with its reason.
const SHARED_NAMES: [(&str, &str); 6] = [
    (
        "Error",
        "why a call of the service fails; each service has its own",
    ),
    ("Inner", "private: what the clones of one handle share"),
    ("Metrics", "all metrics of the service"),
    (
        "Plaintext",
        "where the service may speak plain text; each has other listeners",
    ),
    (
        "Settings",
        "the settings of its module, which qualifies the name",
    ),
    (
        "State",
        "private: the values behind one lock, or the states of one machine",
    ),
];

/// Every text file of the repository that people write, by its path from the root.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    collect(&root(), &mut texts);
    texts.sort();
    texts
}

fn collect(directory: &Path, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !GENERATED.contains(&name) {
                collect(&path, texts);
            }
            continue;
        }
        let extension = path
            .extension()
            .map(|extension| extension.to_str().unwrap());
        if extension.is_some_and(|extension| !EXTENSIONS.contains(&extension)) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        if extension.is_some() || text.starts_with("#!") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            texts.push((name, text));
        }
    }
}

/// The words of a text, in lower case, with their lines. Names are split into their words; `None`
/// separates sentences, and parts of one.
fn words(text: &str) -> Vec<(usize, Option<String>)> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            let length = rest[start..]
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len() - start);
            let name = &rest[start..start + length];
            if name.is_empty() {
                let separator = rest[start..].chars().next().unwrap();
                if !"/!-#*".contains(separator) {
                    words.push((index + 1, None));
                }
                rest = &rest[start + separator.len_utf8()..];
                continue;
            }
            if IDENTIFIERS.contains(&name) {
                words.push((index + 1, None));
            } else {
                words.extend(parts(name).map(|part| (index + 1, Some(part))));
            }
            rest = &rest[start + length..];
        }
    }
    words
}

/// The words of a name in snake case or camel case, in lower case.
fn parts(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for character in name.chars() {
        if character == '_' || (character.is_ascii_uppercase() && !before.is_ascii_uppercase()) {
            parts.push(String::new());
        }
        if character != '_' {
            parts
                .last_mut()
                .unwrap()
                .push(character.to_ascii_lowercase());
        }
        before = character;
    }
    parts.into_iter().filter(|part| !part.is_empty())
}

/// Where [`WORDS`] are used in a text: lines and words.
fn uses(text: &str) -> Vec<(usize, &'static str)> {
    let words = words(text);
    let mut uses = Vec::new();
    for place in 0..words.len() {
        for phrase in WORDS {
            let mut next = words[place..].iter();
            let is_used = phrase.split(' ').all(|part| {
                next.next()
                    .is_some_and(|(_, word)| word.as_deref() == Some(part))
            });
            if is_used {
                uses.push((words[place].0, phrase));
            }
        }
    }
    uses
}

#[test]
fn comments_and_names_use_the_fields_words() {
    let mut found = Vec::new();
    for (name, text) in texts() {
        if name != RULE {
            let uses = uses(&text).into_iter();
            found.extend(uses.map(|(line, word)| format!("{name}:{line}: {word}")));
        }
    }
    assert!(
        found.len() <= USES,
        "{} uses are more than {USES}; say what the subject of the sentence is: {found:#?}",
        found.len()
    );
    assert_eq!(found.len(), USES, "fewer uses: lower the bound");
}

#[test]
fn words_are_found_in_names_and_over_lines_and_not_in_parts_of_words() {
    let found = |text: &str| uses(text).iter().map(|(_, word)| *word).collect::<Vec<_>>();
    assert_eq!(found("fn it_gave_up() {}"), ["gave up"]);
    assert_eq!(found("struct ToldOf;"), ["told"]);
    assert_eq!(
        found("/// There is\n/// none, so many\n// as that."),
        ["is none", "so many"]
    );
    assert_eq!(
        found("untold(); troubled; x.is_none(); `that is` None"),
        [""; 0]
    );
    assert_eq!(found("It is. None of `is_none_or`"), [""; 0]);
}

fn is_comment(name: &str, line: &str) -> bool {
    let extension = Path::new(name).extension();
    match extension.and_then(|extension| extension.to_str()) {
        Some("rs" | "proto" | "ts" | "tsx" | "mjs") => {
            line.starts_with("//") || line.starts_with("* ") || line.starts_with("/*")
        }
        Some("sql") => line.starts_with("--"),
        Some("yaml" | "yml" | "sh" | "toml") | None => line.starts_with('#'),
        Some(_) => false,
    }
}

#[test]
fn no_comment_line_is_longer_than_a_line_of_code_may_be() {
    let mut long = Vec::new();
    for (name, text) in texts() {
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && is_comment(&name, line.trim_start()) {
                long.push(format!("{name}:{}: {columns} columns", index + 1));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// The types that sources define outside their tests, each with the files.
fn types(directories: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for directory in directories {
        for (name, source) in rust_files(directory) {
            if name.ends_with("/tests.rs") || name.contains("/tests/") {
                continue;
            }
            for line in outside_tests(&source) {
                if let Some(defined) = defined(line) {
                    types
                        .entry(defined.to_owned())
                        .or_default()
                        .push(name.clone());
                }
            }
        }
    }
    types
}

fn outside_tests(source: &str) -> impl Iterator<Item = &str> {
    let product = source.split("#[cfg(test)]\nmod tests").next();
    product.unwrap_or_default().lines()
}

/// The type that a line begins to define. An associated type is not one: its trait names it.
fn defined(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => code,
    };
    let (kind, rest) = code.split_once(' ')?;
    let is_type = match kind {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => line.starts_with(code) || line.starts_with("pub"),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &rest[..end.unwrap_or(rest.len())];
    (is_type && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

fn is_participle(name: &str) -> bool {
    let last = parts(name).last().unwrap_or_default();
    let is_regular = last.ends_with("ed") || last.ends_with("ing");
    (is_regular || IRREGULAR.contains(&last.as_str())) && !NOUNS.contains(&last.as_str())
}

#[test]
fn types_are_nouns() {
    let types = types(&PRODUCT);
    let participles: BTreeSet<&str> = types
        .keys()
        .map(String::as_str)
        .filter(|name| is_participle(name))
        .collect();
    assert_eq!(
        participles,
        BTreeSet::from(PARTICIPLES),
        "name what a value is, and not what happened to it; the list may only shrink"
    );
}

#[test]
fn a_type_name_means_one_thing_in_both_services() {
    let services = types(&["chat-service/src", "gitsync-service/src"]);
    let several: BTreeMap<&str, &Vec<String>> = services
        .iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| (name.as_str(), files))
        .collect();
    for (name, files) in &several {
        assert!(
            SHARED_NAMES.iter().any(|(shared, _)| shared == name),
            "{name} is several types: {files:?}"
        );
    }
    for (name, _) in SHARED_NAMES {
        assert!(
            several.contains_key(name),
            "{name} is one type: strike it off"
        );
    }
}

#[test]
fn definitions_of_types_are_recognised() {
    assert_eq!(defined("pub(super) struct Batch<'a> {"), Some("Batch"));
    assert_eq!(defined("    enum Kind {"), Some("Kind"));
    assert_eq!(defined("pub type Pred = Formula<Atom>;"), Some("Pred"));
    assert_eq!(defined("    type Error = Status;"), None);
    assert_eq!(defined("// struct Batch"), None);
    assert!(is_participle("HandedOut") && is_participle("Answering") && is_participle("Asked"));
    assert!(!is_participle("AskedRow") && !is_participle("Finding") && !is_participle("KeyRing"));
}
