//! Why policies cannot be used. All problems of a directory are told at once.

/// All that is wrong with a set of policies.
#[derive(Debug, thiserror::Error)]
#[error("the policies cannot be used:\n  {}", list(.0))]
pub struct LoadError(pub Vec<Problem>);

/// One thing that is wrong with a set of policies.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file or directory cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A directory without policies would deny everything to everybody.
    #[error("{path} holds no policy (a file that ends in .cedar)")]
    NoPolicies {
        /// Which directory.
        path: String,
    },
    /// A file is not Cedar.
    #[error("{file}: {problem}")]
    Syntax {
        /// Which file.
        file: String,
        /// What the parser says.
        problem: String,
    },
    /// The schema is not the one that this binary supplies entities for.
    #[error(
        "{file} is not the schema of this version of chat-service: leave it out, or copy that one"
    )]
    ForeignSchema {
        /// Which file.
        file: String,
    },
    /// A policy has no name to speak of it.
    #[error("{file}: a policy has no @id(\"...\"): {policy}")]
    NoId {
        /// Which file.
        file: String,
        /// How the policy begins.
        policy: String,
    },
    /// Two policies have one name.
    #[error("{file}: policy {id:?} exists already")]
    DuplicateId {
        /// Which file has the second one.
        file: String,
        /// The name.
        id: String,
    },
    /// Strict validation against the schema failed.
    #[error("policy {id:?} is not valid: {problem}")]
    Invalid {
        /// Which policy.
        id: String,
        /// What the validator says.
        problem: String,
    },
    /// An annotation of ours has a value that means nothing.
    #[error(
        "policy {id:?}: @grant({value:?}) is unknown; the one there is, on a permit, is @grant(\"share\")"
    )]
    UnknownGrant {
        /// Which policy.
        id: String,
        /// The annotation's value.
        value: String,
    },
    /// There is no SQL for a construct.
    #[error("policy {policy_id:?} cannot be translated to SQL: {construct}: {why}")]
    Untranslatable {
        /// Which policy.
        policy_id: String,
        /// The construct, as written.
        construct: String,
        /// Why there is none.
        why: &'static str,
    },
}

impl LoadError {
    pub(crate) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}
