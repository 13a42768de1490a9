//! Whom a chat is shared with.

use policy::{Level, Subject};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    chat::Guarded,
    column::first,
    predicate::{ALLOWED, READABLE, composed, level_name, subject_columns},
    row,
    sql::{Composed, Params, bind, sql},
    transaction::Tx,
};
use crate::{authz::Authorized, chat::MAX_SUBJECTS, id::ChatId};

const LOCK_CHAT: Sql = sql!("lock_chat");
const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");
const DELETE_SHARES: Sql = sql!("delete_shares");
const UPSERT_SHARES: Sql = sql!("upsert_shares");
const COUNT_SHARES: Sql = sql!("count_shares");
const INSERT_SHARE_EVENT: Sql = sql!("insert_share_event");

/// What became of a change of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// Done, or nothing to do.
    Done,
    /// The chat would have more than [`MAX_SUBJECTS`]; nothing was changed.
    TooMany,
}

impl Store {
    /// Takes the chat from `remove` and shares it with `add`.
    pub(crate) async fn update_sharing(
        &self,
        readable: Authorized,
        allowed: Authorized,
        id: ChatId,
        add: &[(Subject, Level)],
        remove: &[Subject],
    ) -> Result<Guarded<Shared>, StoreError> {
        let mut params = Params::default();
        params.push(id.0);
        let authorize = composed(
            AUTHORIZE_CHAT,
            params,
            &[(ALLOWED, &allowed), (READABLE, &readable)],
        )?;
        self.transaction(|tx| update_once(tx, id, &authorize, add, remove))
            .await
    }
}

async fn update_once(
    tx: Tx,
    id: ChatId,
    authorize: &Composed,
    add: &[(Subject, Level)],
    remove: &[Subject],
) -> Result<Guarded<Shared>, StoreError> {
    let (remove_kinds, remove_ids) = columns(remove.iter().copied());
    let (add_kinds, add_ids) = columns(add.iter().map(|(subject, _)| *subject));
    let levels: Vec<&str> = add.iter().map(|(_, level)| level_name(*level)).collect();
    let [_, rows] = tx
        .pipeline([
            bind(LOCK_CHAT, &[&id.0]),
            bind(authorize.statement(), &authorize.values()),
        ])
        .await?;
    match first(&rows, "allowed")? {
        Some(true) => {}
        Some(false) => return Ok(Guarded::NotAllowed),
        None => return Ok(Guarded::NotVisible),
    }
    let [removed, added, count] = tx
        .pipeline([
            bind(DELETE_SHARES, &[&id.0, &remove_kinds, &remove_ids]),
            bind(UPSERT_SHARES, &[&id.0, &add_kinds, &add_ids, &levels]),
            bind(COUNT_SHARES, &[&id.0]),
        ])
        .await?;
    let count: i64 = first(&count, "subjects")?.unwrap_or(0);
    if usize::try_from(count).unwrap_or(usize::MAX) > MAX_SUBJECTS {
        return Ok(Guarded::Done(Shared::TooMany));
    }
    let changed = !removed.is_empty() || !added.is_empty();
    let removed = subjects_json(&removed)?;
    tx.commit_after([bind(INSERT_SHARE_EVENT, &[&id.0, &removed]).only_if(changed)])
        .await?;
    Ok(Guarded::Done(Shared::Done))
}

fn columns(subjects: impl Iterator<Item = Subject>) -> (Vec<&'static str>, Vec<Uuid>) {
    subjects.map(subject_columns).unzip()
}

/// As `change_events.removed_subjects` holds them.
fn subjects_json(rows: &[Row]) -> Result<serde_json::Value, StoreError> {
    rows.iter()
        .map(|row| {
            let (kind, id) = subject_columns(row::subject(row)?);
            Ok(json!({ "kind": kind, "id": id }))
        })
        .collect()
}
