//! The ways to walk: which index, for which keys, and what else must hold of each row.

use uuid::Uuid;

use crate::{
    authz::{Atom, Level, Pred},
    chat_filter::ChatFilter,
    store::{Sql, predicate::Params, sql},
};

const BY_RECENCY: Sql = sql!("page_by_recency");
const BY_OWNER: Sql = sql!("page_by_owner");
const BY_ORGANIZATION: Sql = sql!("page_by_organization");
const BY_USER_SHARE: Sql = sql!("page_by_user_share");
const BY_GROUP_SHARE: Sql = sql!("page_by_group_share");

/// One way to walk.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) sql: Sql,
    pub(super) keys: Keys,
    /// What the caller must satisfy beyond the way itself.
    pub(super) residual: Vec<Pred>,
    /// What the list's filter asks beyond what the index answers; all of it, if none.
    pub(super) rest: Option<ChatFilter>,
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

    /// Binds the keys: the marks, and the parameter that goes there. The file names the type.
    pub(super) fn bind(&self, params: &mut Params) -> Vec<(&'static str, String)> {
        const KEYS: &str = "/* keys */ NULL";
        let parameter = |number: usize| format!("${number}");
        match self {
            Self::None => Vec::new(),
            Self::Ids(keys) => vec![(KEYS, parameter(params.push(keys.clone())))],
            Self::Texts(keys) => vec![(KEYS, parameter(params.push(keys.clone())))],
            Self::Numbers(keys) => vec![(KEYS, parameter(params.push(keys.clone())))],
            Self::States(keys) => {
                let (states, drafts): (Vec<&'static str>, Vec<bool>) = keys.iter().copied().unzip();
                vec![
                    (KEYS, parameter(params.push(states))),
                    ("/* drafts */ NULL", parameter(params.push(drafts))),
                ]
            }
        }
    }
}

impl Branch {
    pub(super) fn new(sql: Sql, keys: Keys) -> Self {
        Self {
            sql,
            keys,
            residual: Vec::new(),
            rest: None,
        }
    }

    /// Walks all chats.
    pub(super) fn of_all() -> Self {
        Self::new(BY_RECENCY, Keys::None)
    }

    /// Walks an index that answers a part of the list's filter.
    pub(super) fn of_filter(sql: Sql, keys: Keys, rest: ChatFilter) -> Self {
        Self {
            rest: Some(rest),
            ..Self::new(sql, keys)
        }
    }

    fn with(mut self, residual: Vec<Pred>) -> Self {
        self.residual = residual;
        self
    }
}

/// One branch per way of satisfying `pred`. One without keys walks all chats.
pub(super) fn ways(pred: &Pred) -> Vec<Branch> {
    let mut branches = Vec::new();
    walk(pred, Vec::new(), &mut branches);
    branches
}

/// Adds the branches for `pred`, of which each row must also satisfy `residual`.
fn walk(pred: &Pred, mut residual: Vec<Pred>, branches: &mut Vec<Branch>) {
    match pred {
        Pred::False => {}
        Pred::Any(preds) => {
            for pred in preds {
                walk(pred, residual.clone(), branches);
            }
        }
        Pred::All(preds) => {
            let driver = preds.iter().position(has_index).unwrap_or(0);
            for (index, pred) in preds.iter().enumerate() {
                if index != driver {
                    residual.push(pred.clone());
                }
            }
            match preds.get(driver) {
                Some(pred) => walk(pred, residual, branches),
                None => branches.push(Branch::of_all().with(residual)),
            }
        }
        Pred::Atom(atom) => match indexed(atom) {
            Some((branch, exact)) => {
                if !exact {
                    residual.push(pred.clone());
                }
                branches.push(branch.with(residual));
            }
            None => {
                residual.push(pred.clone());
                branches.push(Branch::of_all().with(residual));
            }
        },
        Pred::True => branches.push(Branch::of_all().with(residual)),
        Pred::Not(_) => {
            residual.push(pred.clone());
            branches.push(Branch::of_all().with(residual));
        }
    }
}

/// The branch by the ordered index that an atom has, if it has one, and whether each of its rows
/// satisfies the atom. An atom without is asked of each row.
fn indexed(atom: &Atom) -> Option<(Branch, bool)> {
    let ids = |ids: Vec<Uuid>| Keys::Ids(ids);
    // Not a `match`: a fact that policies learn to ask about needs no index.
    if let Atom::Owner(user) = atom {
        Some((Branch::new(BY_OWNER, ids(vec![user.0])), true))
    } else if let Atom::Organization(organizations) = atom {
        let keys = organizations.iter().map(|id| id.0).collect();
        Some((Branch::new(BY_ORGANIZATION, ids(keys)), true))
    } else if let Atom::SharedWithUser(user, level) = atom {
        // The walk finds shares of every level; the exact one is checked on the row.
        let exact = *level == Level::Reader;
        Some((Branch::new(BY_USER_SHARE, ids(vec![user.0])), exact))
    } else if let Atom::SharedWithGroup(groups, level) = atom {
        let keys = groups.iter().map(|id| id.0).collect();
        let exact = *level == Level::Reader;
        Some((Branch::new(BY_GROUP_SHARE, ids(keys)), exact))
    } else {
        None
    }
}

/// Whether every way of satisfying `pred` has an ordered index.
fn has_index(pred: &Pred) -> bool {
    match pred {
        Pred::Atom(atom) => indexed(atom).is_some(),
        Pred::Any(preds) => preds.iter().all(has_index),
        Pred::All(preds) => preds.iter().any(has_index),
        Pred::True | Pred::False | Pred::Not(_) => false,
    }
}
