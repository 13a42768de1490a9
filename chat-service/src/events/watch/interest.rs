//! The chats that a watcher is interested in, and its notice of a change.

use std::sync::Arc;

use super::{
    held::{HeldChat, What},
    index::{WatchKey, keys},
};
use crate::{
    authz::Authorized,
    chat_filter::WatchFilter,
    store::event::{ChangeEvent, ChangeKind},
};

/// The chats that a watcher is interested in.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    /// The chats that it may read.
    pub(crate) readable: Authorized,
    /// The filters of the watch.
    pub(crate) filter: WatchFilter,
}

impl Interest {
    /// Its keys in the index of watchers.
    pub(super) fn keys(&self) -> Vec<WatchKey> {
        let WatchFilter { chats, filter, .. } = &self.filter;
        keys(self.readable.pred(), filter.owner, chats)
    }

    /// The watcher's notice of `event`; `chat` is the chat as it is now. A watcher that can read
    /// the chat neither now nor before the event gets none.
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
