//! Puts a page's statement together from marked files and parameters.

use policy::Pred;

use super::{Near, PageBounds, Route, branch::PageBranch, narrow};
use crate::{
    chat_filter::{ChatFilter, Cursor},
    store::{
        Sql, predicate,
        sql::{Params, sql},
    },
};

const PAGE: Sql = sql!("page");
pub(in crate::store) const OF_ALL: Sql = sql!("page_of_all");
const NEAR: Sql = sql!("page_near");
const BY_SEARCH: Sql = sql!("page_by_search");

/// The placeholder in a file for branches.
const NOTHING: &str = "SELECT NULL::timestamptz AS updated_at, NULL::uuid AS id";

/// A statement that is being composed.
pub(super) struct Composer {
    pub(super) params: Params,
    /// The parameters of the cursor: its time and id.
    after: Option<(usize, usize)>,
    /// Rows of the page at most, and their parameter.
    page: i64,
    limit: String,
    bounds: PageBounds,
}

/// The condition on each row of a branch, and its limit.
#[derive(Clone, Copy)]
struct RowCondition<'a> {
    /// The filter on the chat, unless the branch's index answers it.
    filter: &'a ChatFilter,
    /// A condition without columns of a row: whether the branch is walked at all.
    needed: &'a str,
    limit: &'a str,
}

impl Composer {
    /// For the page of at most `page` rows after `cursor`.
    pub(super) fn new(cursor: Option<Cursor>, page: i64, bounds: PageBounds) -> Self {
        let mut params = Params::default();
        let limit = format!("${}", params.push(page));
        let after = cursor.map(|cursor| (params.push(cursor.updated_at), params.push(cursor.id.0)));
        Self {
            params,
            after,
            page,
            limit,
            bounds,
        }
    }

    /// The page of a route.
    pub(super) fn page(&mut self, route: &Route, filter: &ChatFilter) -> String {
        // One walk in order: nothing to merge, or to look up again.
        if let Route::Ways(branches) = route
            && let [only] = branches.as_slice()
            && only.is_whole_table()
        {
            let limit = self.limit.clone();
            return self.print(
                OF_ALL,
                only,
                RowCondition {
                    filter,
                    needed: "TRUE",
                    limit: &limit,
                },
            );
        }
        let union = self.branches(route, filter, "TRUE");
        let marks = [
            ("/* limit */ 1", self.limit.as_str()),
            (&*format!("/* branches */ {NOTHING}"), &union),
        ];
        replaced(PAGE.text, &marks)
    }

    fn branches(&mut self, route: &Route, filter: &ChatFilter, needed: &str) -> String {
        let limit = self.limit.clone();
        let wanted = RowCondition {
            filter,
            needed,
            limit: &limit,
        };
        match route {
            Route::Ways(ways) => self.union(ways, wanted),
            Route::Search(ways, pred) => self.search(ways, pred, wanted),
            Route::Near(near) => self.near(near, wanted),
        }
    }

    fn near(&mut self, near: &Near, wanted: RowCondition<'_>) -> String {
        let mut own = narrow::print_filter(wanted.filter, &mut self.params);
        self.add_pred(&mut own, &near.residual);
        // Of many subjects, each is walked less far: a page's worth is the least that is correct.
        let subjects: usize = near.tried.iter().map(|way| way.keys.count().max(1)).sum();
        let subjects = i64::try_from(subjects.max(1)).unwrap_or(i64::MAX);
        let count = (near.most / subjects).max(self.page);
        let count = format!("${}", self.params.push(count));
        let everything = ChatFilter::default();
        let tried = RowCondition {
            filter: &everything,
            limit: &count,
            ..wanted
        };
        let tried = self.union(&near.tried, tried);
        // A `Near` inside `far` defines a `further` of its own, but what it tries comes before that
        // definition, so that the name still means this one there.
        let needed = "(SELECT f.needed FROM further f)";
        let far = self.branches(&near.far, wanted.filter, needed);
        let marks = [
            (&*format!("/* branches */ {NOTHING}"), tried.as_str()),
            ("/* near */ 1", &count),
            ("/* filter */ TRUE", &own),
            ("/* limit */ 1", wanted.limit),
            (&*format!("/* far */ {NOTHING} WHERE FALSE"), &far),
        ];
        format!("({})", replaced(NEAR.text, &marks))
    }

