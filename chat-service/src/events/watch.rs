//! Brings placed events to the watchers of this process.
//!
//! One reader follows the events in order. Each chat that changed is read once, as it is now, and
//! offered to the watchers that the change may concern: an index finds them, and for each the
//! policy predicate is interpreted on the chat. A watcher that resumes is offered what it missed by
//! a second reader (`catch_up`). Pending notices are coalesced per chat and bounded in memory, per
//! watcher and over the process: past the bound a watcher is resynced, which has its client list
//! again.

mod catch_up;
mod held;
mod index;
mod interest;
mod offer;
mod pending;
mod reader;
mod recent;
mod watcher;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::held::{HeldChat, Notice, What};
use self::{
    catch_up::{CatchUpLane, MAX_BEHIND},
    index::Index,
    pending::NoticeQueue,
    recent::RecentChats,
    watcher::Watcher,
};
pub(crate) use self::{interest::Interest, watcher::Watch};
use super::{
    metrics::{EventMetrics, ResyncCause},
    notifier::Notifier,
};
use crate::store::{Store, StoreError, event::Point};

/// Watchers of one process at most.
pub const MAX_WATCHERS: usize = 15_000;
/// Look at least this often: a notification may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Bound of the memory in bytes of pending notices and of the chats that they, the readers and the
/// cache of recent chats hold. Of the largest chats, readers and cache hold half of it.
const MAX_PENDING_BYTES: i64 = 128 * 1024 * 1024;

/// Where a watcher begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// At the present: it receives later events.
    Now,
    /// After this point, which it had reached when it was cut off.
    Point(Point),
    /// After a revision that cannot be used: it has other rights or filters, or its key was
    /// removed.
    Unknown,
}

/// All watchers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Watchers(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    recent: RecentChats,
    /// Wakes the reader that a lane's watchers catch up by.
    resumed: [Notify; CatchUpLane::ALL.len()],
    metrics: EventMetrics,
    most_pending: i64,
}

/// Under one lock, so that a watcher that begins at a point is offered all that follows.
struct State {
    index: Index<Watcher>,
    next: u64,
    /// A watcher that begins now is offered all events after this one.
    begin: Point,
    /// All events up to this one have been offered to the watchers that they concern.
    offered: Point,
    /// Watchers that are to catch up.
    resuming: [BTreeSet<u64>; CatchUpLane::ALL.len()],
    /// When events were last read, and for how long the first one without a position had waited
    /// then.
    read_at: Instant,
    unplaced_for: Duration,
}

impl Watchers {
    /// Watchers of what `store` places from now on; there are none yet.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn new(store: &Store, metrics: EventMetrics) -> Result<Self, StoreError> {
        let head = store.read_relay().await?;
        let watchers = Inner::new(head.last, metrics, MAX_PENDING_BYTES);
        lock(&watchers.state).unplaced_for = head.unplaced_for.unwrap_or_default();
        Ok(Self(Arc::new(watchers)))
    }

    /// An upper bound of how long a change has waited for the watchers of this process: the time
    /// since events were last read, plus how long an event had waited for its position by then.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let state = lock(&self.0.state);
        state.read_at.elapsed() + state.unplaced_for
    }

    /// Begins a watch; `None` when the process has too many watchers. The point is where the
    /// watcher joined the live stream: later changes reach it, while it may still catch up with
    /// earlier ones.
    #[must_use]
    pub(crate) fn watch(&self, interest: Interest, since: Since) -> Option<(Watch, Point)> {
        let keys = interest.keys();
        let mut state = lock(&self.0.state);
        if state.index.len() >= MAX_WATCHERS {
            return None;
        }
        let begin = state.begin;
        let resync = |cause| {
            self.0.metrics.count_resync(cause);
            (NoticeQueue::resync(begin), None, None)
        };
        let (pending, reached, lane) = match since {
            Since::Now => (NoticeQueue::after(begin), Some(begin), None),
            Since::Unknown => resync(ResyncCause::Rights),
            Since::Point(point) if point.generation != begin.generation => {
                resync(ResyncCause::Generation)
            }
            Since::Point(point) => match begin.position - point.position {
                0 => (NoticeQueue::after(begin), Some(begin), None),
                behind if behind > MAX_BEHIND => resync(ResyncCause::TooOld),
                // A watcher that is ahead usually read the event from a replica that was quicker.
                behind => (
                    NoticeQueue::catching_up(point, begin),
                    Some(point),
                    Some(CatchUpLane::of(behind)),
                ),
            },
        };
        let watcher = Arc::new(Watcher::new(interest, pending));
        let number = state.next;
        state.next += 1;
        state.index.insert(number, keys, watcher.clone());
        self.0.metrics.watchers.inc();
        if let Some(lane) = lane {
            state.resuming[lane as usize].insert(number);
            self.0.resumed[lane as usize].notify_one();
        }
        Some((Watch::new(self.clone(), number, watcher, reached), begin))
    }

    /// Follows the events until `stop`.
    pub async fn run(&self, store: Store, notifier: Notifier, stop: CancellationToken) {
        let [near, far] = CatchUpLane::ALL.map(|lane| self.0.resume(&store, lane));
        let reading = async { tokio::join!(self.0.read(&store, &notifier), near, far) };
        stop.run_until_cancelled(Box::pin(reading)).await;
    }
}

impl Inner {
    fn new(begin: Point, metrics: EventMetrics, most_pending: i64) -> Self {
        Self {
            state: Mutex::new(State {
                index: Index::default(),
                next: 0,
                begin,
                offered: begin,
                resuming: Default::default(),
                read_at: Instant::now(),
                unplaced_for: Duration::ZERO,
            }),
            recent: RecentChats::new(metrics.clone(), begin),
            resumed: Default::default(),
            metrics,
            most_pending,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
