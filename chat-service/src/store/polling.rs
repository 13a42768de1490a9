//! Which refs of a chat are planned, when that changes for all of them at once.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{
    Sql, StoreError,
    budgets::MAKE_BUDGETS_DUE,
    column::column,
    query,
    sql::{bind, sql},
    transaction::Tx,
};
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
pub(super) async fn stop_polling(tx: &Tx, chat: ChatId) -> Result<(), StoreError> {
    tx.query(STOP_POLLING_CHAT, &[&chat.0]).await?;
    Ok(())
}

/// Makes the polled refs due of a chat that is locked, and was unarchived.
pub(super) async fn resume_polling(tx: &Tx, chat: ChatId) -> Result<(), StoreError> {
    let [_, _, rows] = tx
        .pipeline([
            bind(SHARE_CHAT_ACCOUNTS, &[&chat.0]),
            bind(LOCK_CHAT_BUDGETS, &[&chat.0]),
            bind(RESUME_POLLING_REFS, &[&chat.0]),
        ])
        .await?;
    let budgets: Vec<Uuid> = column(&rows, "budget_id")?;
    tx.query(MAKE_BUDGETS_DUE, &[&budgets, &false]).await?;
    Ok(())
}
