//! Follows the events, and offers each to the watchers that it may concern.

use std::sync::Arc;

use service_runtime::telemetry::Failing;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Inner, LOOK_INTERVAL,
    held::HeldChat,
    lock,
    offer::{BATCH, Pace, candidates},
    recent::ReadChats,
    watcher::Watcher,
};
use crate::{
    events::{
        metrics::ResyncCause,
        notifier::{Notifier, Topic},
    },
    store::{
        Store, StoreError,
        event::{ChangeEvent, Point},
    },
};

impl Inner {
    /// Follows the events.
    pub(super) async fn read(&self, store: &Store, notifier: &Notifier) {
        let mut placed = notifier.subscribe(Topic::Placed);
        let failing = Failing::default();
        loop {
            placed.mark_unchanged();
            match self.follow(store).await {
                Ok(()) if failing.ends() => tracing::info!("change events are read again"),
                Err(error) if failing.begins() => {
                    tracing::warn!(%error, "change events cannot be read; trying again");
                }
                Ok(()) | Err(_) => {}
            }
            tokio::select! {
                _ = placed.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Offers everything that was placed since the last time.
    pub(super) async fn follow(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let point = lock(&self.state).begin;
            let (events, head) = store.list_change_events(point.position, BATCH).await?;
            let is_last = i64::try_from(events.len()).unwrap_or(BATCH) < BATCH;
            let last = head.last;
            if last.generation == point.generation && last.position < point.position {
                // Positions went back, so that revisions of all watchers are useless.
                store.begin_generation(Some(point.generation)).await?;
                continue;
            }
            if last.generation != point.generation {
                self.start_over(last, ResyncCause::Generation);
            } else if point.position < head.forgotten {
                self.start_over(last, ResyncCause::TooOld);
            } else if !self.pass_unwatched(&events) {
                let chats = self.recent.follow(store, &events).await?;
                self.offer(point.generation, &events, &chats).await;
            }
            let unplaced_for = head.unplaced_for.unwrap_or_default();
            self.metrics.observe_unplaced(unplaced_for);
            self.metrics.observe_clock(head.as_of);
            let mut state = lock(&self.state);
            state.read_at = Instant::now();
            state.unplaced_for = unplaced_for;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Offers each of `events` to the watchers that it may concern.
    pub(super) async fn offer(&self, generation: Uuid, events: &[ChangeEvent], chats: &ReadChats) {
        let mut pace = Pace::default();
        for event in events {
            let chat = chats.get(&event.chat);
            for watcher in self.pass(event, chat.and_then(Option::as_deref)) {
                // A chat that cannot be read was not deleted: its readers have not lost it.
                if let Some(chat) = chat {
                    watcher.offer(generation, event, chat.as_ref(), &self.metrics);
                }
                pace.step().await;
            }
            self.relieve();
        }
        self.passed();
    }

    /// Goes on after `events` if there is no watcher, which saves reading the chats.
    fn pass_unwatched(&self, events: &[ChangeEvent]) -> bool {
        let mut state = lock(&self.state);
        let unwatched = state.index.is_empty();
        if unwatched && let Some(last) = events.last() {
            self.recent.pass(events);
            state.begin.position = last.position;
            state.offered = state.begin;
        }
        unwatched
    }

    /// Moves on to `event`; all events before it have been offered. Returns the watchers that it
    /// may concern: those that begin later begin after it.
    pub(super) fn pass(&self, event: &ChangeEvent, chat: Option<&HeldChat>) -> Vec<Arc<Watcher>> {
        let mut state = lock(&self.state);
        state.offered = state.begin;
        state.begin.position = event.position;
        candidates(&state.index, event, chat)
    }

    /// Notes that the last event has been offered.
    pub(super) fn passed(&self) {
        let mut state = lock(&self.state);
        state.offered = state.begin;
    }

    /// Resyncs all watchers and goes on at `point`: events before it may have been missed.
    pub(super) fn start_over(&self, point: Point, cause: ResyncCause) {
        self.recent.start_over(point);
        let watchers = {
            let mut state = lock(&self.state);
            state.begin = point;
            state.index.all()
        };
        for watcher in watchers {
            watcher.start_over(point, cause, &self.metrics);
        }
        // After the resyncs, so that no watcher takes this point for one that it has reached.
        self.passed();
    }
}
