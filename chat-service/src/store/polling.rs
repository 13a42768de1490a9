//! Plans and unplans all refs of a chat at once.

use uuid::Uuid;

use super::{
    Sql, StoreError,
    column::column,
    due::{LIST_CHAT_ACCOUNTS, LOCK_CHAT_POLLS},
    sql::{bind, sql},
    transaction::Tx,
};
use crate::id::ChatId;

const STOP_POLLING_REFS: Sql = sql!("stop_polling_refs");
const REQUEUE_REFS: Sql = sql!("requeue_refs");

/// Plans nothing more for a chat that is locked if it was archived, else makes its polled refs due;
/// and commits.
pub(super) async fn plan(tx: Tx, chat: ChatId, archived: bool) -> Result<(), StoreError> {
    let chats: &[Uuid] = &[chat.0];
    let [locked, accounts] = tx
        .pipeline([
            bind(LOCK_CHAT_POLLS, &[&chats]),
            bind(LIST_CHAT_ACCOUNTS, &[&chats]),
        ])
        .await?;
    let refs: Vec<Uuid> = column(&locked, "ref_id")?;
    let accounts: Vec<Uuid> = column(&accounts, "id")?;
    tx.commit_due(
        [
            bind(STOP_POLLING_REFS, &[&refs]).only_if(archived),
            bind(REQUEUE_REFS, &[&refs, &false]).only_if(!archived),
        ],
        &accounts,
    )
    .await?;
    Ok(())
}
