//! What can be done, and to what.

/// What can be done. Every RPC has one, and so has reading a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A chat.
    Chat,
    /// A user's credential at a git host.
    GitAccount,
    /// The synchronisation as a whole.
    Sync,
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

    /// From the action's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// What it is done to.
    #[must_use]
    pub fn resource(self) -> ResourceKind {
        match self {
            Self::ReadChat
            | Self::CreateChat
            | Self::UpdateChat
            | Self::ArchiveChat
            | Self::ShareChat
            | Self::RefreshChat
            | Self::ReportGitRef => ResourceKind::Chat,
            Self::LinkGitAccount | Self::ListGitAccounts | Self::UnlinkGitAccount => {
                ResourceKind::GitAccount
            }
            Self::LeaseDiffStatuses
            | Self::RenewLease
            | Self::ReportOutcomes
            | Self::ReleaseLease
            | Self::ReadGitCredential
            | Self::GetSyncState => ResourceKind::Sync,
        }
    }
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
