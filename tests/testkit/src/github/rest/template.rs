//! GitHub's published examples as templates.
//!
//! A body has some three hundred addresses in it. They are worked out once: a template is text with
//! gaps for the names, and filling it is copying.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::github::fixtures;

/// A JSON object.
type Object = Map<String, Value>;

/// The repository of the examples.
const EXAMPLE_REPOSITORY: &str = "octocat/Hello-World";
/// The user of the examples.
const EXAMPLE_USER: &str = "octocat";
const EXAMPLE_API: &str = "https://api.github.com";
const EXAMPLE_WEB: &str = "https://github.com";

/// Stand for the names while a template is made; no example has such characters.
const GAPS: [(char, Gap); 5] = [
    ('\u{e000}', Gap::Api),
    ('\u{e001}', Gap::Web),
    ('\u{e002}', Gap::Host),
    ('\u{e003}', Gap::FullName),
    ('\u{e004}', Gap::Login),
];

pub(super) static PULL_REQUEST: LazyLock<Template> =
    LazyLock::new(|| Template::of(object(fixtures::PULL_REQUEST)));
pub(super) static PULL_REQUEST_ITEM: LazyLock<Template> =
    LazyLock::new(|| Template::of(first_object(fixtures::PULL_REQUESTS)));
pub(super) static REVIEW: LazyLock<Template> =
    LazyLock::new(|| Template::of(first_object(fixtures::REVIEWS)));
pub(super) static FULL_REPOSITORY: LazyLock<Template> =
    LazyLock::new(|| Template::of(object(fixtures::REPOSITORY)));
pub(super) static PRIVATE_USER: LazyLock<Template> =
    LazyLock::new(|| Template::of(object(fixtures::PRIVATE_USER)));
pub(super) static RATE_LIMIT: LazyLock<Object> = LazyLock::new(|| object(fixtures::RATE_LIMIT));
/// A user inside something else.
pub(super) static SIMPLE_USER: LazyLock<Template> =
    LazyLock::new(|| Template::of(member(object(fixtures::PULL_REQUEST), &["user"])));
/// A repository inside a pull request.
pub(super) static SIMPLE_REPOSITORY: LazyLock<Template> =
    LazyLock::new(|| Template::of(member(object(fixtures::PULL_REQUEST), &["base", "repo"])));

/// What the examples' addresses become.
pub(super) struct Names<'a> {
    /// Base of API addresses.
    pub(super) api: &'a str,
    /// Base of page addresses.
    pub(super) web: &'a str,
    /// `owner/name`.
    pub(super) full_name: &'a str,
    /// The user, in `/users/...` and in their page.
    pub(super) login: &'a str,
}

/// Members that take the place of the example's, as JSON; none leaves the member out.
#[derive(Default)]
pub(super) struct Members {
    members: Vec<(&'static str, Option<String>)>,
}

impl Members {
    pub(super) fn set<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        // Nothing that is rendered here can fail to be JSON.
        self.set_json(name, serde_json::to_string(value).unwrap_or_default());
    }

    /// A member that is JSON already.
    pub(super) fn set_json(&mut self, name: &'static str, json: String) {
        self.members.push((name, Some(json)));
    }

    pub(super) fn leave_out(&mut self, name: &'static str) {
        self.members.push((name, None));
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.members.iter().rposition(|(have, _)| *have == name)
    }
}

/// An example object with gaps for names.
pub(super) struct Template {
    members: Vec<(String, Vec<Part>)>,
}

enum Part {
    Text(String),
    Gap(Gap),
}

#[derive(Clone, Copy)]
enum Gap {
    Api,
    Web,
    Host,
    FullName,
    Login,
}

impl Template {
    fn of(example: Object) -> Self {
        let members = example
            .into_iter()
            .map(|(name, value)| {
                let parts = parts(&with_gaps(value).to_string());
                (name, parts)
            })
            .collect();
        Self { members }
    }

    /// The object as JSON, with these names and members.
    pub(super) fn fill(&self, names: &Names<'_>, members: &Members) -> String {
        let mut out = String::with_capacity(2048);
        out.push('{');
        let mut used = vec![false; members.members.len()];
        for (name, parts) in &self.members {
            match members.find(name) {
                Some(place) => {
                    if let Some(flag) = used.get_mut(place) {
                        *flag = true;
                    }
                    if let Some((_, Some(json))) = members.members.get(place) {
                        key(&mut out, name);
                        out.push_str(json);
                    }
                }
                None => {
                    key(&mut out, name);
                    for part in parts {
                        match part {
                            Part::Text(text) => out.push_str(text),
                            Part::Gap(gap) => push_name(&mut out, names, *gap),
                        }
                    }
                }
            }
        }
        for ((name, json), _) in members.members.iter().zip(used).filter(|(_, used)| !used) {
            if let Some(json) = json {
                key(&mut out, name);
                out.push_str(json);
            }
        }
        out.push('}');
        out
    }
}

