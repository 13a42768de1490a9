//! Trace contexts between processes: the W3C headers `traceparent` and `tracestate`, and one line
//! of text.

use http::HeaderMap;
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{AsciiMetadataKey, MetadataMap};

const TRACEPARENT: &str = "traceparent";
/// Longer ones are left out: the specification asks for as much to be passed on.
const MAX_TRACESTATE_BYTES: usize = 512;

/// The trace context in a call's headers; an empty one if they have none, or an invalid one.
pub(super) fn of_headers(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

/// Adds a context to a call, if there is a trace.
pub(super) fn inject(context: &Context, metadata: &mut MetadataMap) {
    TraceContextPropagator::new().inject_context(context, &mut Metadata(metadata));
}

/// A context as the header `traceparent` has it: of version 0, with the flag alone.
pub(super) fn traceparent(context: &SpanContext) -> String {
    let flags = u8::from(context.is_sampled());
    format!(
        "00-{}-{}-{flags:02x}",
        context.trace_id(),
        context.span_id()
    )
}

/// The contexts that can be read, each once.
pub(super) fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<SpanContext> {
    let mut contexts: Vec<SpanContext> = Vec::new();
    for text in texts {
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Line(text));
        let span = context.span();
        let context = span.span_context();
        if context.is_valid() && !contexts.contains(context) {
            contexts.push(context.clone());
        }
    }
    contexts
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let text = self.0.get(key)?.to_str().ok()?;
        let is_bounded = key == TRACEPARENT || text.len() <= MAX_TRACESTATE_BYTES;
        is_bounded.then_some(text)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A `traceparent` alone.
struct Line<'a>(&'a str);

impl Extractor for Line<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        // Always parsed: both are the propagator's own.
        if let (Ok(key), Ok(value)) = (AsciiMetadataKey::from_bytes(key.as_bytes()), value.parse())
        {
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_the_same_after_a_row_and_after_a_call() {
        let read = distinct([SAMPLED].into_iter());
        assert_eq!(read.len(), 1);
        assert_eq!(traceparent(&read[0]), SAMPLED);
        assert_eq!(SAMPLED.len(), 55);
        let mut metadata = MetadataMap::new();
        let context = Context::new().with_remote_span_context(read[0].clone());
        inject(&context, &mut metadata);
        let headers = metadata.into_headers();
        assert_eq!(headers.len(), 1, "{headers:?}");
        let of_call = of_headers(&headers);
        assert_eq!(of_call.span().span_context(), &read[0]);
    }

    #[test]
    fn several_waiters_of_one_trace_context_are_one_and_an_invalid_context_is_ignored() {
        let other = SAMPLED.replace("4bf9", "5bf9");
        let texts = ["", "00-0", SAMPLED, "no context", &other, SAMPLED];
        let read = distinct(texts.into_iter());
        let read: Vec<_> = read.iter().map(traceparent).collect();
        assert_eq!(read, [SAMPLED, &other]);
    }

    #[test]
    fn a_state_beyond_its_bound_is_left_out_and_the_trace_goes_on() {
        for (bytes, kept) in [(100, true), (MAX_TRACESTATE_BYTES, false)] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", SAMPLED.parse().unwrap());
            let state = format!("vendor={}", "x".repeat(bytes));
            headers.insert("tracestate", state.parse().unwrap());
            let context = of_headers(&headers);
            let span = context.span();
            assert!(span.span_context().is_sampled());
            let state = span.span_context().trace_state().get("vendor").is_some();
            assert_eq!(state, kept, "{bytes}");
        }
    }

    #[test]
    fn a_call_without_a_context_or_with_a_malformed_one_begins_a_trace() {
        let zero = SAMPLED.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        for text in ["", "00", &zero, &SAMPLED.to_uppercase()] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            let context = of_headers(&headers);
            assert!(!context.span().span_context().is_valid(), "{text}");
        }
    }
}
