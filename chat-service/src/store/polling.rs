//! Which refs of a chat are planned, when that changes for all of them at once.

use uuid::Uuid;

use super::{
    Sql, StoreError,
    column::column,
    due::{LOCK_ACCOUNTS, LOCK_BUDGETS, NO_BUDGETS, SETTLE_ACCOUNTS, SETTLE_BUDGETS},
    sql::{bind, sql},
    transaction::Tx,
};
use crate::id::ChatId;

const LOCK_CHAT_POLLS: Sql = sql!("lock_chat_polls");
const LIST_CHAT_ACCOUNTS: Sql = sql!("list_chat_accounts");
const STOP_POLLING_CHAT: Sql = sql!("stop_polling_chat");
const RESUME_POLLING_REFS: Sql = sql!("resume_polling_refs");

/// Plans nothing more for a chat that is locked, and was archived, and commits.
pub(super) async fn stop_polling(tx: Tx, chat: ChatId) -> Result<(), StoreError> {
    plan(tx, chat, STOP_POLLING_CHAT).await
}

/// Makes the polled refs due of a chat that is locked, and was unarchived, and commits.
pub(super) async fn resume_polling(tx: Tx, chat: ChatId) -> Result<(), StoreError> {
    plan(tx, chat, RESUME_POLLING_REFS).await
}

async fn plan(tx: Tx, chat: ChatId, statement: Sql) -> Result<(), StoreError> {
    let chats = [chat.0];
    let chats = chats.as_slice();
    let [_, rows] = tx
        .pipeline([
            bind(LOCK_CHAT_POLLS, &[&chats]),
            bind(LIST_CHAT_ACCOUNTS, &[&chats]),
        ])
        .await?;
    let accounts: Vec<Uuid> = column(&rows, "id")?;
    tx.commit_after([
        bind(statement, &[&chat.0]),
        bind(LOCK_ACCOUNTS, &[&accounts]),
        bind(SETTLE_ACCOUNTS, &[&accounts]),
        bind(LOCK_BUDGETS, &[&NO_BUDGETS, &accounts]),
        bind(SETTLE_BUDGETS, &[&NO_BUDGETS, &false, &accounts]),
    ])
    .await?;
    Ok(())
}
