//! The page planner: the only place that composes SQL.
//!
//! A list is one ordered, limited branch per way of being allowed to read, merged, deduplicated and
//! cut. Each branch is an index range scan that stops after a page's worth of rows, so a page costs
//! the same however large the table is and however little of it the caller may read. One `OR` over all
//! ways would make PostgreSQL walk the table in order and throw away what does not match.
//!
//! How a page is walked follows from the shape of the predicate and of the filter ([`Route`]):
//! - a filter that has an ordered index of its own (owner, workspace; for callers who may see nearly
//!   everything also repository, number, pull request state, status, archived) is one branch by that
//!   index, with the predicate checked on each row;
//! - a filter that names few chats (repository, number, title, labels) is tried on the latest chats
//!   that the caller may read; if that does not fill the page, the filter's index names the chats and
//!   the predicate is checked on each;
//! - for callers who may see nearly everything, PostgreSQL's statistics tell whether title and labels
//!   match rarely ([`Matches`]): then their index names the chats, else the list is walked;
//! - any other filter, and every forbid, is checked inside each branch.
//!
//! Everything comes from marked `.sql` files and bind parameters; the text depends on the shape of
//! the predicate and on which filters are set, never on a value or on how many ids there are.

mod branch;
mod narrow;

use branch::{Branch, Keys};

use super::{
    Sql,
    predicate::{self, Params},
    sql,
};
use crate::{
    authz::{Authorized, Pred},
    chat_filter::{ChatFilter, Cursor},
};

const PAGE: Sql = sql!("page");
pub(super) const OF_ALL: Sql = sql!("page_of_all");
const NEAR: Sql = sql!("page_near");
const BY_SEARCH: Sql = sql!("page_by_search");
const EXPLAIN_SEARCH: Sql = sql!("explain_search");

/// What stands in a file where branches go.
const NOTHING: &str = "SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id";

/// How far a page goes on one way before it takes another. Which way is taken changes no page.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// So many of the latest chats are tried before a selective filter's own index is asked.
    pub near: usize,
    /// So many chats that a search names are sorted at most. Beyond, it matches so often that walking
    /// in order fills a page soon, unless the statistics were wrong.
    pub candidates: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        // A filter that matches one chat of twenty fills a page of 50 within a thousand; each costs
        // about a microsecond, as does each candidate.
        Self {
            near: 1000,
            candidates: 10_000,
        }
    }
}

/// A page's statement.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) params: Params,
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
    /// What the answer to [`explain_search`] says: what is walked in order is common.
    pub(crate) fn from_plan(plan: &serde_json::Value) -> Self {
        if has_node(plan, "Sort") || has_node(plan, "Incremental Sort") {
            Self::Rarely
        } else {
            Self::Often
        }
    }
}

