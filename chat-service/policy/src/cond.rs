//! The condition of policies as it is after loading: typed, resolved, and with holes only where the
//! caller goes. Filling them in is the whole of partial evaluation at request time; it cannot fail.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    id::{GroupId, OrganizationId, UserId},
    pred::{Atom, Formula, Level, Pred},
    principal::{ADMIN, Principal, User},
};

/// A condition on caller and chat.
pub(crate) type Cond = Formula<Fact>;

/// One fact about the caller, about the chat, or about both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    IsUser(UserId),
    IsService(String),
    InGroup(GroupId),
    In(Membership, OrganizationId),
    Nowhere(Membership),
    SiteRole(String),
    NoSiteRole,
    Suspended,
    /// About the chat alone: the same for every caller.
    Chat(Atom),
    OwnerIsCaller,
    OrganizationOfCaller(Membership),
    SharedWithCaller(Level),
    SharedWithGroupsOfCaller(Level),
}

/// As what a user belongs to an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    Admin,
    Member,
}

impl Cond {
    pub(crate) fn chat(atom: Atom) -> Self {
        Self::Atom(Fact::Chat(atom))
    }

    /// The same condition, shorter: policies often repeat one another, ids that are compared with
    /// one column become one set, and guards go. Cedar wants `has` and `hasTag` before an optional
    /// value is used; our atoms do not hold without the value, so that beside one of them the guard
    /// adds nothing.
    pub(crate) fn tidied(self) -> Self {
        match self {
            Self::All(conds) => {
                let mut kept: Vec<Self> = Vec::new();
                for cond in conds.into_iter().map(Self::tidied) {
                    if !kept.contains(&cond) {
                        kept.push(cond);
                    }
                }
                let guards: Vec<Self> = kept.iter().filter_map(Self::guard).collect();
                kept.retain(|cond| !guards.contains(cond));
                Self::all(kept)
            }
            Self::Any(conds) => Self::any(united(conds.into_iter().map(Self::tidied).collect())),
            Self::Not(cond) => cond.tidied().negated(),
            cond @ (Self::True | Self::False | Self::Atom(_)) => cond,
        }
    }

    /// The guard on an optional attribute: the chat must have it for this to hold.
    fn guard(&self) -> Option<Self> {
        let Self::Atom(fact) = self else { return None };
        let guard = if let Fact::Chat(Atom::Organization(_)) | Fact::OrganizationOfCaller(_) = fact
        {
            Atom::InSomeOrganization
        } else if let Fact::Chat(Atom::Workspace(_)) = fact {
            Atom::InSomeWorkspace
        } else if let Fact::Chat(Atom::LabelIs(key, _) | Atom::LabelLike(key, _)) = fact {
            Atom::Label(key.clone())
        } else {
            return None;
        };
        Some(Self::chat(guard))
    }

    /// Whether this now stands for "this or `other`" too.
    fn takes_in(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::Atom(Fact::Chat(atom)), Self::Atom(Fact::Chat(more))) => match (atom, more) {
                (Atom::Owner(ids), Atom::Owner(more)) => unite(ids, more),
                (Atom::Organization(ids), Atom::Organization(more)) => unite(ids, more),
                (Atom::Workspace(ids), Atom::Workspace(more)) => unite(ids, more),
                (Atom::Status(names), Atom::Status(more)) => unite(names, more),
                (Atom::SharedWithUser(ids, level), Atom::SharedWithUser(more, same))
                    if level == same =>
                {
                    unite(ids, more)
                }
                (Atom::SharedWithGroup(ids, level), Atom::SharedWithGroup(more, same))
                    if level == same =>
                {
                    unite(ids, more)
                }
                (atom, more) => atom == more,
            },
            (this, other) => this == other,
        }
    }

    /// Fills in the caller. What is known disappears; what is left is about the chat.
    pub(crate) fn filled(&self, caller: &Caller<'_>) -> Pred {
        self.replaced(&|fact| caller.pred(fact))
    }
}

