//! Who began review threads: a bot or a person. That never changes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Threads that are remembered, up to those of one more answer each. What is forgotten is asked for
/// again.
const MOST_THREADS: usize = 10_000;

/// Of the review threads of one host, by their ids, whether a bot began each.
#[derive(Debug, Default)]
pub(super) struct ThreadAuthors(Mutex<HashMap<String, bool>>);

impl ThreadAuthors {
    /// Whether a bot began it. `None`: not known.
    pub(super) fn is_bots(&self, thread: &str) -> Option<bool> {
        self.lock().get(thread).copied()
    }

    /// Notes whether a bot began it.
    pub(super) fn note(&self, thread: &str, is_bots: bool) {
        self.lock().insert(thread.to_owned(), is_bots);
    }

    /// Forgets all when they are many. Before those of an answer are looked up, so that what is
    /// noted for it is there when it is read.
    pub(super) fn make_room(&self) {
        let mut known = self.lock();
        if known.len() >= MOST_THREADS {
            known.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
