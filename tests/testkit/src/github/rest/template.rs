//! GitHub's published examples as templates.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::github::fixtures;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// The repository of the examples.
const EXAMPLE_REPOSITORY: &str = "octocat/Hello-World";
/// The user of the examples.
const EXAMPLE_USER: &str = "octocat";
const EXAMPLE_API: &str = "https://api.github.com";
const EXAMPLE_WEB: &str = "https://github.com";

pub(super) static PULL_REQUEST: LazyLock<Object> = LazyLock::new(|| object(fixtures::PULL_REQUEST));
pub(super) static PULL_REQUEST_ITEM: LazyLock<Object> =
    LazyLock::new(|| first_object(fixtures::PULL_REQUESTS));
pub(super) static REVIEW: LazyLock<Object> = LazyLock::new(|| first_object(fixtures::REVIEWS));
pub(super) static FULL_REPOSITORY: LazyLock<Object> =
    LazyLock::new(|| object(fixtures::REPOSITORY));
pub(super) static PRIVATE_USER: LazyLock<Object> = LazyLock::new(|| object(fixtures::PRIVATE_USER));
pub(super) static RATE_LIMIT: LazyLock<Object> = LazyLock::new(|| object(fixtures::RATE_LIMIT));
/// A user inside something else.
pub(super) static SIMPLE_USER: LazyLock<Object> =
    LazyLock::new(|| member(&PULL_REQUEST, &["user"]));
/// A repository inside a pull request.
pub(super) static SIMPLE_REPOSITORY: LazyLock<Object> =
    LazyLock::new(|| member(&PULL_REQUEST, &["base", "repo"]));

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

/// A copy of the template with all addresses of `names`.
pub(super) fn fill(template: &Object, names: &Names<'_>) -> Object {
    template
        .iter()
        .map(|(name, value)| (name.clone(), fill_value(value, names)))
        .collect()
}

fn fill_value(value: &Value, names: &Names<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(fill_text(text, names)),
        Value::Array(items) => items.iter().map(|item| fill_value(item, names)).collect(),
        Value::Object(members) => Value::Object(fill(members, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn fill_text(text: &str, names: &Names<'_>) -> String {
    if let Some(rest) = text.strip_prefix(EXAMPLE_API) {
        return format!(
            "{}{}",
            names.api,
            fill_path(rest, "/repos/", "/users/", names)
        );
    }
    if let Some(rest) = text.strip_prefix(EXAMPLE_WEB) {
        return format!("{}{}", names.web, fill_path(rest, "/", "/", names));
    }
    // The addresses for Git itself: git@github.com:owner/name.git and its like.
    if text.contains(EXAMPLE_REPOSITORY) {
        let host = names
            .web
            .split_once("://")
            .map_or(names.web, |(_, host)| host);
        return text
            .replace(EXAMPLE_REPOSITORY, names.full_name)
            .replace("github.com", host);
    }
    text.to_owned()
}

/// Replaces the example repository or user at the beginning of a path.
fn fill_path(path: &str, repositories: &str, users: &str, names: &Names<'_>) -> String {
    let repository = path
        .strip_prefix(repositories)
        .and_then(|path| path.strip_prefix(EXAMPLE_REPOSITORY))
        .filter(|rest| !rest.starts_with('-'));
    if let Some(rest) = repository {
        return format!("{repositories}{}{rest}", names.full_name);
    }
    let user = path
        .strip_prefix(users)
        .and_then(|path| path.strip_prefix(EXAMPLE_USER))
        .filter(|rest| rest.is_empty() || rest.starts_with(['/', '{']));
    match user {
        Some(rest) => format!("{users}{}{rest}", names.login),
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

fn member(object: &Object, path: &[&str]) -> Object {
    let mut found = object;
    for name in path {
        match found.get(*name) {
            Some(Value::Object(inner)) => found = inner,
            Some(_) | None => return Object::new(),
        }
    }
    found.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_members() {
        let templates = [
            &PULL_REQUEST,
            &PULL_REQUEST_ITEM,
            &REVIEW,
            &FULL_REPOSITORY,
            &PRIVATE_USER,
            &RATE_LIMIT,
            &SIMPLE_USER,
            &SIMPLE_REPOSITORY,
        ];
        for template in templates {
            assert!(!template.is_empty());
        }
    }

    #[test]
    fn addresses_follow_repository_user_and_hosts() {
        let names = Names {
            api: "http://127.0.0.1:1",
            web: "https://git.acme.test",
            full_name: "acme/web",
            login: "ann",
        };
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
            ("clean", "clean"),
        ];
        for (example, expected) in cases {
            assert_eq!(fill_text(example, &names), expected);
        }
    }
}
