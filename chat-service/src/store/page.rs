//! The page planner: the only place that composes SQL.
//!
//! A list is one ordered, limited branch per way of being allowed to read, merged, deduplicated and
//! cut. Each branch is an index range scan that stops after a page's worth of rows, so a page costs
//! the same however large the table is and however little of it the caller may read. One `OR` over
//! all ways would make PostgreSQL walk the table in order and throw away what does not match.
//!
//! How a page is walked follows from the shape of the predicate and of the filter ([`Route`]):
//! - `owner_id` becomes a fact of the predicate ([`within`]). Every way of being allowed then has
//!   an index of that owner's chats: all of them (their owner, site roles, services), those in an
//!   organization, those shared with a user or a group, also for `shared_with_me`. A page of one
//!   owner's chats so costs a stranger, an administrator and the owner the same;
//! - a workspace's latest chats are tried first; if they are many and do not fill the page, the
//!   latest chats that the caller may read are tried, and then the workspace is walked to its end;
//! - a filter that names few chats (repository, number, title, labels) is tried on the latest chats
//!   that the caller may read; if that does not fill the page, the filter's index names the chats
//!   and the predicate is checked on each. That index has the chats of all owners: with `owner_id`
//!   it is asked only where the caller may read more than `candidates` of that owner's;
//! - archived, status, pull request state and attention ([`Facets`]) are in an index of every way.
//!   Those of one owner's, one organization's and all chats begin with them: each combination that
//!   the filter asks for is a range, in list order; with attention it is an index of its own, of
//!   the chats that need any. That of shares ends in them, after the sort key: a
//!   range of a subject's shares compares them within the index, at some 30 ns each. Were they
//!   before the sort key there, too, a list without a filter would merge up to 64 ranges of each of
//!   hundreds of groups, or each share would need one more index, all entries of which a change of
//!   the chat's status writes anew;
//! - of many keys, which are groups, organizations or combinations, the first chat of each is found
//!   first: those whose first chat is too late for the page are read no further;
//! - for callers who may see nearly everything, repository and number have ordered indexes, and
//!   PostgreSQL's statistics tell whether title and labels match rarely ([`Matches`]): then their
//!   index names the chats, else the list is walked.
//!
//! Everything else is checked on each row that a branch walks, and costs as many rows as it turns
//! down. What bounds these residual filters:
//! - a title of less than three letters: the chats that the caller may read;
//! - `archived`, `statuses`, `pull_request_states` and `attention` with `owner_id`, where the
//!   caller may read only what is shared or in an organization: the chats of that owner that the
//!   caller may read;
//! - the last part of a search: the chats that its index names, `candidates` of them at most for
//!   title and labels. Only callers who may read more than `near` chats come to it, or with
//!   `owner_id` more than `candidates` of that owner's;
//! - the last part of a workspace: its chats, and only if both these and what the caller may read
//!   are more than `near`; with `owner_id`, those of that owner that the caller may read;
//! - a forbid, a share's level, and a permit by a fact without an index (in a workspace, of a
//!   status): what the rest of its policy leads to. A permit by such facts alone walks all chats,
//!   or with `owner_id` that owner's; the shipped policies have none.
//!
//! Everything comes from marked `.sql` files and bind parameters; the text depends on the shape of
//! the predicate and on which filters are set, never on a value or on how many ids there are.

mod branch;
mod compose;
mod facets;
mod narrow;

use std::borrow::Cow;

use policy::{Atom, Pred};

use branch::{Keys, PageBranch};
use compose::{Composer, replaced};
use facets::Facets;

pub(super) use self::compose::OF_ALL;
use super::{
    Sql,
    sql::{ComposedStatement, Params, sql},
};
use crate::chat_filter::{ChatFilter, Cursor};

const EXPLAIN_SEARCH: Sql = sql!("explain_search");
/// The name of a page's statement, however it is composed.
const LIST_CHATS: &str = "list_chats";

/// The bounds at which a page changes from one way to another. No page depends on them.
#[derive(Clone, Copy, Debug)]
pub struct PageBounds {
    /// How many of the latest chats are tried before a selective filter's own index is asked.
    pub near: i64,
    /// How many chats that a search names are sorted at most. A search that names more matches so
    /// often that walking in order fills a page soon, unless the statistics were wrong.
    pub candidates: i64,
}

impl Default for PageBounds {
    fn default() -> Self {
        // A filter that matches one chat of twenty fills a page of 50 within a thousand; each costs
        // about a microsecond, as does each candidate.
        Self {
            near: 1000,
            candidates: 10_000,
        }
    }
}

/// How often title and labels of a filter match, as PostgreSQL's statistics have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matches {
    /// So often that the latest chats soon fill a page.
    Often,
    /// So rarely that sorting all matches is less work.
    Rarely,
}

