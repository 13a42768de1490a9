//! Who looks at which chat: what somebody looks at is refreshed sooner.
//!
//! A chat is viewed while its owner, or somebody it is shared with, reads it with `GetChat` or watches
//! it; that somebody may read everything counts for nothing. It is sampled: a chat is noted at most
//! once a minute, off the caller's path, and what does not fit into bounded memory is not noted. A
//! note holds for two minutes, and makes the chat's open refs due 15 s after their last refresh.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::metrics::SyncMetrics;
use crate::{
    authz::{Principal, Subject},
    chat::Chat,
    events::bell::{Bell, Ring},
    id::{ChatId, GroupId, UserId},
    store::Store,
};

/// A chat is noted at most this often.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(60);
/// So long a note holds.
pub const VIEW_DURATION: Duration = Duration::from_secs(120);
/// What is viewed is due so long after its last refresh.
pub const VIEWED_INTERVAL: Duration = Duration::from_secs(15);
/// Chats of one watcher that are noted: those that were updated last.
pub const MAX_WATCHED: i64 = 50;

/// Views that wait to be noted at most.
const QUEUE: usize = 1024;
/// Chats that are remembered as noted at most.
const MAX_REMEMBERED: usize = 100_000;
/// Views, and chats, that are noted at once.
const BATCH: usize = 100;

/// Somebody who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Who.
    pub user: UserId,
    /// By which groups a share reaches them.
    pub groups: Vec<GroupId>,
    /// Watches only this one's chats.
    pub owner: Option<UserId>,
}

enum View {
    Chat(ChatId),
    Watcher(Watcher),
}

/// Takes notice of who looks at what. Cheap to clone.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<View>,
    noted: Mutex<HashMap<ChatId, Instant>>,
    metrics: SyncMetrics,
}

/// What was taken notice of, to be written.
pub struct Sampler {
    views: Views,
    queue: mpsc::Receiver<View>,
}

impl Views {
    /// Nobody looks yet.
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
        if counts(principal, chat) && self.is_new(chat.id) {
            self.enqueue(View::Chat(chat.id));
        }
    }

    /// `watcher` watches. Neither waits nor fails.
    pub fn watch(&self, watcher: Watcher) {
        self.enqueue(View::Watcher(watcher));
    }

    fn enqueue(&self, view: View) {
        if self.0.queue.try_send(view).is_err() {
            self.0.metrics.views_dropped.inc();
        }
    }

    /// Whether the chat was not noted within the last minute; it is now.
    fn is_new(&self, chat: ChatId) -> bool {
        let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_over = |at: &Instant| now.duration_since(*at) >= SAMPLE_INTERVAL;
        if noted.get(&chat).is_some_and(|at| !is_over(at)) {
            return false;
        }
        if noted.len() >= MAX_REMEMBERED {
            noted.retain(|_, at| !is_over(at));
            if noted.len() >= MAX_REMEMBERED {
                self.0.metrics.views_dropped.inc();
                return false;
            }
        }
        noted.insert(chat, now);
        true
    }
}

impl Sampler {
    /// Notes what is viewed until `stop`.
    pub async fn run(mut self, store: Store, bell: Bell, stop: CancellationToken) {
        let mut views = Vec::with_capacity(BATCH);
        loop {
            let received = self.queue.recv_many(&mut views, BATCH);
            match stop.run_until_cancelled(received).await {
                None | Some(0) => return,
                Some(_) => {}
            }
            self.note(&store, &bell, &mut views).await;
        }
    }

    async fn note(&self, store: &Store, bell: &Bell, views: &mut Vec<View>) {
        let mut chats: Vec<ChatId> = Vec::new();
        for view in views.drain(..) {
            match view {
                View::Chat(chat) => chats.push(chat),
                View::Watcher(watcher) => match store.list_watched_chats(&watcher).await {
                    Ok(watched) => {
                        chats.extend(watched.into_iter().filter(|chat| self.views.is_new(*chat)));
                    }
                    Err(error) => tracing::warn!(%error, "what is watched cannot be read"),
                },
            }
        }
        for chats in chats.chunks(BATCH) {
            match store.view_chats(chats).await {
                Ok(due) => {
                    let metrics = &self.views.0.metrics;
                    metrics.viewed_chats.inc_by(chats.len() as u64);
                    if due {
                        bell.ring(Ring::Due);
                    }
                }
                // They are noted again in a minute, if somebody still looks.
                Err(error) => tracing::warn!(%error, "what is viewed cannot be noted"),
            }
        }
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
