//! Warnings of faults that many tests have in common, for `Stack::expect_warnings`. Which of them
//! are written depends on what the processes were about when it happened.

pub use testkit::process::DATABASE_AWAY;

use crate::stack::Stack;

impl Stack {
    /// Expects warnings of any of its services that begin so, past ones included. Others fail the
    /// test.
    pub fn expect_warnings(&self, texts: &[&'static str]) {
        self.warnings.expect(texts);
    }
}

/// Of a worker whose chat-service is gone, or cannot be reached, or which itself stood still. What
/// was on its way then has no status.
pub const CHAT_SERVICE_AWAY: &[&str] = &[
    "a call to chat-service failed: chat-service did not answer (CANCELLED)",
    "a call to chat-service failed: chat-service did not answer (DEADLINE_EXCEEDED)",
    "a call to chat-service failed: chat-service did not answer (UNAVAILABLE)",
    "a call to chat-service failed: chat-service did not answer (UNKNOWN)",
    "chat-service does not answer",
];
/// Of a worker that comes back to a lease which is another's by now, or is over.
pub const LEASE_LOST: &[&str] = &[
    "a lease was lost; its results are dropped",
    "outcomes could not be reported for as long as the lease ran",
];
/// Of a worker whose git host fails for several budgets.
pub const HOST_AWAY: &[&str] = &[
    "a git host does not answer",
    "a git host is in another state: breaker_open",
];
/// Of a worker whose git host has no GraphQL.
pub const WITHOUT_GRAPHQL: &[&str] = &["a git host is in another state: graphql_left"];
/// Of a worker that spent a rate limit.
pub const LIMIT_SPENT: &[&str] = &["the git host wants no requests for now: rate_limited"];
/// Of a worker that met secondary limits.
pub const SLOWED_DOWN: &[&str] = &["the git host wants no requests for now: secondary_limited"];
/// Of the long faults and of the pages that people play with, where anything may be away while
/// there is load: what they are about is what becomes of it.
pub const ANY: &[&str] = &[""];
