//! Keeps pull requests' status in step with their git hosts, and owns no data.
//!
//! The worker leases due refs from chat-service ([`worker`]), finds out which pull request is a
//! branch's ([`resolve`]) by asking its host ([`host`]) as far as the budget allows ([`budget`]),
//! decides when to look again ([`schedule`]), and reports what it found. [`config`] is the manual
//! of its settings, [`server`] puts the process together.
//!
//! ```text
//! main → config → server → worker → resolve → host (trait) ← host/github → reqwest
//!                             ├──► schedule      └──► budget ◄──┘
//!                             └──► sync_client → proto
//! ```

pub mod budget;
pub mod config;
mod error;
mod grpc;
pub mod host;
pub mod metrics;
pub mod resolve;
pub mod schedule;
pub mod server;
mod sync_client;
pub mod worker;

pub use sync_client::{SyncClient, SyncError};
