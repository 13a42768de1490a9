//! The errors of calls, and the part of each that clients see. This is the only place where a
//! [`tonic::Status`] is made and an error is logged, once and with its source, which clients do not
//! see.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use prost::Message as _;
use proto::{
    reason::{self, DOMAIN},
    sync::FieldError,
};
use service_runtime::telemetry::AUDIT;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// Warnings of one reason are this far apart at least: while the database is away each call fails,
/// and that it is has lines of its own.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// Of callers that are not authenticated, one in this time is noted for each reason.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The cause, for the log.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed. Each variant carries what the client may know; a source is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No bearer token.
    #[error("a bearer token is required")]
    CredentialsMissing,
    /// A bearer token that is invalid or expired.
    #[error("the bearer token is not valid")]
    CredentialsInvalid,
    /// A bearer token of too many bytes or memberships.
    #[error("the bearer token has too many bytes, organizations or groups")]
    CredentialsTooLarge,
    /// Does not exist for the caller.
    #[error("{resource} not found")]
    NotVisible {
        /// As in `chat`.
        resource: &'static str,
    },
    /// The caller may see it but not do this.
    #[error("not allowed: {action}")]
    NotAllowed {
        /// As in `updateChat`.
        action: &'static str,
    },
    /// A field is unacceptable.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// Path of the field in the request.
        field: String,
        /// The problem with the field.
        problem: String,
        /// `FIELD_INVALID` or a narrower reason.
        reason: &'static str,
    },
    /// The request fits, but not the state of things.
    #[error("{problem}")]
    FailedPrecondition {
        /// The conflicting state.
        problem: &'static str,
        /// Which state.
        reason: &'static str,
    },
    /// The chat changed after its etag was read.
    #[error("the chat has changed since its etag was read")]
    Outdated,
    /// There is no diff.
    #[error("the chat has no branch, or the git host does not have it any more")]
    DiffNotFound,
    /// A diff was replaced or forgotten while it was sent.
    #[error("the diff was asked for anew, or took too long to be read; call again")]
    DiffReplaced,
    /// Another change won.
    #[error("another change came first; try again")]
    Conflict {
        /// For the log.
        #[source]
        source: Source,
    },
    /// Too much at once.
    #[error("{problem}")]
    ResourceExhausted {
        /// The exceeded limit.
        problem: String,
        /// Which limit.
        reason: &'static str,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Something that this service needs is away.
    #[error("{problem}")]
    Unavailable {
        /// The unavailable dependency, in words for a client.
        problem: &'static str,
        /// Which of them.
        reason: &'static str,
        /// When to come back.
        retry_after: Option<Duration>,
        /// For the log.
        #[source]
        source: Option<Source>,
    },
    /// The connection is at its age, or the process stops. Nothing has failed.
    #[error("{problem}")]
    ConnectionEnds {
        /// What the client is to do.
        problem: &'static str,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The call's own deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The database takes too long for it. Nothing happened.
    #[error("this takes the database too long; nothing was changed")]
    SlowStatement {
        /// Which statement, for the log.
        #[source]
        source: Source,
    },
    /// Another change holds what this one needs for too long. Nothing happened.
    #[error("another change takes too long; nothing was changed; try again")]
    Locked {
        /// Which statement, for the log.
        #[source]
        source: Source,
    },
    /// Our fault; clients see no details.
    #[error("internal error")]
    Internal {
        /// For the log.
        #[source]
        source: Source,
    },
}

impl Error {
    /// A field is unacceptable.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidArgument {
            field: field.into(),
            problem: problem.into(),
            reason: reason::FIELD_INVALID,
        }
    }

    /// Our fault.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal {
            source: source.into(),
        }
    }

    /// The code and the stable reason.
    #[must_use]
    pub fn code_and_reason(&self) -> (Code, &'static str) {
        match self {
            Self::CredentialsMissing => (Code::Unauthenticated, reason::CREDENTIALS_MISSING),
            Self::CredentialsInvalid => (Code::Unauthenticated, reason::CREDENTIALS_INVALID),
            Self::CredentialsTooLarge => (Code::Unauthenticated, reason::CREDENTIALS_TOO_LARGE),
            Self::NotVisible { .. } => (Code::NotFound, reason::RESOURCE_NOT_FOUND),
            Self::NotAllowed { .. } => (Code::PermissionDenied, reason::ACTION_NOT_ALLOWED),
            Self::InvalidArgument { reason, .. } => (Code::InvalidArgument, reason),
            Self::FailedPrecondition { reason, .. } => (Code::FailedPrecondition, reason),
            Self::Outdated => (Code::Aborted, reason::ETAG_MISMATCH),
            Self::DiffNotFound => (Code::NotFound, reason::DIFF_NOT_FOUND),
            Self::DiffReplaced => (Code::Aborted, reason::DIFF_REPLACED),
            Self::Conflict { .. } => (Code::Aborted, reason::CONCURRENT_CHANGE),
            Self::ResourceExhausted { reason, .. } => (Code::ResourceExhausted, reason),
            Self::Unavailable { reason, .. } => (Code::Unavailable, reason),
            Self::ConnectionEnds { .. } => (Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE),
            Self::Deadline => (Code::DeadlineExceeded, reason::DEADLINE),
            Self::SlowStatement { .. } => (Code::DeadlineExceeded, reason::STATEMENT_TIMEOUT),
            Self::Locked { .. } => (Code::Aborted, reason::LOCK_TIMEOUT),
            Self::Internal { .. } => (Code::Internal, reason::INTERNAL),
        }
    }

    /// Logs the error and returns its status. The details contain a message of the contract with
    /// what is known in spite of the error; `type_url` as in
    /// `type.googleapis.com/chat.v1.GetChatResponse`.
    #[must_use]
    pub fn with_known(self, type_url: &str, known: &impl prost::Message) -> Status {
        let status = Status::from(self);
        // `tonic_types` knows only Google's own details: ours is added to the encoded ones.
        let Ok(mut details) = pb::Status::decode(status.details()) else {
            return status;
        };
        details.details.push(prost_types::Any {
            type_url: type_url.to_owned(),
            value: known.encode_to_vec(),
        });
        let details = details.encode_to_vec().into();
        Status::with_details(status.code(), status.message(), details)
    }

    fn details(&self) -> ErrorDetails {
        let (_, reason) = self.code_and_reason();
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, []);
        if let Self::InvalidArgument { field, problem, .. } = self {
            details.add_bad_request_violation(field, problem);
        } else if let Self::ResourceExhausted { retry_after, .. }
        | Self::Unavailable { retry_after, .. }
        | Self::ConnectionEnds { retry_after, .. } = self
        {
            if retry_after.is_some() {
                details.set_retry_info(*retry_after);
            }
        } else if let Self::Conflict { .. } = self {
            details.set_retry_info(Some(Duration::from_millis(50)));
        } else if let Self::Locked { .. } = self {
            details.set_retry_info(Some(Duration::from_secs(1)));
        }
        details
    }

    fn log(&self) {
        let source = std::error::Error::source(self).map(chain);
        let (code, reason) = self.code_and_reason();
        if let Self::Internal { .. } = self {
            tracing::error!(error = %self, source, "call failed");
        } else if let Self::NotAllowed { action } = self {
            tracing::info!(target: AUDIT, action, decision = "denied", "a call was denied");
        } else if code == Code::Unauthenticated
            && let Some(left_out) = left_out(reason, SAMPLE_INTERVAL)
        {
            tracing::info!(
                target: AUDIT, decision = "denied", reason, left_out, "a caller is not authenticated"
            );
        } else if let Self::Unavailable { .. }
        | Self::Conflict { .. }
        | Self::SlowStatement { .. }
        | Self::Locked { .. } = self
            && let Some(left_out) = left_out(reason, WARNING_INTERVAL)
        {
            tracing::warn!(error = %self, source, left_out, "call failed");
        } else {
            tracing::debug!(error = %self, source, "call refused");
        }
    }
}

