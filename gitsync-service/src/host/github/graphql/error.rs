//! The meaning and path of an error in a GraphQL response.
//!
//! An error with the path of a question's own answer is that question's. One without a path, or
//! with that of the whole list, is everything's that has no answer.

use serde_json::Value;

use proto::sync::ProblemClass;

use super::{
    super::refusal::{denied, says_primary, says_secondary},
    progress,
};

/// The list of answers to ids.
pub(super) const LIST: &str = "nodes";

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

/// Fields that a query can do without, and the part of the query texts that is left out for each: a
/// line, or what stands below a comment of that word.
const DISPENSABLE: [(&str, &str); 14] = [
    ("isInMergeQueue", "isInMergeQueue"),
    ("reviewDecision", "reviewDecision"),
    (progress::ROLLUP, progress::ROLLUP),
    ("checkRunCountsByState", progress::ROLLUP),
    ("statusContextCountsByState", progress::ROLLUP),
    ("workflowRun", progress::ROLLUP),
    ("mergeQueueEntry", "mergeQueueEntry"),
    ("mergeStateStatus", "mergeStateStatus"),
    ("autoMergeRequest", "autoMergeRequest"),
    ("reviewThreads", "reviewThreads"),
    ("reviewRequests", "reviewRequests"),
    ("baseRef", "baseRef"),
    ("refUpdateRule", "baseRef"),
    ("requiredStatusCheckContexts", "baseRef"),
];

/// The meaning of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is not there, or must not be seen.
    NotFound,
    /// It may not be seen, for this reason.
    Denied(ProblemClass),
    /// It is more than the host gives at once.
    TooHeavy,
    /// The question exceeded the host's time, or the host is overloaded.
    Overloaded,
    /// The interface's limit is spent.
    Primary,
    /// A secondary limit.
    Secondary,
    /// The host's schema is another one.
    Skew,
    /// One that is not known.
    Unknown,
}

/// The path of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ErrorPath {
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
pub(super) fn meaning(error: &Value) -> (Meaning, ErrorPath) {
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
            return (Meaning::Skew, ErrorPath::Whole);
        }
        kind = code;
    }
    let meaning = match kind.as_str() {
        "rate_limited" | "rate_limit" | "graphql_rate_limit" => Meaning::Primary,
        "not_found" => Meaning::NotFound,
        "forbidden" if saml => Meaning::Denied(ProblemClass::SsoRequired),
        "forbidden" | "insufficient_scopes" => Meaning::Denied(denied(&message)),
        "resource_limits_exceeded" | "max_node_limit_exceeded" | "argument_limit" => {
            Meaning::TooHeavy
        }
        "internal_server_error" => Meaning::Overloaded,
        _ => by_message(&message),
    };
    (meaning, place(error))
}

/// The meaning of a message, where it is the only evidence. In lower case.
pub(super) fn by_message(message: &str) -> Meaning {
    if says_secondary(message) {
        Meaning::Secondary
    } else if says_primary(message) {
        Meaning::Primary
    } else if message.contains("resource limits") || message.contains("possible nodes") {
        Meaning::TooHeavy
    } else if message.contains("couldn't respond")
        || message.contains("something went wrong")
        || message.contains("timeout")
        || message.contains("timed out")
    {
        Meaning::Overloaded
    } else if is_skew(message) {
        Meaning::Skew
    } else if message.contains("saml")
        || message.contains("not accessible")
        || message.contains("ip allow list")
        || message.contains("access blocked")
    {
        Meaning::Denied(denied(message))
    } else {
        Meaning::Unknown
    }
}

/// The part of the query to leave out because the host's schema lacks a field, if the rest is worth
/// sending.
pub(super) fn dispensable(error: &Value) -> Option<&'static str> {
    let name = error.get("extensions").and_then(|all| all.get("fieldName"));
    let name = name.and_then(Value::as_str);
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_lacking = |field: &str| {
        name == Some(field) || message.starts_with(&format!("Field '{field}' doesn't exist"))
    };
    let found = DISPENSABLE.into_iter().find(|(field, _)| is_lacking(field));
    found.map(|(_, left_out)| left_out)
}

fn is_skew(message: &str) -> bool {
    message.contains("doesn't exist on type")
        || message.contains("parse error")
        || message.contains("provided invalid value")
}

