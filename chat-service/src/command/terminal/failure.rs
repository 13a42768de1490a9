//! Why a call failed: one sentence, and an exit code for scripts.

use std::{error::Error, fmt::Write as _, time::Duration};

use service_runtime::config::{EXIT_FAILURE, EXIT_USAGE};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use url::Url;

use super::{printable::printable, time::rough};

/// Exit code where the chat does not exist for the token's bearer: `EX_NOINPUT` of sysexits.h.
pub const EXIT_NOT_FOUND: u8 = 66;
/// Exit code where no server answers, or it cannot answer now: `EX_UNAVAILABLE`.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code where a limit was met, or another change came first: `EX_TEMPFAIL`.
pub const EXIT_RETRY: u8 = 75;
/// Exit code where the token is refused, or its bearer may not do this: `EX_NOPERM`.
pub const EXIT_DENIED: u8 = 77;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    sentence: String,
    exit: u8,
    /// How long the server wants callers to wait before they try again.
    retry_after: Option<Duration>,
    /// Whether the same call may succeed later.
    transient: bool,
}

impl Failure {
    /// The failure for the status of a call to `url`: a server refused it, or none was reached.
    pub(super) fn of(status: &Status, url: &Url) -> Self {
        let details = status.get_error_details();
        let Some(reason) = details.error_info().map(|info| info.reason.as_str()) else {
            return Self::without_reason(status, url);
        };
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        let mut sentence = format!("{} ({})", printable(status.message()), printable(reason));
        if let Some(advice) = advice(status.code(), retry_after) {
            let _ = write!(sentence, "; {advice}");
        }
        Self {
            sentence,
            exit: exit_code(status.code()),
            retry_after,
            transient: is_transient(status.code()),
        }
    }

    /// Nothing came from `url` within `limit`.
    pub(super) fn silent(url: &Url, limit: Duration) -> Self {
        Self::unavailable(format!(
            "{url} has not answered for {}; try again",
            rough(limit)
        ))
    }

    /// The server at `url` ended a stream without an error.
    pub(super) fn ended(url: &Url) -> Self {
        Self::unavailable(format!("{url} ended the stream"))
    }

    /// A status without the reason that every error of a chat-service has: either `url` was not
    /// reached, or another server or a proxy answered.
    fn without_reason(status: &Status, url: &Url) -> Self {
        if let Some(cause) = status.source().map(root) {
            return Self::unavailable(format!("{url} cannot be reached: {}", printable(&cause)));
        }
        let (code, message) = (status.code(), printable(status.message()));
        Self {
            sentence: format!("{url} answers as no chat-service does: {message} ({code:?})"),
            exit: match exit_code(code) {
                EXIT_FAILURE => EXIT_UNAVAILABLE,
                specific => specific,
            },
            retry_after: None,
            transient: is_transient(code),
        }
    }

    /// A failure that may pass.
    fn unavailable(sentence: String) -> Self {
        Self {
            sentence,
            exit: EXIT_UNAVAILABLE,
            retry_after: None,
            transient: true,
        }
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit
    }

    /// Whether the token was refused, or its bearer may not do this.
    pub(super) fn is_of_token(&self) -> bool {
        self.exit == EXIT_DENIED
    }

    /// Whether the same call may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        self.transient
    }

    /// How long the server wants callers to wait before they try again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// The text of the innermost cause.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn exit_code(code: Code) -> u8 {
    match code {
        Code::InvalidArgument | Code::OutOfRange => EXIT_USAGE,
        Code::NotFound => EXIT_NOT_FOUND,
        Code::Unavailable | Code::DeadlineExceeded => EXIT_UNAVAILABLE,
        Code::ResourceExhausted | Code::Aborted => EXIT_RETRY,
        Code::Unauthenticated | Code::PermissionDenied => EXIT_DENIED,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => EXIT_FAILURE,
    }
}

fn is_transient(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::DataLoss => false,
    }
}

/// Advice to the caller.
fn advice(code: Code, retry_after: Option<Duration>) -> Option<String> {
    if let Some(delay) = retry_after {
        return Some(format!("try again in {}", rough(delay)));
    }
    let advice = match code {
        Code::Unauthenticated => "CHAT_TOKEN_FILE needs another token",
        Code::PermissionDenied => "another caller may be allowed to",
        Code::NotFound => "it does not exist, or not for this caller",
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => "try again",
        Code::ResourceExhausted => "try again later, or ask for less",
        Code::FailedPrecondition => "trying again changes nothing before that is mended",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::AlreadyExists
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn url() -> Url {
        Url::parse("http://127.0.0.1:50051").unwrap()
    }

    fn failure(code: Code, message: &str, reason: &str, retry: Option<Duration>) -> Failure {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, proto::reason::DOMAIN, []);
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        Failure::of(&Status::with_error_details(code, message, details), &url())
    }

    #[test]
    fn a_refusal_is_one_sentence_with_its_reason_and_what_to_do() {
        for (failure, sentence, exit) in [
            (
                failure(
                    Code::ResourceExhausted,
                    "too many calls a second",
                    "CALL_RATE_EXCEEDED",
                    Some(Duration::from_millis(1500)),
                ),
                "too many calls a second (CALL_RATE_EXCEEDED); try again in 2 s",
                EXIT_RETRY,
            ),
            (
                failure(Code::NotFound, "chat not found", "RESOURCE_NOT_FOUND", None),
                "chat not found (RESOURCE_NOT_FOUND); it does not exist, or not for this caller",
                EXIT_NOT_FOUND,
            ),
            (
                failure(
                    Code::InvalidArgument,
                    "title: \u{1b}[2J",
                    "FIELD_INVALID",
                    None,
                ),
                "title: \\u{1b}[2J (FIELD_INVALID)",
                EXIT_USAGE,
            ),
        ] {
            assert_eq!(failure.to_string(), sentence);
            assert_eq!(failure.exit_code(), exit, "{sentence}");
        }
    }

    #[test]
    fn what_is_no_chat_service_is_not_taken_for_one() {
        let other = Failure::of(&Status::unimplemented("no\nsuch thing"), &url());
        assert_eq!(
            other.to_string(),
            "http://127.0.0.1:50051/ answers as no chat-service does: no\\nsuch thing (Unimplemented)"
        );
        assert!(!other.is_transient());
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = Failure::of(&Status::from_error(Box::new(refused)), &url());
        assert_eq!(
            away.to_string(),
            "http://127.0.0.1:50051/ cannot be reached: connection refused"
        );
        assert_eq!(away.exit_code(), EXIT_UNAVAILABLE);
    }
}
