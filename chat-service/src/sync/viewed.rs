//! Viewed chats: their refs are refreshed sooner.
//!
//! A chat is viewed while its owner, or a user it is shared with, reads it with `GetChat` or
//! watches it; reads by roles that may read every chat do not count. Views are sampled: a chat is
//! noted once a minute, off the caller's path, and what does not fit into bounded memory is not
//! noted. A note holds for two minutes, and makes the chat's open refs due 15 s after their last
//! refresh.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use policy::Subject;
pub use proto::bounds::VIEWED_INTERVAL;
use service_runtime::telemetry::Failing;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::metrics::SyncMetrics;
use crate::{
    authz::Principal,
    chat::Chat,
    events::notifier::{Notifier, Topic},
    id::ChatId,
    store::{Store, StoreError},
};

pub use crate::store::viewed::WatchingUser;

/// A chat is noted once within each of these.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(60);

/// Views that wait to be noted at most.
const QUEUE: usize = 1024;
/// Chats that are remembered as noted at most.
const MAX_REMEMBERED: usize = 100_000;
/// Views, and chats, that are noted at once.
const BATCH: usize = 100;

enum ViewEvent {
    Chat(ChatId),
    Watcher(WatchingUser),
}

/// Takes notice of who looks at what. Cheap to clone.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<ViewEvent>,
    noted: Mutex<RecentViews>,
    metrics: SyncMetrics,
}

/// The chats noted within a minute.
#[derive(Default)]
struct RecentViews {
    chats: HashSet<ChatId>,
    /// When that began.
    since: Option<Instant>,
}

/// The views to be written.
pub struct Sampler {
    views: Views,
    queue: mpsc::Receiver<ViewEvent>,
}

impl Views {
    /// No chat is viewed yet.
    #[must_use]
    pub fn new(metrics: SyncMetrics) -> (Self, Sampler) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let views = Self(Arc::new(Inner {
            queue: sender,
            noted: Mutex::default(),
            metrics,
        }));
        let sampler = Sampler {
            views: views.clone(),
            queue,
        };
        (views, sampler)
    }

    /// `principal` has read `chat`. Neither waits nor fails.
    pub fn read(&self, principal: &Principal, chat: &Chat) {
        if counts(principal, chat) {
            self.chat(chat.id, Instant::now());
        }
    }

    fn chat(&self, chat: ChatId, now: Instant) {
        if self.is_new(chat, now) && !self.enqueue(ViewEvent::Chat(chat)) {
            // The next viewer of it does not wait for a minute.
            self.noted().chats.remove(&chat);
        }
    }

    /// `watcher` watches. Neither waits nor fails.
    pub fn watch(&self, watcher: WatchingUser) {
        self.enqueue(ViewEvent::Watcher(watcher));
    }

    /// Whether there was room for it.
    fn enqueue(&self, view: ViewEvent) -> bool {
        let taken = self.0.queue.try_send(view).is_ok();
        if !taken {
            self.0.metrics.views_dropped.inc();
        }
        taken
    }

    fn noted(&self) -> MutexGuard<'_, RecentViews> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the chat was not noted within the minute before `now`; it is now.
    fn is_new(&self, chat: ChatId, now: Instant) -> bool {
        let is_new = self.noted().note(chat, now);
        if is_new.is_none() {
            self.0.metrics.views_dropped.inc();
        }
        is_new == Some(true)
    }
}

impl RecentViews {
    /// None when there is no room for it.
    fn note(&mut self, chat: ChatId, now: Instant) -> Option<bool> {
        let is_over = |since| now.duration_since(since) >= SAMPLE_INTERVAL;
        if self.since.is_none_or(is_over) {
            self.chats.clear();
            self.since = Some(now);
        }
        if self.chats.contains(&chat) {
            return Some(false);
        }
        (self.chats.len() < MAX_REMEMBERED).then(|| self.chats.insert(chat))
    }
}

