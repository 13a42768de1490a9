//! Chats: reading, listing, creating, changing.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use policy::{Attribute, ChatFacts};
use serde_json::json;
use tokio_postgres::Row;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, column, first},
    connection::Connection,
    due::{LIST_CHAT_ACCOUNTS, LOCK_CHAT_POLLS},
    former::{FORMER_CHAT, facts},
    guard::Guard,
    page, polling,
    predicate::{READABLE, composed},
    row,
    sql::{Params, Statement, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    chat::{Chat, ChatChanges, ChatStatus, MAX_LABELS, View},
    chat_filter::{ChatFilter, Cursor, ListDetail},
    etag::Etag,
    id::{ChatId, OrganizationId, RequestId, UserId, WorkspaceId},
};

const GET_CHATS: Sql = sql!("get_chats");
const LIST_DIFF_STATUSES: Sql = sql!("list_diff_statuses");
const INSERT_CHAT: Sql = sql!("insert_chat");
const FIND_CREATED_CHAT: Sql = sql!("find_created_chat");
const UPDATE_CHAT: Sql = sql!("update_chat");
const DELETE_CHAT: Sql = sql!("delete_chat");

/// A statement of a list takes this long at most: by then its caller has most likely asked for
/// another list.
const LIST_LIMIT: Duration = Duration::from_secs(2);

/// Where a page's statement says whether it reads shares.
const WITH_SHARES: &str = "/* with shares */ FALSE";
/// Where [`UPDATE_CHAT`] says what its event keeps of the chat before.
const FORMER: &str = "/* former */ NULL::jsonb";
/// [`UPDATE_CHAT`] whose event keeps what the chat was before.
static UPDATE_AND_KEEP: LazyLock<String> = LazyLock::new(|| {
    let former = format!("\n{}", FORMER_CHAT.text);
    UPDATE_CHAT.text.replace(FORMER, &former)
});
/// [`LIST_DIFF_STATUSES`] of primary refs alone.
static PRIMARY_DIFF_STATUSES: LazyLock<String> = LazyLock::new(|| {
    LIST_DIFF_STATUSES
        .text
        .replace("/* which */ TRUE", "r.is_primary")
});

/// A chat to be created.
#[derive(Clone, Debug)]
pub(crate) struct NewChat {
    pub(crate) id: ChatId,
    pub(crate) owner: UserId,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) title: String,
    pub(crate) status: ChatStatus,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) request: Option<RequestId>,
}

/// The result of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateResult {
    /// The chat is as asked; with `due`, refs became due for it.
    Done { due: bool },
    /// It is not as the etag says: nothing was changed.
    Outdated,
    /// It would have more labels than a chat can have: nothing was changed.
    TooManyLabels,
}

