//! Catches watchers that resume up with the live stream.
//!
//! A watcher joins the live stream when it begins, so that it is offered all later events. The
//! events between its revision and there are offered by a pass, which serves all watchers that wait
//! when it begins. Until the pass is over no notice is taken, since the pass adds notices of
//! earlier positions than the live stream does.

use std::sync::Arc;

use service_runtime::telemetry::Failing;

use super::{
    Inner, LOOK_INTERVAL,
    index::Index,
    lock,
    offer::{BATCH, Pace, candidates},
    watcher::Watcher,
};
use crate::{
    events::metrics::ResyncCause,
    store::{
        Store, StoreError,
        event::{Head, Point},
    },
};

/// A watcher that is further behind lists again, which costs less than reading these events.
pub(super) const MAX_BEHIND: i64 = 10_000;

/// Watchers that catch up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CatchUpLane {
    /// Watchers that are at most a batch behind.
    Near,
    /// Watchers that are further behind, for which the near ones do not wait.
    Far,
}

impl CatchUpLane {
    pub(super) const ALL: [Self; 2] = [Self::Near, Self::Far];

    /// The lane of a watcher that is `behind` events behind.
    pub(super) fn of(behind: i64) -> Self {
        if behind <= BATCH {
            Self::Near
        } else {
            Self::Far
        }
    }
}

/// Watchers that catch up in one pass.
struct Pass {
    watchers: Vec<Arc<Watcher>>,
    index: Index<Watcher>,
    /// All of them have joined the live stream by here.
    until: Point,
}

impl Pass {
    fn new(watchers: Vec<Arc<Watcher>>, until: Point) -> Self {
        let mut index = Index::default();
        for (number, watcher) in (0..).zip(&watchers) {
            index.insert(number, watcher.interest.keys(), watcher.clone());
        }
        Self {
            watchers,
            index,
            until,
        }
    }

    /// The least position that one of them resumes after; `None` when they all list again.
    fn from(&self) -> Option<i64> {
        let points = self
            .watchers
            .iter()
            .filter_map(|watcher| watcher.resumes_after());
        points.map(|point| point.position).min()
    }
}

impl Inner {
    /// Runs a pass whenever watchers wait in `lane`.
    pub(super) async fn resume(&self, store: &Store, lane: CatchUpLane) {
        loop {
            self.resumed[lane as usize].notified().await;
            let failing = Failing::default();
            while let Err(error) = self.catch_up(store, lane).await {
                if failing.begins() {
                    tracing::warn!(%error, "missed change events cannot be read; trying again");
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    }

    /// Runs a pass for all watchers that wait in `lane`.
    ///
    /// # Errors
    ///
    /// When the database is away; the watchers wait for the next pass then.
    pub(super) async fn catch_up(
        &self,
        store: &Store,
        lane: CatchUpLane,
    ) -> Result<(), StoreError> {
        let (waiting, pass) = {
            let mut state = lock(&self.state);
            let waiting = std::mem::take(&mut state.resuming[lane as usize]);
            let watchers = waiting.iter().filter_map(|number| state.index.get(*number));
            let watchers = watchers.cloned().collect();
            (waiting, Pass::new(watchers, state.begin))
        };
        let result = self.offer_missed(store, &pass).await;
        if result.is_err() {
            // The next pass finds no watcher for the numbers of those that ended meanwhile.
            lock(&self.state).resuming[lane as usize].extend(waiting);
        }
        result
    }

    async fn offer_missed(&self, store: &Store, pass: &Pass) -> Result<(), StoreError> {
        let until = pass.until;
        let mut pace = Pace::default();
        let Some(mut from) = pass.from() else {
            return Ok(());
        };
        loop {
            let (mut events, head) = store.list_change_events(from, BATCH).await?;
            if head.last.generation != until.generation {
                // The reader of the live stream resyncs them.
                return Ok(());
            }
            self.resync_lost(pass, from, &head);
            events.retain(|event| event.position <= until.position);
            let Some(last) = events.last().map(|event| event.position) else {
                break;
            };
            let chats = self.recent.look_back(store, &events, head.last).await?;
            for event in &events {
                let Some(chat) = chats.get(&event.chat) else {
                    continue;
                };
                for watcher in candidates(&pass.index, event, chat.as_deref()) {
                    watcher.offer(until.generation, event, chat.as_ref(), &self.metrics);
                    pace.step().await;
                }
                self.relieve();
            }
            if last >= until.position {
                break;
            }
            from = last;
        }
        for watcher in &pass.watchers {
            lock(&watcher.pending).caught_up();
            watcher.arrived.notify_one();
        }
        Ok(())
    }

    /// Resyncs watchers whose events may have been pruned before those after `from` were read, and
    /// watchers that are ahead of the last event.
    fn resync_lost(&self, pass: &Pass, from: i64, head: &Head) {
        for watcher in &pass.watchers {
            let Some(after) = watcher.resumes_after() else {
                continue;
            };
            if after.position.max(from) < head.forgotten {
                watcher.start_over(pass.until, ResyncCause::TooOld, &self.metrics);
            } else if after.position > head.last.position {
                watcher.start_over(pass.until, ResyncCause::Ahead, &self.metrics);
            }
        }
    }
}

#[cfg(test)]
mod tests;
