//! Who may do what.
//!
//! [`rules`] turns a known principal and action into a predicate over an unknown
//! chat; the store prints it into SQL (`store::predicate`), and [`Pred::holds`] interprets it for a
//! chat that is in memory. An error anywhere denies.

pub mod pred;
pub mod principal;
pub mod rules;

pub use pred::{Atom, ChatFacts, Level, Pred};
pub use principal::{Principal, User};

use crate::{
    error::Error,
    id::{GroupId, OrganizationId, UserId},
};

/// What can be done. Every RPC has one, and so has reading a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `GetChats`, `GetChat`, `WatchChats`: seeing that a chat exists and what is in it.
    ReadChat,
    /// `CreateChat`.
    CreateChat,
    /// `UpdateChat` of title, status, labels.
    UpdateChat,
    /// `UpdateChat` of archived.
    ArchiveChat,
    /// `UpdateChatSharing`.
    ShareChat,
    /// `RefreshChat`.
    RefreshChat,
    /// `ReportGitRef`.
    ReportGitRef,
    /// `LinkGitAccount`.
    LinkGitAccount,
    /// `ListGitAccounts`.
    ListGitAccounts,
    /// `UnlinkGitAccount`.
    UnlinkGitAccount,
    /// `LeaseDiffStatuses`.
    LeaseDiffStatuses,
    /// `RenewLease`.
    RenewLease,
    /// `ReportOutcomes`.
    ReportOutcomes,
    /// `ReleaseLease`.
    ReleaseLease,
    /// Opening the token of an account whose refs are leased.
    ReadGitCredential,
    /// `GetSyncState`.
    GetSyncState,
}

impl Action {
    /// All actions, for tables and tests.
    pub const ALL: [Self; 16] = [
        Self::ReadChat,
        Self::CreateChat,
        Self::UpdateChat,
        Self::ArchiveChat,
        Self::ShareChat,
        Self::RefreshChat,
        Self::ReportGitRef,
        Self::LinkGitAccount,
        Self::ListGitAccounts,
        Self::UnlinkGitAccount,
        Self::LeaseDiffStatuses,
        Self::RenewLease,
        Self::ReportOutcomes,
        Self::ReleaseLease,
        Self::ReadGitCredential,
        Self::GetSyncState,
    ];

    /// The action's name in policies and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadChat => "readChat",
            Self::CreateChat => "createChat",
            Self::UpdateChat => "updateChat",
            Self::ArchiveChat => "archiveChat",
            Self::ShareChat => "shareChat",
            Self::RefreshChat => "refreshChat",
            Self::ReportGitRef => "reportGitRef",
            Self::LinkGitAccount => "linkGitAccount",
            Self::ListGitAccounts => "listGitAccounts",
            Self::UnlinkGitAccount => "unlinkGitAccount",
            Self::LeaseDiffStatuses => "leaseDiffStatuses",
            Self::RenewLease => "renewLease",
            Self::ReportOutcomes => "reportOutcomes",
            Self::ReleaseLease => "releaseLease",
            Self::ReadGitCredential => "readGitCredential",
            Self::GetSyncState => "getSyncState",
        }
    }
}

/// A predicate that policy made for a principal and an action. Store functions take it by value:
/// only [`Authorizer`] makes one, so a list without authorization does not compile.
#[derive(Clone, Debug)]
pub struct Authorized {
    action: Action,
    pred: Pred,
}

impl Authorized {
    /// The predicate over a chat.
    #[must_use]
    pub fn pred(&self) -> &Pred {
        &self.pred
    }

    /// Whether a chat that is in memory satisfies it.
    #[must_use]
    pub fn holds(&self, chat: &ChatFacts<'_>) -> bool {
        self.pred.holds(chat)
    }

    /// What both this and `other` allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let pred = Pred::All(vec![self.pred, other.pred]).simplified();
        Self {
            action: self.action,
            pred,
        }
    }

    /// What it allows.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }
}

/// Decides. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Authorizer {
    /// Actions that nobody may do, whatever the rules say: an operator's emergency brake.
    denied: Vec<Action>,
}

impl Authorizer {
    /// Follows the rules, without exceptions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also denies `actions` to everybody.
    #[must_use]
    pub fn denying(actions: &[Action]) -> Self {
        Self {
            denied: actions.to_vec(),
        }
    }

    /// The chats on which `principal` may do `action`.
    #[must_use]
    pub fn chats(&self, principal: &Principal, action: Action) -> Authorized {
        let pred = if self.denied.contains(&action) {
            Pred::False
        } else {
            rules::chats(principal, action).simplified()
        };
        Authorized { action, pred }
    }

    /// The chats that somebody else shared with `principal`: those it may read for that reason.
    #[must_use]
    pub fn shared_chats(&self, principal: &Principal) -> Authorized {
        let pred = if self.denied.contains(&Action::ReadChat) {
            Pred::False
        } else {
            rules::shared_chats(principal).simplified()
        };
        Authorized {
            action: Action::ReadChat,
            pred,
        }
    }

    /// Whether `principal` may create a chat for `owner` in `organization`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn create_chat(
        &self,
        principal: &Principal,
        owner: UserId,
        organization: Option<OrganizationId>,
    ) -> Result<(), Error> {
        let chat = ChatFacts {
            owner,
            organization,
            archived: false,
            shares: &[],
        };
        let allowed = self.chats(principal, Action::CreateChat).holds(&chat);
        decide(allowed, Action::CreateChat)
    }

    /// Whether `principal` may do `action` to the git accounts of `user`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn git_accounts(
        &self,
        principal: &Principal,
        action: Action,
        user: UserId,
    ) -> Result<(), Error> {
        let allowed =
            !self.denied.contains(&action) && rules::git_accounts(principal, action, user);
        decide(allowed, action)
    }

    /// Whether `principal` may do `action`, which is about no chat and no user.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn site(&self, principal: &Principal, action: Action) -> Result<(), Error> {
        decide(
            !self.denied.contains(&action) && rules::site(principal, action),
            action,
        )
    }
}

fn decide(allowed: bool, action: Action) -> Result<(), Error> {
    if allowed {
        Ok(())
    } else {
        Err(Error::NotAllowed {
            action: action.name(),
        })
    }
}

/// Who a chat is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A user.
    User(UserId),
    /// Everybody in a group.
    Group(GroupId),
}
