//! Keeps pull requests' status in step with their git hosts, and owns no data.
//!
//! The worker leases due refs from chat-service ([`worker`]), looks them up at their host
//! ([`refresh`], and the providers behind it), decides when to look again ([`schedule`]), and
//! reports what it found. [`config`] is the manual of its settings, [`server`] puts the process
//! together.
//!
//! ```text
//! main → config → server → worker → refresh → provider → reqwest
//!                    └──────┴──► grpc → proto
//! ```

pub mod config;
mod error;
mod grpc;
pub mod lease;
pub mod metrics;
pub mod outcome;
pub mod pace;
mod provider;
pub mod refresh;
pub mod schedule;
pub mod server;
pub mod worker;

pub use grpc::{SyncClient, SyncClientError, SyncError};
pub use provider::{CONNECT_TIMEOUT, MAX_BODY_BYTES, MAX_REVIEW_PAGES, REQUEST_TIMEOUT};
