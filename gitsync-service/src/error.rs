//! What a caller of this process may learn, and its one way into a gRPC status.

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
    /// The caller is known and may not do this.
    #[error("only site admins may do this")]
    NotAllowed,
}

impl Error {
    fn code_and_reason(&self) -> (Code, &'static str) {
        match self {
            Self::CredentialsMissing => (Code::Unauthenticated, reason::CREDENTIALS_MISSING),
            Self::CredentialsInvalid { .. } => (Code::Unauthenticated, reason::CREDENTIALS_INVALID),
            Self::NotAllowed => (Code::PermissionDenied, reason::ACTION_NOT_ALLOWED),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = error.code_and_reason();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each; a new variant does not compile without a row.
    fn all() -> Vec<Error> {
        let rows = [
            Error::CredentialsMissing,
            Error::CredentialsInvalid {
                source: TokenError::Invalid { source: None },
            },
            Error::NotAllowed,
        ];
        for row in &rows {
            match row {
                Error::CredentialsMissing
                | Error::CredentialsInvalid { .. }
                | Error::NotAllowed => {}
            }
        }
        rows.into()
    }

    #[test]
    fn every_error_has_its_code_message_and_reason() {
        let table: Vec<_> = all()
            .into_iter()
            .map(|error| {
                let status = Status::from(error);
                let info = status.get_details_error_info().unwrap();
                assert_eq!(info.domain, reason::DOMAIN);
                (status.code(), status.message().to_owned(), info.reason)
            })
            .collect();
        let row = |code, message: &str, reason: &str| (code, message.to_owned(), reason.to_owned());
        assert_eq!(
            table,
            [
                row(
                    Code::Unauthenticated,
                    "a bearer token is required",
                    "CREDENTIALS_MISSING"
                ),
                row(
                    Code::Unauthenticated,
                    "the bearer token is not valid",
                    "CREDENTIALS_INVALID"
                ),
                row(
                    Code::PermissionDenied,
                    "only site admins may do this",
                    "ACTION_NOT_ALLOWED"
                ),
            ]
        );
    }
}
