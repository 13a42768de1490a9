//! The prepared statements of a session.

use std::collections::{HashMap, VecDeque};

use tokio_postgres::Statement as Prepared;

use super::sql::Statement;

/// Composed statements that a session keeps prepared. Callers choose how many different ones there
/// are, and a plan is about 340 kB of the server's memory: with this many, a session holds 11 MB of
/// them.
pub(super) const MAX_COMPOSED: usize = 32;

/// Prepared statements of one session. The server forgets one when its last clone is dropped.
#[derive(Default)]
pub(super) struct Statements {
    /// By name, and never dropped: there are as many as files.
    fixed: HashMap<&'static str, Prepared>,
    /// By text, in LRU order: the one used last is at the front.
    composed: VecDeque<(String, Prepared)>,
}

impl Statements {
    /// The prepared `statement`, if it is kept.
    pub(super) fn get(&mut self, statement: Statement<'_>) -> Option<Prepared> {
        if !statement.composed {
            return self.fixed.get(statement.name).cloned();
        }
        let place = self
            .composed
            .iter()
            .position(|(text, _)| text == statement.text)?;
        let found = self.composed.remove(place)?;
        let prepared = found.1.clone();
        self.composed.push_front(found);
        Some(prepared)
    }

    /// Keeps `prepared`, and forgets the composed statement that was not used for longest.
    pub(super) fn insert(&mut self, statement: Statement<'_>, prepared: Prepared) {
        if !statement.composed {
            self.fixed.insert(statement.name, prepared);
            return;
        }
        self.composed.truncate(MAX_COMPOSED - 1);
        self.composed
            .push_front((statement.text.to_owned(), prepared));
    }
}