/// Whether a plan has a node of this type.
fn has_node(plan: &serde_json::Value, wanted: &str) -> bool {
    match plan {
        serde_json::Value::Array(parts) => parts.iter().any(|part| has_node(part, wanted)),
        serde_json::Value::Object(parts) => {
            parts.get("Node Type").and_then(serde_json::Value::as_str) == Some(wanted)
                || parts.values().any(|part| has_node(part, wanted))
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => false,
    }
}

/// The statement that asks how often a filter matches, if the plan of its page depends on that.
pub(crate) fn explain_search(authorized: &Authorized, filter: &ChatFilter) -> Option<Page> {
    let pred = authorized.pred();
    let depends = narrow::searched(filter)
        && narrow::walked(filter).is_none()
        && narrow::named(filter).is_none()
        && nearly_everything(&branch::ways(pred));
    if !depends {
        return None;
    }
    let mut params = Params::default();
    let search = narrow::print_search(filter, &mut params);
    let text = replaced(EXPLAIN_SEARCH.text, &[("/* search */ TRUE", &search)]);
    Some(Page { text, params })
}

/// Whether some way leads to all chats: then every other way leads to chats that this one meets, too.
fn nearly_everything(ways: &[Branch]) -> bool {
    ways.iter().any(|way| way.keys == Keys::None)
}

/// How a page is walked.
enum Route {
    /// In the order of the list of all chats, since the caller may see nearly everything.
    All,
    /// One branch per way of being allowed.
    Ways(Vec<Branch>),
    /// What title and labels match, sorted.
    Search,
    /// The latest chats by `ways`, and if they do not fill the page, what `far` names.
    Near { ways: Vec<Branch>, far: Far },
}

/// What a selective filter names.
enum Far {
    /// In order, by an index of its own.
    Branch(Box<Branch>),
    /// In no order, by the indexes of title and labels; the predicate is checked on each.
    Search(Pred),
}

/// The statement for a page; none when no chat can be in it. `matches` answers [`explain_search`]; where
/// that does not ask, it does not matter.
pub(crate) fn plan(
    authorized: &Authorized,
    filter: &ChatFilter,
    cursor: Option<Cursor>,
    limit: i64,
    matches: Matches,
    bounds: Bounds,
) -> Option<Page> {
    let pred = authorized.pred();
    if *pred == Pred::False {
        return None;
    }
    let mut params = Params::default();
    let page = limit;
    let limit = format!("${}", params.push(page));
    let after = cursor.map(|cursor| (params.push(cursor.updated_at), params.push(cursor.id.0)));
    let mut composer = Composer {
        params,
        after,
        page,
        limit,
        bounds,
    };
    let text = match route(pred, filter, matches) {
        Route::All => composer.all(pred, filter),
        Route::Ways(branches) => composer.page(&branches, filter),
        Route::Search => {
            let mut all = Branch::of_all();
            all.residual.push(pred.clone());
            let union = composer.search(&[all], pred, filter, "TRUE");
            composer.merged(&union)
        }
        Route::Near { ways, far } => composer.near(&ways, &far, filter),
    };
    Some(Page {
        text,
        params: composer.params,
    })
}

fn route(pred: &Pred, filter: &ChatFilter, matches: Matches) -> Route {
    if let Some(mut branch) = narrow::walked(filter) {
        branch.residual.push(pred.clone());
        return Route::Ways(vec![branch]);
    }
    let ways = branch::ways(pred);
    let named = narrow::named(filter);
    let searched = narrow::searched(filter);
    if nearly_everything(&ways) {
        let ordered = named.or_else(|| {
            let rare = searched && matches == Matches::Rarely;
            narrow::ordered(filter).filter(|_| !rare)
        });
        return match ordered {
            Some(mut branch) => {
                branch.residual.push(pred.clone());
                Route::Ways(vec![branch])
            }
            None if searched && matches == Matches::Rarely => Route::Search,
            None => Route::All,
        };
    }
    match named {
        Some(mut branch) => {
            branch.residual.push(pred.clone());
            Route::Near {
                ways,
                far: Far::Branch(Box::new(branch)),
            }
        }
        None if searched => Route::Near {
            ways,
            far: Far::Search(pred.clone()),
        },
        None => Route::Ways(ways),
    }
}

/// A statement that is being composed.
struct Composer {
    params: Params,
    /// The parameters of the cursor: its time and id.
    after: Option<(usize, usize)>,
    /// Rows of the page at most, and their parameter.
    page: i64,
    limit: String,
    bounds: Bounds,
}

/// What each row of a branch must satisfy, and how many of them are wanted.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// What is asked of the chat, unless the branch's index answers it.
    filter: &'a ChatFilter,
    /// Of none: whether the branch is walked at all.
    needed: &'a str,
    limit: &'a str,
}

impl Composer {
    fn all(&mut self, pred: &Pred, filter: &ChatFilter) -> String {
        let mut filter = narrow::print_filter(filter, &mut self.params);
        self.add_pred(&mut filter, pred);
        let after = self.after("c.updated_at, c.id");
        let marks = [
            ("/* filter */ TRUE", filter.as_str()),
            ("/* after */ TRUE", &after),
            ("/* limit */ 1", &self.limit),
        ];
        replaced(OF_ALL.text, &marks)
    }

    fn page(&mut self, branches: &[Branch], filter: &ChatFilter) -> String {
        let limit = self.limit.clone();
        let union = self.union(
            branches,
            Wanted {
                filter,
                needed: "TRUE",
                limit: &limit,
            },
        );
        self.merged(&union)
    }

    fn near(&mut self, ways: &[Branch], far: &Far, filter: &ChatFilter) -> String {
        let limit = self.limit.clone();
        let own = narrow::print_filter(filter, &mut self.params);
        // Of many subjects, each is walked less far: a page's worth is the least that is correct.
        let subjects: usize = ways.iter().map(|way| way.keys.count().max(1)).sum();
        let count = i64::try_from(self.bounds.near / subjects.max(1)).unwrap_or(self.page);
        let count = format!("${}", self.params.push(count.max(self.page)));
        let everything = ChatFilter::default();
        let tried = Wanted {
            filter: &everything,
            needed: "TRUE",
            limit: &count,
        };
        let near = self.union(ways, tried);
        let needed = "(SELECT f.needed FROM further f)";
        let far = match far {
            Far::Branch(branch) => self.print(
                branch,
                Wanted {
                    filter,
                    needed,
                    limit: &limit,
                },
            ),
            Far::Search(pred) => self.search(ways, pred, filter, needed),
        };
        let marks = [
            (&*format!("/* branches */ {NOTHING}"), near.as_str()),
            ("/* near */ 1", &count),
            ("/* filter */ TRUE", &own),
            ("/* limit */ 1", &limit),
            (&*format!("/* far */ {NOTHING} WHERE FALSE"), &far),
        ];
        let union = replaced(NEAR.text, &marks);
        self.merged(&format!("({union})"))
    }

