//! What a list of chats is narrowed to, apart from what the caller may read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proto::sync::PullRequestState;

use crate::{
    chat::{ChatStatus, View},
    id::{ChatId, UserId, WorkspaceId},
};

/// Chats of a page, when the request names no number.
pub const DEFAULT_PAGE_SIZE: usize = 50;
/// Chats of a page at most.
pub const MAX_PAGE_SIZE: usize = 200;

/// What a list is narrowed to. All that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFilter {
    /// Of this owner.
    pub owner: Option<UserId>,
    /// In this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Archived, or not.
    pub archived: Option<bool>,
    /// In one of these, unless empty.
    pub statuses: Vec<ChatStatus>,
    /// With all of these.
    pub labels: BTreeMap<String, String>,
    /// Whose primary ref's pull request is in one of these, unless empty.
    pub pull_requests: Vec<PullRequestFilter>,
    /// Whose primary ref is in this repository: `owner/name`, in any case.
    pub repository: Option<String>,
    /// Whose primary ref's pull request has this number.
    pub pull_request_number: Option<i32>,
    /// With this text in the title, in upper or lower case.
    pub title: Option<String>,
}

/// Where a pull request stands, as lists are filtered: an open draft is a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestFilter {
    /// Open and no draft.
    Open,
    /// Open and a draft.
    Draft,
    /// Merged or closed, draft or not.
    Settled(PullRequestState),
}

/// Where a page begins: after the chat with this sort key, whether or not it still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// `updated_at` of the last chat of the page before.
    pub updated_at: Timestamp,
    /// Its id.
    pub id: ChatId,
}

/// What a list reads of each chat.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Which of its git refs.
    pub view: View,
    /// Whether its shares: else there are none, and policy cannot be asked about it.
    pub shares: bool,
}

impl Listed {
    /// What a view shows.
    #[must_use]
    pub fn of(view: View) -> Self {
        Self {
            view,
            shares: view == View::Full,
        }
    }
}
