//! Statuses for calls that do not reach their handlers, with the contract's codes and reasons.

use std::collections::HashMap;

use http::Response;
use proto::reason::{self, DOMAIN};
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Why a call is refused.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) problem: &'a str,
    /// Path of the field that is at fault, if one is.
    pub(super) field: Option<&'a str>,
}

impl From<Refusal<'_>> for Status {
    fn from(refusal: Refusal<'_>) -> Self {
        tracing::debug!(?refusal, "refused a call");
        let Refusal {
            code,
            reason,
            problem,
            field,
        } = refusal;
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        let message = match field {
            Some(field) => {
                details.add_bad_request_violation(field, problem);
                format!("{field}: {problem}")
            }
            None => problem.to_owned(),
        };
        Self::with_error_details(code, message, details)
    }
}

/// The response, with the contract's code and reason if its status comes from the framework, which
/// knows neither. A status of a handler has details already.
pub(super) fn conformed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key("grpc-status") || headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else {
        return response;
    };
    let known = [
        // A message that cannot be decoded is the client's mistake.
        (
            Code::Internal,
            Code::InvalidArgument,
            reason::REQUEST_MALFORMED,
        ),
        (
            Code::OutOfRange,
            Code::ResourceExhausted,
            reason::REQUEST_TOO_LARGE,
        ),
        // From health and reflection.
        (Code::NotFound, Code::NotFound, reason::RESOURCE_NOT_FOUND),
        (
            Code::InvalidArgument,
            Code::InvalidArgument,
            reason::FIELD_INVALID,
        ),
    ];
    let known = known.iter().find(|(code, ..)| *code == status.code());
    if let Some((_, code, reason)) = known {
        let refusal = Refusal {
            code: *code,
            reason,
            problem: status.message(),
            field: None,
        };
        // A status that does not fit into headers stays as it was.
        let _ = Status::from(refusal).add_header(response.headers_mut());
    }
    response
}
