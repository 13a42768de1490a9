//! Brings placed events to the watchers of this process.
//!
//! One reader follows the events in order. Each chat that changed is loaded once, as it is now, and
//! offered to every watcher, whose policy predicate is interpreted on it. Pending notices are
//! coalesced per chat, so that a slow watcher costs a bounded amount of memory: past the bound it
//! is resynced, which has its client list again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    metrics::EventMetrics,
    notifier::{Notifier, Topic},
};
use crate::{
    authz::Authorized,
    chat::Chat,
    chat_filter::WatchFilter,
    id::ChatId,
    store::{
        Store, StoreError,
        event::{ChangeEvent, ChangeKind, Point},
    },
};

/// Chats that wait for one slow watcher at most.
const MAX_PENDING: usize = 1000;
/// Watchers of one process at most.
pub const MAX_WATCHERS: usize = 10_000;
/// Events read at once.
const BATCH: i64 = 500;
/// Look at least this often: a notification may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A message to a watcher.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event's, or where the watcher begins or goes on.
    pub point: Point,
    /// When the change was recorded.
    pub at: Option<Timestamp>,
    /// The content.
    pub what: What,
}

/// The content of a [`Notice`].
#[derive(Clone, Debug)]
pub enum What {
    /// Nothing but where the watcher is.
    Heartbeat,
    /// A chat changed.
    Changed(ChangeKind, Arc<Chat>),
    /// A chat changed, and the watcher's filter does not hold for it.
    NotMatching(ChatId),
    /// A chat may no longer be read.
    AccessLost(ChatId),
    /// A chat does not exist any more.
    Deleted(ChatId),
    /// The watcher missed events: its client lists again.
    Resync,
}

/// All watchers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Watchers(Arc<Mutex<State>>);

/// Under one lock, so that a watcher that begins at a position is offered all that follows.
struct State {
    watchers: HashMap<u64, Arc<Watcher>>,
    next: u64,
    /// All events up to this one were offered to all watchers.
    point: Point,
    /// When events were last read, and for how long the first one without a position had waited
    /// then.
    read_at: Instant,
    unplaced_for: Duration,
}

struct Watcher {
    readable: Authorized,
    filter: WatchFilter,
    pending: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Default)]
struct Pending {
    /// By position, so that a watcher that resumes after the last one taken misses none.
    order: BTreeMap<i64, ChatId>,
    notices: HashMap<ChatId, Notice>,
    resync: Option<Point>,
}

/// One watcher's end. Dropping it ends the watch.
pub struct Watch {
    id: u64,
    watcher: Arc<Watcher>,
    watchers: Watchers,
}

