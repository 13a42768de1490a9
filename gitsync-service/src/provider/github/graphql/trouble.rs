//! What an error in a GraphQL answer means, and what it is about.
//!
//! An error with the path of a question's own answer is that question's. One without a path, or with that
//! of the whole list, is everything's that has no answer.

use serde_json::Value;

use crate::outcome::Problem;

use super::super::refusal::{denied, says_primary, says_secondary};

/// The lists of answers to ids.
pub(super) const LISTS: [&str; 2] = ["nodes", "whole"];

/// Codes of an error in a query's text that another version of the schema explains.
const SKEWS: [&str; 15] = [
    "argumentliteralsincompatible",
    "argumentnotaccepted",
    "cannotspreadfragment",
    "fieldconflict",
    "fragmentonnoncompositetype",
    "missingrequiredarguments",
    "missingrequiredinputobjectattribute",
    "selectionmismatch",
    "undefineddirective",
    "undefinedfield",
    "undefinedtype",
    "variablemismatch",
    "variablenotdefined",
    "variablenotused",
    "variablerequiresvalidtype",
];

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there, or must not be seen.
    NotFound,
    /// It may not be seen, for this reason.
    Denied(Problem),
    /// It is more than the host gives at once.
    TooHeavy,
    /// The host gave up: on this question or altogether.
    Overloaded,
    /// The interface's limit is spent.
    Primary,
    /// The host wants to be left alone.
    Secondary,
    /// The host's schema is another one.
    Skew,
    /// One that nobody has told us of.
    Unknown,
}

/// What an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Everything that has no answer.
    Whole,
    /// One question's answer, by its alias or its place in the list, and how deep below it.
    One {
        /// The list, or the alias.
        key: String,
        /// In a list.
        index: Option<usize>,
        /// The rest of the path, without places in lists.
        below: Vec<String>,
    },
}

/// Reads one error.
pub(super) fn trouble(error: &Value) -> (Trouble, Place) {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let extension = |name: &str| error.get("extensions").and_then(|all| all.get(name));
    let message = text("message").to_ascii_lowercase();
    let saml = extension("saml_failure").and_then(Value::as_bool) == Some(true);
    let code = extension("code").and_then(Value::as_str);
    let code = code.unwrap_or_default().to_ascii_lowercase();
    let mut kind = text("type").to_ascii_lowercase();
    if kind.is_empty() {
        // An error of the query's text has no type; its path is a place in the text.
        if SKEWS.contains(&code.as_str()) || is_skew(&message) {
            return (Trouble::Skew, Place::Whole);
        }
        kind = code;
    }
    let trouble = match kind.as_str() {
        "rate_limited" | "rate_limit" | "graphql_rate_limit" => Trouble::Primary,
        "not_found" => Trouble::NotFound,
        "forbidden" if saml => Trouble::Denied(Problem::SsoRequired),
        "forbidden" | "insufficient_scopes" => Trouble::Denied(denied(&message)),
        "resource_limits_exceeded" | "max_node_limit_exceeded" | "argument_limit" => {
            Trouble::TooHeavy
        }
        "internal_server_error" => Trouble::Overloaded,
        _ => by_message(&message),
    };
    (trouble, place(error))
}

/// What the words of a message mean where there is nothing else. In lower case.
pub(super) fn by_message(message: &str) -> Trouble {
    if says_secondary(message) {
        Trouble::Secondary
    } else if says_primary(message) {
        Trouble::Primary
    } else if message.contains("resource limits") || message.contains("possible nodes") {
        Trouble::TooHeavy
    } else if message.contains("couldn't respond")
        || message.contains("something went wrong")
        || message.contains("timeout")
        || message.contains("timed out")
    {
        Trouble::Overloaded
    } else if is_skew(message) {
        Trouble::Skew
    } else if message.contains("saml")
        || message.contains("not accessible")
        || message.contains("ip allow list")
        || message.contains("access blocked")
    {
        Trouble::Denied(denied(message))
    } else {
        Trouble::Unknown
    }
}

fn is_skew(message: &str) -> bool {
    message.contains("doesn't exist on type")
        || message.contains("parse error")
        || message.contains("provided invalid value")
}

