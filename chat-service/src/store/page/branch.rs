//! The ways to walk: which index, for which keys, and what else must hold of each row.

use policy::{Atom, Level, Pred};
use uuid::Uuid;

use crate::{
    chat_filter::ChatFilter,
    id::UserId,
    store::{
        Sql,
        sql::{Params, sql},
    },
};

const BY_CHAT: Sql = sql!("page_by_chat");
const BY_SHARE: Sql = sql!("page_by_share");

/// One way to walk.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) sql: Sql,
    /// What the index says of a row that stands under a `key.id`.
    pub(super) under_key: &'static str,
    pub(super) keys: Keys,
    /// What the caller must satisfy beyond the way itself.
    pub(super) residual: Vec<Pred>,
    /// What the list's filter asks beyond what the index answers; all of it, if none.
    pub(super) rest: Option<ChatFilter>,
    /// Only this owner's chats, by an index that begins with it.
    pub(super) owner: Option<UserId>,
}

/// What an index is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// All of it.
    None,
    Ids(Vec<Uuid>),
    Texts(Vec<String>),
    Numbers(Vec<i32>),
    /// Pull request states, each with whether it is a draft.
    States(Vec<(&'static str, bool)>),
}

impl Keys {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Ids(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
            Self::Numbers(keys) => keys.len(),
            Self::States(keys) => keys.len(),
        }
    }

    /// Binds the keys, as rows of the table `key`.
    pub(super) fn print(&self, params: &mut Params) -> String {
        let (number, sql_type) = match self {
            Self::None => return "(SELECT) AS key".to_owned(),
            Self::Ids(keys) => (params.push(keys.clone()), "uuid"),
            Self::Texts(keys) => (params.push(keys.clone()), "text"),
            Self::Numbers(keys) => (params.push(keys.clone()), "integer"),
            Self::States(keys) => {
                let (states, drafts): (Vec<&'static str>, Vec<bool>) = keys.iter().copied().unzip();
                let (states, drafts) = (params.push(states), params.push(drafts));
                return format!(
                    "unnest(${states}::text[], ${drafts}::boolean[]) AS key (id, draft)"
                );
            }
        };
        format!("unnest(${number}::{sql_type}[]) AS key (id)")
    }
}

impl Branch {
    fn new(under_key: &'static str, keys: Keys) -> Self {
        Self {
            sql: BY_CHAT,
            under_key,
            keys,
            residual: Vec::new(),
            rest: None,
            owner: None,
        }
    }

    fn of_shares(under_key: &'static str, keys: Keys) -> Self {
        Self {
            sql: BY_SHARE,
            ..Self::new(under_key, keys)
        }
    }

    /// With the predicate checked on each row.
    pub(super) fn checked(mut self, pred: &Pred) -> Self {
        self.residual.push(pred.clone());
        self
    }

    /// Walks all chats.
    pub(super) fn of_all() -> Self {
        Self::new("TRUE", Keys::None)
    }

    /// Walks an index that answers a part of the list's filter.
    pub(super) fn of_filter(under_key: &'static str, keys: Keys, rest: ChatFilter) -> Self {
        Self {
            rest: Some(rest),
            ..Self::new(under_key, keys)
        }
    }
}

/// One branch per way of satisfying `pred`; none when no chat does. One without keys walks all chats.
pub(super) fn ways(pred: &Pred) -> Vec<Branch> {
    let mut branches = Vec::new();
    walk(pred, Known::default(), &mut branches);
    branches
}

/// What else holds of each row that a branch walks.
#[derive(Clone, Default)]
struct Known {
    /// It is this owner's.
    owner: Option<UserId>,
    /// It satisfies these, which are checked on it.
    residual: Vec<Pred>,
}

impl Known {
    fn branch(self, mut branch: Branch) -> Branch {
        branch.owner = self.owner;
        branch.residual = self.residual;
        branch
    }

    /// The branch of all rows of which this is known.
    fn whole(self) -> Branch {
        let branch = match self.owner {
            Some(owner) => Branch::new("c.owner_id = key.id", Keys::Ids(vec![owner.0])),
            None => Branch::of_all(),
        };
        Branch {
            residual: self.residual,
            ..branch
        }
    }
}

/// Adds the branches for `pred`, of which each row must also satisfy what is `known`.
fn walk(pred: &Pred, mut known: Known, branches: &mut Vec<Branch>) {
    match pred {
        Pred::False => {}
        // One walk of the owner's chats is less than that and another.
        Pred::Any(_) if known.owner.is_some() && !has_index(pred) => {
            known.residual.push(pred.clone());
            branches.push(known.whole());
        }
        Pred::Any(preds) => {
            for pred in preds {
                walk(pred, known.clone(), branches);
            }
        }
        Pred::All(preds) => match owner_among(preds) {
            Some(owner) if known.owner.is_none() => {
                known.owner = Some(owner);
                walk(&pred.of_owner(owner), known, branches);
            }
            Some(_) | None => walk_all(preds, known, branches),
        },
        Pred::Atom(Atom::Owner(owner)) if known.owner.is_none() => {
            known.owner = Some(*owner);
            branches.push(known.whole());
        }
        Pred::Atom(atom) => match indexed(atom) {
            Some((branch, exact)) => {
                if !exact {
                    known.residual.push(pred.clone());
                }
                branches.push(known.branch(branch));
            }
            None => {
                known.residual.push(pred.clone());
                branches.push(known.whole());
            }
        },
        Pred::True => branches.push(known.whole()),
        Pred::Not(_) => {
            known.residual.push(pred.clone());
            branches.push(known.whole());
        }
    }
}

/// As [`walk`], by the first of `preds` that has an index.
fn walk_all(preds: &[Pred], mut known: Known, branches: &mut Vec<Branch>) {
    let driver = preds.iter().position(has_index);
    for (index, pred) in preds.iter().enumerate() {
        if Some(index) != driver {
            known.residual.push(pred.clone());
        }
    }
    match driver.and_then(|driver| preds.get(driver)) {
        Some(pred) => walk(pred, known, branches),
        None => branches.push(known.whole()),
    }
}

/// Whose chats alone satisfy all of `preds`, if these say so.
fn owner_among(preds: &[Pred]) -> Option<UserId> {
    preds.iter().find_map(|pred| {
        if let Pred::Atom(Atom::Owner(owner)) = pred {
            Some(*owner)
        } else {
            None
        }
    })
}

/// The branch by the ordered index that an atom has, beside the owner's, and whether each of its rows
/// satisfies the atom. An atom without is asked of each row. Each of these indexes has a twin that
/// begins with the owner.
fn indexed(atom: &Atom) -> Option<(Branch, bool)> {
    // Not a `match`: a fact that policies learn to ask about needs no index.
    if let Atom::Organization(organizations) = atom {
        let keys = Keys::Ids(organizations.iter().map(|id| id.0).collect());
        Some((Branch::new("c.organization_id = key.id", keys), true))
    } else if let Atom::SharedWithUser(user, level) = atom {
        // The walk finds shares of every level; the exact one is checked on the row.
        let holds = "a.subject_kind = 'user' AND a.subject_id = key.id";
        let branch = Branch::of_shares(holds, Keys::Ids(vec![user.0]));
        Some((branch, *level == Level::Reader))
    } else if let Atom::SharedWithGroup(groups, level) = atom {
        let holds = "a.subject_kind = 'group' AND a.subject_id = key.id";
        let keys = Keys::Ids(groups.iter().map(|id| id.0).collect());
        Some((Branch::of_shares(holds, keys), *level == Level::Reader))
    } else {
        None
    }
}

/// Whether every way of satisfying `pred` has an ordered index.
fn has_index(pred: &Pred) -> bool {
    match pred {
        Pred::Atom(Atom::Owner(_)) => true,
        Pred::Atom(atom) => indexed(atom).is_some(),
        Pred::Any(preds) => preds.iter().all(has_index),
        Pred::All(preds) => preds.iter().any(has_index),
        Pred::True | Pred::False | Pred::Not(_) => false,
    }
}
