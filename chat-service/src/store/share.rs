//! Whom a chat is shared with.

use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    chat::Guarded,
    predicate::{ALLOWED, Params, READABLE, composed, level_name, subject_columns},
    query, row, sql,
};
use crate::{
    authz::{Authorized, Level, Subject},
    chat::MAX_SUBJECTS,
    id::ChatId,
};

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
            &mut params,
            &[(ALLOWED, &allowed), (READABLE, &readable)],
        )?;
        let (remove_kinds, remove_ids) = columns(remove.iter().copied());
        let (add_kinds, add_ids) = columns(add.iter().map(|(subject, _)| *subject));
        let levels: Vec<&str> = add.iter().map(|(_, level)| level_name(*level)).collect();

        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        query(&transaction, LOCK_CHAT.text, &[&id.0])
            .await
            .map_err(StoreError::from_read)?;
        let rows = query(&transaction, &authorize, &params.as_refs())
            .await
            .map_err(StoreError::from_read)?;
        let Some(row) = rows.first() else {
            return Ok(Guarded::NotVisible);
        };
        if !row.try_get::<_, bool>("allowed").map_err(StoreError::row)? {
            return Ok(Guarded::NotAllowed);
        }
        let removed = query(
            &transaction,
            DELETE_SHARES.text,
            &[&id.0, &remove_kinds, &remove_ids],
        )
        .await
        .map_err(StoreError::from_write)?;
        let added = query(
            &transaction,
            UPSERT_SHARES.text,
            &[&id.0, &add_kinds, &add_ids, &levels],
        )
        .await
        .map_err(StoreError::from_write)?;
        let count = query(&transaction, COUNT_SHARES.text, &[&id.0])
            .await
            .map_err(StoreError::from_read)?;
        let count: i64 = match count.first() {
            Some(row) => row.try_get("subjects").map_err(StoreError::row)?,
            None => 0,
        };
        if usize::try_from(count).unwrap_or(usize::MAX) > MAX_SUBJECTS {
            return Ok(Guarded::Done(Shared::TooMany));
        }
        if !removed.is_empty() || !added.is_empty() {
            let removed = subjects_json(&removed)?;
            query(&transaction, INSERT_SHARE_EVENT.text, &[&id.0, &removed])
                .await
                .map_err(StoreError::from_write)?;
        }
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(Guarded::Done(Shared::Done))
    }
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
