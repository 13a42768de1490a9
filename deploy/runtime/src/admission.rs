//! Checks of a call before any of its body is read: its listener serves the method, its content
//! type and encoding are gRPC's, and it has a bearer token, unless its service is open.
//!
//! The caller that the token names is put into the request's extensions. A handler finds it there,
//! and cannot be reached without it. The body is scanned as it is read, and refused at the first
//! byte that cannot be part of a request.

mod body;
mod refusal;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
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

/// Authenticates a call by its headers.
pub type Authenticate<C> = Arc<dyn Fn(&HeaderMap) -> Result<C, Status> + Send + Sync>;

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
    S: Service<Request<Body>, Response = Response<Body>>,
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
        match self.layer.admitted(request) {
            Ok(request) => {
                let answer = self.inner.call(request);
                Box::pin(async move { answer.await.map(conformed) })
            }
            // The body is dropped unread.
            Err(response) => Box::pin(std::future::ready(Ok(*response))),
        }
    }
}

impl<C: Clone + Send + Sync + 'static> AdmissionLayer<C> {
    fn admitted(&self, mut request: Request<Body>) -> Result<Request<Body>, Box<Response<Body>>> {
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
        if !method.open {
            let caller = (self.authenticate)(request.headers());
            let caller = caller.map_err(|status| Box::new(status.into_http()))?;
            request.extensions_mut().insert(caller);
        }
        let scanner = self.methods.scanner(method);
        Ok(request.map(|body| scanned(body, scanner)))
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
