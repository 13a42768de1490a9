//! The way of ended spans to a collector: a bounded queue, and a task that sends batches.
//!
//! A collector that is down or slow costs nothing but that queue. What does not fit into it is
//! dropped and counted; what is in it is sent when the collector is back.

use std::{error::Error as _, fmt, time::Duration};

use opentelemetry::{Context, KeyValue, trace::TracerProvider as _};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::TRACER;
use crate::telemetry::Failing;

/// Spans that wait at most, as OpenTelemetry's own processor has it; about 2 MB.
const QUEUE: usize = 2048;
/// Spans of one request at most, as OpenTelemetry's own processor has it.
const BATCH: usize = 512;
/// How long a first span waits for others.
const GATHER_WINDOW: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one request may take: OTLP's default.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to send a batch.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How long [`Traces::finish`] may take. A stop takes as much longer while a collector is away.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The collector's OTLP/gRPC endpoint, as in `http://127.0.0.1:4317`. `None`: no traces.
    pub endpoint: Option<String>,
    /// How many of a hundred traces are recorded of those that begin here, from 0 to 100. A trace
    /// that a caller began is recorded if the caller records it.
    pub percent: f64,
}

/// The process as its traces identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedProcess {
    /// Its name, as in `chat-service`.
    pub service: &'static str,
    /// Its release.
    pub version: &'static str,
    /// The instance of the process.
    pub instance: String,
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The endpoint is not a URL that gRPC can call.
    #[error("the collector's endpoint cannot be used")]
    Endpoint(#[from] tonic::transport::Error),
    /// The process sends traces already.
    #[error("this process sends traces already")]
    Started,
}

/// The sending of traces, until [`Traces::finish`].
#[derive(Debug)]
pub struct Traces(Option<CollectorTask>);

#[derive(Debug)]
struct CollectorTask {
    task: JoinSet<()>,
    stop: CancellationToken,
}

impl Traces {
    /// Records and sends traces from now on, if there is a collector; else nothing is recorded, and
    /// nothing runs. Registers its metrics in either case.
    ///
    /// # Errors
    ///
    /// When the endpoint is not a URL that gRPC can call, or the process sends traces already.
    pub fn start(
        settings: &TraceSettings,
        of: &TracedProcess,
        registry: &mut Registry,
    ) -> Result<Self, TraceError> {
        let metrics = TraceMetrics::register(registry);
        let Some(endpoint) = &settings.endpoint else {
            return Ok(Self(None));
        };
        let client = TraceServiceClient::new(channel(endpoint)?);
        let (sender, spans) = mpsc::channel(QUEUE);
        let resource = Resource::builder_empty()
            .with_service_name(of.service)
            .with_attribute(KeyValue::new("service.version", of.version))
            .with_attribute(KeyValue::new("service.instance.id", of.instance.clone()))
            .build();
        let queue = Queue {
            spans: sender,
            dropped: metrics.dropped.clone(),
        };
        let share = Sampler::TraceIdRatioBased(settings.percent / 100.0);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_span_processor(queue)
            .build();
        TRACER
            .set(provider.tracer(of.service))
            .map_err(|_| TraceError::Started)?;
        let sending = BatchSender {
            client,
            resource: (&resource).into(),
            metrics,
            failing: Failing::default(),
        };
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(sending.run(spans, stop.clone()));
        Ok(Self(Some(CollectorTask { task, stop })))
    }

    /// Sends what waits, within [`FLUSH_TIMEOUT`].
    pub async fn finish(self) {
        let Some(CollectorTask { mut task, stop }) = self.0 else {
            return;
        };
        stop.cancel();
        if timeout(FLUSH_TIMEOUT, task.join_next()).await.is_err() {
            tracing::warn!("the collector of traces takes too long; the last spans are dropped");
        }
    }
}

fn channel(endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(endpoint.to_owned())?;
    if endpoint.uri().scheme_str() == Some("https") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy())
}

#[derive(Clone, Debug, Default)]
struct TraceMetrics {
    sent: Counter,
    dropped: Counter,
}

impl TraceMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "trace_spans_sent",
            "Spans that the collector took",
            metrics.sent.clone(),
        );
        registry.register(
            "trace_spans_dropped",
            "Spans that were lost: the queue was full, or the collector refused them",
            metrics.dropped.clone(),
        );
        metrics
    }
}

/// Takes ended spans, and never waits.
struct Queue {
    spans: Sender<SpanData>,
    dropped: Counter,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends batches.
struct BatchSender {
    client: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
    metrics: TraceMetrics,
    failing: Failing,
}

impl BatchSender {
    async fn run(mut self, mut spans: Receiver<SpanData>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let first = spans.recv_many(&mut batch, BATCH);
            if stop.run_until_cancelled(first).await.is_none() {
                break;
            }
            gather(&mut batch, &mut spans, &stop).await;
            let request = self.request(&mut batch);
            while let Err(SendError::Away) = self.send(&request).await {
                let pause = tokio::time::sleep(RETRY_PAUSE);
                if stop.run_until_cancelled(pause).await.is_none() {
                    // Sent once more, before the rest.
                    self.send_last(&request).await;
                    break;
                }
            }
        }
        spans.close();
        while spans.recv_many(&mut batch, BATCH).await > 0 {
            let request = self.request(&mut batch);
            self.send_last(&request).await;
        }
    }

    fn request(&self, batch: &mut Vec<SpanData>) -> Batch {
        let spans = std::mem::take(batch);
        Batch {
            spans: spans.len() as u64,
            message: ExportTraceServiceRequest {
                resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
            },
        }
    }

    /// Sends a batch once, which is lost if the collector is away.
    async fn send_last(&mut self, batch: &Batch) {
        if let Err(SendError::Away) = self.send(batch).await {
            self.metrics.dropped.inc_by(batch.spans);
        }
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), SendError> {
        let sent = timeout(SEND_TIMEOUT, self.client.export(batch.message.clone())).await;
        let sent = sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        match sent {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success;
                let rejected = partial.map_or(0, |partial| partial.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(batch.spans);
                self.metrics.dropped.inc_by(rejected);
                self.metrics.sent.inc_by(batch.spans - rejected);
                if self.failing.ends() {
                    tracing::info!("the collector takes traces again");
                }
                Ok(())
            }
            Err(status) => {
                let unsent = unsent(&status);
                if unsent == SendError::Refused {
                    self.metrics.dropped.inc_by(batch.spans);
                }
                if self.failing.begins() {
                    let error = status.message();
                    tracing::warn!(error, code = ?status.code(), "the collector takes no traces");
                }
                Err(unsent)
            }
        }
    }
}

struct Batch {
    spans: u64,
    message: ExportTraceServiceRequest,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendError {
    /// The collector may take it later.
    Away,
    /// It never will.
    Refused,
}

/// As OTLP has it: which failures may pass.
fn unsent(status: &Status) -> SendError {
    // A connection that breaks is not an answer of the collector, whatever code tonic gives it:
    // CANCELLED, UNAVAILABLE or UNKNOWN, by how far the request had come.
    if status.source().is_some() {
        return SendError::Away;
    }
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => SendError::Away,
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => SendError::Refused,
    }
}

/// Adds to a batch what ends shortly after its first span.
async fn gather(
    batch: &mut Vec<SpanData>,
    spans: &mut Receiver<SpanData>,
    stop: &CancellationToken,
) {
    let over = tokio::time::sleep(GATHER_WINDOW);
    tokio::pin!(over);
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = &mut over => return,
            _ = spans.recv_many(batch, room) => {}
        }
    }
}
