//! RPCs as both of their sides measure them, by the names, labels and buckets of OpenTelemetry's
//! conventions for RPC (1.45): `rpc_server_call_duration_seconds` and
//! `rpc_client_call_duration_seconds`.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderMap, Request, Response};
use hyper::body::{Bytes, Frame, SizeHint};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::services::Methods;

/// Upper bounds in seconds, as the conventions advise.
const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Stands for all methods that a listener does not serve: paths come from clients before they are
/// authenticated.
const OTHER: &str = "_OTHER";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc_system_name: &'static str,
    rpc_method: Cow<'static, str>,
    rpc_response_status_code: &'static str,
    error_type: &'static str,
}

/// The durations of calls by method and status code, of one side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallMetrics(Family<CallLabels, Histogram, fn() -> Histogram>);

impl Default for CallMetrics {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl CallMetrics {
    /// Registers it as what a server measures.
    pub fn register_server(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "rpc_server_call_duration",
            "Time from a call's headers to the end of its answer, by method and status code; a call \
             whose client went away is CANCELLED",
            Unit::Seconds,
            self.0.clone(),
        );
    }

    /// Registers it as what a client measures.
    pub fn register_client(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "rpc_client_call_duration",
            "Time from sending a call to its answer, by method and status code",
            Unit::Seconds,
            self.0.clone(),
        );
    }

    /// Begins to measure a call of `method`, as in `chat.v1.SyncService/RenewLease`. It ends when
    /// the result is dropped, as cancelled unless said otherwise.
    #[must_use]
    pub fn begin(&self, method: impl Into<Cow<'static, str>>) -> MeasuredCall {
        MeasuredCall {
            metrics: self.clone(),
            method: method.into(),
            since: Instant::now(),
            code: Code::Cancelled,
        }
    }
}

/// A call that is under way.
#[derive(Debug)]
pub struct MeasuredCall {
    metrics: CallMetrics,
    method: Cow<'static, str>,
    since: Instant,
    code: Code,
}

impl MeasuredCall {
    /// The call has this result.
    pub fn end(mut self, code: Code) {
        self.code = code;
    }

    /// The same answer, which ends the call when its last byte is taken.
    fn until_taken(self, answer: Response<Body>) -> Response<Body> {
        if let Some(code) = code_in(answer.headers()) {
            self.end(code);
            return answer;
        }
        if !answer.status().is_success() {
            self.end(Code::Unknown);
            return answer;
        }
        answer.map(|body| {
            let call = Some(self);
            Body::new(MeasuredBody { body, call })
        })
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        let labels = CallLabels {
            rpc_system_name: "grpc",
            rpc_method: self.method.clone(),
            rpc_response_status_code: code_name(self.code),
            error_type: error_type(self.code),
        };
        let of_call = self.metrics.0.get_or_create(&labels);
        of_call.observe(self.since.elapsed().as_secs_f64());
    }
}

/// The body of an answer.
struct MeasuredBody {
    body: Body,
    /// There until the answer ends.
    call: Option<MeasuredCall>,
}

impl MeasuredBody {
    fn end(&mut self, code: Code) {
        if let Some(call) = self.call.take() {
            call.end(code);
        }
    }
}

impl hyper::body::Body for MeasuredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = code_in(trailers).unwrap_or(Code::Unknown);
                    self.end(code);
                }
            }
            Poll::Ready(Some(Err(status))) => {
                let code = status.code();
                self.end(code);
            }
            Poll::Ready(None) => self.end(Code::Unknown),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Measures the calls of a listener.
#[derive(Clone, Debug)]
pub struct CallMetricsLayer {
    metrics: CallMetrics,
    methods: Methods,
}

impl CallMetricsLayer {
    /// Names calls by `methods`, and all that it does not know alike.
    #[must_use]
    pub fn new(metrics: CallMetrics, methods: Methods) -> Self {
        Self { metrics, methods }
    }
}

impl<S> Layer<S> for CallMetricsLayer {
    type Service = MeasuredService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MeasuredService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service whose calls are measured.
#[derive(Clone, Debug)]
pub struct MeasuredService<S> {
    inner: S,
    layer: CallMetricsLayer,
}

impl<S, B> Service<Request<B>> for MeasuredService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let CallMetricsLayer { metrics, methods } = &self.layer;
        let name = methods.name(request.uri().path());
        let call =
            metrics.begin(name.map_or(Cow::Borrowed(OTHER), |name| Cow::Owned(name.to_owned())));
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(call.until_taken(answer.await?)) })
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}

/// The name of a status code in the gRPC specification.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code of what the conventions count as the server's failure, and nothing else.
fn error_type(code: Code) -> &'static str {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => code_name(code),
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => "",
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body as _;
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn metrics() -> (CallMetrics, Registry) {
        let (metrics, mut registry) = (CallMetrics::default(), Registry::default());
        metrics.register_server(&mut registry);
        (metrics, registry)
    }

    fn counted(registry: &Registry, labels: &str) -> bool {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let name = "rpc_server_call_duration_seconds_count";
        text.contains(&format!("{name}{{rpc_system_name=\"grpc\",{labels}}} 1\n"))
    }

    #[test]
    fn a_call_that_was_given_up_is_cancelled_and_one_that_failed_says_why() {
        let (metrics, registry) = metrics();
        drop(metrics.begin("chat.v1.ChatService/GetChat"));
        metrics
            .begin("chat.v1.ChatService/GetChat")
            .end(Code::Internal);
        for code in [
            "\"CANCELLED\",error_type=\"\"",
            "\"INTERNAL\",error_type=\"INTERNAL\"",
        ] {
            let method = "rpc_method=\"chat.v1.ChatService/GetChat\"";
            let labels = format!("{method},rpc_response_status_code={code}");
            assert!(counted(&registry, &labels), "{code}");
        }
    }

    #[tokio::test]
    async fn an_answer_ends_its_call_with_the_status_of_its_trailers() {
        let (metrics, registry) = metrics();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "14".parse().unwrap());
        let frames = [Ok::<_, Status>(Frame::trailers(trailers))];
        let body = Body::new(http_body_of(frames));
        let answer = metrics.begin("a/B").until_taken(Response::new(body));
        let labels = "rpc_method=\"a/B\",rpc_response_status_code=\"UNAVAILABLE\",\
                      error_type=\"UNAVAILABLE\"";
        assert!(!counted(&registry, labels), "it has not ended");
        let mut body = answer.into_body();
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert!(counted(&registry, labels));
    }

    /// A body of these frames.
    fn http_body_of<const N: usize>(
        frames: [Result<Frame<Bytes>, Status>; N],
    ) -> impl hyper::body::Body<Data = Bytes, Error = Status> {
        struct Frames(std::collections::VecDeque<Result<Frame<Bytes>, Status>>);
        impl hyper::body::Body for Frames {
            type Data = Bytes;
            type Error = Status;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
                Poll::Ready(self.0.pop_front())
            }
        }
        Frames(frames.into())
    }
}
