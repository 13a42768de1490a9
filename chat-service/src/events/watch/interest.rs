//! What a watcher wants to hear of, and what it hears of a change.

use std::sync::Arc;

use super::{
    held::{HeldChat, What},
    index::{Key, keys},
};
use crate::{
    authz::Authorized,
    chat_filter::WatchFilter,
    store::event::{ChangeEvent, ChangeKind},
};

/// What a watcher wants to hear of.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    /// What it may read.
    pub(crate) readable: Authorized,
    /// What of that it watches, and what of that is listed.
    pub(crate) filter: WatchFilter,
}

impl Interest {
    /// Under what it is found.
    pub(super) fn keys(&self) -> Vec<Key> {
        let WatchFilter { chats, filter, .. } = &self.filter;
        keys(self.readable.pred(), filter.owner, chats)
    }

    /// What the watcher hears of `event`, of which `chat` is the chat as it is now: nothing of what
    /// it may not read and could not read before. Of several events, each is judged by that, and by
    /// what the chat was before itself.
    pub(super) fn hears(&self, event: &ChangeEvent, chat: Option<&Arc<HeldChat>>) -> Option<What> {
        let Self { readable, filter } = self;
        let id = event.chat;
        if let Some(chat) = chat
            && filter.concerns(id, chat.owner, chat.workspace)
            && readable.holds(&chat.facts())
        {
            return Some(if filter.matches(chat) {
                What::Changed(event.kind, chat.clone())
            } else {
                What::NotMatching(id)
            });
        }
        let former = event.former.as_ref()?;
        let could_read =
            filter.concerns(id, former.owner, former.workspace) && readable.holds(&former.facts());
        could_read.then_some(if event.kind == ChangeKind::Deleted {
            What::Deleted(id)
        } else {
            What::AccessLost(id)
        })
    }
}
