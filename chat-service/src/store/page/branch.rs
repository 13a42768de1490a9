//! The ways to walk: which index, for which keys, and what else must hold of each row.

use policy::{Atom, Level, Pred};
use uuid::Uuid;

use super::facets::Facets;
use crate::{
    id::UserId,
    store::{
        Sql,
        sql::{Params, sql},
    },
};

const BY_CHAT: Sql = sql!("page_by_chat");
const BY_SHARE: Sql = sql!("page_by_share");
const MERGE_CHATS: Sql = sql!("page_merge_chats");
const MERGE_SHARES: Sql = sql!("page_merge_shares");

/// One way to walk.
#[derive(Clone, Debug)]
pub(super) struct PageBranch {
    table: Table,
    /// The index condition on a row under a `key.id`.
    under_key: &'static str,
    pub(super) keys: Keys,
    /// The index condition on status, archived and pull request state.
    facets: Option<Facets>,
    /// The predicate to check on each row beyond the index.
    pub(super) residual: Vec<Pred>,
    /// The part of the list's filter that the index answers.
    pub(super) answered: IndexFilter,
    /// Only this owner's chats, by an index that begins with it.
    pub(super) owner: Option<UserId>,
}

/// A part of a filter that an index answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexFilter {
    Nothing,
    Workspace,
    Repository,
    Number,
    Facets,
}

/// The table whose index is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Chats,
    Shares,
}

/// The keys of an index range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// All of it.
    None,
    Id(Uuid),
    Ids(Vec<Uuid>),
    Text(String),
    Number(i32),
}

impl Keys {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::None | Self::Id(_) | Self::Text(_) | Self::Number(_) => 1,
            Self::Ids(keys) => keys.len(),
        }
    }

    /// Whether there may be more than one.
    fn many(&self) -> bool {
        matches!(self, Self::Ids(_))
    }

    /// Binds the keys, as rows of a table with the column `id`; none, if there are no keys.
    fn print(&self, params: &mut Params) -> Option<String> {
        let (number, sql_type) = match self {
            Self::None => return None,
            Self::Id(key) => (params.push(vec![*key]), "uuid"),
            Self::Ids(keys) => (params.push(keys.clone()), "uuid"),
            Self::Text(key) => (params.push(vec![key.clone()]), "text"),
            Self::Number(key) => (params.push(vec![*key]), "integer"),
        };
        Some(format!("unnest(${number}::{sql_type}[])"))
    }
}

impl PageBranch {
    fn new(under_key: &'static str, keys: Keys) -> Self {
        Self {
            table: Table::Chats,
            under_key,
            keys,
            facets: None,
            residual: Vec::new(),
            answered: IndexFilter::Nothing,
            owner: None,
        }
    }

