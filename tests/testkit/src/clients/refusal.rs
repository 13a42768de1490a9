//! What an error says to a program.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Code, stable reason and field of an error; an error without a reason has an empty one.
pub fn facts(status: &Status) -> (Code, String, Option<String>) {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first())
        .map(|violation| violation.field.clone());
    (status.code(), reason, field)
}

/// The [`facts`] of a call that must fail.
#[track_caller]
pub fn refused<T>(result: Result<T, Status>) -> (Code, String, Option<String>) {
    match result {
        Ok(_) => panic!("the call was not refused"),
        Err(status) => facts(&status),
    }
}