/// Of what fails for many calls at once, one line in each `interval` is enough for each reason: how
/// many were left out since the last one, or `None` if this one is.
fn left_out(reason: &'static str, interval: Duration) -> Option<u64> {
    static LINES: Mutex<BTreeMap<&str, (Instant, u64)>> = Mutex::new(BTreeMap::new());
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    match lines.get_mut(reason) {
        Some((last, left_out)) if now.duration_since(*last) < interval => {
            *left_out += 1;
            None
        }
        Some(line) => Some(std::mem::replace(line, (now, 0)).1),
        None => {
            lines.insert(reason, (now, 0));
            Some(0)
        }
    }
}

/// The texts of an error and of all that caused it.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.log();
        let (code, _) = error.code_and_reason();
        Self::with_error_details(code, error.to_string(), error.details())
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        let FieldError { field, problem } = error;
        Self::invalid(field, problem)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_error_has_its_code_reason_and_text_and_tells_no_internals() {
        let secret = || Source::from("internals");
        let errors = [
            Error::CredentialsMissing,
            Error::CredentialsInvalid,
            Error::CredentialsTooLarge,
            Error::NotVisible { resource: "chat" },
            Error::NotAllowed {
                action: "updateChat",
            },
            Error::invalid("page_size", "must not be negative"),
            Error::FailedPrecondition {
                problem: "the lease is lost",
                reason: reason::LEASE_LOST,
            },
            Error::Outdated,
            Error::DiffNotFound,
            Error::DiffReplaced,
            Error::Conflict { source: secret() },
            Error::ResourceExhausted {
                problem: "too many streams".to_owned(),
                reason: reason::TOO_MANY_REQUESTS,
                retry_after: Some(Duration::from_secs(1)),
            },
            Error::Unavailable {
                problem: "the database is not available",
                reason: reason::DEPENDENCY_UNAVAILABLE,
                retry_after: Some(Duration::from_secs(1)),
                source: Some(secret()),
            },
            Error::ConnectionEnds {
                problem: "the connection ends; connect again",
                retry_after: None,
            },
            Error::Deadline,
            Error::SlowStatement { source: secret() },
            Error::Locked { source: secret() },
            Error::internal("internals"),
        ];
        let mut table = String::new();
        for error in errors {
            let (code, reason) = error.code_and_reason();
            let text = error.to_string();
            assert!(!text.contains("internals"), "{text} tells internals");
            writeln!(table, "{code:?} | {reason} | {text}").unwrap();
            let details = Status::from(error).get_error_details();
            let said = details.error_info().map(|info| info.reason.as_str());
            assert_eq!(said, Some(reason));
        }
        insta::assert_snapshot!(table, @r"
        Unauthenticated | CREDENTIALS_MISSING | a bearer token is required
        Unauthenticated | CREDENTIALS_INVALID | the bearer token is not valid
        Unauthenticated | CREDENTIALS_TOO_LARGE | the bearer token has too many bytes, organizations or groups
        NotFound | RESOURCE_NOT_FOUND | chat not found
        PermissionDenied | ACTION_NOT_ALLOWED | not allowed: updateChat
        InvalidArgument | FIELD_INVALID | page_size: must not be negative
        FailedPrecondition | LEASE_LOST | the lease is lost
        Aborted | ETAG_MISMATCH | the chat has changed since its etag was read
        NotFound | DIFF_NOT_FOUND | the chat has no branch, or the git host does not have it any more
        Aborted | DIFF_REPLACED | the diff was asked for anew, or took too long to be read; call again
        Aborted | CONCURRENT_CHANGE | another change came first; try again
        ResourceExhausted | TOO_MANY_REQUESTS | too many streams
        Unavailable | DEPENDENCY_UNAVAILABLE | the database is not available
        Unavailable | DEPENDENCY_UNAVAILABLE | the connection ends; connect again
        DeadlineExceeded | DEADLINE | the deadline passed
        DeadlineExceeded | STATEMENT_TIMEOUT | this takes the database too long; nothing was changed
        Aborted | LOCK_TIMEOUT | another change takes too long; nothing was changed; try again
        Internal | INTERNAL | internal error
        ");
    }

    #[test]
    fn what_is_known_accompanies_an_error() {
        let known = pb::DebugInfo {
            detail: "known".to_owned(),
            ..pb::DebugInfo::default()
        };
        let type_url = "type.googleapis.com/chat.v1.GetChatResponse";
        let status = Error::Deadline.with_known(type_url, &known);
        let details = pb::Status::decode(status.details()).unwrap().details;
        let last = details.last().unwrap();
        assert_eq!(last.type_url, type_url);
        assert_eq!(last.value, known.encode_to_vec());
        assert!(status.get_error_details().error_info().is_some());
    }
}
