//! The shares of chats.

use policy::{Level, Subject};
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::first,
    former::{FORMER_CHAT, facts},
    guard::Guard,
    predicate::subject_columns,
    sql::{bind, sql},
    transaction::Tx,
};
use crate::{authz::Authorized, chat::MAX_SUBJECTS, id::ChatId};

const DELETE_SHARES: Sql = sql!("delete_shares");
const UPSERT_SHARES: Sql = sql!("upsert_shares");
const COUNT_SHARES: Sql = sql!("count_shares");
const INSERT_SHARE_EVENT: Sql = sql!("insert_share_event");

impl Store {
    /// Takes the chat from `remove` and shares it with `add`. False when it would have more than
    /// [`MAX_SUBJECTS`] then: nothing is changed.
    pub(crate) async fn update_sharing(
        &self,
        readable: Authorized,
        allowed: Authorized,
        id: ChatId,
        add: &[(Subject, Level)],
        remove: &[Subject],
    ) -> Result<bool, StoreError> {
        let guard = Guard::new(&readable, &allowed, id)?;
        self.transaction(|tx| update_once(tx, id, &guard, add, remove))
            .await
    }
}

async fn update_once(
    tx: Tx,
    id: ChatId,
    guard: &Guard,
    add: &[(Subject, Level)],
    remove: &[Subject],
) -> Result<bool, StoreError> {
    let (remove_kinds, remove_ids) = columns(remove.iter().copied());
    let (add_kinds, add_ids) = columns(add.iter().map(|(subject, _)| *subject));
    let levels: Vec<&str> = add.iter().map(|(_, level)| level.name()).collect();
    guard.pass(&tx).await?;
    let [former, removed, added, count] = tx
        .pipeline([
            bind(FORMER_CHAT, &[&id.0]),
            bind(DELETE_SHARES, &[&id.0, &remove_kinds, &remove_ids]),
            bind(UPSERT_SHARES, &[&id.0, &add_kinds, &add_ids, &levels]),
            bind(COUNT_SHARES, &[&id.0]),
        ])
        .await?;
    let count: i64 = first(&count, "subjects")?.unwrap_or(0);
    if usize::try_from(count).unwrap_or(usize::MAX) > MAX_SUBJECTS {
        return Ok(false);
    }
    let changed = !removed.is_empty() || !added.is_empty();
    let former = facts(&former)?;
    tx.commit_after([bind(INSERT_SHARE_EVENT, &[&id.0, &former]).only_if(changed)])
        .await?;
    Ok(true)
}

fn columns(subjects: impl Iterator<Item = Subject>) -> (Vec<&'static str>, Vec<Uuid>) {
    subjects.map(subject_columns).unzip()
}
