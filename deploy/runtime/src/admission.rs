//! Checks of a call before any of its body is read: its listener serves the method, its content
//! type and encoding are gRPC's, and it has a bearer token, unless its service is open.
//!
//! The caller that the token names is put into the request's extensions. A handler finds it there,
//! and cannot be reached without it. The body is scanned as it is read, and refused at the first
//! byte that cannot be part of a request.

mod body;
mod refusal;

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use proto::reason;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use self::{
    body::scanned,
    refusal::{Refusal, conformed},
};
use crate::services::Methods;

/// Content types of gRPC with protobuf messages.
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// Authenticates a call by its headers, and by the extensions that its connection gave the request,
/// as
/// [`crate::peer::PeerNames`].
pub type Authenticate<C> =
    Arc<dyn Fn(&HeaderMap, &Extensions) -> BoxFuture<'static, Result<C, Status>> + Send + Sync>;

/// Admits calls, and puts the caller, a `C`, into the extensions of each call of a service that is
/// not open.
pub struct AdmissionLayer<C> {
    methods: Methods,
    authenticate: Authenticate<C>,
}

impl<C> AdmissionLayer<C> {
    /// Admits calls of `methods` whose headers `authenticate` accepts.
    #[must_use]
    pub fn new(methods: Methods, authenticate: Authenticate<C>) -> Self {
        Self {
            methods,
            authenticate,
        }
    }
}

// Not derived: the derive would require `C: Clone`.
impl<C> Clone for AdmissionLayer<C> {
    fn clone(&self) -> Self {
        Self::new(self.methods.clone(), Arc::clone(&self.authenticate))
    }
}

impl<S, C> Layer<S> for AdmissionLayer<C> {
    type Service = Admission<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service that only admitted calls reach.
pub struct Admission<S, C> {
    inner: S,
    layer: AdmissionLayer<C>,
}

impl<S: Clone, C> Clone for Admission<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S, C> Service<Request<Body>> for Admission<S, C>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    C: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // In each refusal the body is dropped unread.
        let (mut request, caller) = match self.layer.admitted(request) {
            Ok(admitted) => admitted,
            Err(response) => return Box::pin(ready(Ok(*response))),
        };
        // The service that was polled ready is the one to call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            if let Some(caller) = caller {
                match caller.await {
                    Ok(caller) => request.extensions_mut().insert(caller),
                    Err(status) => return Ok(status.into_http()),
                };
            }
            inner.call(request).await.map(conformed)
        })
    }
}

/// A request that is well formed, and its caller, unless its service is open.
type AdmittedRequest<C> = (Request<Body>, Option<BoxFuture<'static, Result<C, Status>>>);

impl<C: Clone + Send + Sync + 'static> AdmissionLayer<C> {
    fn admitted(&self, request: Request<Body>) -> Result<AdmittedRequest<C>, Box<Response<Body>>> {
        if !is_grpc(request.headers()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Box::new(response));
        }
        let Some(method) = self.methods.get(request.uri().path()) else {
            return Err(Box::new(unknown_method().into_http()));
        };
        if request
            .headers()
            .get("grpc-encoding")
            .is_some_and(|encoding| encoding != "identity")
        {
            return Err(Box::new(unknown_encoding()));
        }
        let caller =
            (!method.open).then(|| (self.authenticate)(request.headers(), request.extensions()));
        let scanner = self.methods.scanner(method);
        Ok((request.map(|body| scanned(body, scanner)), caller))
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim();
        CONTENT_TYPES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(essence))
    })
}

fn unknown_method() -> Status {
    Refusal {
        code: Code::Unimplemented,
        reason: reason::METHOD_UNKNOWN,
        problem: "this listener serves no such method",
        field: None,
    }
    .into()
}

fn unknown_encoding() -> Response<Body> {
    let status = Status::from(Refusal {
        code: Code::Unimplemented,
        reason: reason::ENCODING_UNKNOWN,
        problem: "messages must not be compressed",
        field: None,
    });
    let mut response = status.into_http();
    let accepted = HeaderValue::from_static("identity");
    response
        .headers_mut()
        .insert("grpc-accept-encoding", accepted);
    response
}
