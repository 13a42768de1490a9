//! The chats that were read for events lately, so that each is read once, however many watchers
//! resume.

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

/// Bytes of the chats that are kept at most.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Chats that are kept at most, with those that are gone.
const MAX_CHATS: usize = 10_000;

/// A chat as it was read; `None` if there is no such chat any more.
pub(super) type ReadChat = Option<Arc<HeldChat>>;

/// Chats that were read; without those that cannot be read.
pub(super) type ReadChats = HashMap<ChatId, ReadChat>;

/// The chats that were read lately.
pub(super) struct RecentChats {
    metrics: EventMetrics,
    kept: Mutex<Kept>,
}

/// Each chat here is as it was after all events up to the point `reflects`, or later.
struct Kept {
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
            kept: Mutex::new(Kept::new(reflects)),
        }
    }

    /// The chats of the events that follow those before, as they are now.
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

    /// Events follow that nothing is read for.
    pub(super) fn pass(&self, events: &[ChangeEvent]) {
        lock(&self.kept).pass(events);
    }

    /// The chats of earlier events, as they were at least after the last event that was passed.
    /// `head` is where the events ended before this was called.
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
        // Else one of the events since may be of these chats.
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

    /// Forgets all, and goes on at `point`.
    pub(super) fn start_over(&self, point: Point) {
        *lock(&self.kept) = Kept::new(point);
    }

    /// The chats `ids` as they are now. One that cannot be read holds up no event of another.
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
                            tracing::error!(chat = %id, %error, "a changed chat cannot be read");
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

impl Kept {
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

    /// Keeps it in the place of those that were read longest ago.
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