fn place(error: &Value) -> ErrorPath {
    let Some(path) = error.get("path").and_then(Value::as_array) else {
        return ErrorPath::Whole;
    };
    let mut steps = path.iter();
    let Some(key) = steps.next().and_then(Value::as_str) else {
        return ErrorPath::Whole;
    };
    let mut steps = steps.peekable();
    let index = steps
        .next_if(|step| step.is_u64())
        .and_then(Value::as_u64)
        .and_then(|index| usize::try_from(index).ok());
    if key == LIST && index.is_none() {
        return ErrorPath::Whole;
    }
    ErrorPath::One {
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
            (json!({"type": "RATE_LIMITED"}), Meaning::Primary),
            (
                json!({"type": "RATE_LIMIT", "code": "graphql_rate_limit"}),
                Meaning::Primary,
            ),
            (
                json!({"extensions": {"code": "graphql_rate_limit"},
                    "message": "API rate limit already exceeded for user ID 1."}),
                Meaning::Primary,
            ),
            (
                json!({"message": "You have exceeded a secondary rate limit."}),
                Meaning::Secondary,
            ),
            (json!({"type": "NOT_FOUND"}), Meaning::NotFound),
            (
                json!({"type": "FORBIDDEN", "extensions": {"saml_failure": true}}),
                Meaning::Denied(ProblemClass::SsoRequired),
            ),
            (
                json!({"type": "FORBIDDEN", "extensions": {"saml_failure": false},
                    "message": "Resource not accessible by integration"}),
                Meaning::Denied(ProblemClass::AccessDenied),
            ),
            (
                json!({"type": "FORBIDDEN", "message": "the org has an IP allow list enabled"}),
                Meaning::Denied(ProblemClass::AddressNotAllowed),
            ),
            (
                json!({"type": "FORBIDDEN", "message": "Repository access blocked"}),
                Meaning::Denied(ProblemClass::RepositoryBlocked),
            ),
            (
                json!({"type": "INSUFFICIENT_SCOPES"}),
                Meaning::Denied(ProblemClass::AccessDenied),
            ),
            (
                json!({"type": "RESOURCE_LIMITS_EXCEEDED"}),
                Meaning::TooHeavy,
            ),
            (
                json!({"type": "MAX_NODE_LIMIT_EXCEEDED"}),
                Meaning::TooHeavy,
            ),
            (
                json!({"message": "Something went wrong while executing your query."}),
                Meaning::Overloaded,
            ),
            (
                json!({"message": "We couldn't respond to your request in time."}),
                Meaning::Overloaded,
            ),
            (
                json!({"message": "Timeout on validation of query"}),
                Meaning::Overloaded,
            ),
            (
                json!({"extensions": {"code": "undefinedField"}, "path": ["query Q", "x"]}),
                Meaning::Skew,
            ),
            (
                json!({"extensions": {"code": "NEW_IDEA"}, "message": "What?"}),
                Meaning::Unknown,
            ),
            (
                json!({"extensions": {"code": "ArgumentNotAccepted"}}),
                Meaning::Skew,
            ),
            (
                json!({"extensions": {"code": "MAX_NODE_LIMIT_EXCEEDED"}}),
                Meaning::TooHeavy,
            ),
            (
                json!({"extensions": {"code": "INTERNAL_SERVER_ERROR"}, "message": "Oh."}),
                Meaning::Overloaded,
            ),
            (
                json!({"extensions": {"code": "RATE_LIMITED"}}),
                Meaning::Primary,
            ),
            (json!({"type": "not_found"}), Meaning::NotFound),
            (json!({"message": "Parse error on \"}\""}), Meaning::Skew),
            (json!({"message": "What?"}), Meaning::Unknown),
        ] {
            assert_eq!(meaning(&error).0, expected, "{error}");
        }
    }

    #[test]
    fn an_error_is_about_what_its_path_leads_to() {
        let at = |path: Value| meaning(&json!({"type": "NOT_FOUND", "path": path})).1;
        assert_eq!(at(Value::Null), ErrorPath::Whole);
        assert_eq!(at(json!(["nodes"])), ErrorPath::Whole);
        let one = |key: &str, index, below: &[&str]| ErrorPath::One {
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
