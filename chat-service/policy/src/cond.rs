//! The condition of policies as it is after loading: typed, resolved, and with holes only where the
//! caller goes. Filling them in is the whole of partial evaluation at request time; it cannot fail.

use std::{cell::OnceCell, sync::Arc};

use crate::{
    id::{GroupId, OrganizationId, UserId},
    pred::{Atom, Level, Pred},
    principal::{ADMIN, Principal, User},
};

/// A condition on caller and chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cond {
    Const(bool),
    Caller(CallerFact),
    Chat(ChatFact),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// What is known when a request is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallerFact {
    IsUser(UserId),
    IsService(String),
    InGroup(GroupId),
    In(Membership, OrganizationId),
    Nowhere(Membership),
    SiteRole(String),
    NoSiteRole,
    Suspended,
}

/// What becomes a part of the predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChatFact {
    /// The same for every caller.
    Fixed(Atom),
    OwnerIsCaller,
    OrganizationOfCaller(Membership),
    SharedWithCaller(Level),
    SharedWithGroupsOfCaller(Level),
}

/// As what somebody belongs to an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    Admin,
    Member,
}

impl Cond {
    pub(crate) fn atom(atom: Atom) -> Self {
        Self::Chat(ChatFact::Fixed(atom))
    }

    pub(crate) fn all(conds: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for cond in conds {
            match cond {
                Self::Const(true) => {}
                Self::Const(false) => return Self::Const(false),
                Self::All(inner) => inner.into_iter().for_each(|cond| add(&mut flat, cond)),
                cond @ (Self::Caller(_) | Self::Chat(_) | Self::Any(_) | Self::Not(_)) => {
                    add(&mut flat, cond);
                }
            }
        }
        drop_guards(&mut flat);
        one_or(flat, true, Self::All)
    }

    pub(crate) fn any(conds: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for cond in conds {
            match cond {
                Self::Const(false) => {}
                Self::Const(true) => return Self::Const(true),
                Self::Any(inner) => inner.into_iter().for_each(|cond| add(&mut flat, cond)),
                cond @ (Self::Caller(_) | Self::Chat(_) | Self::All(_) | Self::Not(_)) => {
                    add(&mut flat, cond);
                }
            }
        }
        one_or(flat, false, Self::Any)
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Not(cond) => *cond,
            cond @ (Self::Caller(_) | Self::Chat(_) | Self::All(_) | Self::Any(_)) => {
                Self::Not(Box::new(cond))
            }
        }
    }

    /// Fills in the caller. What is known disappears; what is left is about the chat.
    pub(crate) fn filled(&self, caller: &Caller<'_>) -> Pred {
        match self {
            Self::Const(true) => Pred::True,
            Self::Const(false) => Pred::False,
            Self::Caller(fact) if caller.satisfies(fact) => Pred::True,
            Self::Caller(_) => Pred::False,
            Self::Chat(fact) => caller.atom(fact).map_or(Pred::False, Pred::Atom),
            Self::All(conds) => Pred::all(conds.iter().map(|cond| cond.filled(caller))),
            Self::Any(conds) => Pred::any(conds.iter().map(|cond| cond.filled(caller))),
            Self::Not(cond) => cond.filled(caller).negated(),
        }
    }
}

/// Two policies often say the same; the predicate says it once.
fn add(conds: &mut Vec<Cond>, cond: Cond) {
    if !conds.contains(&cond) {
        conds.push(cond);
    }
}

/// Cedar wants `has` and `hasTag` before an optional value is used. Our atoms do not hold without the
/// value, so that beside one of them the guard says nothing more.
fn drop_guards(conds: &mut Vec<Cond>) {
    let guarded: Vec<Atom> = conds
        .iter()
        .filter_map(|cond| match cond {
            Cond::Chat(fact) => fact.guard(),
            Cond::Const(_) | Cond::Caller(_) | Cond::All(_) | Cond::Any(_) | Cond::Not(_) => None,
        })
        .collect();
    conds.retain(|cond| match cond {
        Cond::Chat(ChatFact::Fixed(atom)) => !guarded.contains(atom),
        Cond::Const(_)
        | Cond::Caller(_)
        | Cond::Chat(_)
        | Cond::All(_)
        | Cond::Any(_)
        | Cond::Not(_) => true,
    });
}