impl Sampler {
    /// How many views wait to be noted.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Notes what is viewed until `stop`.
    pub async fn run(mut self, store: Store, notifier: Notifier, stop: CancellationToken) {
        let mut views = Vec::with_capacity(BATCH);
        let failing = Failing::default();
        loop {
            let received = self.queue.recv_many(&mut views, BATCH);
            match stop.run_until_cancelled(received).await {
                None | Some(0) => return,
                Some(_) => {}
            }
            match self.note(&store, &notifier, &mut views).await {
                Ok(()) if failing.ends() => tracing::info!("what is viewed is noted again"),
                // They are noted again in a minute, if they are still viewed.
                Err(error) if failing.begins() => {
                    tracing::warn!(%error, "what is viewed cannot be noted");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Notes all views that can be, and returns why the others are not.
    async fn note(
        &self,
        store: &Store,
        notifier: &Notifier,
        views: &mut Vec<ViewEvent>,
    ) -> Result<(), StoreError> {
        let mut noted = Ok(());
        let mut chats: Vec<ChatId> = Vec::new();
        for view in views.drain(..) {
            match view {
                ViewEvent::Chat(chat) => chats.push(chat),
                ViewEvent::Watcher(watcher) => match store.list_watched_chats(&watcher).await {
                    Ok(watched) => {
                        let now = Instant::now();
                        let is_new = |chat: &ChatId| self.views.is_new(*chat, now);
                        chats.extend(watched.into_iter().filter(is_new));
                    }
                    Err(error) => noted = Err(error),
                },
            }
        }
        for chats in chats.chunks(BATCH) {
            match store.view_chats(chats).await {
                Ok(due) => {
                    let metrics = &self.views.0.metrics;
                    metrics.viewed_chats.inc_by(chats.len() as u64);
                    if due {
                        notifier.notify(Topic::Due);
                    }
                }
                Err(error) => noted = Err(error),
            }
        }
        noted
    }
}

/// Whether the chat is the reader's own, or shared with them.
fn counts(principal: &Principal, chat: &Chat) -> bool {
    let Principal::User(user) = principal else {
        return false;
    };
    chat.owner == user.id
        || chat.shares.iter().any(|(subject, _)| match subject {
            Subject::User(id) => *id == user.id,
            Subject::Group(group) => user.groups.contains(group),
        })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::UserId;

    fn chat() -> ChatId {
        ChatId(Uuid::new_v4())
    }

    #[test]
    fn views_beyond_the_queue_are_dropped_and_counted_without_waiting() {
        let metrics = SyncMetrics::default();
        let (views, sampler) = Views::new(metrics.clone());
        let watcher = WatchingUser {
            user: UserId(Uuid::new_v4()),
            groups: Vec::new(),
            owner: None,
            chats: Vec::new(),
        };
        for _ in 0..QUEUE + 5 {
            views.watch(watcher.clone());
        }
        assert_eq!(sampler.waiting(), QUEUE);
        assert_eq!(metrics.views_dropped.get(), 5);
        // The receiver is gone, as in a shutdown.
        drop(sampler);
        views.watch(watcher);
        assert_eq!(metrics.views_dropped.get(), 6);
    }

    #[test]
    fn a_chat_that_the_queue_had_no_room_for_is_noted_when_it_is_read_again() {
        let metrics = SyncMetrics::default();
        let (views, mut sampler) = Views::new(metrics.clone());
        let now = Instant::now();
        for _ in 0..QUEUE {
            views.chat(chat(), now);
        }
        let dropped = chat();
        views.chat(dropped, now);
        assert_eq!(metrics.views_dropped.get(), 1);
        sampler.queue.try_recv().unwrap();
        views.chat(dropped, now);
        views.chat(dropped, now);
        assert_eq!(sampler.waiting(), QUEUE, "once");
        assert_eq!(metrics.views_dropped.get(), 1);
    }

    #[test]
    fn chats_beyond_what_is_remembered_are_not_noted_until_there_is_room() {
        let metrics = SyncMetrics::default();
        let (views, _sampler) = Views::new(metrics.clone());
        let start = Instant::now();
        let first = chat();
        assert!(views.is_new(first, start));
        for _ in 1..MAX_REMEMBERED {
            assert!(views.is_new(chat(), start));
        }
        let later = start + SAMPLE_INTERVAL / 2;
        assert!(!views.is_new(chat(), later));
        assert_eq!(metrics.views_dropped.get(), 1);
        assert!(!views.is_new(first, later), "it is known");
        assert_eq!(metrics.views_dropped.get(), 1);
        assert!(views.is_new(first, start + SAMPLE_INTERVAL));
        assert!(views.is_new(chat(), start + SAMPLE_INTERVAL));
        assert_eq!(metrics.views_dropped.get(), 1);
    }
}
