//! Code of both readers of events: the candidates of an event, the pace, the memory bound.

use std::{cmp::Reverse, sync::Arc};

use super::{Inner, held::HeldChat, index::Index, lock, watcher::Watcher};
use crate::{events::metrics::ResyncCause, store::event::ChangeEvent};

/// Events that one statement reads at most.
pub(super) const BATCH: i64 = 100;
/// Candidates between two yields to other tasks: about a millisecond's work.
const PACE: usize = 256;

/// The watchers that `event` may concern: they may read the chat as it is now, or could before.
pub(super) fn candidates(
    index: &Index<Watcher>,
    event: &ChangeEvent,
    chat: Option<&HeldChat>,
) -> Vec<Arc<Watcher>> {
    let chat = chat.map(|chat| chat.facts());
    let former = event.former.as_ref().map(|former| former.facts());
    index.candidates(event.chat, chat.into_iter().chain(former))
}

/// Yields to other tasks every so often.
#[derive(Default)]
pub(super) struct Pace(usize);

impl Pace {
    pub(super) async fn step(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(PACE) {
            tokio::task::yield_now().await;
        }
    }
}

impl Inner {
    /// Resyncs the watchers with the most pending notices while the process exceeds its memory
    /// bound.
    pub(super) fn relieve(&self) {
        let memory = &self.metrics.pending;
        if memory.get() <= self.most_pending {
            return;
        }
        let (begin, mut watchers) = {
            let state = lock(&self.state);
            (state.begin, state.index.all())
        };
        watchers.sort_by_cached_key(|watcher| Reverse(lock(&watcher.pending).len()));
        for watcher in watchers {
            if memory.get() <= self.most_pending / 4 * 3 || lock(&watcher.pending).len() == 0 {
                return;
            }
            watcher.start_over(begin, ResyncCause::Memory, &self.metrics);
        }
    }
}
