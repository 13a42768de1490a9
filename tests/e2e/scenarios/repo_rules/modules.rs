//! Which module of a crate imports which: in no folder do modules import one another in a circle,
//! and the store imports no use case.
//!
//! A module counts with its children: at each level, an import from `a::x` to `b::y` is one from
//! `a` to `b`. Imports between a module and its own children are its inside.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_files;

/// Modules of chat-service that do something with what the store keeps.
const USE_CASES: [&str; 15] = [
    "accounts",
    "auth",
    "command",
    "config",
    "diff",
    "events",
    "git_ref",
    "grpc",
    "metrics",
    "oauth",
    "page_token",
    "refresh",
    "server",
    "survey",
    "sync",
];

/// An import from one module to another, both as paths.
type Import = (String, String);

/// The modules below `directory`, with their sources. The roots import everything and are left out.
fn modules(directory: &str) -> BTreeMap<String, String> {
    rust_files(directory)
        .into_iter()
        .filter_map(|(name, source)| {
            let path = name.strip_prefix(directory)?.strip_suffix(".rs")?;
            let module = path.trim_start_matches('/').replace('/', "::");
            (module != "lib" && module != "main").then_some((module, source))
        })
        .collect()
}

fn imports(modules: &BTreeMap<String, String>) -> BTreeSet<Import> {
    let mut imports = BTreeSet::new();
    for (module, source) in modules {
        for path in paths(source) {
            let Some(to) = resolved(module, &path, modules) else {
                continue;
            };
            if to != *module {
                imports.insert((module.clone(), to));
            }
        }
    }
    imports
}

/// All paths that `use` names, and those that begin with `crate` anywhere, outside tests and
/// comments.
fn paths(source: &str) -> Vec<String> {
    let product = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String = product
        .lines()
        .filter_map(|line| line.split("//").next())
        .flat_map(|line| [line.trim(), " "])
        .collect();
    let mut paths = Vec::new();
    for (start, _) in code.match_indices("use ") {
        let begins = code[..start]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && before != '_');
        if begins && let Some((tree, _)) = code[start + "use ".len()..].split_once(';') {
            let tree: String = tree.split_whitespace().collect();
            expand("", &tree, &mut paths);
        }
    }
    for (start, _) in code.match_indices("crate::") {
        let path = code[start..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
            .collect();
        paths.push(path);
    }
    paths
}

/// The paths of a tree of imports like `a::{b, c::d}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((path, rest)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let prefix = format!("{prefix}{path}");
    let body = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut begin) = (0, 0);
    for (index, character) in body.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &body[begin..index], paths);
                begin = index + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &body[begin..], paths);
}

/// The module that has what `path` names in `module`, if it is one of this crate's.
fn resolved(module: &str, path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut segments: Vec<&str> = match path.split("::").next() {
        Some("crate") => Vec::new(),
        Some("self" | "super") => module.split("::").collect(),
        _ => return None,
    };
    for segment in path.split("::") {
        match segment {
            "crate" | "self" => {}
            "super" => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    while !segments.is_empty() {
        let path = segments.join("::");
        if modules.contains_key(&path) {
            return Some(path);
        }
        segments.pop();
    }
    None
}

/// An import as one between the two modules of one folder that it crosses; none within one module.
fn between_siblings((from, to): &Import) -> Option<Import> {
    let (from, to): (Vec<_>, Vec<_>) = (from.split("::").collect(), to.split("::").collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    (shared < from.len() && shared < to.len())
        .then(|| (from[..=shared].join("::"), to[..=shared].join("::")))
}

/// A circle of siblings, each importing the next one and the last one the first.
fn circle(imports: &BTreeSet<Import>) -> Option<Vec<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in imports.iter().filter_map(between_siblings) {
        graph.entry(from).or_default().insert(to);
    }
    graph.keys().find_map(|start| way_back(start, &graph))
}

/// A shortest way from `start` to itself.
fn way_back(start: &String, graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in graph.get(way.last()?).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.clone(), vec![next.clone()]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Fails on a circle in `directory`.
fn no_circle(directory: &str) {
    assert_eq!(
        circle(&imports(&modules(directory))),
        None,
        "modules of {directory} import in a circle"
    );
}

#[test]
fn modules_of_no_crate_import_in_a_circle() {
    no_circle("chat-service/src");
    no_circle("chat-service/policy/src");
    no_circle("gitsync-service/src");
    no_circle("deploy/runtime/src");
}

#[test]
fn the_store_imports_no_use_case() {
    let modules = modules("chat-service/src");
    for (from, to) in imports(&modules) {
        let use_case = to.split("::").next().unwrap();
        let imports = from.split("::").next() == Some("store") && USE_CASES.contains(&use_case);
        assert!(!imports, "chat-service: {from} imports {to}");
    }
    for use_case in USE_CASES {
        assert!(
            modules.contains_key(use_case),
            "no module is called {use_case}"
        );
    }
}

fn planted(files: &[(&str, &str)]) -> Option<Vec<String>> {
    let modules = files
        .iter()
        .map(|(module, source)| ((*module).to_owned(), (*source).to_owned()));
    circle(&imports(&modules.collect()))
}

#[test]
fn a_planted_circle_is_found() {
    let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let planted_below = [
        (
            "domain",
            "use crate::{words::Word, store::{self, chat::{Row, Other}}};",
        ),
        ("store", ""),
        ("store::chat", "use crate::domain::Chat;\nuse super::Sql;"),
        ("words", ""),
    ];
    assert_eq!(planted(&planted_below), names(&["domain", "store"]));
    let of_three = [
        ("a", "use crate::b;"),
        ("b", "fn f() { crate::c::g() }"),
        ("c", "pub(crate) use super::a::A;"),
    ];
    assert_eq!(planted(&of_three), names(&["a", "b", "c"]));
    let of_siblings = [
        ("a", "mod x; mod y; use self::x::X;"),
        ("a::x", "use super::y::Y;"),
        ("a::y", "use super::{Top, x::X};"),
    ];
    assert_eq!(planted(&of_siblings), names(&["a::x", "a::y"]));
}

#[test]
fn what_is_no_circle_is_not_found() {
    let files = [
        ("a", "use self::x::X; use crate::b::B; use other::c;"),
        ("a::x", "use super::A; // use crate::c;"),
        (
            "b",
            "use std::b;\n#[cfg(test)]\nmod tests { use crate::a; }",
        ),
        ("c", "use crate::a::x::X;"),
    ];
    assert_eq!(planted(&files), None);
}
