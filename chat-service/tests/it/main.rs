//! Tests of chat-service against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod authz_matrix;
mod batch;
mod chats;
mod conflict;
mod connection;
mod database;
mod delete;
mod diff;
mod etag;
mod explain;
mod filters;
mod get_chats;
mod git_account;
mod git_ref;
mod hostile;
mod identity;
mod large_message;
mod limits;
mod lock;
mod oauth;
mod page_walk;
mod policy_command;
mod policy_random;
mod prune;
mod refresh;
mod relay;
mod report;
mod rotation;
mod scaler;
mod sharing;
mod sql;
mod stack;
mod sync;
mod terminal;
mod unknown;
mod view;
mod watch;
mod worker;
mod workspace;
