//! The service against a GitHub and a chat-service that speak real HTTP and real gRPC.

mod failures;
mod lookup;
mod process;
mod rate_limits;
mod refresher;
mod support;
mod sync_server;
mod upstream;
mod worker;
mod worker_stop;
