//! Process plumbing that both services need: settings, telemetry, the operations endpoint, shutdown,
//! listeners with their services, connections and admission of calls, and the tokens with which callers and services
//! prove who they are.
//!
//! Admission: a module here has two callers today, and depends on no domain type. What only one
//! service needs lives in that service.

pub mod admission;
pub mod config;
mod described;
pub mod listener;
pub mod ops;
pub mod services;
pub mod shutdown;
pub mod telemetry;
pub mod token;
pub mod wire;
