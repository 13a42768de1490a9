//! The guard of a write to one chat. Policy is evaluated twice in one round trip: by the statement
//! that locks the chat, so that a caller without the right to write takes no lock and waits for
//! none, and by the next one, which sees what was committed during the wait for the lock.

use tokio_postgres::Row;

use super::{
    Sql, StoreError,
    column::Columns as _,
    predicate::{ALLOWED, READABLE, composed},
    sql::{ComposedStatement, Params, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::{Action, Authorized},
    id::ChatId,
};

const LOCK_CHAT: Sql = sql!("lock_chat");
const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");

/// The condition of a write: the predicate of the chat, checked before and in the write.
pub(super) struct Guard {
    lock: ComposedStatement,
    then: ComposedStatement,
    action: Action,
}

impl Guard {
    /// The chat must be `readable`, and the write `allowed`. The row of [`Guard::pass`] says whose
    /// the chat is.
    pub(super) fn new(
        readable: &Authorized,
        allowed: &Authorized,
        chat: ChatId,
    ) -> Result<Self, StoreError> {
        let mut params = Params::default();
        params.push(chat.0);
        Self::before(AUTHORIZE_CHAT, params, readable, allowed, chat)
    }

    /// As [`Guard::new`], but the statement that asks again is `sql`, with `params` before those of
    /// the predicates. It returns a column `allowed`, and does nothing where that is false.
    pub(super) fn before(
        sql: Sql,
        params: Params,
        readable: &Authorized,
        allowed: &Authorized,
        chat: ChatId,
    ) -> Result<Self, StoreError> {
        let marks = [(READABLE, readable), (ALLOWED, allowed)];
        let mut locked = Params::default();
        locked.push(chat.0);
        Ok(Self {
            lock: composed(LOCK_CHAT, locked, &marks)?,
            then: composed(sql, params, &marks)?,
            action: allowed.action(),
        })
    }

    /// Locks the chat, and returns what the statement that asks again returns, if the caller may
    /// write to it.
    pub(super) async fn pass(&self, tx: &Tx) -> Result<Row, StoreError> {
        let [locked, rows] = tx
            .pipeline([
                bind(self.lock.statement(), &self.lock.values()),
                bind(self.then.statement(), &self.then.values()),
            ])
            .await?;
        let row = rows.into_iter().next().ok_or(StoreError::NotVisible)?;
        if !row.get_as::<bool>("allowed")? {
            let action = self.action.name();
            return Err(StoreError::NotAllowed { action });
        }
        if locked.is_empty() {
            // Nothing was locked, so that what came after may be of an older state.
            return Err(StoreError::Conflict {
                source: "the caller was given the right between two statements".into(),
            });
        }
        Ok(row)
    }
}
