//! Change events: placing them in order, and reading them in that order.

use jiff::Timestamp;
use serde::Deserialize;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Sql, Store, StoreError, query, row, sql};
use crate::{
    authz::Subject,
    id::{ChatId, GroupId, UserId},
    text_enum::text_enum,
};

const PLACE_CHANGE_EVENTS: Sql = sql!("place_change_events");
const LAST_POSITION: Sql = sql!("last_position");
const LIST_CHANGE_EVENTS: Sql = sql!("list_change_events");
const TRY_LOCK_RELAY: Sql = sql!("try_lock_relay");

/// Names the relay's advisory lock: "chatrely" in ASCII.
const RELAY_LOCK: i64 = 0x6368_6174_7265_6c79;
/// Events that one statement places at most.
const BATCH: i64 = 1000;

text_enum! {
    /// What happened to a chat.
    ChangeKind {
        /// Pull request or git ref.
        DiffStatusChanged = "diff_status_changed",
        /// Title, labels or sharing.
        Updated = "updated",
        /// What the agent is doing.
        StatusChanged = "status_changed",
        /// Archived or unarchived.
        Archived = "archived",
        /// It was made.
        Created = "created",
    }
}

/// A change that was committed and placed.
#[derive(Clone, Debug)]
pub(crate) struct ChangeEvent {
    pub(crate) position: i64,
    pub(crate) chat: ChatId,
    pub(crate) kind: ChangeKind,
    pub(crate) removed: Vec<Subject>,
    pub(crate) at: Timestamp,
}

/// The right to place events: one connection in all replicas has it, as long as it lives.
pub(crate) struct RelayLock {
    /// Out of the pool for good: the lock lives as long as its connection, so it must close with it.
    client: deadpool_postgres::ClientWrapper,
}

impl Store {
    /// The relay's lock, if nobody else has it.
    pub(crate) async fn try_lock_relay(&self) -> Result<Option<RelayLock>, StoreError> {
        let client = self.client().await?;
        let rows = query(&client, TRY_LOCK_RELAY.text, &[&RELAY_LOCK])
            .await
            .map_err(StoreError::from_read)?;
        let locked = match rows.first() {
            Some(row) => row.try_get("locked").map_err(StoreError::row)?,
            None => false,
        };
        Ok(locked.then(|| RelayLock {
            client: deadpool_postgres::Client::take(client),
        }))
    }

    /// The position of the last event that was placed.
    pub(crate) async fn last_position(&self) -> Result<i64, StoreError> {
        let rows = self.read(LAST_POSITION, &[]).await?;
        match rows.first() {
            Some(row) => row.try_get("position").map_err(StoreError::row),
            None => Ok(0),
        }
    }

    /// Up to `limit` events after `position`, in order.
    pub(crate) async fn list_change_events(
        &self,
        position: i64,
        limit: i64,
    ) -> Result<Vec<ChangeEvent>, StoreError> {
        let rows = self.read(LIST_CHANGE_EVENTS, &[&position, &limit]).await?;
        rows.iter()
            .map(|row| {
                let removed: Option<serde_json::Value> =
                    row.try_get("removed_subjects").map_err(StoreError::row)?;
                Ok(ChangeEvent {
                    position: row.try_get("position").map_err(StoreError::row)?,
                    chat: ChatId(row.try_get("chat_id").map_err(StoreError::row)?),
                    kind: row::named(row, "kind", ChangeKind::parse)?,
                    removed: removed.map(subjects).transpose()?.unwrap_or_default(),
                    at: row.try_get("recorded_at").map_err(StoreError::row)?,
                })
            })
            .collect()
    }
}

impl RelayLock {
    /// Places what was committed; says whether there was anything.
    pub(crate) async fn place(&self) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let rows = self.run(PLACE_CHANGE_EVENTS, &[&BATCH]).await?;
            any |= !rows.is_empty();
            if i64::try_from(rows.len()).unwrap_or(BATCH) < BATCH {
                return Ok(any);
            }
        }
    }

    async fn run(&self, sql: Sql, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self
            .client
            .prepare_cached(sql.text)
            .await
            .map_err(StoreError::from_write)?;
        self.client
            .query(&statement, params)
            .await
            .map_err(StoreError::from_write)
    }
}

#[derive(Deserialize)]
struct RemovedSubject {
    kind: String,
    id: Uuid,
}

fn subjects(value: serde_json::Value) -> Result<Vec<Subject>, StoreError> {
    let removed: Vec<RemovedSubject> = serde_json::from_value(value)
        .map_err(|error| StoreError::bug("read removed subjects", error))?;
    removed
        .into_iter()
        .map(|subject| match subject.kind.as_str() {
            "user" => Ok(Subject::User(UserId(subject.id))),
            "group" => Ok(Subject::Group(GroupId(subject.id))),
            kind => Err(StoreError::bug(
                "read removed subjects",
                format!("kind {kind:?}"),
            )),
        })
        .collect()
}
