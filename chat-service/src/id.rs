//! Ids as types of their own, so that one is never passed for another.

use std::fmt;

pub use policy::{GroupId, OrganizationId, UserId, WorkspaceId};
pub use proto::sync::{GitAccountId, GitRefId, LeaseToken, RequestId};
use uuid::Uuid;

/// Names a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatId(pub Uuid);

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ChatId {
    /// A new id; ids made later sort later.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for ChatId {
    fn default() -> Self {
        Self::new()
    }
}
