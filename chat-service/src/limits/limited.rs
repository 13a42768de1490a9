//! The layer before the services: a call beyond a limit is refused before its body is read, and any
//! other waits for its turn.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::time::Instant;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::Limits;
use crate::auth::Caller;

/// Admits calls within the limits.
#[derive(Clone)]
pub(crate) struct LimitLayer(Limits);

impl LimitLayer {
    /// Needs the [`Caller`] in the request's extensions; a call without one counts as anonymous.
    pub(crate) fn new(limits: Limits) -> Self {
        Self(limits)
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService {
            inner,
            limits: self.0.clone(),
        }
    }
}

/// A service that is called within the limits.
#[derive(Clone)]
pub(crate) struct LimitService<S> {
    inner: S,
    limits: Limits,
}

impl<S, B> Service<Request<B>> for LimitService<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let limits = self.limits.clone();
        Box::pin(async move {
            let principal = request
                .extensions()
                .get()
                .map(|caller: &Caller| &caller.principal);
            let ticket = match limits.admit(principal, request.uri().path(), Instant::now()) {
                Ok(ticket) => Arc::new(ticket),
                Err(error) => return Ok(Status::from(error).into_http()),
            };
            ticket.take_turn().await;
            // In its turn, so that few answers at once can take their caller beyond the bound.
            if let Err(error) = limits.check_unread(&ticket) {
                return Ok(Status::from(error).into_http());
            }
            let mut response = inner.call(request).await?;
            // For the layer that sees the answer as it is written, outside of gRPC-Web's.
            response.extensions_mut().insert(ticket);
            Ok(response)
        })
    }
}
