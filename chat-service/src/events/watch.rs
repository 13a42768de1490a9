//! Brings placed events to the watchers of this process.
//!
//! One reader follows the events in order. Each chat that changed is loaded once, as it is now, and
//! offered to every watcher; the watcher's policy predicate is interpreted on it. What a watcher has
//! not taken yet is kept per chat, not per event, so a slow one costs a bounded amount of memory: past
//! the bound it is told to list again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use policy::Subject;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    notifier::{Notifier, Topic},
    relay::EVENT_RETENTION,
};
use crate::{
    authz::Authorized,
    chat::Chat,
    id::{ChatId, UserId},
    store::{
        Store, StoreError,
        event::{ChangeEvent, ChangeKind},
    },
};

/// Chats that wait for one slow watcher at most.
const MAX_PENDING: usize = 1000;
/// Watchers of one process at most.
pub const MAX_WATCHERS: usize = 10_000;
/// Events read at once.
const BATCH: i64 = 500;
/// Who could not read for so long may have missed events that were forgotten meanwhile.
const MAX_SILENCE: Duration = Duration::from_secs(EVENT_RETENTION.as_secs() / 2);
/// Look at least this often: a notification may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What a watcher is told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event's position; opaque to clients.
    pub position: i64,
    /// When the change was recorded.
    pub at: Option<Timestamp>,
    /// What to say.
    pub what: What,
}

/// What a watcher is told about.
#[derive(Clone, Debug)]
pub enum What {
    /// Where the stream begins.
    Begin,
    /// A chat changed.
    Changed(ChangeKind, Arc<Chat>),
    /// A chat may no longer be read.
    AccessLost(ChatId),
    /// A chat does not exist any more.
    Deleted(ChatId),
    /// Too much happened: list again.
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
    position: i64,
}

struct Watcher {
    readable: Authorized,
    owner: Option<UserId>,
    subjects: BTreeSet<Subject>,
    pending: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Default)]
struct Pending {
    /// By position, so that whoever resumes after the last one taken misses none.
    order: BTreeMap<i64, ChatId>,
    notices: HashMap<ChatId, Notice>,
    resync: Option<i64>,
}

/// One watcher's end. Dropping it ends the watch.
pub struct Watch {
    id: u64,
    watcher: Arc<Watcher>,
    watchers: Watchers,
}

impl Watchers {
    /// Watchers of what is placed after `position`; there are none yet.
    #[must_use]
    pub fn new(position: i64) -> Self {
        Self(Arc::new(Mutex::new(State {
            watchers: HashMap::new(),
            next: 0,
            position,
        })))
    }

