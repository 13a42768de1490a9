//! The warnings that a test is about. Elsewhere a line of level WARN fails its test, as one of
//! level ERROR does.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::lock::lock;

/// The fields that say what exactly a message warns of, in the order in which its text has them.
const PARTICULARS: [&str; 5] = ["error", "why", "detail", "class", "state"];

/// What a slow machine alone causes, whatever a test is about, each with why.
const SLOW: [(&str, &str); 4] = [
    (
        "the database takes no work: the database does not answer",
        "each health check waits 2 s for an answer",
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

    /// Whether this line of a log is expected.
    pub(super) fn expects(&self, line: &Value) -> bool {
        let text = text(line);
        let expected = lock(&self.0);
        let slow = SLOW.iter().map(|(begin, _)| begin);
        let mut all = slow.chain(expected.iter());
        all.any(|begin| text.starts_with(begin))
    }
}

fn text(line: &Value) -> String {
    let particulars = PARTICULARS.iter().filter_map(|name| line[name].as_str());
    let message = line["message"].as_str().unwrap_or_default();
    let parts: Vec<_> = std::iter::once(message).chain(particulars).collect();
    parts.join(": ")
}