fn key(out: &mut String, name: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn push_name(out: &mut String, names: &Names<'_>, gap: Gap) {
    match gap {
        Gap::Api => out.push_str(names.api),
        Gap::Web => out.push_str(names.web),
        Gap::Host => {
            let host = names.web.split_once("://");
            out.push_str(host.map_or(names.web, |(_, host)| host));
        }
        Gap::FullName => push_encoded(out, names.full_name),
        Gap::Login => push_encoded(out, names.login),
    }
}

/// Names in addresses, where the brackets of a bot's login are not allowed.
pub(super) fn push_encoded(out: &mut String, name: &str) {
    for found in name.chars() {
        match found {
            '[' => out.push_str("%5B"),
            ']' => out.push_str("%5D"),
            '"' => out.push_str("%22"),
            '\\' => out.push_str("%5C"),
            _ => out.push(found),
        }
    }
}

/// Cuts JSON at its gaps.
fn parts(json: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    for found in json.chars() {
        match GAPS.iter().find(|(mark, _)| *mark == found) {
            Some((_, gap)) => {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Gap(*gap));
            }
            None => text.push(found),
        }
    }
    parts.push(Part::Text(text));
    parts
}

fn with_gaps(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text_with_gaps(&text)),
        Value::Array(items) => items.into_iter().map(with_gaps).collect(),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, with_gaps(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn text_with_gaps(text: &str) -> String {
    let [(api, _), (web, _), (host, _), (full_name, _), _] = GAPS;
    if let Some(rest) = text.strip_prefix(EXAMPLE_API) {
        return format!("{api}{}", path_with_gaps(rest, "/repos/", "/users/"));
    }
    if let Some(rest) = text.strip_prefix(EXAMPLE_WEB) {
        return format!("{web}{}", path_with_gaps(rest, "/", "/"));
    }
    // The addresses for Git itself: git@github.com:owner/name.git and its like.
    if text.contains(EXAMPLE_REPOSITORY) {
        return text
            .replace(EXAMPLE_REPOSITORY, &full_name.to_string())
            .replace("github.com", &host.to_string());
    }
    text.to_owned()
}

/// Replaces the example repository or user at the beginning of a path.
fn path_with_gaps(path: &str, repositories: &str, users: &str) -> String {
    let [_, _, _, (full_name, _), (login, _)] = GAPS;
    let repository = path
        .strip_prefix(repositories)
        .and_then(|path| path.strip_prefix(EXAMPLE_REPOSITORY))
        .filter(|rest| !rest.starts_with('-'));
    if let Some(rest) = repository {
        return format!("{repositories}{full_name}{rest}");
    }
    let user = path
        .strip_prefix(users)
        .and_then(|path| path.strip_prefix(EXAMPLE_USER))
        .filter(|rest| rest.is_empty() || rest.starts_with(['/', '{']));
    match user {
        Some(rest) => format!("{users}{login}{rest}"),
        None => path.to_owned(),
    }
}

/// The fixtures are compiled in and a test parses each; an empty template is the fallback that
/// keeps a panic out of the server.
fn object(text: &str) -> Object {
    serde_json::from_str(text).unwrap_or_default()
}

fn first_object(text: &str) -> Object {
    let items: Vec<Object> = serde_json::from_str(text).unwrap_or_default();
    items.into_iter().next().unwrap_or_default()
}

fn member(mut object: Object, path: &[&str]) -> Object {
    for name in path {
        match object.remove(*name) {
            Some(Value::Object(inner)) => object = inner,
            Some(_) | None => return Object::new(),
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: Names<'_> = Names {
        api: "http://127.0.0.1:1",
        web: "https://git.acme.test",
        full_name: "acme/web",
        login: "ann",
    };

    #[test]
    fn every_template_has_members() {
        let templates = [
            &PULL_REQUEST,
            &PULL_REQUEST_ITEM,
            &REVIEW,
            &FULL_REPOSITORY,
            &PRIVATE_USER,
            &SIMPLE_USER,
            &SIMPLE_REPOSITORY,
        ];
        for template in templates {
            assert!(!template.members.is_empty());
        }
        assert!(!RATE_LIMIT.is_empty());
    }

    #[test]
    fn addresses_follow_repository_user_and_hosts() {
        let cases = [
            (
                "https://api.github.com/repos/octocat/Hello-World/pulls/1",
                "http://127.0.0.1:1/repos/acme/web/pulls/1",
            ),
            (
                "https://api.github.com/users/octocat{/x}",
                "http://127.0.0.1:1/users/ann{/x}",
            ),
            ("https://github.com/octocat", "https://git.acme.test/ann"),
            (
                "https://github.com/octocat/Hello-World/pull/1",
                "https://git.acme.test/acme/web/pull/1",
            ),
            (
                "https://api.github.com/users/octocats",
                "http://127.0.0.1:1/users/octocats",
            ),
            (
                "git@github.com:octocat/Hello-World.git",
                "git@git.acme.test:acme/web.git",
            ),
            ("clean \"quoted\"", "clean \"quoted\""),
        ];
        for (example, expected) in cases {
            let mut object = Object::new();
            object.insert("address".to_owned(), json!(example));
            let filled = Template::of(object).fill(&NAMES, &Members::default());
            let filled: Value = serde_json::from_str(&filled).unwrap();
            assert_eq!(filled, json!({ "address": expected }));
        }
    }

    #[test]
    fn members_replace_leave_out_and_add() {
        let example = json!({"a": 1, "b": 2, "c": {"d": [3]}});
        let Value::Object(example) = example else {
            panic!("it is an object");
        };
        let mut members = Members::default();
        members.set("a", "one");
        members.leave_out("b");
        members.set("new", &true);
        let filled = Template::of(example).fill(&NAMES, &members);
        assert_eq!(filled, r#"{"a":"one","c":{"d":[3]},"new":true}"#);
    }
}
