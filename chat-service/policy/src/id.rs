//! Ids that policy can talk about, as types of their own, so that one is never passed for another.

use std::fmt;

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
    /// Names a user.
    UserId
    /// Names an organization.
    OrganizationId
    /// Names a group of users.
    GroupId
    /// Names the workspace that an agent runs in.
    WorkspaceId
}
