//! Where generated types begin and end: the client of chat-service's `SyncService`, and this
//! process's own `WorkerService`.

mod sync_client;
mod worker_service;

pub use sync_client::{SyncClient, SyncClientError, SyncError};
pub(crate) use worker_service::WorkerApi;