impl Matches {
    /// The matches by the plan of [`explain_search`]: common if the plan walks in order.
    #[must_use]
    pub fn from_plan(plan: &serde_json::Value) -> Self {
        // No text in a plan has such quotes: they are escaped.
        let plan = plan.to_string();
        let sorts = |node| plan.contains(&format!(r#""Node Type":"{node}""#));
        if sorts("Sort") || sorts("Incremental Sort") {
            Self::Rarely
        } else {
            Self::Often
        }
    }
}

/// The predicate for chats of the filter's owner, and the rest of the filter.
fn within<'a>(pred: &'a Pred, filter: &'a ChatFilter) -> (Cow<'a, Pred>, Cow<'a, ChatFilter>) {
    let Some(owner) = filter.owner else {
        return (Cow::Borrowed(pred), Cow::Borrowed(filter));
    };
    let rest = ChatFilter {
        owner: None,
        ..filter.clone()
    };
    let of_owner = Pred::all([
        Pred::Atom(Atom::Owner([owner].into())),
        pred.of_owner(owner),
    ]);
    (Cow::Owned(of_owner), Cow::Owned(rest))
}

/// The statement that asks how often a filter matches, if the plan of its page depends on that.
#[must_use]
pub fn explain_search(pred: &Pred, filter: &ChatFilter) -> Option<ComposedStatement> {
    let (pred, filter) = within(pred, filter);
    let depends = narrow::searched(&filter)
        && filter.workspace.is_none()
        && narrow::named(&filter).is_none()
        && nearly_everything(&branch::ways(&pred));
    if !depends {
        return None;
    }
    let mut params = Params::default();
    let search = narrow::print_search(&filter, &mut params);
    let text = replaced(EXPLAIN_SEARCH.text, &[("/* search */ TRUE", &search)]);
    Some(ComposedStatement {
        name: EXPLAIN_SEARCH.name,
        text,
        params,
    })
}

/// Whether some way leads to all chats: then every other way leads to chats that this one meets,
/// too.
fn nearly_everything(ways: &[PageBranch]) -> bool {
    ways.iter().any(|way| way.keys == Keys::None)
}

/// How a page is walked.
enum Route {
    /// One branch per way of being allowed, or by an index of the filter; each in order.
    Ways(Vec<PageBranch>),
    /// The chats that title and labels match, sorted, with the predicate checked on each; these
    /// branches if there are too many.
    Search(Vec<PageBranch>, Pred),
    /// Some of the latest chats, and if they do not fill the page, others.
    Near(Box<Near>),
}

/// Two parts of a page.
struct Near {
    /// The latest chats of these are tried.
    tried: Vec<PageBranch>,
    /// How many are tried at most, of all branches together.
    most: i64,
    /// The predicate to check on each.
    residual: Pred,
    /// The fallback, complete by itself, for a probe that is not.
    far: Route,
}

impl Route {
    fn near(tried: Vec<PageBranch>, most: i64, far: Self) -> Self {
        Self::Near(Box::new(Near {
            tried,
            most,
            residual: Pred::True,
            far,
        }))
    }
}

/// The statement for a page of at most `limit` chats; none when no chat can be in it. `matches`
/// answers
/// [`explain_search`]; where that does not ask, it does not matter.
#[must_use]
pub fn plan(
    pred: &Pred,
    filter: &ChatFilter,
    cursor: Option<Cursor>,
    limit: i64,
    matches: Matches,
    bounds: PageBounds,
) -> Option<ComposedStatement> {
    let of_owner = filter.owner.is_some();
    let (pred, filter) = within(pred, filter);
    let ways = branch::ways(&pred);
    if ways.is_empty() {
        return None;
    }
    let route = route(&pred, ways, &filter, of_owner, matches, bounds);
    let mut composer = Composer::new(cursor, limit, bounds);
    Some(ComposedStatement {
        name: LIST_CHATS,
        text: composer.page(&route, &filter),
        params: composer.params,
    })
}

/// `of_owner`: `pred` and `ways` are within one owner's chats. What a filter's index names are
/// chats of all owners, mostly more than this one has.
fn route(
    pred: &Pred,
    ways: Vec<PageBranch>,
    filter: &ChatFilter,
    of_owner: bool,
    matches: Matches,
    bounds: PageBounds,
) -> Route {
    let everything = nearly_everything(&ways);
    let facets = Facets::of(filter);
    let ways: Vec<PageBranch> = ways
        .into_iter()
        .map(|way| way.within(facets.as_ref()))
        .collect();
    if let Some(workspace) = narrow::workspace(filter) {
        let walked = Route::Ways(vec![workspace.clone().checked(pred)]);
        if everything {
            return walked;
        }
        return Route::Near(Box::new(Near {
            tried: vec![workspace],
            most: bounds.near,
            residual: pred.clone(),
            // Either it has few chats, or the caller may read few, or it is walked.
            far: if of_owner {
                Route::Ways(ways)
            } else {
                Route::near(ways, bounds.near, walked)
            },
        }));
    }
    let named = narrow::named(filter);
    let searched = narrow::searched(filter);
    if everything {
        let all = PageBranch::of_all().within(facets.as_ref()).checked(pred);
        return match named {
            Some(branch) => Route::Ways(vec![branch.checked(pred)]),
            None if searched && matches == Matches::Rarely => {
                Route::Search(vec![all], pred.clone())
            }
            None => Route::Ways(vec![all]),
        };
    }
    let mut far = match named {
        Some(branch) => Route::Ways(vec![branch.checked(pred)]),
        None if searched => Route::Search(ways.clone(), pred.clone()),
        None => return Route::Ways(ways),
    };
    if of_owner {
        far = Route::near(ways.clone(), bounds.candidates, far);
    }
    Route::near(ways, bounds.near, far)
}
