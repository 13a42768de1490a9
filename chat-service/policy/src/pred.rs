//! A predicate over one chat: small, typed, and the same thing for SQL and for a row in memory.
//!
//! It is two-valued. An atom about something that a chat may lack (an organization, a label) does not
//! hold when it is lacking, and its negation does.

mod display;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    id::{GroupId, OrganizationId, UserId, WorkspaceId},
    pattern::Pattern,
};

/// A predicate over a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pred {
    /// Every chat.
    True,
    /// No chat.
    False,
    /// One fact about the chat.
    Atom(Atom),
    /// All of them hold.
    All(Vec<Self>),
    /// Some of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

/// One fact about a chat. Ids that are compared with one column are one set, so that the text of
/// the SQL does not depend on how many there are; sets are shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// This user's.
    Owner(UserId),
    /// In one of these organizations. A chat without one is in none.
    Organization(Arc<[OrganizationId]>),
    /// In some organization, whichever.
    InSomeOrganization,
    /// In one of these workspaces.
    Workspace(Arc<[WorkspaceId]>),
    /// In some workspace, whichever.
    InSomeWorkspace,
    /// Shared with this user, at this level or a higher one.
    SharedWithUser(UserId, Level),
    /// Shared with one of these groups, at this level or a higher one.
    SharedWithGroup(Arc<[GroupId]>, Level),
    /// Archived.
    Archived,
    /// In one of these states, as the database spells them.
    Status(Arc<[String]>),
    /// Titled exactly so.
    Title(Arc<str>),
    /// Titled like this.
    TitleLike(Pattern),
    /// Has a label with this key.
    Label(Arc<str>),
    /// Has a label with this key and this value.
    LabelIs(Arc<str>, Arc<str>),
    /// Has a label with this key and a value like this.
    LabelLike(Arc<str>, Pattern),
}

/// What a share allows. A writer may do all that a reader may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Read.
    Reader,
    /// Also update title, status and labels.
    Writer,
}

/// Who a chat is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A user.
    User(UserId),
    /// Everybody in a group.
    Group(GroupId),
}

/// All that a predicate can ask about a chat.
#[derive(Clone, Copy, Debug)]
pub struct ChatFacts<'a> {
    /// Whose it is.
    pub owner: UserId,
    /// Where it belongs.
    pub organization: Option<OrganizationId>,
    /// Where its agent runs.
    pub workspace: Option<WorkspaceId>,
    /// What it is called.
    pub title: &'a str,
    /// What its agent is doing, as the database spells it.
    pub status: &'a str,
    /// Free pairs.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it is archived.
    pub archived: bool,
    /// Whom it is shared with.
    pub shares: &'a [(Subject, Level)],
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

impl ChatFacts<'_> {
    /// A chat of which nothing is known but whose it is.
    #[must_use]
    pub fn of_owner(owner: UserId) -> Self {
        Self {
            owner,
            organization: None,
            workspace: None,
            title: "",
            status: "waiting",
            labels: &NO_LABELS,
            archived: false,
            shares: &[],
        }
    }
}

impl Pred {
    /// Whether it holds for `chat`.
    #[must_use]
    pub fn holds(&self, chat: &ChatFacts<'_>) -> bool {
        match self {
            Self::True => true,
            Self::False => false,
            Self::Atom(atom) => atom.holds(chat),
            Self::All(preds) => preds.iter().all(|pred| pred.holds(chat)),
            Self::Any(preds) => preds.iter().any(|pred| pred.holds(chat)),
            Self::Not(pred) => !pred.holds(chat),
        }
    }

    /// That all of them hold, without constants inside and nested conjunctions.
    #[must_use]
    pub fn all(preds: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for pred in preds {
            match pred {
                Self::True => {}
                Self::False => return Self::False,
                Self::All(inner) => flat.extend(inner),
                pred @ (Self::Atom(_) | Self::Any(_) | Self::Not(_)) => flat.push(pred),
            }
        }
        one_or(flat, Self::True, Self::All)
    }

    /// That some of them holds, without constants inside and nested disjunctions.
    #[must_use]
    pub fn any(preds: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for pred in preds {
            match pred {
                Self::False => {}
                Self::True => return Self::True,
                Self::Any(inner) => flat.extend(inner),
                pred @ (Self::Atom(_) | Self::All(_) | Self::Not(_)) => flat.push(pred),
            }
        }
        one_or(flat, Self::False, Self::Any)
    }

