//! A predicate over one chat: small, typed, and the same thing for SQL and for a row in memory.
//!
//! It is two-valued. An atom about something that a chat may lack (an organization, a label) does
//! not hold when it is lacking, and its negation does.

mod display;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    id::{GroupId, OrganizationId, UserId, WorkspaceId},
    pattern::Pattern,
};

/// A formula over atoms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula<A> {
    /// It holds, whatever the atoms.
    True,
    /// It does not hold, whatever the atoms.
    False,
    /// One atom.
    Atom(A),
    /// All of them hold.
    All(Vec<Self>),
    /// Some of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

/// A predicate over a chat.
pub type Pred = Formula<Atom>;

/// One fact about a chat. Ids that are compared with one column are one set, so that the text of
/// the SQL does not depend on how many there are; sets are shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// One of these users'.
    Owner(Arc<[UserId]>),
    /// In one of these organizations. A chat without one is in none.
    Organization(Arc<[OrganizationId]>),
    /// In some organization, whichever.
    InSomeOrganization,
    /// In one of these workspaces.
    Workspace(Arc<[WorkspaceId]>),
    /// In some workspace, whichever.
    InSomeWorkspace,
    /// Shared with one of these users, at this level or a higher one.
    SharedWithUser(Arc<[UserId]>, Level),
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

/// The parts of a chat that its writers change, without its shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The title.
    Title,
    /// The status.
    Status,
    /// The labels.
    Labels,
    /// Whether it is archived.
    Archived,
}

/// The level of a share. A writer may do all that a reader may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Read.
    Reader,
    /// Also update title, status and labels.
    Writer,
}

impl Level {
    /// As the database spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
        }
    }
}

/// Who a chat is shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A user.
    User(UserId),
    /// All members of a group.
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
    /// The title.
    pub title: &'a str,
    /// The status of its agent, as the database spells it.
    pub status: &'a str,
    /// Free pairs.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it is archived.
    pub archived: bool,
    /// The subjects that it is shared with, and at which level.
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

impl<A> From<bool> for Formula<A> {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl<A> Formula<A> {
    /// That all of them hold, without constants inside and nested conjunctions.
    #[must_use]
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::True => {}
                Self::False => return Self::False,
                Self::All(inner) => flat.extend(inner),
                part @ (Self::Atom(_) | Self::Any(_) | Self::Not(_)) => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::True,
            1 => flat.swap_remove(0),
            _ => Self::All(flat),
        }
    }

    /// That some of them holds, without constants inside and nested disjunctions.
    #[must_use]
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::False => {}
                Self::True => return Self::True,
                Self::Any(inner) => flat.extend(inner),
                part @ (Self::Atom(_) | Self::All(_) | Self::Not(_)) => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::False,
            1 => flat.swap_remove(0),
            _ => Self::Any(flat),
        }
    }

    /// That it does not hold.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Not(part) => *part,
            part @ (Self::Atom(_) | Self::All(_) | Self::Any(_)) => Self::Not(Box::new(part)),
        }
    }

    /// Calls `visit` with each atom.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(&A)) {
        match self {
            Self::True | Self::False => {}
            Self::Atom(atom) => visit(atom),
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.visit(visit);
                }
            }
            Self::Not(part) => part.visit(visit),
        }
    }

    /// The same formula with what `of` makes of each atom in its place.
    #[must_use]
    pub fn replaced<B>(&self, of: &impl Fn(&A) -> Formula<B>) -> Formula<B> {
        let each = |parts: &[Self]| -> Vec<Formula<B>> {
            parts.iter().map(|part| part.replaced(of)).collect()
        };
        match self {
            Self::True => Formula::True,
            Self::False => Formula::False,
            Self::Atom(atom) => of(atom),
            Self::All(parts) => Formula::all(each(parts)),
            Self::Any(parts) => Formula::any(each(parts)),
            Self::Not(part) => part.replaced(of).negated(),
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

    /// The predicate for chats of which `owner` is the owner: it has no conditions on owners, and
    /// holds for each of these chats as before.
    #[must_use]
    pub fn of_owner(&self, owner: UserId) -> Self {
        self.replaced(&|atom| {
            if let Atom::Owner(others) = atom {
                Self::from(others.contains(&owner))
            } else {
                Self::Atom(atom.clone())
            }
        })
    }
}

impl Atom {
    /// The attribute that it asks about; `None` for shares, and for what never changes.
    pub(crate) fn attribute(&self) -> Option<Attribute> {
        match self {
            Self::Owner(_)
            | Self::Organization(_)
            | Self::InSomeOrganization
            | Self::Workspace(_)
            | Self::InSomeWorkspace
            | Self::SharedWithUser(..)
            | Self::SharedWithGroup(..) => None,
            Self::Archived => Some(Attribute::Archived),
            Self::Status(_) => Some(Attribute::Status),
            Self::Title(_) | Self::TitleLike(_) => Some(Attribute::Title),
            Self::Label(_) | Self::LabelIs(..) | Self::LabelLike(..) => Some(Attribute::Labels),
        }
    }

    fn holds(&self, chat: &ChatFacts<'_>) -> bool {
        let shared = |matches: &dyn Fn(Subject) -> bool, least: Level| {
            chat.shares
                .iter()
                .any(|(subject, level)| *level >= least && matches(*subject))
        };
        match self {
            Self::Owner(users) => users.contains(&chat.owner),
            Self::Organization(ids) => chat.organization.is_some_and(|id| ids.contains(&id)),
            Self::InSomeOrganization => chat.organization.is_some(),
            Self::Workspace(ids) => chat.workspace.is_some_and(|id| ids.contains(&id)),
            Self::InSomeWorkspace => chat.workspace.is_some(),
            Self::SharedWithUser(users, least) => shared(
                &|subject| matches!(subject, Subject::User(user) if users.contains(&user)),
                *least,
            ),
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
