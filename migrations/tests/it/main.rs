//! The runner and the files, on a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod apply;
mod data;
mod lint;
mod refusal;
mod schema;
