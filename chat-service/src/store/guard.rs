//! The guard of a write to one chat: it is locked, and policy is asked in the same round trip.

use policy::UserId;
use tokio_postgres::Row;

use super::{
    Sql, StoreError,
    column::Columns as _,
    predicate::{ALLOWED, READABLE, composed},
    sql::{Composed, Params, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::{Action, Authorized},
    id::ChatId,
};

pub(super) const LOCK_CHAT: Sql = sql!("lock_chat");
const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");

/// What must hold of a chat before it is written to.
pub(super) struct Guard {
    chat: ChatId,
    authorize: Composed,
    action: Action,
}

impl Guard {
    /// The chat must be `readable`, and the write `allowed`.
    pub(super) fn new(
        readable: &Authorized,
        allowed: &Authorized,
        chat: ChatId,
    ) -> Result<Self, StoreError> {
        let mut params = Params::default();
        params.push(chat.0);
        let marks = [(READABLE, readable), (ALLOWED, allowed)];
        Ok(Self {
            chat,
            authorize: composed(AUTHORIZE_CHAT, params, &marks)?,
            action: allowed.action(),
        })
    }

    /// Locks the chat, and returns whose it is if the caller may write to it.
    pub(super) async fn pass(&self, tx: &Tx) -> Result<UserId, StoreError> {
        let [_, rows] = tx
            .pipeline([
                bind(LOCK_CHAT, &[&self.chat.0]),
                bind(self.authorize.statement(), &self.authorize.values()),
            ])
            .await?;
        passed(&rows, self.action)?.get_as("owner_id")
    }
}

/// The row of a chat from a statement that asks whether `action` is allowed.
pub(super) fn passed(rows: &[Row], action: Action) -> Result<&Row, StoreError> {
    let row = rows.first().ok_or(StoreError::NotVisible)?;
    if row.get_as("allowed")? {
        return Ok(row);
    }
    let action = action.name();
    Err(StoreError::NotAllowed { action })
}
