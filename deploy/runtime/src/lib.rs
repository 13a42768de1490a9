//! Process plumbing that both services need: settings, logs, traces, TLS, the operations endpoint,
//! shutdown, listeners with their services and connections, the admission of calls, the proxy of
//! requests to other hosts, and the tokens with which callers and services prove who they are.
//!
//! A module belongs here if it has two callers today and depends on no domain type. What only one
//! service needs lives in that service.

pub mod admission;
pub mod call_metrics;
pub mod config;
mod described;
pub mod egress;
pub mod jitter;
pub mod listener;
pub mod ops;
pub mod peer;
pub mod services;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod trace;
pub mod wire;
