//! Where generated types begin and end: the client of chat-service's `SyncService`, and this
//! process's own `WorkerService`.

mod convert;
mod sync_client;
mod worker_service;

pub(crate) use sync_client::{OutcomeStatus, Report};
pub use sync_client::{SyncClient, SyncClientError, SyncError};
pub(crate) use worker_service::WorkerApi;
