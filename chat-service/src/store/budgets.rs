//! What transactions share: trying again after a conflict, and budgets, which every change of a due
//! time touches.

use std::{future::Future, time::Duration};

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Sql, StoreError, query, sql};

pub(super) const SETTLE_BUDGETS: Sql = sql!("settle_budgets");
pub(super) const MAKE_BUDGETS_DUE: Sql = sql!("make_budgets_due");
const BOUND_LOCK_WAIT: Sql = sql!("bound_lock_wait");
pub(super) const ENSURE_BUDGET: Sql = sql!("ensure_budget");
pub(super) const LOCK_GIT_ACCOUNT: Sql = sql!("lock_git_account");
pub(super) const FIND_BUDGET: Sql = sql!("find_budget");

/// How often a transaction is begun at most.
const ATTEMPTS: u32 = 3;
/// Grows with each attempt, so that two that met do not meet again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);

/// Runs `transaction`, and runs it again when the database rolled it back for another's sake. It
/// must be one transaction, from beginning to commit.
pub(super) async fn retrying<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 1;
    loop {
        match transaction().await {
            Err(StoreError::Conflict { source }) if attempt < ATTEMPTS => {
                tracing::debug!(error = %source, attempt, "a transaction conflicted");
                tokio::time::sleep(CONFLICT_PAUSE * attempt).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// How long what may as well be left out waits for somebody else's budget.
const SHORT_WAIT: &str = "100ms";

/// Lets the statements of a transaction wait for locks only shortly.
pub(super) async fn bound_lock_wait(client: &impl GenericClient) -> Result<(), StoreError> {
    query(client, BOUND_LOCK_WAIT.text, &[&SHORT_WAIT])
        .await
        .map_err(StoreError::from_read)?;
    Ok(())
}

/// How often all parts of something wait so: enough to find two of a hundred that are locked.
const WAITS: u32 = 16;

/// What a transaction is run on: all of it, and where something of it is locked for long, each half.
/// So what can be done without that is done, and keeps nothing locked for it. That itself is left out, and
/// so is more where much is locked.
pub(super) struct Parts<'a, T> {
    left: Vec<&'a [T]>,
    waits: u32,
}

impl<'a, T> Parts<'a, T> {
    pub(super) fn of(items: &'a [T]) -> Self {
        Self {
            left: if items.is_empty() {
                vec![]
            } else {
                vec![items]
            },
            waits: WAITS,
        }
    }

    pub(super) fn next(&mut self) -> Option<&'a [T]> {
        if self.waits == 0 {
            return None;
        }
        self.left.pop()
    }

    /// What came of `part`; none, if something of it was locked.
    pub(super) fn settle<R>(
        &mut self,
        part: &'a [T],
        result: Result<R, StoreError>,
    ) -> Result<Option<R>, StoreError> {
        match result {
            Err(StoreError::Locked { source }) => {
                tracing::debug!(error = %source, items = part.len(), "some of it is locked");
                self.waits -= 1;
                if part.len() > 1 {
                    let (first, second) = part.split_at(part.len() / 2);
                    self.left.extend([second, first]);
                }
                Ok(None)
            }
            result => result.map(Some),
        }
    }
}

/// How often a budget is looked for that goes before it can be locked.
pub(super) const BUDGET_ATTEMPTS: u32 = 3;

/// The budget of `key`, made if there is none. Its row is not locked: until it is, it may go if
/// nobody has it.
pub(super) async fn ensure_budget(
    client: &impl GenericClient,
    key: &str,
    provider_id: &str,
) -> Result<Uuid, StoreError> {
    let rows = query(client, FIND_BUDGET.text, &[&key])
        .await
        .map_err(StoreError::from_read)?;
    if let Some(row) = rows.first() {
        return row.try_get("id").map_err(StoreError::row);
    }
    query(
        client,
        ENSURE_BUDGET.text,
        &[&Uuid::now_v7(), &key, &provider_id],
    )
    .await
    .map_err(StoreError::from_write)?;
    let rows = query(client, FIND_BUDGET.text, &[&key])
        .await
        .map_err(StoreError::from_read)?;
    match rows.first() {
        Some(row) => row.try_get("id").map_err(StoreError::row),
        None => Err(StoreError::bug("make a budget", "neither made nor found")),
    }
}

/// Makes `budgets` due now at the latest, and locks them; with `awaited`, before others, since
/// somebody waits. Returns how many of them there are: one that nobody has may be gone.
pub(super) async fn make_budgets_due(
    client: &impl GenericClient,
    budgets: &[Uuid],
    awaited: bool,
) -> Result<usize, StoreError> {
    let made = query(client, MAKE_BUDGETS_DUE.text, &[&budgets, &awaited])
        .await
        .map_err(StoreError::from_write)?;
    Ok(made.len())
}

/// Sets when `budgets`, which are locked, are due, and ends their leases if `release`.
pub(super) async fn settle_budgets(
    client: &impl GenericClient,
    budgets: &[Uuid],
    release: bool,
) -> Result<(), StoreError> {
    query(client, SETTLE_BUDGETS.text, &[&budgets, &release])
        .await
        .map_err(StoreError::from_write)?;
    Ok(())
}

/// A text column that holds one of an enum's names.
pub(crate) fn named<T>(
    row: &Row,
    column: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let text: &str = row.try_get(column).map_err(StoreError::row)?;
    parse(text).ok_or_else(|| unknown_name(column, text))
}

/// As [`named`], of a column that may be NULL.
pub(crate) fn maybe_named<T>(
    row: &Row,
    column: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column).map_err(StoreError::row)?;
    text.map(|text| parse(text).ok_or_else(|| unknown_name(column, text)))
        .transpose()
}

fn unknown_name(column: &str, text: &str) -> StoreError {
    StoreError::bug("read a row", format!("{column}: unknown name {text:?}"))
}
