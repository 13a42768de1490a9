//! Chats: reading, listing, creating, changing.

use policy::ChatFacts;
use serde_json::json;
use tokio_postgres::Row;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, first},
    connection::Connection,
    guard::Guard,
    page, polling,
    predicate::{READABLE, composed},
    row,
    sql::{Params, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    chat::{Chat, ChatChanges, ChatStatus},
    chat_filter::{ChatFilter, Cursor},
    id::{ChatId, OrganizationId, RequestId, UserId, WorkspaceId},
};

const GET_CHATS: Sql = sql!("get_chats");
const LIST_DIFF_STATUSES: Sql = sql!("list_diff_statuses");
const LIST_SHARES: Sql = sql!("list_shares");
const INSERT_CHAT: Sql = sql!("insert_chat");
const FIND_CREATED_CHAT: Sql = sql!("find_created_chat");
const UPDATE_CHAT: Sql = sql!("update_chat");

/// A chat that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewChat {
    pub(crate) id: ChatId,
    pub(crate) owner: UserId,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) title: String,
    pub(crate) status: ChatStatus,
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    pub(crate) request: Option<RequestId>,
}

impl NewChat {
    /// What policy can ask about it.
    pub(crate) fn facts(&self) -> ChatFacts<'_> {
        ChatFacts {
            owner: self.owner,
            organization: self.organization,
            workspace: self.workspace,
            title: &self.title,
            status: self.status.name(),
            labels: &self.labels,
            archived: false,
            shares: &[],
        }
    }
}

impl Store {
    /// The chat `id`, if `readable` holds for it.
    pub(crate) async fn get_chat(
        &self,
        readable: Authorized,
        id: ChatId,
    ) -> Result<Option<Chat>, StoreError> {
        let mut params = Params::default();
        params.push(vec![id.0]);
        let get = composed(GET_CHATS, params, &[(READABLE, &readable)])?;
        let connection = self.connection().await?;
        let rows = connection.read(get.statement(), &get.values()).await?;
        Ok(with_parts(&connection, &rows).await?.pop())
    }

    /// A page of chats in list order, and whether more follow.
    ///
    /// # Errors
    ///
    /// When the database is away, or too slow.
    pub async fn list_chats(
        &self,
        readable: Authorized,
        filter: &ChatFilter,
        cursor: Option<Cursor>,
        page_size: usize,
    ) -> Result<(Vec<Chat>, bool), StoreError> {
        // One more than asked for tells whether this is the last page.
        let limit = page_size.saturating_add(1).try_into().unwrap_or(i64::MAX);
        let connection = self.connection().await?;
        let readable = readable.pred();
        let matches = match page::explain_search(readable, filter) {
            Some(explain) => {
                let values = explain.values();
                let rows = connection.read(explain.statement(), &values).await?;
                let plan = first(&rows, "QUERY PLAN")?;
                page::Matches::from_plan(&plan.unwrap_or_default())
            }
            None => page::Matches::Often,
        };
        let bounds = page::Bounds::default();
        let Some(page) = page::plan(readable, filter, cursor, limit, matches, bounds) else {
            return Ok((Vec::new(), false));
        };
        let mut rows = connection.read(page.statement(), &page.values()).await?;
        let more = rows.len() > page_size;
        rows.truncate(page_size);
        Ok((with_parts(&connection, &rows).await?, more))
    }

    /// The chats `ids` as they are now, unchecked: for events, where the predicate of each watcher is
    /// interpreted on each chat before it is sent.
    pub(crate) async fn list_chats_for_events(
        &self,
        ids: &[ChatId],
    ) -> Result<Vec<Chat>, StoreError> {
        let connection = self.connection().await?;
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = connection.read(GET_CHATS, &[&ids]).await?;
        with_parts(&connection, &rows).await
    }

    /// Creates `chat`, or returns the id of the one that the same request made before.
    pub(crate) async fn insert_chat(&self, chat: &NewChat) -> Result<ChatId, StoreError> {
        let (owner, request) = (chat.owner.0, chat.request.map(|id| id.0));
        let rows = self
            .write(
                INSERT_CHAT,
                &[
                    &chat.id.0,
                    &owner,
                    &chat.organization.map(|id| id.0),
                    &chat.workspace.map(|id| id.0),
                    &chat.title,
                    &chat.status.name(),
                    &json!(chat.labels),
                    &request,
                ],
            )
            .await?;
        if let Some(id) = first(&rows, "id")? {
            return Ok(id);
        }
        let rows = self.read(FIND_CREATED_CHAT, &[&owner, &request]).await?;
        first(&rows, "id")?
            .ok_or_else(|| StoreError::bug("create a chat", "neither made nor found"))
    }

    /// Applies `changes` to the chat `id`; says whether refs became due for it.
    pub(crate) async fn update_chat(
        &self,
        readable: Authorized,
        allowed: Authorized,
        id: ChatId,
        changes: &ChatChanges,
    ) -> Result<bool, StoreError> {
        let mut params = Params::default();
        params.push(id.0);
        params.push(changes.title.clone());
        params.push(changes.status.map(ChatStatus::name));
        params.push(changes.labels.as_ref().map(|labels| json!(labels)));
        params.push(changes.archived);
        let guard = Guard::before(UPDATE_CHAT, params, &readable, &allowed, id)?;
        let archiving = changes.archived == Some(true);
        self.transaction(async |tx: Tx| {
            let turned = guard.pass(&tx).await?.get_as("archived_changes")?;
            if turned {
                polling::plan(tx, id, archiving).await?;
            } else {
                tx.commit().await?;
            }
            Ok(turned && !archiving)
        })
        .await
    }
}

/// Chats from their rows, in the rows' order, with their refs and shares.
async fn with_parts(connection: &Connection, rows: &[Row]) -> Result<Vec<Chat>, StoreError> {
    let mut chats = rows.iter().map(row::chat).collect::<Result<Vec<_>, _>>()?;
    if chats.is_empty() {
        return Ok(chats);
    }
    let ids: Vec<uuid::Uuid> = chats.iter().map(|chat| chat.id.0).collect();
    let [refs, shares] = connection
        .read_all([
            bind(LIST_DIFF_STATUSES, &[&ids]),
            bind(LIST_SHARES, &[&ids]),
        ])
        .await?;
    let places: std::collections::HashMap<ChatId, usize> = chats
        .iter()
        .enumerate()
        .map(|(place, chat)| (chat.id, place))
        .collect();
    for row in &refs {
        let status = row::diff_status(row)?;
        if let Some(chat) = places
            .get(&status.chat)
            .and_then(|place| chats.get_mut(*place))
        {
            chat.diff_statuses.push(status);
        }
    }
    for row in &shares {
        let (id, subject, level) = row::share(row)?;
        if let Some(chat) = places.get(&id).and_then(|place| chats.get_mut(*place)) {
            chat.shares.push((subject, level));
        }
    }
    Ok(chats)
}
