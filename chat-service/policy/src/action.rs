//! Actions, and the kinds of resources they apply to.

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal: $resource:ident,)*) => {
        /// An action. Every RPC has one, and so has reading a credential.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            /// All actions, for tables and tests.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$action),*];

            /// The action's name in policies and messages.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }

            /// The kind of resource that it applies to.
            #[must_use]
            pub fn resource(self) -> ResourceKind {
                match self {
                    $(Self::$action => ResourceKind::$resource,)*
                }
            }
        }
    };
}

actions! {
    /// `GetChats`, `GetChat`, `BatchGetChats`, `WatchChats`, `GetChatDiff`: seeing that a chat
    /// exists and what is in it.
    ReadChat = "readChat": Chat,
    /// `CreateChat`.
    CreateChat = "createChat": Chat,
    /// `UpdateChat` of title, status, labels.
    UpdateChat = "updateChat": Chat,
    /// `UpdateChat` of archived.
    ArchiveChat = "archiveChat": Chat,
    /// `DeleteChat`.
    DeleteChat = "deleteChat": Chat,
    /// `UpdateChatSharing`.
    ShareChat = "shareChat": Chat,
    /// `RefreshChat`.
    RefreshChat = "refreshChat": Chat,
    /// `ReportGitRef`.
    ReportGitRef = "reportGitRef": Chat,
    /// `LinkGitAccount`.
    LinkGitAccount = "linkGitAccount": GitAccount,
    /// `ListGitAccounts`.
    ListGitAccounts = "listGitAccounts": GitAccount,
    /// `UnlinkGitAccount`.
    UnlinkGitAccount = "unlinkGitAccount": GitAccount,
    /// `LeaseDiffStatuses`.
    LeaseDiffStatuses = "leaseDiffStatuses": Sync,
    /// `RenewLease`.
    RenewLease = "renewLease": Sync,
    /// `ReportOutcomes`, `ReportDiff`.
    ReportOutcomes = "reportOutcomes": Sync,
    /// `ReleaseLease`.
    ReleaseLease = "releaseLease": Sync,
    /// Opening the token of an account whose refs are leased.
    ReadGitCredential = "readGitCredential": Sync,
    /// `GetSyncState`.
    GetSyncState = "getSyncState": Sync,
    /// `ReleaseLeaseOf`.
    ReleaseLeaseOf = "releaseLeaseOf": Sync,
    /// `ResumeBudget`.
    ResumeBudget = "resumeBudget": Sync,
    /// `RequeueGitRefs`.
    RequeueGitRefs = "requeueGitRefs": Sync,
}

impl Action {
    /// From the action's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// The kinds of resources of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A chat.
    Chat,
    /// A user's credential at a git host.
    GitAccount,
    /// The synchronisation as a whole.
    Sync,
}

impl ResourceKind {
    /// The entity type in policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "Chat",
            Self::GitAccount => "GitAccount",
            Self::Sync => "Sync",
        }
    }
}
