//! A chat, apart from how it is stored or sent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use policy::{ChatFacts, Level, Subject};

use crate::{
    diff_status::DiffStatus,
    etag::Etag,
    id::{ChatId, OrganizationId, UserId, WorkspaceId},
    text_enum::text_enum,
};

/// Subjects that one chat may be shared with at most.
pub const MAX_SUBJECTS: usize = 100;
/// Characters of a title at most.
pub const MAX_TITLE_CHARS: usize = 200;
/// Labels of a chat at most.
pub const MAX_LABELS: usize = 32;
/// Characters of a label's key at most.
pub const MAX_LABEL_KEY_CHARS: usize = 63;
/// Characters of a label's value at most.
pub const MAX_LABEL_VALUE_CHARS: usize = 255;
/// The title of a chat that was created without one.
pub const DEFAULT_TITLE: &str = "New chat";

text_enum! {
    /// The status of the agent.
    ChatStatus, else Unspecified {
        /// For the user.
        Waiting = "waiting",
        /// About to run.
        Pending = "pending",
        /// At work.
        Running = "running",
        /// Stopped for now.
        Paused = "paused",
        /// Done.
        Completed = "completed",
        /// Failed.
        Error = "error",
    }
}

/// How much of a chat is read, and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A row of a list: the primary git ref, and no shares.
    Basic,
    /// All that there is, and that the caller may see.
    Full,
}

/// A chat with its git refs and shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// Which.
    pub id: ChatId,
    /// Whose.
    pub owner: UserId,
    /// None for a personal chat.
    pub organization: Option<OrganizationId>,
    /// Where the agent runs.
    pub workspace: Option<WorkspaceId>,
    /// At most [`MAX_TITLE_CHARS`] characters.
    pub title: String,
    /// The status of the agent.
    pub status: ChatStatus,
    /// Free pairs.
    pub labels: BTreeMap<String, String>,
    /// Out of the way; its refs are not polled.
    pub archived: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The sort key of lists.
    pub updated_at: Timestamp,
    /// Its git refs, the primary first, then by last report.
    pub diff_statuses: Vec<DiffStatus>,
    /// The subjects that it is shared with.
    pub shares: Vec<(Subject, Level)>,
}

impl Chat {
    /// Which state of it this is.
    #[must_use]
    pub fn etag(&self) -> Etag {
        Etag::of(self.updated_at)
    }

    /// The facts that policy can ask about it.
    #[must_use]
    pub fn facts(&self) -> ChatFacts<'_> {
        ChatFacts {
            owner: self.owner,
            organization: self.organization,
            workspace: self.workspace,
            title: &self.title,
            status: self.status.name(),
            labels: &self.labels,
            archived: self.archived,
            shares: &self.shares,
        }
    }

    /// The diff status of the ref reported last.
    #[must_use]
    pub fn primary(&self) -> Option<&DiffStatus> {
        self.diff_statuses.iter().find(|status| status.primary)
    }

    /// A copy of what a row of a list shows: of the git refs the primary, and no shares.
    #[must_use]
    pub fn row(&self) -> Self {
        Self {
            id: self.id,
            owner: self.owner,
            organization: self.organization,
            workspace: self.workspace,
            title: self.title.clone(),
            status: self.status,
            labels: self.labels.clone(),
            archived: self.archived,
            created_at: self.created_at,
            updated_at: self.updated_at,
            diff_statuses: self.primary().cloned().into_iter().collect(),
            shares: Vec::new(),
        }
    }

    /// The icon of its row in a list. A pull request's icon stands in only where the agent is idle:
    /// what is going on matters more than what it led to. Empty for a status of a later release.
    #[must_use]
    pub fn icon(&self) -> &'static str {
        let own = match self.status {
            ChatStatus::Waiting | ChatStatus::Completed => "check",
            ChatStatus::Running | ChatStatus::Pending => return "spinner",
            ChatStatus::Paused => return "pause",
            ChatStatus::Error => return "error-triangle",
            ChatStatus::Unspecified => return "",
        };
        self.primary()
            .and_then(DiffStatus::icon)
            .map_or(own, |icon| icon.name)
    }
}

/// The changes of an `UpdateChat` call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatChanges {
    /// The new title.
    pub title: Option<String>,
    /// The new status.
    pub status: Option<ChatStatus>,
    /// All labels from now on.
    pub labels: Option<BTreeMap<String, String>>,
    /// Labels by key that are set, or taken away; others stay as they are.
    pub single_labels: BTreeMap<String, Option<String>>,
    /// Whether it is archived from now on.
    pub archived: Option<bool>,
}