    fn of_shares(under_key: &'static str, keys: Keys) -> Self {
        Self {
            table: Table::Shares,
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
    pub(super) fn of_filter(under_key: &'static str, keys: Keys, answered: IndexFilter) -> Self {
        Self {
            answered,
            ..Self::new(under_key, keys)
        }
    }

    /// By the index that also holds `facets`. Those that begin with an owner beside another key do
    /// not hold them: these are asked for few chats.
    pub(super) fn within(mut self, facets: Option<&Facets>) -> Self {
        if let (Some(facets), None) = (facets, self.owner) {
            self.facets = Some(facets.clone());
            self.answered = IndexFilter::Facets;
        }
        self
    }

    /// Whether it walks all chats in order, without a key.
    pub(super) fn is_whole_table(&self) -> bool {
        self.keys == Keys::None && self.facets.is_none()
    }

    /// The file of its statement: rows of many keys are merged.
    pub(super) fn sql(&self) -> Sql {
        let in_parts = match self.table {
            Table::Chats => self.facets.is_some(),
            Table::Shares => self.facets.as_ref().is_some_and(Facets::in_runs),
        };
        match (self.table, self.keys.many() || in_parts) {
            (Table::Chats, false) => BY_CHAT,
            (Table::Chats, true) => MERGE_CHATS,
            (Table::Shares, false) => BY_SHARE,
            (Table::Shares, true) => MERGE_SHARES,
        }
    }

    /// Binds the keys. Returns the table `key`, whose rows they are, and the condition by which the
    /// index finds the rows under one of them.
    pub(super) fn print(&self, params: &mut Params) -> (String, String) {
        let ids = self.keys.print(params);
        let mut under_key = self.under_key.to_owned();
        let Some(facets) = &self.facets else {
            let keys = match ids {
                Some(ids) => format!("{ids} AS key (id)"),
                None => "(SELECT) AS key".to_owned(),
            };
            return (keys, under_key);
        };
        let mut columns = Vec::new();
        let mut tables = Vec::new();
        if let Some(ids) = ids {
            columns.push("k.id".to_owned());
            tables.push(format!("{ids} AS k (id)"));
        }
        match self.table {
            Table::Chats => facets.print_values(params, &mut columns, &mut tables, &mut under_key),
            Table::Shares => facets.print_runs(params, &mut columns, &mut tables, &mut under_key),
        }
        let (columns, tables) = (columns.join(", "), tables.join(" CROSS JOIN "));
        (
            format!("(SELECT {columns} FROM {tables}) AS key"),
            under_key,
        )
    }
}

/// One branch per way of satisfying `pred`; none when no chat does. One without keys walks all
/// chats.
pub(super) fn ways(pred: &Pred) -> Vec<PageBranch> {
    let mut branches = Vec::new();
    walk(pred, RowFacts::default(), &mut branches);
    branches
}

/// Known facts about each row of a branch.
#[derive(Clone, Default)]
struct RowFacts {
    /// It is this owner's.
    owner: Option<UserId>,
    /// It satisfies these, which are checked on it.
    residual: Vec<Pred>,
}

impl RowFacts {
    fn branch(self, mut branch: PageBranch) -> PageBranch {
        branch.owner = self.owner;
        branch.residual = self.residual;
        branch
    }

    /// The branch of all rows of which this is known.
    fn whole(self) -> PageBranch {
        let branch = match self.owner {
            Some(owner) => PageBranch::new("c.owner_id = key.id", Keys::Id(owner.0)),
            None => PageBranch::of_all(),
        };
        PageBranch {
            residual: self.residual,
            ..branch
        }
    }
}

/// Adds the branches for `pred`, of which each row must also satisfy what is `known`.
fn walk(pred: &Pred, mut known: RowFacts, branches: &mut Vec<PageBranch>) {
    match pred {
        Pred::False => {}
        // A part without an index walks all of them, so that walks by the indexes of other parts
        // would come on top of that.
        Pred::Any(_) if !has_index(pred) => {
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
        Pred::Atom(Atom::Owner(owners)) if known.owner.is_none() && owners.len() == 1 => {
            known.owner = owners.first().copied();
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
fn walk_all(preds: &[Pred], mut known: RowFacts, branches: &mut Vec<PageBranch>) {
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

/// The only owner whose chats can satisfy all of `preds`, if there is one.
fn owner_among(preds: &[Pred]) -> Option<UserId> {
    preds.iter().find_map(|pred| {
        if let Pred::Atom(Atom::Owner(owners)) = pred
            && let [owner] = **owners
        {
            Some(owner)
        } else {
            None
        }
    })
}

/// The branch by the ordered index that an atom has, beside the owner's, and whether each of its
/// rows satisfies the atom. An atom without is asked of each row. Each of these indexes has a twin
/// that begins with the owner.
fn indexed(atom: &Atom) -> Option<(PageBranch, bool)> {
    // Not a `match`: a fact that policies learn to ask about needs no index.
    if let Atom::Owner(owners) = atom {
        let keys = Keys::Ids(owners.iter().map(|id| id.0).collect());
        Some((PageBranch::new("c.owner_id = key.id", keys), true))
    } else if let Atom::Organization(organizations) = atom {
        let keys = Keys::Ids(organizations.iter().map(|id| id.0).collect());
        Some((PageBranch::new("c.organization_id = key.id", keys), true))
    } else if let Atom::SharedWithUser(users, level) = atom {
        // The walk finds shares of every level; the exact one is checked on the row.
        let holds = "a.subject_kind = 'user' AND a.subject_id = key.id";
        let keys = match **users {
            [user] => Keys::Id(user.0),
            _ => Keys::Ids(users.iter().map(|id| id.0).collect()),
        };
        let branch = PageBranch::of_shares(holds, keys);
        Some((branch, *level == Level::Reader))
    } else if let Atom::SharedWithGroup(groups, level) = atom {
        let holds = "a.subject_kind = 'group' AND a.subject_id = key.id";
        let keys = Keys::Ids(groups.iter().map(|id| id.0).collect());
        Some((PageBranch::of_shares(holds, keys), *level == Level::Reader))
    } else {
        None
    }
}

/// Whether every way of satisfying `pred` has an ordered index: each of policy's ways to a chat
/// has.
fn has_index(pred: &Pred) -> bool {
    pred.ways().is_some()
}