    /// Watches the chats for which `readable` holds, of `owner` if given. `subjects` are the user
    /// and the groups by which a share reaches the watcher. Returns the position from which on
    /// every change reaches the watcher; `None` when there are too many watchers.
    #[must_use]
    pub fn watch(
        &self,
        readable: Authorized,
        owner: Option<UserId>,
        subjects: BTreeSet<Subject>,
    ) -> Option<(Watch, i64)> {
        let watcher = Arc::new(Watcher {
            readable,
            owner,
            subjects,
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
        Some((watch, state.position))
    }

    /// Follows the events until `stop`.
    pub async fn run(&self, store: Store, notifier: Notifier, stop: CancellationToken) {
        let mut placed = notifier.subscribe(Topic::Placed);
        let mut read_at = Instant::now();
        loop {
            placed.mark_unchanged();
            let reading = async {
                if read_at.elapsed() > MAX_SILENCE {
                    self.start_over(&store).await
                } else {
                    self.follow(&store).await
                }
            };
            match stop.run_until_cancelled(reading).await {
                None => return,
                Some(Ok(())) => read_at = Instant::now(),
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
    async fn follow(&self, store: &Store) -> Result<(), StoreError> {
        let mut position = lock(&self.0).position;
        loop {
            let events = store.list_change_events(position, BATCH).await?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            position = last.position;
            if !self.pass_unwatched(position) {
                let chats = load(store, &events).await?;
                for watcher in self.pass(position) {
                    for event in &events {
                        watcher.offer(event, chats.get(&event.chat));
                    }
                }
            }
            if i64::try_from(events.len()).unwrap_or(BATCH) < BATCH {
                return Ok(());
            }
        }
    }

    /// Goes on to `position` if there is no watcher, which saves loading the chats.
    fn pass_unwatched(&self, position: i64) -> bool {
        let mut state = lock(&self.0);
        let unwatched = state.watchers.is_empty();
        if unwatched {
            state.position = position;
        }
        unwatched
    }

    /// Goes on to `position`; returns the watchers that began before it.
    fn pass(&self, position: i64) -> Vec<Arc<Watcher>> {
        let mut state = lock(&self.0);
        state.position = position;
        state.watchers.values().cloned().collect()
    }

    /// Has everybody list again, after events may have been forgotten before they were read.
    async fn start_over(&self, store: &Store) -> Result<(), StoreError> {
        let position = store.last_position().await?;
        for watcher in self.pass(position) {
            lock(&watcher.pending).start_over(position);
            watcher.arrived.notify_one();
        }
        Ok(())
    }
}

/// The chats of `events` as they are now.
async fn load(
    store: &Store,
    events: &[ChangeEvent],
) -> Result<HashMap<ChatId, Arc<Chat>>, StoreError> {
    let ids: HashSet<ChatId> = events.iter().map(|event| event.chat).collect();
    let ids: Vec<ChatId> = ids.into_iter().collect();
    let chats = store.list_chats_for_events(&ids).await?;
    Ok(chats
        .into_iter()
        .map(|chat| (chat.id, Arc::new(chat)))
        .collect())
}

impl Watcher {
    fn offer(&self, event: &ChangeEvent, chat: Option<&Arc<Chat>>) {
        if let Some(former) = &event.former {
            let watched = self.owner.is_none_or(|owner| owner == former.owner);
            if watched && self.readable.holds(&former.facts()) {
                self.add(event, What::Deleted(event.chat));
            }
            return;
        }
        let Some(chat) = chat else { return };
        if self.owner.is_some_and(|owner| owner != chat.owner) {
            return;
        }
        let what = if self.readable.holds(&chat.facts()) {
            What::Changed(event.kind, chat.clone())
        } else if event
            .removed
            .iter()
            .any(|subject| self.subjects.contains(subject))
        {
            What::AccessLost(chat.id)
        } else {
            return;
        };
        self.add(event, what);
    }

    fn add(&self, event: &ChangeEvent, what: What) {
        let notice = Notice {
            position: event.position,
            at: Some(event.at),
            what,
        };
        lock(&self.pending).add(event.chat, notice);
        self.arrived.notify_one();
    }
}

impl Pending {
    /// Keeps the latest of each chat, under the most telling kind of what was coalesced.
    fn add(&mut self, chat: ChatId, mut notice: Notice) {
        if self.resync.is_some() {
            self.resync = Some(notice.position);
            return;
        }
        if let Some(earlier) = self.notices.remove(&chat) {
            self.order.remove(&earlier.position);
            if let (What::Changed(earlier, _), What::Changed(kind, _)) =
                (&earlier.what, &mut notice.what)
            {
                *kind = (*kind).max(*earlier);
            }
        }
        let position = notice.position;
        self.order.insert(position, chat);
        self.notices.insert(chat, notice);
        if self.order.len() > MAX_PENDING {
            self.start_over(position);
        }
    }

    /// Forgets everything but that the watcher has to list again.
    fn start_over(&mut self, position: i64) {
        *self = Self {
            resync: Some(position),
            ..Self::default()
        };
    }

    fn take(&mut self) -> Option<Notice> {
        if let Some(position) = self.resync.take() {
            return Some(Notice {
                position,
                at: None,
                what: What::Resync,
            });
        }
        let (_, chat) = self.order.pop_first()?;
        self.notices.remove(&chat)
    }
}

impl Watch {
    /// The next notice. Cancel safe: what was not returned is not taken.
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