impl NewChat {
    /// The facts that policy can ask about it.
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
        Ok(self.get_chats(readable, &[id]).await?.pop())
    }

    /// Those of the chats `ids` for which `readable` holds, in no order.
    pub(crate) async fn get_chats(
        &self,
        readable: Authorized,
        ids: &[ChatId],
    ) -> Result<Vec<Chat>, StoreError> {
        let mut params = Params::default();
        params.push(ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let get = composed(GET_CHATS, params, &[(READABLE, &readable)])?;
        let connection = self.connection().await?;
        let rows = connection.read(get.statement(), &get.values()).await?;
        with_refs(&connection, &rows, View::Full).await
    }

    /// A page of chats in list order, as much of each as `what` says, and whether more follow.
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
        what: ListDetail,
    ) -> Result<(Vec<Chat>, bool), StoreError> {
        // One row more than the page shows whether a next page exists.
        let limit = page_size.saturating_add(1).try_into().unwrap_or(i64::MAX);
        let connection = self.connection().await?;
        let readable = readable.pred();
        let matches = match page::explain_search(readable, filter) {
            Some(explain) => {
                let values = explain.values();
                let rows = connection
                    .read_within(LIST_LIMIT, explain.statement(), &values)
                    .await?;
                let plan = first(&rows, "QUERY PLAN")?;
                page::Matches::from_plan(&plan.unwrap_or_default())
            }
            None => page::Matches::Often,
        };
        let bounds = page::PageBounds::default();
        let Some(page) = page::plan(readable, filter, cursor, limit, matches, bounds) else {
            return Ok((Vec::new(), false));
        };
        let page = if what.shares {
            page.with(WITH_SHARES, "TRUE")
        } else {
            page
        };
        let mut rows = connection
            .read_within(LIST_LIMIT, page.statement(), &page.values())
            .await
            .map_err(too_broad)?;
        let more = rows.len() > page_size;
        rows.truncate(page_size);
        Ok((with_refs(&connection, &rows, what.view).await?, more))
    }

    /// The chats `ids` as they are now, unchecked: for events, where the predicate of each watcher
    /// is interpreted on each chat before it is sent.
    pub(crate) async fn list_chats_for_events(
        &self,
        ids: &[ChatId],
    ) -> Result<Vec<Chat>, StoreError> {
        let connection = self.connection().await?;
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = connection.read(GET_CHATS, &[&ids]).await?;
        with_refs(&connection, &rows, View::Full).await
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
        first(&rows, "id")?.ok_or_else(|| StoreError::Conflict {
            source: "the chat that this request made was deleted between two statements".into(),
        })
    }

    /// Applies `changes` to the chat `id`, if it is as `etag` says.
    pub(crate) async fn update_chat(
        &self,
        readable: Authorized,
        allowed: Authorized,
        id: ChatId,
        changes: &ChatChanges,
        etag: Option<Etag>,
    ) -> Result<UpdateResult, StoreError> {
        let (set, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = changes
            .single_labels
            .iter()
            .partition(|(_, value)| value.is_some());
        let gone: Vec<String> = gone.into_keys().cloned().collect();
        let mut params = Params::default();
        params.push(id.0);
        params.push(changes.title.clone());
        params.push(changes.status.map(ChatStatus::name));
        params.push(changes.labels.as_ref().map(|labels| json!(labels)));
        params.push(changes.archived);
        params.push(etag.map(Etag::microseconds));
        params.push(gone);
        params.push(json!(set));
        params.push(i32::try_from(MAX_LABELS).unwrap_or(i32::MAX));
        let update = if self.decides_reading(changes) {
            Statement {
                text: &UPDATE_AND_KEEP,
                ..UPDATE_CHAT
            }
        } else {
            UPDATE_CHAT
        };
        let guard = Guard::before(update, params, &readable, &allowed, id)?;
        let archiving = changes.archived == Some(true);
        self.transaction(async |tx: Tx| {
            let row = guard.pass(&tx).await?;
            if !row.get_as::<bool>("current")? {
                return Ok(UpdateResult::Outdated);
            }
            if !row.get_as::<bool>("fits")? {
                return Ok(UpdateResult::TooManyLabels);
            }
            let turned = row.get_as("archived_changes")?;
            if turned {
                polling::plan(tx, id, archiving).await?;
            } else {
                tx.commit().await?;
            }
            Ok(UpdateResult::Done {
                due: turned && !archiving,
            })
        })
        .await
    }

    /// Whether `changes` may decide who reads a chat.
    fn decides_reading(&self, changes: &ChatChanges) -> bool {
        // Destructured, so that a new change does not compile until it is looked at.
        let ChatChanges {
            title,
            status,
            labels,
            single_labels,
            archived,
        } = changes;
        let any_label = labels.is_some() || !single_labels.is_empty();
        [
            (Attribute::Title, title.is_some()),
            (Attribute::Status, status.is_some()),
            (Attribute::Labels, any_label),
            (Attribute::Archived, archived.is_some()),
        ]
        .into_iter()
        .any(|(attribute, changes)| changes && self.deciding.contains(&attribute))
    }

    /// Deletes the chat `id`, if it is as `etag` says, with its refs, their polls and its shares:
    /// there are few of each. False when it is otherwise: nothing is deleted then.
    pub(crate) async fn delete_chat(
        &self,
        readable: Authorized,
        allowed: Authorized,
        id: ChatId,
        etag: Option<Etag>,
    ) -> Result<bool, StoreError> {
        let guard = Guard::new(&readable, &allowed, id)?;
        let chats = [id.0];
        let chats = chats.as_slice();
        self.transaction(async |tx: Tx| {
            let updated_at = guard.pass(&tx).await?.get_as("updated_at")?;
            if etag.is_some_and(|etag| etag != Etag::of(updated_at)) {
                return Ok(false);
            }
            // A row that goes is locked before, in the one order of all locks.
            let [former, _, accounts] = tx
                .pipeline([
                    bind(FORMER_CHAT, &[&id.0]),
                    bind(LOCK_CHAT_POLLS, &[&chats]),
                    bind(LIST_CHAT_ACCOUNTS, &[&chats]),
                ])
                .await?;
            let former = facts(&former)?;
            let accounts: Vec<uuid::Uuid> = column(&accounts, "id")?;
            tx.commit_due([bind(DELETE_CHAT, &[&id.0, &former])], &accounts)
                .await?;
            Ok(true)
        })
        .await
    }
}

/// A list that takes too long would take as long again: its caller is to ask for less.
fn too_broad(error: StoreError) -> StoreError {
    if !matches!(error, StoreError::Timeout { .. }) {
        return error;
    }
    let source = Box::new(error);
    StoreError::ListTooBroad { source }
}

/// Chats from their rows, in the rows' order, with their refs.
async fn with_refs(
    connection: &Connection,
    rows: &[Row],
    view: View,
) -> Result<Vec<Chat>, StoreError> {
    let mut chats = rows.iter().map(row::chat).collect::<Result<Vec<_>, _>>()?;
    if chats.is_empty() {
        return Ok(chats);
    }
    let ids: Vec<uuid::Uuid> = chats.iter().map(|chat| chat.id.0).collect();
    let statement = match view {
        View::Full => LIST_DIFF_STATUSES,
        View::Basic => Statement {
            text: &PRIMARY_DIFF_STATUSES,
            ..LIST_DIFF_STATUSES
        },
    };
    let refs = connection.read(statement, &[&ids]).await?;
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
    Ok(chats)
}
