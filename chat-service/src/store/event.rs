//! Change events: placing them in order, and reading them in that order.

use jiff::Timestamp;
use policy::Subject;
use serde::Deserialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, first},
    connection::Connection,
    former::FormerChat,
    row::subject_of,
    sql::sql,
};
use crate::{id::ChatId, text_enum::text_enum};

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
        /// It is gone.
        Deleted = "deleted",
    }
}

/// A change that was committed and placed.
#[derive(Clone, Debug)]
pub(crate) struct ChangeEvent {
    pub(crate) position: i64,
    pub(crate) chat: ChatId,
    pub(crate) kind: ChangeKind,
    pub(crate) removed: Vec<Subject>,
    /// The chat before it was deleted.
    pub(crate) former: Option<FormerChat>,
    pub(crate) at: Timestamp,
}

/// The right to place events: one connection in all replicas has it, as long as it lives.
pub(crate) struct RelayLock {
    /// The lock lives as long as the session, so this closes when it is dropped.
    connection: Connection,
}

impl Store {
    /// The relay's lock, if nobody else has it.
    pub(crate) async fn try_lock_relay(&self) -> Result<Option<RelayLock>, StoreError> {
        let connection = self.connection().await?;
        let rows = connection.read(TRY_LOCK_RELAY, &[&RELAY_LOCK]).await?;
        Ok(first(&rows, "locked")?.unwrap_or(false).then(|| {
            connection.close_when_dropped();
            RelayLock { connection }
        }))
    }

    /// The position of the last event that was placed.
    pub(crate) async fn last_position(&self) -> Result<i64, StoreError> {
        let rows = self.read(LAST_POSITION, &[]).await?;
        Ok(first(&rows, "position")?.unwrap_or(0))
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
                let removed: Option<serde_json::Value> = row.get_as("removed_subjects")?;
                let former: Option<serde_json::Value> = row.get_as("former")?;
                Ok(ChangeEvent {
                    position: row.get_as("position")?,
                    chat: row.get_as("chat_id")?,
                    kind: row.get_as("kind")?,
                    removed: removed.map(subjects).transpose()?.unwrap_or_default(),
                    former: former.map(FormerChat::read).transpose()?,
                    at: row.get_as("recorded_at")?,
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
            let rows = self.place_batch().await?;
            any |= !rows.is_empty();
            if i64::try_from(rows.len()).unwrap_or(BATCH) < BATCH {
                return Ok(any);
            }
        }
    }

    async fn place_batch(&self) -> Result<Vec<Row>, StoreError> {
        self.connection.write(PLACE_CHANGE_EVENTS, &[&BATCH]).await
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
        .map(|RemovedSubject { kind, id }| {
            subject_of(&kind, id)
                .ok_or_else(|| StoreError::bug("read removed subjects", format!("kind {kind:?}")))
        })
        .collect()
}
