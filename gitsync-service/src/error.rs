//! The errors of calls to this process, and their gRPC statuses.

use std::collections::HashMap;

use proto::reason;
use service_runtime::token::TokenError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Why a call to this process is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No bearer token came with the call.
    #[error("a bearer token is required")]
    CredentialsMissing,
    /// The bearer token is malformed, forged, expired, or for another audience.
    #[error("the bearer token is not valid")]
    CredentialsInvalid {
        /// For the log only.
        source: TokenError,
    },
    /// The bearer token is longer than is accepted.
    #[error("the bearer token has too many bytes")]
    CredentialsTooLarge,
    /// The bearer token may be good: the keys that would say cannot be loaded.
    #[error("the keys that verify this token cannot be loaded now")]
    KeysUnavailable,
    /// The caller is known and may not do this.
    #[error("only site admins may do this")]
    NotAllowed,
    /// The call took too long, or its request came too slowly.
    #[error("the deadline passed")]
    Deadline,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = match error {
            Error::CredentialsMissing => (Code::Unauthenticated, reason::CREDENTIALS_MISSING),
            Error::CredentialsTooLarge => (Code::Unauthenticated, reason::CREDENTIALS_TOO_LARGE),
            Error::CredentialsInvalid { .. } => {
                (Code::Unauthenticated, reason::CREDENTIALS_INVALID)
            }
            Error::KeysUnavailable => (Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE),
            Error::Deadline => (Code::DeadlineExceeded, reason::DEADLINE),
            Error::NotAllowed => (Code::PermissionDenied, reason::ACTION_NOT_ALLOWED),
        };
        // The one place where a refused call is logged: it is the caller's fault, so quietly.
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            reason,
            "refused a call"
        );
        let details = ErrorDetails::with_error_info(reason, reason::DOMAIN, HashMap::new());
        Self::with_error_details(code, error.to_string(), details)
    }
}