impl ChatFact {
    /// What a chat must have for this to hold, if it is optional.
    fn guard(&self) -> Option<Atom> {
        match self {
            Self::Fixed(Atom::Organization(_)) | Self::OrganizationOfCaller(_) => {
                Some(Atom::InSomeOrganization)
            }
            Self::Fixed(Atom::Workspace(_)) => Some(Atom::InSomeWorkspace),
            Self::Fixed(Atom::LabelIs(key, _) | Atom::LabelLike(key, _)) => {
                Some(Atom::Label(key.clone()))
            }
            Self::Fixed(
                Atom::Owner(_)
                | Atom::InSomeOrganization
                | Atom::InSomeWorkspace
                | Atom::SharedWithUser(..)
                | Atom::SharedWithGroup(..)
                | Atom::Archived
                | Atom::Status(_)
                | Atom::Title(_)
                | Atom::TitleLike(_)
                | Atom::Label(_),
            )
            | Self::OwnerIsCaller
            | Self::SharedWithCaller(_)
            | Self::SharedWithGroupsOfCaller(_) => None,
        }
    }
}

fn one_or(mut conds: Vec<Cond>, empty: bool, many: fn(Vec<Cond>) -> Cond) -> Cond {
    match conds.len() {
        0 => Cond::Const(empty),
        1 => conds.swap_remove(0),
        _ => many(conds),
    }
}

/// A caller whose sets are made once, when first asked for, and shared by all atoms.
pub(crate) struct Caller<'a> {
    principal: &'a Principal,
    admin_of: OnceCell<Arc<[OrganizationId]>>,
    member_of: OnceCell<Arc<[OrganizationId]>>,
    groups: OnceCell<Arc<[GroupId]>>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(principal: &'a Principal) -> Self {
        Self {
            principal,
            admin_of: OnceCell::new(),
            member_of: OnceCell::new(),
            groups: OnceCell::new(),
        }
    }

    fn user(&self) -> Option<&'a User> {
        match self.principal {
            Principal::User(user) => Some(user),
            Principal::Service(_) => None,
        }
    }

    fn satisfies(&self, fact: &CallerFact) -> bool {
        let user = self.user();
        match fact {
            CallerFact::IsUser(id) => user.is_some_and(|user| user.id == *id),
            CallerFact::IsService(wanted) => match self.principal {
                Principal::Service(name) => name == wanted,
                Principal::User(_) => false,
            },
            CallerFact::InGroup(group) => user.is_some_and(|user| user.groups.contains(group)),
            CallerFact::In(membership, organization) => user
                .and_then(|user| user.organizations.get(organization))
                .is_some_and(|roles| membership.has(roles)),
            CallerFact::Nowhere(membership) => user.is_some_and(|user| {
                !user
                    .organizations
                    .values()
                    .any(|roles| membership.has(roles))
            }),
            CallerFact::SiteRole(role) => user.is_some_and(|user| user.site_roles.contains(role)),
            CallerFact::NoSiteRole => user.is_some_and(|user| user.site_roles.is_empty()),
            CallerFact::Suspended => user.is_some_and(|user| user.suspended),
        }
    }

    /// The atom; none when no chat can satisfy it.
    fn atom(&self, fact: &ChatFact) -> Option<Atom> {
        if let ChatFact::Fixed(atom) = fact {
            return Some(atom.clone());
        }
        let user = self.user()?;
        match fact {
            ChatFact::Fixed(atom) => Some(atom.clone()),
            ChatFact::OwnerIsCaller => Some(Atom::Owner(user.id)),
            ChatFact::OrganizationOfCaller(membership) => {
                let set = match membership {
                    Membership::Admin => &self.admin_of,
                    Membership::Member => &self.member_of,
                };
                let set = set.get_or_init(|| organizations(user, *membership));
                (!set.is_empty()).then(|| Atom::Organization(set.clone()))
            }
            ChatFact::SharedWithCaller(level) => Some(Atom::SharedWithUser(user.id, *level)),
            ChatFact::SharedWithGroupsOfCaller(level) => {
                let set = self
                    .groups
                    .get_or_init(|| user.groups.iter().copied().collect());
                (!set.is_empty()).then(|| Atom::SharedWithGroup(set.clone(), *level))
            }
        }
    }
}

impl Membership {
    fn has(self, roles: &std::collections::BTreeSet<String>) -> bool {
        match self {
            Self::Admin => roles.contains(ADMIN),
            Self::Member => true,
        }
    }
}

/// The organizations that `user` belongs to as `membership`.
pub(crate) fn organizations(user: &User, membership: Membership) -> Arc<[OrganizationId]> {
    user.organizations
        .iter()
        .filter(|(_, roles)| membership.has(roles))
        .map(|(id, _)| *id)
        .collect()
}
