//! What the product promises, shown with both real binaries.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod abuse;
mod admission;
mod attention;
mod connections;
mod credentials;
mod database;
mod diff;
mod egress;
mod failure;
mod history;
mod identity;
mod killed;
mod logs;
mod main_job;
mod metrics;
mod oauth;
mod operator;
mod outage;
mod page;
mod race;
mod rate_limit;
mod raw;
mod refresh;
mod relay;
mod repo_rules;
mod rotation;
mod terminal;
mod thrift;
mod tls;
mod trace;
mod watching;
