//! Ids as types of their own, so that one is never passed for another.

use std::fmt;

pub use policy::{GroupId, OrganizationId, UserId, WorkspaceId};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// Names a chat.
    ChatId
    /// Names a git ref of a chat.
    GitRefId
    /// Names a linked account.
    GitAccountId
    /// Proves a lease.
    LeaseToken
    /// Makes a repeated call the same call.
    RequestId
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
