//! This process's own `WorkerService`, for operators.

mod worker_service;

pub(crate) use worker_service::WorkerApi;
