//! The span of each call that a listener serves.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, body::Body};
use tower::{Layer, Service};

use super::Span;
use crate::services::Methods;

/// Stands for all methods that a listener does not serve: paths come from clients that are
/// not authenticated.
const OTHER: &str = "_OTHER";

/// Gives each call a span: until its answer, or until its stream began.
#[derive(Clone, Debug)]
pub struct TraceLayer(Methods);

impl TraceLayer {
    /// Names calls by `methods`, and all that it does not know alike.
    #[must_use]
    pub fn new(methods: Methods) -> Self {
        Self(methods)
    }

    fn name(&self, path: &str) -> Cow<'static, str> {
        match path.strip_prefix('/') {
            Some(name) if self.0.get(path).is_some() => Cow::Owned(name.to_owned()),
            Some(_) | None => Cow::Borrowed(OTHER),
        }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TracedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TracedService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service whose calls have spans.
#[derive(Clone, Debug)]
pub struct TracedService<S> {
    inner: S,
    layer: TraceLayer,
}

impl<S, B> Service<Request<B>> for TracedService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = Span::served(self.layer.name(request.uri().path()), request.headers());
        let answer = span.enter(|| self.inner.call(request));
        Box::pin(async move {
            let answer = span.scope(answer).await?;
            let code = code(&answer);
            span.end_call(code, is_failure(code));
            Ok(answer)
        })
    }
}

/// The code of an answer that has ended; one that has begun well has none yet.
fn code(answer: &Response<Body>) -> Code {
    match answer.headers().get("grpc-status") {
        Some(value) => Code::from_bytes(value.as_bytes()),
        None if answer.status().is_success() => Code::Ok,
        None => Code::Unknown,
    }
}

/// Whether the conventions count the code as the server's failure, and not its caller's.
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
