//! The body of a call, scanned as it is read.

use futures_util::{StreamExt as _, stream};
use proto::reason;
use tonic::{Code, Status, body::Body};
use tower::BoxError;

use super::refusal::Refusal;
use crate::wire::{Fault, Scanner};

/// The same body, which ends with a status of the contract at the first byte that `scanner` does
/// not accept. Trailers of a request are dropped: gRPC has none.
pub(super) fn scanned(body: Body, scanner: Scanner) -> Body {
    let parts = axum::body::Body::new(body).into_data_stream();
    let checked = stream::try_unfold((parts, scanner), |(mut parts, mut scanner)| async move {
        let status = |fault| BoxError::from(Status::from(fault));
        let Some(part) = parts.next().await else {
            scanner.finish().map_err(status)?;
            return Ok::<_, BoxError>(None);
        };
        let part = part?;
        scanner.push(&part).map_err(status)?;
        Ok(Some((part, (parts, scanner))))
    });
    Body::new(axum::body::Body::from_stream(checked))
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let (code, reason, field, problem) = match &fault {
            Fault::TooLarge(most) => (
                Code::ResourceExhausted,
                reason::REQUEST_TOO_LARGE,
                None,
                format!("the request has more than {most} bytes"),
            ),
            Fault::TooMany { field, most } => (
                Code::InvalidArgument,
                reason::FIELD_INVALID,
                Some(field.as_str()),
                format!("has more than {most} elements"),
            ),
            Fault::Malformed { field, problem } => (
                Code::InvalidArgument,
                reason::REQUEST_MALFORMED,
                field.as_deref(),
                (*problem).to_owned(),
            ),
        };
        Self::from(Refusal {
            code,
            reason,
            problem: &problem,
            field,
        })
    }
}
