//! Notes of who looks at what.

use std::time::Duration;

use proto::bounds::VIEWED_INTERVAL;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::column,
    due::{LOCK_ACCOUNTS, LOCK_BUDGETS, NO_BUDGETS, SETTLE_ACCOUNTS, SETTLE_BUDGETS},
    sql::{bind, sql},
    transaction::Tx,
};
use crate::id::{ChatId, GroupId, UserId};

const LIST_WATCHED_CHATS: Sql = sql!("list_watched_chats");
const LIST_WATCHED_CHATS_OF_OWNER: Sql = sql!("list_watched_chats_of_owner");
const LOCK_VIEWED_POLLS: Sql = sql!("lock_viewed_polls");
const VIEW_REFS: Sql = sql!("view_refs");

/// So long a note holds.
pub const VIEW_DURATION: Duration = Duration::from_secs(120);
/// Chats of one watcher that are noted: those that were updated last.
pub const MAX_WATCHED: i64 = 50;

/// A user who watches chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Who.
    pub user: UserId,
    /// By which groups a share reaches them.
    pub groups: Vec<GroupId>,
    /// Watches only this one's chats.
    pub owner: Option<UserId>,
}

impl Store {
    /// The chats that a user who watches owns or has shared with them, those updated last.
    pub(crate) async fn list_watched_chats(
        &self,
        watcher: &Watcher,
    ) -> Result<Vec<ChatId>, StoreError> {
        let Watcher {
            user,
            groups,
            owner,
        } = watcher;
        let groups: Vec<Uuid> = groups.iter().map(|group| group.0).collect();
        let rows = match owner {
            Some(owner) => {
                let params: [&(dyn ToSql + Sync); 4] = [&user.0, &groups, &MAX_WATCHED, &owner.0];
                self.read(LIST_WATCHED_CHATS_OF_OWNER, &params).await?
            }
            None => {
                let params: [&(dyn ToSql + Sync); 3] = [&user.0, &groups, &MAX_WATCHED];
                self.read(LIST_WATCHED_CHATS, &params).await?
            }
        };
        column(&rows, "id")
    }

    /// Notes that chats are viewed; says whether some of their refs became due for it. Refs that
    /// are being written are left out: they are noted again, if the view lasts.
    pub(crate) async fn view_chats(&self, chats: &[ChatId]) -> Result<bool, StoreError> {
        let chats: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
        self.transaction(|tx| view_once(tx, &chats)).await
    }
}

async fn view_once(tx: Tx, chats: &[Uuid]) -> Result<bool, StoreError> {
    let rows = tx.query(LOCK_VIEWED_POLLS, &[&chats]).await?;
    let refs: Vec<Uuid> = column(&rows, "ref_id")?;
    let (view, interval) = (VIEW_DURATION.as_secs_f64(), VIEWED_INTERVAL.as_secs_f64());
    let rows = tx.query(VIEW_REFS, &[&refs, &view, &interval]).await?;
    let accounts: Vec<Uuid> = column(&rows, "id")?;
    let due = !accounts.is_empty();
    tx.commit_after([
        bind(LOCK_ACCOUNTS, &[&accounts]).only_if(due),
        bind(SETTLE_ACCOUNTS, &[&accounts]).only_if(due),
        bind(LOCK_BUDGETS, &[&NO_BUDGETS, &accounts]).only_if(due),
        bind(SETTLE_BUDGETS, &[&NO_BUDGETS, &false, &accounts]).only_if(due),
    ])
    .await?;
    Ok(due)
}
