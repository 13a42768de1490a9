//! Filters of lists of chats and of watches, beside what the caller may read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proto::sync::{PullRequest, PullRequestState};

use crate::{
    attention::AttentionKind,
    authz::Authorized,
    chat::{Chat, ChatStatus, View},
    id::{ChatId, UserId, WorkspaceId},
};

/// Chats of a page, when the request names no number.
pub const DEFAULT_PAGE_SIZE: usize = 50;
/// Chats of a page at most.
pub const MAX_PAGE_SIZE: usize = 200;

/// The filter of a list. All set conditions must hold.
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
    /// Whose primary ref's pull request needs attention for one of these, unless empty.
    pub attention: Vec<AttentionKind>,
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

impl ChatFilter {
    /// Whether it holds for `chat`, exactly as in the statement of a list. The chat must have been
    /// read with its primary ref.
    #[must_use]
    pub fn matches(&self, chat: &Chat) -> bool {
        // Destructured, so that a new filter does not compile until it is looked at.
        let Self {
            owner,
            workspace,
            archived,
            statuses,
            labels,
            pull_requests,
            attention,
            repository,
            pull_request_number,
            title,
        } = self;
        let primary = chat.primary();
        let pull_request = primary.and_then(|primary| primary.pull_request.as_ref());
        owner.is_none_or(|owner| chat.owner == owner)
            && workspace.is_none_or(|workspace| chat.workspace == Some(workspace))
            && archived.is_none_or(|archived| chat.archived == archived)
            && (statuses.is_empty() || statuses.contains(&chat.status))
            && labels
                .iter()
                .all(|(key, value)| chat.labels.get(key) == Some(value))
            && (pull_requests.is_empty()
                || pull_request
                    .is_some_and(|known| pull_requests.iter().any(|wanted| wanted.matches(known))))
            && (attention.is_empty()
                || primary.is_some_and(|primary| {
                    let mut needs = primary.attention.iter();
                    needs.any(|needs| attention.contains(&needs.kind))
                }))
            && repository.as_ref().is_none_or(|wanted| {
                primary.is_some_and(|primary| folded(&primary.repository) == folded(wanted))
            })
            && pull_request_number
                .is_none_or(|number| pull_request.is_some_and(|known| known.number == number))
            && title
                .as_ref()
                .is_none_or(|part| folded(&chat.title).contains(&folded(part)))
    }
}

impl PullRequestFilter {
    fn matches(self, known: &PullRequest) -> bool {
        match self {
            Self::Open => known.state == PullRequestState::Open && !known.draft,
            Self::Draft => known.state == PullRequestState::Open && known.draft,
            Self::Settled(state) => known.state == state,
        }
    }
}

/// The text without case, as PostgreSQL's `lower` makes it: letter by letter, so that neither a
/// letter's place in its word counts nor any letter becomes two.
#[must_use]
pub fn folded(text: &str) -> String {
    let lower = |letter: char| letter.to_lowercase().next().unwrap_or(letter);
    text.chars().map(lower).collect()
}

/// The filter of a watch. All set conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct WatchFilter {
    /// Only these chats, unless empty.
    pub chats: BTreeSet<ChatId>,
    /// The filters of a list.
    pub filter: ChatFilter,
    /// If set, only chats that another user shared with the watcher.
    pub shared: Option<Authorized>,
}

impl WatchFilter {
    /// Whether it can hold for a chat of this id, owner and workspace, which never change.
    #[must_use]
    pub fn concerns(&self, chat: ChatId, owner: UserId, workspace: Option<WorkspaceId>) -> bool {
        let Self { chats, filter, .. } = self;
        (chats.is_empty() || chats.contains(&chat))
            && filter.owner.is_none_or(|wanted| wanted == owner)
            && filter
                .workspace
                .is_none_or(|wanted| workspace == Some(wanted))
    }

    /// Whether the filters hold for `chat`, which the watch concerns and which was read with its
    /// primary ref and its shares.
    #[must_use]
    pub fn matches(&self, chat: &Chat) -> bool {
        self.filter.matches(chat)
            && self
                .shared
                .as_ref()
                .is_none_or(|shared| shared.holds(&chat.facts()))
    }
}

/// Where a page begins: after the chat with this sort key, whether or not it still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// `updated_at` of the last chat of the page before.
    pub updated_at: Timestamp,
    /// Its id.
    pub id: ChatId,
}

/// The parts of each chat that a list reads.
#[derive(Clone, Copy, Debug)]
pub struct ListDetail {
    /// Which of its git refs.
    pub view: View,
    /// Whether its shares: else there are none, and policy cannot be asked about it.
    pub shares: bool,
}

impl ListDetail {
    /// The parts that a view shows.
    #[must_use]
    pub fn of(view: View) -> Self {
        Self {
            view,
            shares: view == View::Full,
        }
    }
}