    /// That it does not hold.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Not(pred) => *pred,
            pred @ (Self::Atom(_) | Self::All(_) | Self::Any(_)) => Self::Not(Box::new(pred)),
        }
    }

    /// What it still asks of a chat that is known to be `owner`'s: it says nothing of owners, and holds
    /// for each of these chats as before.
    #[must_use]
    pub fn of_owner(&self, owner: UserId) -> Self {
        let of_owner = |preds: &[Self]| -> Vec<Self> {
            preds.iter().map(|pred| pred.of_owner(owner)).collect()
        };
        match self {
            Self::Atom(Atom::Owner(other)) if *other == owner => Self::True,
            Self::Atom(Atom::Owner(_)) => Self::False,
            Self::True | Self::False | Self::Atom(_) => self.clone(),
            Self::Not(pred) => pred.of_owner(owner).negated(),
            Self::All(preds) => Self::all(of_owner(preds)),
            Self::Any(preds) => Self::any(of_owner(preds)),
        }
    }

    /// The same predicate without constants inside, nested conjunctions or empty sets.
    #[must_use]
    pub fn simplified(self) -> Self {
        match self {
            Self::Atom(atom) if atom.is_empty() => Self::False,
            Self::True | Self::False | Self::Atom(_) => self,
            Self::Not(pred) => pred.simplified().negated(),
            Self::All(preds) => Self::all(preds.into_iter().map(Self::simplified)),
            Self::Any(preds) => Self::any(preds.into_iter().map(Self::simplified)),
        }
    }
}

fn one_or(mut preds: Vec<Pred>, empty: Pred, many: fn(Vec<Pred>) -> Pred) -> Pred {
    match preds.len() {
        0 => empty,
        1 => preds.swap_remove(0),
        _ => many(preds),
    }
}

impl Atom {
    /// Whether it is about a set without members, which nothing is in.
    fn is_empty(&self) -> bool {
        match self {
            Self::Organization(ids) => ids.is_empty(),
            Self::Workspace(ids) => ids.is_empty(),
            Self::SharedWithGroup(ids, _) => ids.is_empty(),
            Self::Status(names) => names.is_empty(),
            Self::Owner(_)
            | Self::InSomeOrganization
            | Self::InSomeWorkspace
            | Self::SharedWithUser(..)
            | Self::Archived
            | Self::Title(_)
            | Self::TitleLike(_)
            | Self::Label(_)
            | Self::LabelIs(..)
            | Self::LabelLike(..) => false,
        }
    }

    fn holds(&self, chat: &ChatFacts<'_>) -> bool {
        let shared = |matches: &dyn Fn(Subject) -> bool, least: Level| {
            chat.shares
                .iter()
                .any(|(subject, level)| *level >= least && matches(*subject))
        };
        match self {
            Self::Owner(user) => chat.owner == *user,
            Self::Organization(ids) => chat.organization.is_some_and(|id| ids.contains(&id)),
            Self::InSomeOrganization => chat.organization.is_some(),
            Self::Workspace(ids) => chat.workspace.is_some_and(|id| ids.contains(&id)),
            Self::InSomeWorkspace => chat.workspace.is_some(),
            Self::SharedWithUser(user, least) => {
                shared(&|subject| subject == Subject::User(*user), *least)
            }
            Self::SharedWithGroup(groups, least) => shared(
                &|subject| matches!(subject, Subject::Group(group) if groups.contains(&group)),
                *least,
            ),
            Self::Archived => chat.archived,
            Self::Status(names) => names.iter().any(|name| name == chat.status),
            Self::Title(title) => chat.title == &**title,
            Self::TitleLike(pattern) => pattern.matches(chat.title),
            Self::Label(key) => chat.labels.contains_key(&**key),
            Self::LabelIs(key, value) => {
                chat.labels.get(&**key).map(String::as_str) == Some(&**value)
            }
            Self::LabelLike(key, pattern) => chat
                .labels
                .get(&**key)
                .is_some_and(|value| pattern.matches(value)),
        }
    }
}
