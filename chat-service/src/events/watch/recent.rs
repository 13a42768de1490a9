//! A cache of the chats that recent events changed, so that watchers that resume at different times
//! share one read of each chat.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use super::{held::HeldChat, lock};
use crate::{
    events::metrics::EventMetrics,
    id::ChatId,
    store::{
        Store, StoreError,
        event::{ChangeEvent, Point},
    },
};

/// Bound of the cached chats in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bound of the number of cached chats, with those that were deleted.
const MAX_CHATS: usize = 10_000;

/// A chat as it was read; `None` if it was deleted.
pub(super) type ReadChat = Option<Arc<HeldChat>>;

/// Chats that were read. A chat that cannot be read has no entry.
pub(super) type ReadChats = HashMap<ChatId, ReadChat>;

/// A cache of chats, by when they were read.
pub(super) struct RecentChats {
    metrics: EventMetrics,
    kept: Mutex<ChatCache>,
}

/// Each cached chat reflects all events up to the point `reflects`.
struct ChatCache {
    reflects: Point,
    chats: HashMap<ChatId, (u64, ReadChat)>,
    order: BTreeMap<u64, ChatId>,
    next: u64,
    bytes: usize,
}

impl RecentChats {
    pub(super) fn new(metrics: EventMetrics, reflects: Point) -> Self {
        Self {
            metrics,
            kept: Mutex::new(ChatCache::new(reflects)),
        }
    }

    /// Reads the chats of `events`, which follow those of the call before.
    pub(super) async fn follow(
        &self,
        store: &Store,
        events: &[ChangeEvent],
    ) -> Result<ReadChats, StoreError> {
        let chats = self.read(store, ids(events)).await?;
        let mut kept = lock(&self.kept);
        kept.pass(events);
        for (id, chat) in &chats {
            kept.insert(*id, chat.clone());
        }
        Ok(chats)
    }

    /// Takes the chats of `events`, which no watcher needs, out of the cache.
    pub(super) fn pass(&self, events: &[ChangeEvent]) {
        lock(&self.kept).pass(events);
    }

    /// The chats of earlier events, from the cache or as they are now. `head` is where the events
    /// ended before the call.
    pub(super) async fn look_back(
        &self,
        store: &Store,
        events: &[ChangeEvent],
        head: Point,
    ) -> Result<ReadChats, StoreError> {
        let mut ids = ids(events);
        let mut chats = ReadChats::new();
        {
            let kept = lock(&self.kept);
            ids.retain(|id| match kept.chats.get(id) {
                Some((_, chat)) => {
                    chats.insert(*id, chat.clone());
                    false
                }
                None => true,
            });
        }
        let read = self.read(store, ids).await?;
        let mut kept = lock(&self.kept);
        // An event after `head` may have changed one of these chats since it was read.
        let reflects = kept.reflects;
        let current = reflects.generation == head.generation && reflects.position <= head.position;
        for (id, chat) in read {
            if current {
                kept.insert(id, chat.clone());
            }
            chats.insert(id, chat);
        }
        Ok(chats)
    }

    /// Empties the cache, and continues at `point`.
    pub(super) fn start_over(&self, point: Point) {
        *lock(&self.kept) = ChatCache::new(point);
    }

    /// Reads the chats `ids` as they are now. A chat that cannot be read delays no other chat's
    /// event.
    async fn read(&self, store: &Store, ids: Vec<ChatId>) -> Result<ReadChats, StoreError> {
        if ids.is_empty() {
            return Ok(ReadChats::new());
        }
        self.metrics.chats_read.inc_by(ids.len() as u64);
        let mut chats: ReadChats = ids.iter().map(|id| (*id, None)).collect();
        let read = match store.list_chats_for_events(&ids).await {
            Err(StoreError::Bug { .. }) => {
                let mut readable = Vec::new();
                for id in ids {
                    match store.list_chats_for_events(&[id]).await {
                        Err(error @ StoreError::Bug { .. }) => {
                            tracing::error!(chat.id = %id, %error, "a changed chat cannot be read");
                            chats.remove(&id);
                        }
                        chats => readable.extend(chats?),
                    }
                }
                readable
            }
            read => read?,
        };
        for chat in read {
            let held = HeldChat::new(chat, &self.metrics.pending);
            chats.insert(held.id, Some(Arc::new(held)));
        }
        Ok(chats)
    }
}

fn ids(events: &[ChangeEvent]) -> Vec<ChatId> {
    let ids: HashSet<ChatId> = events.iter().map(|event| event.chat).collect();
    ids.into_iter().collect()
}

impl ChatCache {
    fn new(reflects: Point) -> Self {
        Self {
            reflects,
            chats: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    fn pass(&mut self, events: &[ChangeEvent]) {
        for event in events {
            self.remove(event.chat);
            self.reflects.position = event.position;
        }
    }

    fn remove(&mut self, id: ChatId) {
        if let Some((place, chat)) = self.chats.remove(&id) {
            self.order.remove(&place);
            self.bytes -= chat.map_or(0, |chat| chat.bytes);
        }
    }

    /// Caches a chat, and evicts those that were read longest ago beyond the bounds.
    fn insert(&mut self, id: ChatId, chat: ReadChat) {
        self.remove(id);
        self.bytes += chat.as_ref().map_or(0, |chat| chat.bytes);
        self.order.insert(self.next, id);
        self.chats.insert(id, (self.next, chat));
        self.next += 1;
        while self.bytes > MAX_BYTES || self.chats.len() > MAX_CHATS {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            self.remove(oldest);
        }
    }
}
