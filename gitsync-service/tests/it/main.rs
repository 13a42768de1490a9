//! The service against a GitHub and a chat-service that speak real HTTP and real gRPC.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where; clippy exempts test functions only"
)]

mod batches;
mod binary;
mod branches;
mod ceiling;
mod checks;
mod credentials;
mod diffs;
mod egress;
mod failure_table;
mod failures;
mod gaps;
mod hosts;
mod in_part;
mod interfaces;
mod lookup;
mod outages;
mod presence;
mod process;
mod rate_limits;
mod recorded;
mod refresher;
mod refused;
mod renamed;
mod reported_windows;
mod settings;
mod spent;
mod stack;
mod support;
mod sync_server;
mod thrift;
mod turns;
mod upstream;
mod weight;
mod worker;
mod worker_stop;
