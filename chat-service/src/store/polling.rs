//! Which refs of a chat are planned, when that changes for all of them at once.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{Sql, StoreError, query, sql, transaction::make_budgets_due};
use crate::id::ChatId;

const SHARE_CHAT_ACCOUNTS: Sql = sql!("share_chat_accounts");
const LOCK_CHAT_BUDGETS: Sql = sql!("lock_chat_budgets");
const STOP_POLLING_CHAT: Sql = sql!("stop_polling_chat");
const RESUME_POLLING_REFS: Sql = sql!("resume_polling_refs");

/// Locks, for a chat that is locked, everything that comes before its refs: the owner's accounts and
/// the refs' budgets. Until the transaction ends no ref of the chat is leased, takes an outcome or
/// changes its budget.
pub(super) async fn lock_budgets_of(
    transaction: &Transaction<'_>,
    chat: ChatId,
) -> Result<(), StoreError> {
    for sql in [SHARE_CHAT_ACCOUNTS, LOCK_CHAT_BUDGETS] {
        query(transaction, sql.text, &[&chat.0])
            .await
            .map_err(StoreError::from_read)?;
    }
    Ok(())
}

/// Plans nothing more for a chat that is locked, and was archived.
pub(super) async fn stop_polling(
    transaction: &Transaction<'_>,
    chat: ChatId,
) -> Result<(), StoreError> {
    query(transaction, STOP_POLLING_CHAT.text, &[&chat.0])
        .await
        .map_err(StoreError::from_write)?;
    Ok(())
}

/// Makes the polled refs due of a chat that is locked, and was unarchived.
pub(super) async fn resume_polling(
    transaction: &Transaction<'_>,
    chat: ChatId,
) -> Result<(), StoreError> {
    lock_budgets_of(transaction, chat).await?;
    let rows = query(transaction, RESUME_POLLING_REFS.text, &[&chat.0])
        .await
        .map_err(StoreError::from_write)?;
    let budgets = rows
        .iter()
        .map(|row| row.try_get("budget_id").map_err(StoreError::row))
        .collect::<Result<Vec<Uuid>, _>>()?;
    make_budgets_due(transaction, &budgets, false).await?;
    Ok(())
}
