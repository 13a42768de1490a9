//! The baseline policy as a table of rules: who may do what, one arm per principal class.
//!
//! | who | may |
//! | --- | --- |
//! | owner | everything on their own chats; their own git accounts |
//! | organization admin | read the organization's chats |
//! | site admin | everything but credentials, and but reporting git refs |
//! | site auditor | read everything |
//! | reader, writer | read; a writer also updates title, status, labels |
//! | suspended user | nothing |
//! | internal service | create, read, update, archive, refresh and report git refs for any owner; accounts |
//! | `gitsync` | lease, renew, release, report outcomes, read the credential of what it leased |

use super::{
    Action,
    pred::{Atom, Level, Pred},
    principal::{Principal, User},
};
use crate::id::{OrganizationId, UserId};

/// The worker's name. It is no internal service: it may not read chats.
pub const GITSYNC: &str = "gitsync";

/// Names that internal services have by default.
pub const INTERNAL_SERVICE: &str = "internal";

/// Role of an organization's administrators, and of the site's.
const ADMIN: &str = "admin";
/// Role of those who read everything.
const AUDITOR: &str = "auditor";

/// The chats on which `principal` may do `action`.
pub(super) fn chats(principal: &Principal, action: Action) -> Pred {
    match principal {
        Principal::User(user) if user.suspended => Pred::False,
        Principal::User(user) => user_chats(user, action),
        Principal::Service(name) if name == INTERNAL_SERVICE => match action {
            Action::ReadChat
            | Action::CreateChat
            | Action::UpdateChat
            | Action::ArchiveChat
            | Action::RefreshChat
            | Action::ReportGitRef => Pred::True,
            Action::ShareChat
            | Action::LinkGitAccount
            | Action::ListGitAccounts
            | Action::UnlinkGitAccount
            | Action::LeaseDiffStatuses
            | Action::RenewLease
            | Action::ReportOutcomes
            | Action::ReleaseLease
            | Action::ReadGitCredential
            | Action::GetSyncState => Pred::False,
        },
        Principal::Service(_) => Pred::False,
    }
}

fn user_chats(user: &User, action: Action) -> Pred {
    let owner = Pred::Atom(Atom::Owner(user.id));
    let site_admin = user.site_roles.contains(ADMIN);
    match action {
        Action::ReadChat => {
            if site_admin || user.site_roles.contains(AUDITOR) {
                return Pred::True;
            }
            let administered = organizations(user, |roles| roles.contains(ADMIN));
            Pred::Any(vec![
                owner,
                Pred::Atom(Atom::Organization(administered)),
                Pred::Atom(Atom::SharedWithUser(user.id, Level::Reader)),
                Pred::Atom(Atom::SharedWithGroup(groups(user), Level::Reader)),
            ])
        }
        // A chat belongs to nobody but its owner, and to no organization that its owner is not in.
        Action::CreateChat if !site_admin => {
            let member_of = organizations(user, |_| true);
            Pred::All(vec![
                owner,
                Pred::Any(vec![
                    Pred::Atom(Atom::Organization(member_of)),
                    Pred::Not(Box::new(Pred::Atom(Atom::InSomeOrganization))),
                ]),
            ])
        }
        Action::UpdateChat if !site_admin => Pred::Any(vec![
            owner,
            Pred::Atom(Atom::SharedWithUser(user.id, Level::Writer)),
            Pred::Atom(Atom::SharedWithGroup(groups(user), Level::Writer)),
        ]),
        Action::ArchiveChat | Action::ShareChat | Action::RefreshChat if !site_admin => owner,
        Action::CreateChat
        | Action::UpdateChat
        | Action::ArchiveChat
        | Action::ShareChat
        | Action::RefreshChat => Pred::True,
        // The lookup spends the owner's credential, so nobody else may choose what is looked up.
        Action::ReportGitRef => owner,
        Action::LinkGitAccount
        | Action::ListGitAccounts
        | Action::UnlinkGitAccount
        | Action::LeaseDiffStatuses
        | Action::RenewLease
        | Action::ReportOutcomes
        | Action::ReleaseLease
        | Action::ReadGitCredential
        | Action::GetSyncState => Pred::False,
    }
}

/// The chats that somebody else shared with `principal`.
pub(super) fn shared_chats(principal: &Principal) -> Pred {
    match principal {
        Principal::User(user) if !user.suspended => Pred::All(vec![
            Pred::Any(vec![
                Pred::Atom(Atom::SharedWithUser(user.id, Level::Reader)),
                Pred::Atom(Atom::SharedWithGroup(groups(user), Level::Reader)),
            ]),
            Pred::Not(Box::new(Pred::Atom(Atom::Owner(user.id)))),
        ]),
        Principal::User(_) | Principal::Service(_) => Pred::False,
    }
}

/// Whether `principal` may do `action` to the git accounts of `user`.
pub(super) fn git_accounts(principal: &Principal, action: Action, user: UserId) -> bool {
    let about_accounts = matches!(
        action,
        Action::LinkGitAccount | Action::ListGitAccounts | Action::UnlinkGitAccount
    );
    about_accounts
        && match principal {
            Principal::User(caller) => !caller.suspended && caller.id == user,
            Principal::Service(name) => name == INTERNAL_SERVICE,
        }
}

/// Whether `principal` may do `action`, which is about no chat and no user.
pub(super) fn site(principal: &Principal, action: Action) -> bool {
    match principal {
        Principal::User(user) => {
            !user.suspended && action == Action::GetSyncState && user.site_roles.contains(ADMIN)
        }
        Principal::Service(name) => {
            name == GITSYNC
                && matches!(
                    action,
                    Action::LeaseDiffStatuses
                        | Action::RenewLease
                        | Action::ReportOutcomes
                        | Action::ReleaseLease
                        | Action::ReadGitCredential
                )
        }
    }
}

fn groups(user: &User) -> Vec<crate::id::GroupId> {
    user.groups.iter().copied().collect()
}

fn organizations(
    user: &User,
    which: impl Fn(&std::collections::BTreeSet<String>) -> bool,
) -> Vec<OrganizationId> {
    user.organizations
        .iter()
        .filter(|(_, roles)| which(roles))
        .map(|(id, _)| *id)
        .collect()
}
