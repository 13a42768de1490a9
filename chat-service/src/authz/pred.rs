//! A predicate over one chat: small, typed, and the same thing for SQL and for a row in memory.

use super::Subject;
use crate::id::{GroupId, OrganizationId, UserId};

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
/// the SQL does not depend on how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// This user's.
    Owner(UserId),
    /// In one of these organizations. A chat without one is in none.
    Organization(Vec<OrganizationId>),
    /// In some organization, whichever.
    InSomeOrganization,
    /// Shared with this user, at this level or a higher one.
    SharedWithUser(UserId, Level),
    /// Shared with one of these groups, at this level or a higher one.
    SharedWithGroup(Vec<GroupId>, Level),
    /// Archived.
    Archived,
}

/// What a share allows. A writer may do all that a reader may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Read.
    Reader,
    /// Also update title, status and labels.
    Writer,
}

/// All that a predicate can ask about a chat.
#[derive(Clone, Copy, Debug)]
pub struct ChatFacts<'a> {
    /// Whose it is.
    pub owner: UserId,
    /// Where it belongs.
    pub organization: Option<OrganizationId>,
    /// Whether it is archived.
    pub archived: bool,
    /// Whom it is shared with.
    pub shares: &'a [(Subject, Level)],
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

    /// The same predicate without constants inside, nested conjunctions or empty sets.
    #[must_use]
    pub fn simplified(self) -> Self {
        match self {
            Self::Atom(Atom::Organization(ids)) if ids.is_empty() => Self::False,
            Self::Atom(Atom::SharedWithGroup(ids, _)) if ids.is_empty() => Self::False,
            Self::True | Self::False | Self::Atom(_) => self,
            Self::Not(pred) => match pred.simplified() {
                Self::True => Self::False,
                Self::False => Self::True,
                Self::Not(pred) => *pred,
                pred @ (Self::Atom(_) | Self::All(_) | Self::Any(_)) => Self::Not(Box::new(pred)),
            },
            Self::All(preds) => {
                let mut flat = Vec::with_capacity(preds.len());
                for pred in preds {
                    match pred.simplified() {
                        Self::True => {}
                        Self::False => return Self::False,
                        Self::All(inner) => flat.extend(inner),
                        pred @ (Self::Atom(_) | Self::Any(_) | Self::Not(_)) => flat.push(pred),
                    }
                }
                one_or(flat, Self::True, Self::All)
            }
            Self::Any(preds) => {
                let mut flat = Vec::with_capacity(preds.len());
                for pred in preds {
                    match pred.simplified() {
                        Self::False => {}
                        Self::True => return Self::True,
                        Self::Any(inner) => flat.extend(inner),
                        pred @ (Self::Atom(_) | Self::All(_) | Self::Not(_)) => flat.push(pred),
                    }
                }
                one_or(flat, Self::False, Self::Any)
            }
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
            Self::SharedWithUser(user, least) => {
                shared(&|subject| subject == Subject::User(*user), *least)
            }
            Self::SharedWithGroup(groups, least) => shared(
                &|subject| matches!(subject, Subject::Group(group) if groups.contains(&group)),
                *least,
            ),
            Self::Archived => chat.archived,
        }
    }
}