/// The same alternatives, fewer. By halves, so that a set of ids is copied a few times, and not
/// once for each id.
fn united(mut conds: Vec<Cond>) -> Vec<Cond> {
    if conds.len() < 2 {
        return conds;
    }
    let second = united(conds.split_off(conds.len() / 2));
    let mut kept = united(conds);
    for cond in second {
        if !kept.iter_mut().any(|other| other.takes_in(&cond)) {
            kept.push(cond);
        }
    }
    kept
}

fn unite<T: Clone + Ord>(set: &mut Arc<[T]>, more: &[T]) -> bool {
    let united: BTreeSet<T> = set.iter().chain(more).cloned().collect();
    *set = united.into_iter().collect();
    true
}

/// A caller whose sets are made once and shared by all atoms.
pub(crate) struct Caller<'a> {
    principal: &'a Principal,
    admin_of: Arc<[OrganizationId]>,
    member_of: Arc<[OrganizationId]>,
    groups: Arc<[GroupId]>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(principal: &'a Principal) -> Self {
        match principal {
            Principal::Service(_) => Self {
                principal,
                admin_of: Arc::default(),
                member_of: Arc::default(),
                groups: Arc::default(),
            },
            Principal::User(user) => Self {
                principal,
                admin_of: user.organizations(Membership::Admin).collect(),
                member_of: user.organizations(Membership::Member).collect(),
                groups: user.groups.iter().copied().collect(),
            },
        }
    }

    fn organizations(&self, membership: Membership) -> &Arc<[OrganizationId]> {
        match membership {
            Membership::Admin => &self.admin_of,
            Membership::Member => &self.member_of,
        }
    }

    fn pred(&self, fact: &Fact) -> Pred {
        let user = match (fact, self.principal) {
            (Fact::Chat(atom), _) => return Pred::Atom(atom.clone()),
            (Fact::IsService(wanted), Principal::Service(name)) => return (name == wanted).into(),
            (_, Principal::Service(_)) => return Pred::False,
            (_, Principal::User(user)) => user,
        };
        match fact {
            Fact::Chat(_) | Fact::IsService(_) => Pred::False,
            Fact::IsUser(id) => (user.id == *id).into(),
            Fact::InGroup(group) => user.groups.contains(group).into(),
            Fact::In(membership, organization) => self
                .organizations(*membership)
                .contains(organization)
                .into(),
            Fact::Nowhere(membership) => self.organizations(*membership).is_empty().into(),
            Fact::SiteRole(role) => user.site_roles.contains(role).into(),
            Fact::NoSiteRole => user.site_roles.is_empty().into(),
            Fact::Suspended => user.suspended.into(),
            Fact::OwnerIsCaller => Pred::Atom(Atom::Owner([user.id].into())),
            Fact::SharedWithCaller(level) => {
                Pred::Atom(Atom::SharedWithUser([user.id].into(), *level))
            }
            // No chat satisfies an empty set.
            Fact::OrganizationOfCaller(membership) => match self.organizations(*membership) {
                ids if ids.is_empty() => Pred::False,
                ids => Pred::Atom(Atom::Organization(ids.clone())),
            },
            Fact::SharedWithGroupsOfCaller(_) if self.groups.is_empty() => Pred::False,
            Fact::SharedWithGroupsOfCaller(level) => {
                Pred::Atom(Atom::SharedWithGroup(self.groups.clone(), *level))
            }
        }
    }
}

impl User {
    /// The organizations that the user belongs to as `membership`.
    pub(crate) fn organizations(
        &self,
        membership: Membership,
    ) -> impl Iterator<Item = OrganizationId> {
        self.organizations
            .iter()
            .filter(move |(_, roles)| match membership {
                Membership::Admin => roles.contains(ADMIN),
                Membership::Member => true,
            })
            .map(|(id, _)| *id)
    }
}