    fn search(&mut self, ways: &[PageBranch], pred: &Pred, wanted: RowCondition<'_>) -> String {
        let search = narrow::print_search(wanted.filter, &mut self.params);
        let most = format!("${}", self.params.push(self.bounds.candidates));
        let mut rest = narrow::print_rest(wanted.filter, &mut self.params);
        self.add_pred(&mut rest, pred);
        let walk = self.union(
            ways,
            RowCondition {
                needed: "(SELECT m.holds FROM many m)",
                ..wanted
            },
        );
        let after = self.after("c.updated_at, c.id");
        let marks = [
            ("/* needed */ TRUE", wanted.needed),
            ("/* search */ TRUE", &search),
            ("/* after */ TRUE", &after),
            ("/* candidates */ 1", &most),
            ("/* filter of candidate */ TRUE", &rest),
            ("/* limit */ 1", wanted.limit),
            (&*format!("/* walk */ {NOTHING} WHERE FALSE"), &walk),
        ];
        replaced(BY_SEARCH.text, &marks)
    }

    fn union(&mut self, branches: &[PageBranch], wanted: RowCondition<'_>) -> String {
        let texts: Vec<String> = branches
            .iter()
            .map(|branch| format!("({})", self.print(branch.sql(), branch, wanted)))
            .collect();
        texts.join("\nUNION ALL\n")
    }

    fn print(&mut self, sql: Sql, branch: &PageBranch, wanted: RowCondition<'_>) -> String {
        let asked = branch.answered.rest(wanted.filter);
        let mut filter = narrow::print_filter(&asked, &mut self.params);
        for pred in &branch.residual {
            self.add_pred(&mut filter, pred);
        }
        let needed = wanted.needed;
        let gated = |filter: String| match needed {
            "TRUE" => filter,
            _ => format!("{needed} AND {filter}"),
        };
        let (owner, owner_of_share) = match branch.owner {
            Some(owner) => {
                let owner = self.params.push(owner.0);
                (
                    format!("c.owner_id = ${owner}"),
                    format!("a.owner_id = ${owner}"),
                )
            }
            None => ("TRUE".to_owned(), "TRUE".to_owned()),
        };
        let after = self.after("c.updated_at, c.id");
        let after_share = self.after("a.chat_updated_at, a.chat_id");
        let of_share = gated(of_chat(&filter, "a.chat_id"));
        let of_row = gated(filter);
        let (keys, under_key) = branch.print(&mut self.params);
        let marks = [
            ("/* keys */ (SELECT) AS key", keys.as_str()),
            ("/* under key */ TRUE", &under_key),
            ("/* filter */ TRUE", of_row.as_str()),
            ("/* filter of share */ TRUE", &of_share),
            ("/* owner */ TRUE", &owner),
            ("/* owner of share */ TRUE", &owner_of_share),
            ("/* after */ TRUE", &after),
            ("/* after share */ TRUE", &after_share),
            ("/* limit */ 1", wanted.limit),
        ];
        replaced(sql.text, &marks)
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

/// A condition on a chat `c` as one on a row that has only its id. A plain list asks nothing, and
/// then the chat is not looked up.
fn of_chat(condition: &str, id: &str) -> String {
    if condition == "TRUE" {
        return condition.to_owned();
    }
    format!("(SELECT ({condition}) FROM chats c WHERE c.id = {id})")
}

/// The text with each mark replaced that it has, in one pass: what is put in is not searched again.
pub(super) fn replaced(text: &str, marks: &[(&str, &str)]) -> String {
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
