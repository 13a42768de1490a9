//! A collector of traces, as OpenTelemetry's own is seen by those who send to it: OTLP over gRPC.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span as SentSpan, span::SpanKind, status::StatusCode},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::{lock::lock, wait};

/// A span as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which service sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its kind, as in `SPAN_KIND_SERVER`.
    pub kind: &'static str,
    /// The id of its trace, in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the span that it is within; empty for the first of a trace.
    pub parent: String,
    /// The traces that it points to.
    pub links: Vec<String>,
    /// It failed.
    pub failed: bool,
    /// What is said of it.
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    /// An attribute, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A running collector. Dropped, it listens no more.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Received>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    /// Everything that was sent, as text.
    text: Mutex<String>,
    /// Nothing is taken.
    refuses: AtomicBool,
}

impl Collector {
    /// Listens on loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Received::default());
        let service = TraceServiceServer::from_arc(Arc::clone(&received));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let served = server.serve_with_incoming(TcpIncoming::from(listener));
            served.await.expect("serve");
        });
        Self {
            address,
            received,
            _serving: serving,
        }
    }

    /// Its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes nothing more, as a collector whose quota is spent, or everything again.
    pub fn set_refusing(&self, refuses: bool) {
        self.received.refuses.store(refuses, Ordering::Relaxed);
    }

    /// All spans so far, in the order in which they were received.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.received.spans).clone()
    }

    /// Everything that was sent so far, as text.
    pub fn text(&self) -> String {
        lock(&self.received.text).clone()
    }

    /// Waits until there is a span that is `wanted`, and returns the first one.
    pub async fn span(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        wait::until(what, || async {
            let spans = self.spans();
            let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
            spans.into_iter().find(|span| wanted(span)).ok_or(names)
        })
        .await
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Status::permission_denied("the quota is spent"));
        }
        let request = request.into_inner();
        lock(&self.text).push_str(&format!("{request:?}\n"));
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            let service = attributes(resource.attributes);
            let service = service.get("service.name").cloned().unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter();
            let spans = spans.flat_map(|of_scope| of_scope.spans);
            lock(&self.spans).extend(spans.map(|span| span_of(&service, span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn span_of(service: &str, span: SentSpan) -> Span {
    let status = span.status.unwrap_or_default();
    let kind = SpanKind::try_from(span.kind).unwrap_or_default();
    Span {
        service: service.to_owned(),
        name: span.name,
        kind: kind.as_str_name(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        failed: status.code() == StatusCode::Error,
        attributes: attributes(span.attributes),
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    let value = value.and_then(|value| value.value);
    if let Some(Value::StringValue(text)) = value {
        text
    } else if let Some(Value::IntValue(number)) = value {
        number.to_string()
    } else {
        format!("{value:?}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
