//! Change events, in the order of their positions.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, first},
    connection::Connection,
    former::FormerChat,
    sql::{bind, sql},
    unknown::count_unknown,
};
use crate::{id::ChatId, text_enum::text_enum};

const TAKE_OVER_RELAY: Sql = sql!("take_over_relay");
const GIVE_UP_RELAY: Sql = sql!("give_up_relay");
const READ_SERVER: Sql = sql!("read_server");
const PLACE_CHANGE_EVENTS: Sql = sql!("place_change_events");
const READ_RELAY: Sql = sql!("read_relay");
const LIST_CHANGE_EVENTS: Sql = sql!("list_change_events");
const BEGIN_GENERATION: Sql = sql!("begin_generation");

/// The lease of the relay, from each renewal on: a relay that is lost is replaced within it.
pub(crate) const RELAY_LEASE: Duration = Duration::from_secs(10);
/// Events that one statement places at most.
const BATCH: i64 = 1000;

text_enum! {
    /// A change of a chat. Changes of one chat are coalesced under the greatest kind.
    ChangeKind, else Unspecified {
        /// Pull request or git ref.
        DiffStatusChanged = "diff_status_changed",
        /// Title, labels or sharing.
        Updated = "updated",
        /// The status of the agent.
        StatusChanged = "status_changed",
        /// Archived or unarchived.
        Archived = "archived",
        /// It was made.
        Created = "created",
        /// A pull request needs attention. That is said once: no other change hides it.
        Attention = "attention",
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
    /// The policy facts of the chat before the change, if that may have revoked access: its shares
    /// changed, or the title, status, labels or archiving, if policies about reading use them; or
    /// it was deleted.
    pub(crate) former: Option<FormerChat>,
    pub(crate) at: Timestamp,
}

/// A point in the order of events. Points of two generations cannot be compared: between them,
/// positions may have gone back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Of the positions.
    pub generation: Uuid,
    /// Of an event, or before the first one.
    pub position: i64,
}

/// The head of the order of events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The last position that was given.
    pub(crate) last: Point,
    /// Events up to this position may have been forgotten.
    pub(crate) forgotten: i64,
    /// The age of the first event without a position.
    pub(crate) unplaced_for: Option<Duration>,
    /// The database's time when this was read.
    pub(crate) as_of: Timestamp,
}

/// The result of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Nothing is left to be placed.
    All,
    /// There may be more.
    Part,
    /// Nothing was placed: another process is the relay, or may be.
    Lost,
}

/// The lease of the relay, under which events are placed.
pub(crate) struct Relay {
    connection: Connection,
    epoch: i64,
    server: Option<String>,
}

impl Store {
    /// Makes the process `holder` the relay, unless another is.
    pub(crate) async fn take_over_relay(&self, holder: Uuid) -> Result<Option<Relay>, StoreError> {
        let connection = self.connection().await?;
        let rows = connection
            .write(TAKE_OVER_RELAY, &[&holder, &RELAY_LEASE.as_secs_f64()])
            .await?;
        Ok(first(&rows, "epoch")?.map(|epoch| Relay {
            connection,
            epoch,
            server: None,
        }))
    }

    /// Reads the head of the order of events.
    pub(crate) async fn read_relay(&self) -> Result<Head, StoreError> {
        head(&self.read(READ_RELAY, &[]).await?)
    }

    /// Up to `limit` events after `position`, in order, and the head of the order read after them:
    /// it shows whether events were deleted or placed again meanwhile.
    pub(crate) async fn list_change_events(
        &self,
        position: i64,
        limit: i64,
    ) -> Result<(Vec<ChangeEvent>, Head), StoreError> {
        let connection = self.connection().await?;
        let [rows, relay] = connection
            .read_all([
                bind(LIST_CHANGE_EVENTS, &[&position, &limit]),
                bind(READ_RELAY, &[]),
            ])
            .await?;
        let events = rows.iter().map(event).collect::<Result<_, _>>()?;
        Ok((events, head(&relay)?))
    }

    /// Begins another generation of positions after `ended`, or after the current one if that is
    /// `None`. Concurrent calls of several processes begin one generation. All watchers list again.
    ///
    /// # Errors
    ///
    /// When the database is unavailable.
    pub async fn begin_generation(&self, ended: Option<Uuid>) -> Result<(), StoreError> {
        self.write(BEGIN_GENERATION, &[&ended]).await?;
        Ok(())
    }
}

impl Relay {
    /// Reads the server's identity, by which the next placement notices that it is another than
    /// before.
    pub(crate) async fn look_at_server(&mut self) -> Result<(), StoreError> {
        self.server = match self.connection.read(READ_SERVER, &[]).await {
            Ok(rows) => first(&rows, "server")?,
            // The server answered, and not with that: a role may be kept from asking.
            Err(StoreError::Bug { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Whether it is known which server this is.
    pub(crate) fn knows_server(&self) -> bool {
        self.server.is_some()
    }

    /// Places committed events, notifies `channel`, and renews the lease.
    pub(crate) async fn place(&self, channel: &str) -> Result<Placement, StoreError> {
        let seconds = RELAY_LEASE.as_secs_f64();
        let rows = self
            .connection
            .write(
                PLACE_CHANGE_EVENTS,
                &[&self.epoch, &seconds, &self.server, &channel, &BATCH],
            )
            .await?;
        Ok(match first::<i64>(&rows, "placed")? {
            None => Placement::Lost,
            Some(placed) if placed < BATCH => Placement::All,
            Some(_) => Placement::Part,
        })
    }

    /// Lets another process be the relay at once.
    pub(crate) async fn give_up(&self) -> Result<(), StoreError> {
        self.connection.write(GIVE_UP_RELAY, &[&self.epoch]).await?;
        Ok(())
    }
}

fn head(rows: &[Row]) -> Result<Head, StoreError> {
    let row = rows
        .first()
        .ok_or_else(|| StoreError::bug("read the relay", "it has no row"))?;
    Ok(Head {
        last: Point {
            generation: row.get_as("generation")?,
            position: row.get_as("position")?,
        },
        forgotten: row.get_as("forgotten_position")?,
        unplaced_for: row.get_as("unplaced_seconds")?,
        as_of: row.get_as("as_of")?,
    })
}

fn event(row: &Row) -> Result<ChangeEvent, StoreError> {
    let former: Option<serde_json::Value> = row.get_as("former")?;
    Ok(ChangeEvent {
        position: row.get_as("position")?,
        chat: row.get_as("chat_id")?,
        kind: row.get_as("kind")?,
        former: former.and_then(known),
        at: row.get_as("recorded_at")?,
    })
}

/// A former chat; `None`, and counted, for one of a later release that this one cannot read.
fn known(former: serde_json::Value) -> Option<FormerChat> {
    FormerChat::read(former)
        .inspect_err(|error| count_unknown("former", &error.to_string()))
        .ok()
}
