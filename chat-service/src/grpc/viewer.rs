//! Which parts of readable chats a caller is shown.

use proto::chat::v1;

use super::convert;
use crate::{
    authz::{Action, Authorized, Authorizer, Principal},
    chat::{Chat, View},
};

/// Who is shown chats.
#[derive(Clone)]
pub(super) struct Viewer {
    /// The chats whose shares the caller is shown.
    sharing: Authorized,
}

impl Viewer {
    pub(super) fn of(authorizer: &Authorizer, principal: &Principal) -> Self {
        Self {
            sharing: authorizer.chats(principal, Action::ShareChat),
        }
    }

    /// The chat as this caller sees it. For the full view it must have been read with its shares.
    pub(super) fn shown(&self, chat: Chat, view: View) -> v1::Chat {
        let shares = view == View::Full && self.sharing.holds(&chat.facts());
        convert::chat(chat, view, shares)
    }
}
