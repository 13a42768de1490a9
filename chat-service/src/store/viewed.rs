//! Notes of who looks at what. Budgets are locked before refs, both by id.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    budgets::{Parts, bound_lock_wait, retrying, settle_budgets},
    query, sql,
};
use crate::{
    id::ChatId,
    sync::viewed::{MAX_WATCHED, VIEW_DURATION, VIEWED_INTERVAL, Watcher},
};

const LIST_WATCHED_CHATS: Sql = sql!("list_watched_chats");
const LIST_WATCHED_CHATS_OF_OWNER: Sql = sql!("list_watched_chats_of_owner");
const LOCK_VIEWED_BUDGETS: Sql = sql!("lock_viewed_budgets");
const VIEW_REFS: Sql = sql!("view_refs");

impl Store {
    /// The chats that somebody who watches owns or has shared with them, those updated last.
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
        rows.iter()
            .map(|row| row.try_get("id").map(ChatId).map_err(StoreError::row))
            .collect()
    }

    /// Notes that chats are viewed; says whether some of their refs became due for it. Those whose budget
    /// is locked for long are left out: they are noted again, if somebody still looks.
    pub(crate) async fn view_chats(&self, chats: &[ChatId]) -> Result<bool, StoreError> {
        let chats: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
        let mut due = false;
        let mut parts = Parts::of(&chats);
        while let Some(part) = parts.next() {
            let viewed = retrying(|| self.view_once(part)).await;
            match parts.settle(part, viewed) {
                Ok(viewed) => due |= viewed.unwrap_or_default(),
                // What is due is to be told all the same.
                Err(error) if due => {
                    tracing::warn!(%error, "some of what is viewed cannot be noted");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    async fn view_once(&self, chats: &[Uuid]) -> Result<bool, StoreError> {
        let interval = VIEWED_INTERVAL.as_secs_f64();
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        bound_lock_wait(&transaction).await?;
        let budgets = query(&transaction, LOCK_VIEWED_BUDGETS.text, &[&chats, &interval])
            .await
            .map_err(StoreError::from_read)?
            .iter()
            .map(|row| row.try_get("id").map_err(StoreError::row))
            .collect::<Result<Vec<Uuid>, _>>()?;
        query(
            &transaction,
            VIEW_REFS.text,
            &[&chats, &budgets, &interval, &VIEW_DURATION.as_secs_f64()],
        )
        .await
        .map_err(StoreError::from_write)?;
        if !budgets.is_empty() {
            settle_budgets(&transaction, &budgets, false).await?;
        }
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(!budgets.is_empty())
    }
}
