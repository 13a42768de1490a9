//! The end of every transaction that makes refs due: the due times of the account and the budget.
//!
//! The refs' polls are locked first. Then, in this order and in one round trip with the commit: the
//! accounts are locked and settled, and then their budgets. Each lock is a statement of its own, so
//! that what follows sees every ref that was made due before.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, StoreError,
    column::column,
    connection::rows_of_each,
    guard::Guard,
    sql::{Bound, bind, sql},
    transaction::Tx,
};
use crate::id::ChatId;

/// No budget, or no account, beside those that another parameter names.
pub(super) const NONE: &[Uuid] = &[];

/// Locks the refs `$1`.
pub(super) const LOCK_POLLS: Sql = sql!("lock_polls");
/// Locks the refs of the chats `$1`.
pub(super) const LOCK_CHAT_POLLS: Sql = sql!("lock_chat_polls");
/// The accounts of the refs of the chats `$1`.
pub(super) const LIST_CHAT_ACCOUNTS: Sql = sql!("list_chat_accounts");
/// Notes, for the holders of leases of the budgets of the accounts `$1`, that a person waits.
const AWAIT_BUDGETS: Sql = sql!("await_budgets");
/// Locks the accounts `$1`.
pub(super) const LOCK_ACCOUNTS: Sql = sql!("lock_accounts");
/// Sets lane and due time of the accounts `$1`, which are locked.
pub(super) const SETTLE_ACCOUNTS: Sql = sql!("settle_accounts");
/// Locks the budgets `$1` and those of the accounts `$2`, which are locked.
pub(super) const LOCK_BUDGETS: Sql = sql!("lock_budgets");
/// Sets the places in the queue of the budgets `$1`, and of those of the accounts `$3`, which are
/// locked; with `$2`, ends their leases.
pub(super) const SETTLE_BUDGETS: Sql = sql!("settle_budgets");

/// The index of [`SETTLE_BUDGETS`] among the statements that [`Tx::commit_due_and`] adds.
const SETTLE_BUDGETS_IN_TAIL: usize = 3;

impl Tx {
    /// Runs `statements`, settles `accounts` and their budgets, and commits, in one round trip.
    /// Also returns whether waiting lease calls are to be notified: see [`is_due`].
    pub(super) async fn commit_due<const N: usize>(
        self,
        statements: [Bound<'_>; N],
        accounts: &[Uuid],
    ) -> Result<([Vec<Row>; N], bool), StoreError> {
        self.commit_due_and(statements, accounts, &[]).await
    }

    /// As [`Tx::commit_due`], with `then` right before the commit.
    pub(super) async fn commit_due_and<const N: usize>(
        self,
        statements: [Bound<'_>; N],
        accounts: &[Uuid],
        then: &[Bound<'_>],
    ) -> Result<([Vec<Row>; N], bool), StoreError> {
        let mut rows = self
            .commit_after_all(
                &[
                    statements.as_slice(),
                    [
                        bind(LOCK_ACCOUNTS, &[&accounts]),
                        bind(SETTLE_ACCOUNTS, &[&accounts]),
                        bind(LOCK_BUDGETS, &[&NONE, &accounts]),
                        bind(SETTLE_BUDGETS, &[&NONE, &false, &accounts]),
                    ]
                    .as_slice(),
                    then,
                ]
                .concat(),
            )
            .await?;
        let settled = rows.get(N + SETTLE_BUDGETS_IN_TAIL).map(Vec::as_slice);
        let is_due = is_due(settled.unwrap_or_default())?;
        rows.truncate(N);
        Ok((rows_of_each(rows)?, is_due))
    }

    /// Runs `statement`, which makes refs of `chat` due for a person who waits, and commits, once
    /// the caller has passed `guard` and the chat's refs and their accounts are locked. Returns the
    /// statement's rows, and whether waiting lease calls are to be notified.
    pub(super) async fn commit_awaited(
        self,
        guard: &Guard,
        chat: ChatId,
        statement: Bound<'_>,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        guard.pass(&self).await?;
        let chats = [chat.0];
        let [_, rows] = self
            .pipeline([
                bind(LOCK_CHAT_POLLS, &[&chats.as_slice()]),
                bind(LIST_CHAT_ACCOUNTS, &[&chats.as_slice()]),
            ])
            .await?;
        let accounts: Vec<Uuid> = column(&rows, "id")?;
        let ([_, rows], due) = self
            .commit_due_and(
                [bind(LOCK_ACCOUNTS, &[&accounts]), statement],
                &accounts,
                &[bind(AWAIT_BUDGETS, &[&accounts])],
            )
            .await?;
        Ok((rows, due))
    }
}

/// Whether a budget became ready, by the rows of [`SETTLE_BUDGETS`]: now, or before waiting lease
/// calls poll again by themselves. They are to be notified then, after the commit.
pub(super) fn is_due(settled: &[Row]) -> Result<bool, StoreError> {
    let due: Vec<bool> = column(settled, "due")?;
    Ok(due.contains(&true))
}
