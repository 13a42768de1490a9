//! The warnings that a test is about. Elsewhere a line of level WARN fails its test, as one of
//! level ERROR does.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::lock::lock;

/// The fields that say what exactly a message warns of, in the order in which its text has them.
const PARTICULARS: [&str; 5] = ["error", "why", "detail", "class", "state"];

/// What a service says of a database that has not answered for seconds: where no test made that so,
/// the machine stood still, and all that is in [`DATABASE_AWAY`] may follow.
const STALL: &str = "the database takes no work: the database does not answer";

/// Of a service whose database is away, refuses it, or does not answer in time, also because the
/// service itself stood still; and of its workers.
pub const DATABASE_AWAY: &[&str] = &[
    "accounts without due refs were not settled",
    "a call to chat-service failed: chat-service did not answer (UNAVAILABLE)",
    "a failed renewal could not be noted",
    "a lease was lost; its results are dropped",
    "call failed: the database is not available",
    "change events cannot be read; trying again",
    "changes of accounts were not followed up; trying again",
    "chat-service does not answer",
    "missed change events cannot be read; trying again",
    "outcomes could not be reported for as long as the lease ran",
    "the database makes no notification connection; trying again",
    "the database takes no work",
    "the notification connection broke; connecting anew",
    "the relay failed; trying again",
    "tokens are not renewed; trying again",
    "what a report means for other refs was not done",
    "what is old could not be forgotten",
    "what is viewed cannot be noted",
];

/// What a slow machine alone causes, whatever a test is about, each with why.
const SLOW: [(&str, &str); 5] = [
    (STALL, "each health check waits 2 s for an answer"),
    (
        "chat-service does not answer",
        "it does not while its database does not",
    ),
    (
        "a call to chat-service failed: chat-service did not answer (CANCELLED): Timeout expired",
        "a worker waits for some seconds for an answer",
    ),
    (
        "a call to chat-service failed: chat-service did not answer (DEADLINE_EXCEEDED)",
        "so does it where the call has a deadline",
    ),
    (
        "call failed: this takes the database too long",
        "PostgreSQL ends a statement at its timeout",
    ),
];

/// The texts with which expected warnings begin; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<&'static str>>>);

impl Warnings {
    /// Expects warnings whose text begins with one of `texts`, past ones included. The text is the
    /// message with its particulars: `call failed: the database is not available`.
    pub fn expect(&self, texts: &[&'static str]) {
        let mut expected = lock(&self.0);
        expected.extend(texts);
    }

    /// The warnings in a log that are not expected.
    pub(super) fn unexpected<'l>(&self, log: &'l [Value]) -> Vec<&'l Value> {
        let warnings = || log.iter().filter(|line| line["level"] == "WARN");
        let stalled = warnings().any(|line| text(line).starts_with(STALL));
        let follows = if stalled { DATABASE_AWAY } else { &[] };
        let expected = lock(&self.0);
        let is_expected = |line: &&Value| {
            let text = text(line);
            let slow = SLOW.iter().map(|(begin, _)| begin);
            let mut all = slow.chain(follows).chain(expected.iter());
            all.any(|begin| text.starts_with(begin))
        };
        warnings().filter(|line| !is_expected(line)).collect()
    }
}

fn text(line: &Value) -> String {
    let particulars = PARTICULARS.iter().filter_map(|name| line[name].as_str());
    let message = line["message"].as_str().unwrap_or_default();
    let parts: Vec<_> = std::iter::once(message).chain(particulars).collect();
    parts.join(": ")
}
