//! What lists cost: the statements of `GetChats`, for the benchmark and for tests that look at plans.
//! Nothing here is served; a list that is served goes through [`Store`] alone.

use tokio_postgres::types::ToSql;

pub use super::page::{Bounds, Matches};
use super::{
    Store, StoreError, page, predicate,
    sql::{Composed, Params},
};
use crate::{
    authz::Authorized,
    chat::Chat,
    chat_filter::{ChatFilter, Cursor},
};

/// A statement with its parameters.
pub struct Statement(Composed);

impl Statement {
    /// What is prepared.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What is bound, in order.
    #[must_use]
    pub fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.values()
    }
}

/// The statement for a page of at most `limit` chats; none when no chat can be in it.
#[must_use]
pub fn page(
    readable: &Authorized,
    filter: &ChatFilter,
    cursor: Option<Cursor>,
    limit: i64,
    matches: Matches,
    bounds: Bounds,
) -> Option<Statement> {
    page::plan(readable, filter, cursor, limit, matches, bounds).map(Statement)
}

/// The statement that is asked before, if the plan of the page depends on its answer.
#[must_use]
pub fn explain_search(readable: &Authorized, filter: &ChatFilter) -> Option<Statement> {
    page::explain_search(readable, filter).map(Statement)
}

/// What its answer says.
#[must_use]
pub fn matches(plan: &serde_json::Value) -> Matches {
    Matches::from_plan(plan)
}

/// The same first page as one big OR over the table, as it is written where there is no planner.
#[must_use]
pub fn one_or(readable: &Authorized, limit: i64) -> Statement {
    let mut params = Params::default();
    let limit = format!("${}", params.push(limit));
    let mut pred = String::new();
    predicate::print(readable.pred(), &mut params, &mut pred);
    let text = page::OF_ALL
        .text
        .replace("/* filter */ TRUE", &pred)
        .replace("/* limit */ 1", &limit);
    Statement(Composed {
        name: page::OF_ALL.name,
        text,
        params,
    })
}

/// A page as `GetChats` reads it: the chats with their refs and shares, and whether more follow.
///
/// # Errors
///
/// As the store's.
pub async fn list(
    store: &Store,
    readable: Authorized,
    filter: &ChatFilter,
    cursor: Option<Cursor>,
    page_size: usize,
) -> Result<(Vec<Chat>, bool), StoreError> {
    store.list_chats(readable, filter, cursor, page_size).await
}