    fn search(
        &mut self,
        ways: &[Branch],
        pred: &Pred,
        filter: &ChatFilter,
        needed: &str,
    ) -> String {
        let limit = self.limit.clone();
        let search = narrow::print_search(filter, &mut self.params);
        let most = format!("${}", self.params.push(self.bounds.candidates));
        let mut rest = narrow::print_rest(filter, &mut self.params);
        self.add_pred(&mut rest, pred);
        let walk = self.union(
            ways,
            Wanted {
                filter,
                needed: "(SELECT m.holds FROM many m)",
                limit: &limit,
            },
        );
        let after = self.after("c.updated_at, c.id");
        let marks = [
            ("/* needed */ TRUE", needed),
            ("/* search */ TRUE", &search),
            ("/* after */ TRUE", &after),
            ("/* candidates */ 1", &most),
            ("/* filter of candidate */ TRUE", &of_chat(&rest, "k.id")),
            ("/* limit */ 1", &limit),
            (&*format!("/* walk */ {NOTHING} WHERE FALSE"), &walk),
        ];
        replaced(BY_SEARCH.text, &marks)
    }

    fn merged(&self, union: &str) -> String {
        let marks = [
            ("/* limit */ 1", self.limit.as_str()),
            (&*format!("/* branches */ {NOTHING}"), union),
        ];
        replaced(PAGE.text, &marks)
    }

    fn union(&mut self, branches: &[Branch], wanted: Wanted<'_>) -> String {
        let texts: Vec<String> = branches
            .iter()
            .map(|branch| format!("({})", self.print(branch, wanted)))
            .collect();
        texts.join("\nUNION ALL\n")
    }

    fn print(&mut self, branch: &Branch, wanted: Wanted<'_>) -> String {
        let asked = branch.rest.as_ref().unwrap_or(wanted.filter);
        let mut filter = narrow::print_filter(asked, &mut self.params);
        for pred in &branch.residual {
            self.add_pred(&mut filter, pred);
        }
        let needed = wanted.needed;
        let gated = |filter: String| match needed {
            "TRUE" => filter,
            _ => format!("{needed} AND {filter}"),
        };
        let after = self.after("c.updated_at, c.id");
        let after_share = self.after("a.chat_updated_at, a.chat_id");
        let after_ref = self.after("s.chat_updated_at, s.chat_id");
        let of_share = gated(of_chat(&filter, "a.chat_id"));
        let of_ref = gated(of_chat(&filter, "s.chat_id"));
        let of_row = gated(filter);
        let mut marks = vec![
            ("/* filter */ TRUE", of_row.as_str()),
            ("/* filter of share */ TRUE", &of_share),
            ("/* filter of ref */ TRUE", &of_ref),
            ("/* after */ TRUE", &after),
            ("/* after share */ TRUE", &after_share),
            ("/* after ref */ TRUE", &after_ref),
            ("/* limit */ 1", wanted.limit),
        ];
        let keys = branch.keys.bind(&mut self.params);
        for (mark, parameter) in &keys {
            marks.push((mark, parameter));
        }
        replaced(branch.sql.text, &marks)
    }

    fn add_pred(&mut self, condition: &mut String, pred: &Pred) {
        if *pred == Pred::True {
            return;
        }
        // As a subquery, it is asked of each row by itself: its parts cannot become joins, which a
        // plan that does not know the limit would make hashes of whole tables.
        condition.push_str(" AND (SELECT ");
        predicate::print(pred, &mut self.params, condition);
        condition.push(')');
    }

    fn after(&self, key: &str) -> String {
        match self.after {
            Some((updated_at, id)) => format!("({key}) < (${updated_at}, ${id})"),
            None => "TRUE".to_owned(),
        }
    }
}

/// A condition on a chat `c` as one on a row that has only its id. A plain list asks nothing, and then
/// the chat is not looked up.
fn of_chat(condition: &str, id: &str) -> String {
    if condition == "TRUE" {
        return condition.to_owned();
    }
    format!("(SELECT ({condition}) FROM chats c WHERE c.id = {id})")
}

/// The text with each mark replaced that it has, in one pass: what is put in is not searched again.
fn replaced(text: &str, marks: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(place) = rest.find("/* ") {
        let (before, marked) = rest.split_at(place);
        out.push_str(before);
        match marks.iter().find(|(mark, _)| marked.starts_with(mark)) {
            Some((mark, with)) => {
                out.push_str(with);
                rest = &marked[mark.len()..];
            }
            None => {
                out.push_str(&marked[..3]);
                rest = &marked[3..];
            }
        }
    }
    out.push_str(rest);
    out
}