fn place(error: &Value) -> Place {
    let Some(path) = error.get("path").and_then(Value::as_array) else {
        return Place::Whole;
    };
    let mut steps = path.iter();
    let Some(key) = steps.next().and_then(Value::as_str) else {
        return Place::Whole;
    };
    let mut steps = steps.peekable();
    let index = steps
        .next_if(|step| step.is_u64())
        .and_then(Value::as_u64)
        .and_then(|index| usize::try_from(index).ok());
    if LISTS.contains(&key) && index.is_none() {
        return Place::Whole;
    }
    Place::One {
        key: key.to_owned(),
        index,
        below: steps.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_error_has_its_meaning_in_every_spelling() {
        for (error, expected) in [
            (json!({"type": "RATE_LIMITED"}), Trouble::Primary),
            (
                json!({"type": "RATE_LIMIT", "code": "graphql_rate_limit"}),
                Trouble::Primary,
            ),
            (
                json!({"extensions": {"code": "graphql_rate_limit"},
                    "message": "API rate limit already exceeded for user ID 1."}),
                Trouble::Primary,
            ),
            (
                json!({"message": "You have exceeded a secondary rate limit."}),
                Trouble::Secondary,
            ),
            (json!({"type": "NOT_FOUND"}), Trouble::NotFound),
            (
                json!({"type": "FORBIDDEN", "extensions": {"saml_failure": true}}),
                Trouble::Denied(Problem::SsoRequired),
            ),
            (
                json!({"type": "FORBIDDEN", "extensions": {"saml_failure": false},
                    "message": "Resource not accessible by integration"}),
                Trouble::Denied(Problem::AccessDenied),
            ),
            (
                json!({"type": "FORBIDDEN", "message": "the org has an IP allow list enabled"}),
                Trouble::Denied(Problem::AddressNotAllowed),
            ),
            (
                json!({"type": "FORBIDDEN", "message": "Repository access blocked"}),
                Trouble::Denied(Problem::RepositoryBlocked),
            ),
            (
                json!({"type": "INSUFFICIENT_SCOPES"}),
                Trouble::Denied(Problem::AccessDenied),
            ),
            (
                json!({"type": "RESOURCE_LIMITS_EXCEEDED"}),
                Trouble::TooHeavy,
            ),
            (
                json!({"type": "MAX_NODE_LIMIT_EXCEEDED"}),
                Trouble::TooHeavy,
            ),
            (
                json!({"message": "Something went wrong while executing your query."}),
                Trouble::Overloaded,
            ),
            (
                json!({"message": "We couldn't respond to your request in time."}),
                Trouble::Overloaded,
            ),
            (
                json!({"message": "Timeout on validation of query"}),
                Trouble::Overloaded,
            ),
            (
                json!({"extensions": {"code": "undefinedField"}, "path": ["query Q", "x"]}),
                Trouble::Skew,
            ),
            (
                json!({"extensions": {"code": "NEW_IDEA"}, "message": "What?"}),
                Trouble::Unknown,
            ),
            (
                json!({"extensions": {"code": "ArgumentNotAccepted"}}),
                Trouble::Skew,
            ),
            (
                json!({"extensions": {"code": "MAX_NODE_LIMIT_EXCEEDED"}}),
                Trouble::TooHeavy,
            ),
            (
                json!({"extensions": {"code": "INTERNAL_SERVER_ERROR"}, "message": "Oh."}),
                Trouble::Overloaded,
            ),
            (
                json!({"extensions": {"code": "RATE_LIMITED"}}),
                Trouble::Primary,
            ),
            (json!({"type": "not_found"}), Trouble::NotFound),
            (json!({"message": "Parse error on \"}\""}), Trouble::Skew),
            (json!({"message": "What?"}), Trouble::Unknown),
        ] {
            assert_eq!(trouble(&error).0, expected, "{error}");
        }
    }

    #[test]
    fn an_error_is_about_what_its_path_leads_to() {
        let at = |path: Value| trouble(&json!({"type": "NOT_FOUND", "path": path})).1;
        assert_eq!(at(Value::Null), Place::Whole);
        assert_eq!(at(json!(["nodes"])), Place::Whole);
        let one = |key: &str, index, below: &[&str]| Place::One {
            key: key.to_owned(),
            index,
            below: below.iter().map(|step| (*step).to_owned()).collect(),
        };
        assert_eq!(at(json!(["nodes", 3])), one("nodes", Some(3), &[]));
        assert_eq!(at(json!(["r2"])), one("r2", None, &[]));
        let deep = json!(["r2", "open", "nodes", 0, "author"]);
        assert_eq!(at(deep), one("r2", None, &["open", "nodes", "author"]));
    }
}
