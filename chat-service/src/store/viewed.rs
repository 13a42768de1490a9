//! Notes of who looks at what.

use std::time::Duration;

use policy::{Atom, Level, Pred};
use proto::bounds::VIEWED_INTERVAL;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::column,
    due::NONE,
    page::{self, Matches, PageBounds},
    predicate::{READABLE, print},
    sql::{ComposedStatement, Params, Statement, sql},
    transaction::Tx,
};
use crate::{
    chat_filter::ChatFilter,
    id::{ChatId, GroupId, UserId},
};

const LIST_NAMED_CHATS: Sql = sql!("list_named_chats");
const LOCK_FREE_POLLS: Sql = sql!("lock_free_polls");
const VIEW_REFS: Sql = sql!("view_refs");

/// So long a note holds.
pub const VIEW_DURATION: Duration = Duration::from_secs(120);
/// Chats of one watcher that are noted: those that were updated last.
pub const MAX_WATCHED: i64 = 50;

/// A user who watches chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchingUser {
    /// Who.
    pub user: UserId,
    /// By which groups a share reaches them.
    pub groups: Vec<GroupId>,
    /// Watches only this one's chats.
    pub owner: Option<UserId>,
    /// Watches only these, unless empty.
    pub chats: Vec<ChatId>,
}

impl Store {
    /// The chats that a user who watches owns or has shared with them: those that the watch names,
    /// or those updated last. Not for showing: whose refs are worth a look.
    pub(crate) async fn list_watched_chats(
        &self,
        watcher: &WatchingUser,
    ) -> Result<Vec<ChatId>, StoreError> {
        let of_groups = Atom::SharedWithGroup(watcher.groups.as_slice().into(), Level::Reader);
        let pred = Pred::any([
            Pred::Atom(Atom::Owner([watcher.user].into())),
            Pred::Atom(Atom::SharedWithUser([watcher.user].into(), Level::Reader)),
            Pred::Atom(of_groups),
        ]);
        if !watcher.chats.is_empty() {
            let of_owner = watcher.owner.map(|owner| Atom::Owner([owner].into()));
            let pred = Pred::all([pred].into_iter().chain(of_owner.map(Pred::Atom)));
            return self.list_named_chats(&watcher.chats, &pred).await;
        }
        let filter = ChatFilter {
            owner: watcher.owner,
            archived: Some(false),
            ..ChatFilter::default()
        };
        let (matches, bounds) = (Matches::Often, PageBounds::default());
        let Some(page) = page::plan(&pred, &filter, None, MAX_WATCHED, matches, bounds) else {
            return Ok(Vec::new());
        };
        let statement = Statement {
            name: "list_watched_chats",
            ..page.statement()
        };
        let rows = self.read(statement, &page.values()).await?;
        column(&rows, "id")
    }

    async fn list_named_chats(
        &self,
        chats: &[ChatId],
        pred: &Pred,
    ) -> Result<Vec<ChatId>, StoreError> {
        let mut params = Params::default();
        params.push(chats.iter().map(|chat| chat.0).collect::<Vec<_>>());
        let mut printed = String::new();
        print(pred, &mut params, &mut printed);
        let list = ComposedStatement {
            name: LIST_NAMED_CHATS.name,
            text: LIST_NAMED_CHATS.text.replace(READABLE, &printed),
            params,
        };
        let rows = self.read(list.statement(), &list.values()).await?;
        column(&rows, "id")
    }

    /// Notes that chats are viewed; says whether workers are to look for what is due now. Refs that
    /// are being written are left out: they are noted again, if the view lasts.
    pub(crate) async fn view_chats(&self, chats: &[ChatId]) -> Result<bool, StoreError> {
        let chats: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
        self.transaction(|tx| view_once(tx, &chats)).await
    }
}

async fn view_once(tx: Tx, chats: &[Uuid]) -> Result<bool, StoreError> {
    let rows = tx.query(LOCK_FREE_POLLS, &[&NONE, &chats]).await?;
    let refs: Vec<Uuid> = column(&rows, "ref_id")?;
    let (view, interval) = (VIEW_DURATION.as_secs_f64(), VIEWED_INTERVAL.as_secs_f64());
    let rows = tx.query(VIEW_REFS, &[&refs, &view, &interval]).await?;
    let accounts: Vec<Uuid> = column(&rows, "id")?;
    if accounts.is_empty() {
        tx.commit().await?;
        return Ok(false);
    }
    let ([], due) = tx.commit_due([], &accounts).await?;
    Ok(due)
}
