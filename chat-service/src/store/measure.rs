//! The statements of `GetChats`, for the benchmark and for tests of plans.

use super::{page, predicate, sql::Params};
pub use super::{
    page::{Matches, PageBounds, explain_search, plan},
    sql::ComposedStatement,
};
use crate::authz::Pred;

/// The first page as one big OR over the table, as it is written where there is no planner.
#[must_use]
pub fn one_or(readable: &Pred, limit: i64) -> ComposedStatement {
    let mut params = Params::default();
    let limit = format!("${}", params.push(limit));
    let mut pred = String::new();
    predicate::print(readable, &mut params, &mut pred);
    let text = page::OF_ALL
        .text
        .replace("/* filter */ TRUE", &pred)
        .replace("/* limit */ 1", &limit);
    ComposedStatement {
        name: page::OF_ALL.name,
        text,
        params,
    }
}
