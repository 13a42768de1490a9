//! The callers of a history, and what each may read.

use std::collections::BTreeMap;

use e2e::stack::Stack;
use proto::chat::v1::{Subject, subject};
use testkit::clients::{Bearer, Caller, bearer};
use uuid::Uuid;

/// A caller's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Has chats.
    Owner,
    /// Has chats too.
    Colleague,
    /// Chats are shared with this user and with its group.
    Reader,
    /// Chats are shared with the group of this user.
    Member,
    /// Chats are shared with this user.
    Guest,
    /// Reads the organization's chats.
    Administrator,
    /// Reads all chats.
    Auditor,
    /// The service that acts for owners.
    Internal,
    /// Of the group, and may do nothing.
    Suspended,
    /// Has a chat, and nothing to do with the others.
    Stranger,
}

impl Role {
    pub(super) const ALL: [Self; 10] = [
        Self::Owner,
        Self::Colleague,
        Self::Reader,
        Self::Member,
        Self::Guest,
        Self::Administrator,
        Self::Auditor,
        Self::Internal,
        Self::Suspended,
        Self::Stranger,
    ];

    /// Through which shares this caller reads.
    pub(super) fn shares(self) -> &'static [ShareTarget] {
        match self {
            Self::Reader => &[ShareTarget::Reader, ShareTarget::Group],
            Self::Member => &[ShareTarget::Group],
            Self::Guest => &[ShareTarget::Guest],
            Self::Owner
            | Self::Colleague
            | Self::Administrator
            | Self::Auditor
            | Self::Internal
            | Self::Suspended
            | Self::Stranger => &[],
        }
    }
}

/// The subject that a chat is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShareTarget {
    Reader,
    Guest,
    Group,
}

impl ShareTarget {
    pub(super) const ALL: [Self; 3] = [Self::Reader, Self::Guest, Self::Group];
}

/// The callers of one history.
pub(super) struct Cast {
    ids: BTreeMap<Role, String>,
    bearers: BTreeMap<Role, Bearer>,
    pub(super) organization: Uuid,
    group: Uuid,
}

impl Cast {
    /// New users, and the two services of all histories. Owners have linked an account.
    pub(super) async fn new(stack: &Stack) -> Self {
        let (organization, group) = (Uuid::now_v7(), Uuid::now_v7());
        let caller = |role| match role {
            Role::Owner | Role::Colleague => Caller::user().member(organization, "member"),
            Role::Reader | Role::Member => Caller::user().group(group),
            Role::Guest | Role::Stranger => Caller::user(),
            Role::Administrator => Caller::user().member(organization, "admin"),
            Role::Auditor => Caller::user().site("auditor"),
            Role::Internal => Caller::internal(),
            Role::Suspended => Caller::user().group(group).suspended(),
        };
        let callers = Role::ALL.map(|role| (role, caller(role)));
        for (role, caller) in &callers {
            if matches!(role, Role::Owner | Role::Colleague) {
                stack.link(caller, &format!("user-{}", caller.id())).await;
            }
        }
        let bearer = |caller: &Caller| bearer(&stack.token(caller));
        Self {
            ids: callers.iter().map(|(role, of)| (*role, of.id())).collect(),
            bearers: callers
                .iter()
                .map(|(role, of)| (*role, bearer(of)))
                .collect(),
            organization,
            group,
        }
    }

    pub(super) fn id(&self, role: Role) -> String {
        self.ids[&role].clone()
    }

    pub(super) fn bearer(&self, role: Role) -> Bearer {
        self.bearers[&role].clone()
    }

    pub(super) fn subject(&self, target: ShareTarget) -> Subject {
        let subject = match target {
            ShareTarget::Reader => subject::Subject::UserId(self.id(Role::Reader)),
            ShareTarget::Guest => subject::Subject::UserId(self.id(Role::Guest)),
            ShareTarget::Group => subject::Subject::GroupId(self.group.to_string()),
        };
        Subject {
            subject: Some(subject),
        }
    }
}
