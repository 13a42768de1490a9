//! Traces: what a call, its statements, a turn of a worker and its requests to git hosts took, sent
//! to a collector over OTLP/gRPC, by the names of OpenTelemetry's conventions.
//!
//! They are off unless a collector is configured: then a span costs one look at a static. Whether a
//! trace is recorded is decided where it begins: by its caller, or else by the configured share
//! ([`TraceSettings`]). What happens within a trace that is not recorded makes no span, but says to
//! the other service that it is not.
//!
//! A span holds what is put into it by name, and nothing else: no log line, no header, no parameter
//! of a statement, nothing of a chat but its ids.

mod collector;
mod propagation;
mod served;

use std::{borrow::Cow, future::Future, sync::OnceLock};

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        FutureExt as _, Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _,
    },
};
use opentelemetry_sdk::trace::SdkTracer;
use tonic::{Code, Request};

pub use self::{
    collector::{FLUSH_TIMEOUT, TraceError, TraceSettings, TracedProcess, Traces},
    served::TraceLayer,
};
use crate::call_metrics::code_name;

/// There from the first start of [`Traces`] with a collector on.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Something within a trace that takes time: until it is dropped.
///
/// Where nothing is recorded, all that is done to it does nothing.
#[derive(Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// A served call: it continues the trace in `headers`, or begins one.
    fn served(method: Cow<'static, str>, headers: &http::HeaderMap) -> Self {
        let span = Self::begin(SpanKind::Server, method.clone(), Vec::new(), || {
            propagation::of_headers(headers)
        });
        span.named_rpc(method);
        span
    }

    /// A call to another service, as in `chat.v1.SyncService/RenewLease`, in the current trace or
    /// in one that begins with it.
    #[must_use]
    pub fn call(method: &'static str) -> Self {
        let decided = current(|context| context.is_valid() && !context.is_sampled());
        if decided {
            // Nothing is recorded here, nor by the service that is called.
            return Self::default();
        }
        let span = Self::begin(
            SpanKind::Client,
            method.into(),
            Vec::new(),
            Context::current,
        );
        span.named_rpc(method);
        span
    }

    /// Background work for waiters with the trace contexts `waiting` (as its `traceparent` names
    /// it): it continues the first trace, and links to the others. Work without a waiter begins a
    /// trace.
    #[must_use]
    pub fn turn<'a>(name: &'static str, waiting: impl Iterator<Item = &'a str>) -> Self {
        if TRACER.get().is_none() {
            return Self::default();
        }
        let mut waiting = propagation::distinct(waiting).into_iter();
        let parent = waiting.next().map_or_else(Context::new, |first| {
            Context::new().with_remote_span_context(first)
        });
        let links = waiting.map(Link::with_context).collect();
        Self::begin(SpanKind::Internal, name.into(), links, || parent)
    }

    /// A statement of the database, by its name, within the current trace.
    #[must_use]
    pub fn statement(name: &'static str) -> Self {
        let span = Self::within(|| name.into());
        span.set("db.system.name", "postgresql");
        span.set("db.query.summary", name);
        span
    }

    /// A request to an HTTP server for what is called `query`, of few different ones, within the
    /// current trace. It carries no trace context: whose servers they are, is no business of a
    /// trace.
    #[must_use]
    pub fn request(method: &'static str, query: &'static str, host: &str) -> Self {
        let span = Self::within(|| format!("{method} {query}").into());
        span.set("http.request.method", method);
        span.set("server.address", host.to_owned());
        span
    }

    fn within(name: impl FnOnce() -> Cow<'static, str>) -> Self {
        if TRACER.get().is_none() || !current(SpanContext::is_sampled) {
            return Self::default();
        }
        Self::begin(SpanKind::Client, name(), Vec::new(), Context::current)
    }

    fn begin(
        kind: SpanKind,
        name: Cow<'static, str>,
        links: Vec<Link>,
        parent: impl FnOnce() -> Context,
    ) -> Self {
        let Some(tracer) = TRACER.get() else {
            return Self::default();
        };
        let parent = parent();
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_links(links);
        let span = builder.start_with_context(tracer, &parent);
        Self(Some(parent.with_span(span)))
    }

    fn named_rpc(&self, method: impl Into<Value>) {
        self.set("rpc.system.name", "grpc");
        self.set("rpc.method", method);
    }

    /// Adds an attribute, which must be no secret and nothing that a person wrote.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, for a reason of few different ones.
    pub fn fail(&self, reason: impl Into<Value>) {
        if let Some(context) = &self.0 {
            self.set("error.type", reason);
            context.span().set_status(Status::error(""));
        }
    }

    /// A call ended with `code`, which `fails` says whether it is a failure.
    pub fn end_call(&self, code: Code, fails: bool) {
        let name = code_name(code);
        self.set("rpc.response.status_code", name);
        if fails {
            self.fail(name);
        }
    }

    /// Runs `future` within it.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        let future = match &self.0 {
            Some(context) => Either::Left(future.with_context(context.clone())),
            None => Either::Right(future),
        };
        future.await
    }

    /// Runs `begin` within it.
    fn enter<T>(&self, begin: impl FnOnce() -> T) -> T {
        let _guard = self.0.clone().map(Context::attach);
        begin()
    }

    /// The id of its trace, for log lines.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.enter(trace_id)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// Adds the current trace context to a call: also that of a trace which is not recorded, so that
/// the service that is called does not record it either. For an interceptor.
///
/// # Errors
///
/// Never.
pub fn inject(mut call: Request<()>) -> Result<Request<()>, tonic::Status> {
    if TRACER.get().is_some() {
        Context::map_current(|context| propagation::inject(context, call.metadata_mut()));
    }
    Ok(call)
}

/// The id of the current trace, if it is recorded: for log lines.
#[must_use]
pub fn trace_id() -> Option<String> {
    recorded(|context| context.trace_id().to_string())
}

/// The context of the current trace in one line, if it is recorded: for a row that another process
/// reads.
///
/// It has 55 characters, and is what the W3C header `traceparent` holds; the vendors' own additions
/// (`tracestate`) are left out, since they have no bound.
#[must_use]
pub fn traceparent() -> Option<String> {
    recorded(propagation::traceparent)
}

fn recorded<T>(read: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    TRACER.get()?;
    Context::map_current(|context| {
        let span = context.span();
        let context = span.span_context();
        context.is_sampled().then(|| read(context))
    })
}

fn current(is: impl FnOnce(&SpanContext) -> bool) -> bool {
    Context::map_current(|context| is(context.span().span_context()))
}
