//! The service against a GitHub and a chat-service that speak real HTTP and real gRPC.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where; clippy exempts test functions only"
)]

mod binary;
mod failures;
mod lookup;
mod presence;
mod process;
mod rate_limits;
mod refresher;
mod refused;
mod settings;
mod stack;
mod support;
mod sync_server;
mod upstream;
mod worker;
mod worker_stop;
