//! The layer of every call: a span that identifies the call in log lines, and a deadline.

use std::{
    fmt::Display,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response};
use service_runtime::{telemetry, trace};
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, field};
use uuid::Uuid;

use crate::error::Error;

/// Header that names the request, from the client or made here, and back to the client.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Wraps every call.
#[derive(Clone)]
pub(crate) struct CallLayer {
    most: Duration,
}

impl CallLayer {
    /// No call takes longer than `most`, whatever its client allows.
    pub(crate) fn new(most: Duration) -> Self {
        Self { most }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallService {
            inner,
            layer: self.clone(),
        }
    }
}

/// One service with every call wrapped.
#[derive(Clone)]
pub(crate) struct CallService<S> {
    inner: S,
    layer: CallLayer,
}

impl<S, B> Service<Request<B>> for CallService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let request_id = request_id(request.headers());
        let span = tracing::info_span!(
            target: telemetry::SPAN,
            "call",
            rpc.method = %request.uri().path(),
            request.id = request_id.to_str().unwrap_or_default(),
            trace.id = trace::trace_id(),
            principal = field::Empty,
            resource = field::Empty,
        );
        let limit =
            deadline(request.headers()).map_or(self.layer.most, |own| own.min(self.layer.most));
        // The deadline is kept here, where it is DEADLINE_EXCEEDED; tonic's own would be CANCELLED.
        request.headers_mut().remove("grpc-timeout");
        request
            .extensions_mut()
            .insert(Deadline(tokio::time::Instant::now() + limit));
        // The service that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let call = async move {
            let mut response = match tokio::time::timeout(limit, inner.call(request)).await {
                Ok(response) => response?,
                Err(_) => Status::from(Error::Deadline).into_http(),
            };
            response.headers_mut().insert(REQUEST_ID, request_id);
            Ok(response)
        };
        Box::pin(call.instrument(span))
    }
}

/// Adds to the call's log lines who calls.
pub(crate) fn from(principal: &str) {
    tracing::Span::current().record("principal", principal);
}

/// Adds to the call's log lines what it is about, as in `chat 0198...`.
pub(crate) fn about(kind: &str, id: impl Display) {
    let resource = format_args!("{kind} {id}");
    tracing::Span::current().record("resource", field::display(resource));
}

/// When a call must have its answer; in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) tokio::time::Instant);

/// The client's id for the request if it is short and printable, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::now_v7().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// The client's deadline, as the gRPC protocol writes it: up to 8 digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(text));
        deadline(&headers)
    }

    #[test]
    fn a_deadline_is_read_in_every_unit() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parsed("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parsed("2m"), Some(Duration::from_millis(2)));
        assert_eq!(parsed("2u"), Some(Duration::from_micros(2)));
        assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn a_malformed_deadline_is_ignored() {
        for text in ["", "S", "1", "-1S", "1s", "999999999S", "1.5S"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