impl Watchers {
    /// Watchers of what `store` places from now on; there are none yet.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn new(store: &Store) -> Result<Self, StoreError> {
        let head = store.read_relay().await?;
        Ok(Self(Arc::new(Mutex::new(State {
            watchers: HashMap::new(),
            next: 0,
            point: head.last,
            read_at: Instant::now(),
            unplaced_for: head.unplaced_for.unwrap_or_default(),
        }))))
    }

    /// An upper bound of how long a change has waited for the watchers of this process: the time
    /// since events were last read, plus how long an event had waited for its position by then.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let state = lock(&self.0);
        state.read_at.elapsed() + state.unplaced_for
    }

    /// Watches the chats for which `readable` holds, as far as `filter` does. Returns the point from
    /// which on every change reaches the watcher; `None` when there are too many watchers.
    #[must_use]
    pub fn watch(&self, readable: Authorized, filter: WatchFilter) -> Option<(Watch, Point)> {
        let watcher = Arc::new(Watcher {
            readable,
            filter,
            pending: Mutex::default(),
            arrived: Notify::new(),
        });
        let mut state = lock(&self.0);
        if state.watchers.len() >= MAX_WATCHERS {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.watchers.insert(id, watcher.clone());
        let watch = Watch {
            id,
            watcher,
            watchers: self.clone(),
        };
        Some((watch, state.point))
    }

    /// Follows the events until `stop`.
    pub async fn run(
        &self,
        store: Store,
        notifier: Notifier,
        metrics: EventMetrics,
        stop: CancellationToken,
    ) {
        let mut placed = notifier.subscribe(Topic::Placed);
        loop {
            placed.mark_unchanged();
            match stop
                .run_until_cancelled(self.follow(&store, &metrics))
                .await
            {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "change events cannot be read; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = placed.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Offers everything that was placed since the last time.
    async fn follow(&self, store: &Store, metrics: &EventMetrics) -> Result<(), StoreError> {
        loop {
            let point = lock(&self.0).point;
            let (events, head) = store.list_change_events(point.position, BATCH).await?;
            let is_last = i64::try_from(events.len()).unwrap_or(BATCH) < BATCH;
            let last = head.last;
            if last.generation == point.generation && last.position < point.position {
                // Positions went back. Other watchers' revisions are of no use either.
                store.begin_generation(Some(point.generation)).await?;
                continue;
            }
            if last.generation != point.generation || point.position < head.forgotten {
                self.start_over(last);
            } else if let Some(event) = events.last() {
                let point = Point {
                    position: event.position,
                    ..point
                };
                if !self.pass_unwatched(point) {
                    let loaded = load(store, &events).await?;
                    for watcher in self.pass(point) {
                        for event in &events {
                            if let Some(chat) = loaded.get(&event.chat) {
                                watcher.offer(point.generation, event, chat.as_ref());
                            }
                        }
                    }
                }
            }
            let unplaced_for = head.unplaced_for.unwrap_or_default();
            metrics.observe_unplaced(unplaced_for);
            let mut state = lock(&self.0);
            state.read_at = Instant::now();
            state.unplaced_for = unplaced_for;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Goes on to `point` if there is no watcher, which saves loading the chats.
    fn pass_unwatched(&self, point: Point) -> bool {
        let mut state = lock(&self.0);
        let unwatched = state.watchers.is_empty();
        if unwatched {
            state.point = point;
        }
        unwatched
    }

    /// Goes on to `point`; returns the watchers that began before it.
    fn pass(&self, point: Point) -> Vec<Arc<Watcher>> {
        let mut state = lock(&self.0);
        state.point = point;
        state.watchers.values().cloned().collect()
    }

    /// Resyncs all watchers and goes on at `point`: events before it may have been missed.
    fn start_over(&self, point: Point) {
        for watcher in self.pass(point) {
            lock(&watcher.pending).start_over(point);
            watcher.arrived.notify_one();
        }
    }
}

/// The chats of `events` as they are now; `None` for one that is gone. One that is there and cannot
/// be read is left out, and holds up no event of another.
async fn load(
    store: &Store,
    events: &[ChangeEvent],
) -> Result<HashMap<ChatId, Option<Arc<Chat>>>, StoreError> {
    let ids: HashSet<ChatId> = events.iter().map(|event| event.chat).collect();
    let mut loaded: HashMap<_, _> = ids.iter().map(|id| (*id, None)).collect();
    let ids: Vec<ChatId> = ids.into_iter().collect();
    let chats = match store.list_chats_for_events(&ids).await {
        Err(StoreError::Bug { .. }) => {
            let mut readable = Vec::new();
            for id in ids {
                match store.list_chats_for_events(&[id]).await {
                    Err(error @ StoreError::Bug { .. }) => {
                        tracing::error!(chat = %id, %error, "a changed chat cannot be read");
                        loaded.remove(&id);
                    }
                    chats => readable.extend(chats?),
                }
            }
            readable
        }
        chats => chats?,
    };
    loaded.extend(
        chats
            .into_iter()
            .map(|chat| (chat.id, Some(Arc::new(chat)))),
    );
    Ok(loaded)
}

impl Watcher {
    /// Says what the event is to this watcher, if anything. `chat` is the chat as it is now: of
    /// several events each one decides by that, and by what the chat was before itself.
    fn offer(&self, generation: Uuid, event: &ChangeEvent, chat: Option<&Arc<Chat>>) {
        let was_readable = event.former.as_ref().is_some_and(|former| {
            self.filter
                .concerns(event.chat, former.owner, former.workspace)
                && self.readable.holds(&former.facts())
        });
        let now = chat.filter(|chat| {
            self.filter.concerns(chat.id, chat.owner, chat.workspace)
                && self.readable.holds(&chat.facts())
        });
        let what = match now {
            Some(chat) if self.filter.matches(chat) => What::Changed(event.kind, chat.clone()),
            Some(chat) => What::NotMatching(chat.id),
            None if was_readable && event.kind == ChangeKind::Deleted => What::Deleted(event.chat),
            None if was_readable => What::AccessLost(event.chat),
            None => return,
        };
        self.add(generation, event, what);
    }

    fn add(&self, generation: Uuid, event: &ChangeEvent, what: What) {
        let position = event.position;
        let notice = Notice {
            point: Point {
                generation,
                position,
            },
            at: Some(event.at),
            what,
        };
        lock(&self.pending).add(event.chat, notice);
        self.arrived.notify_one();
    }
}

impl Pending {
    /// Coalesces notices per chat: keeps the latest, under the greatest kind.
    fn add(&mut self, chat: ChatId, mut notice: Notice) {
        if self.resync.is_some() {
            self.resync = Some(notice.point);
            return;
        }
        if let Some(earlier) = self.notices.remove(&chat) {
            self.order.remove(&earlier.point.position);
            if let (What::Changed(earlier, _), What::Changed(kind, _)) =
                (&earlier.what, &mut notice.what)
            {
                *kind = (*kind).max(*earlier);
            }
        }
        let point = notice.point;
        self.order.insert(point.position, chat);
        self.notices.insert(chat, notice);
        if self.order.len() > MAX_PENDING {
            self.start_over(point);
        }
    }

    /// Forgets everything but that the watcher has to list again.
    fn start_over(&mut self, point: Point) {
        *self = Self {
            resync: Some(point),
            ..Self::default()
        };
    }

    fn take(&mut self) -> Option<Notice> {
        if let Some(point) = self.resync.take() {
            return Some(Notice {
                point,
                at: None,
                what: What::Resync,
            });
        }
        let (_, chat) = self.order.pop_first()?;
        self.notices.remove(&chat)
    }
}

impl Watch {
    /// The next notice. Cancel safe: a notice is taken only when it is returned.
    pub async fn next(&self) -> Notice {
        loop {
            if let Some(notice) = lock(&self.watcher.pending).take() {
                return notice;
            }
            self.watcher.arrived.notified().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.watchers.0).watchers.remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
