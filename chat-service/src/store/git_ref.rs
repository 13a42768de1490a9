//! Reports of git refs. Chat, account, budget and refs are locked in this order, and everything that
//! a report does is one transaction.

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    budgets::{BUDGET_ATTEMPTS, ensure_budget, make_budgets_due, retrying},
    chat::Guarded,
    predicate::{ALLOWED, READABLE, composed},
    query,
    sql::{Composed, Params, sql},
};
use crate::{
    accounts::BudgetKey,
    authz::Authorized,
    branch_name::Branch,
    diff_status::MAX_GIT_REFS,
    id::{ChatId, UserId, WorkspaceId},
    provider::origin::Origin,
};

const LOCK_CHAT: Sql = sql!("lock_chat");
const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");
const LOCK_WORKSPACE_CHATS: Sql = sql!("lock_workspace_chats");
const GET_CHAT_OWNER: Sql = sql!("get_chat_owner");
const SHARE_GIT_ACCOUNT: Sql = sql!("share_git_account");
const FIND_GIT_ACCOUNT: Sql = sql!("find_git_account");
const COALESCE_REPORTS: Sql = sql!("coalesce_reports");
const LOCK_CHAT_REFS: Sql = sql!("lock_chat_refs");
const DEMOTE_REFS: Sql = sql!("demote_refs");
const REPORT_REFS: Sql = sql!("report_refs");
const EVICT_REFS: Sql = sql!("evict_refs");

/// A ref that is reported.
#[derive(Clone, Debug)]
pub(crate) struct NewGitRef {
    pub(crate) origin: Origin,
    pub(crate) branch: Branch,
    pub(crate) commit: Option<String>,
}

/// What a report did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportedRefs {
    /// The chats that have the ref as their primary now.
    pub(crate) chats: Vec<ChatId>,
    /// Something changed; false when the report coalesced with an earlier one everywhere.
    pub(crate) changed: bool,
}

impl Store {
    /// Makes `git_ref` the primary of one chat.
    pub(crate) async fn report_chat_ref(
        &self,
        readable: Authorized,
        allowed: Authorized,
        chat: ChatId,
        git_ref: &NewGitRef,
    ) -> Result<Guarded<ReportedRefs>, StoreError> {
        let mut params = Params::default();
        params.push(chat.0);
        let authorize = composed(
            AUTHORIZE_CHAT,
            params,
            &[(READABLE, &readable), (ALLOWED, &allowed)],
        )?;
        let once = || async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(StoreError::from_read)?;
            if let Some(refused) = guard(&transaction, chat, &authorize).await? {
                return Ok(refused);
            }
            let rows = query(&transaction, GET_CHAT_OWNER.text, &[&chat.0])
                .await
                .map_err(StoreError::from_read)?;
            let Some(row) = rows.first() else {
                return Ok(Guarded::NotVisible);
            };
            let owner = UserId(row.try_get("owner_id").map_err(StoreError::row)?);
            let reported = report(&transaction, owner, &[chat.0], git_ref).await?;
            transaction.commit().await.map_err(StoreError::from_write)?;
            Ok(Guarded::Done(reported))
        };
        retrying(once).await
    }

    /// Makes `git_ref` the primary of all unarchived chats of `owner` in `workspace` for which the
    /// caller may report one.
    pub(crate) async fn report_workspace_ref(
        &self,
        allowed: Authorized,
        owner: UserId,
        workspace: WorkspaceId,
        git_ref: &NewGitRef,
    ) -> Result<ReportedRefs, StoreError> {
        let mut params = Params::default();
        params.push(owner.0);
        params.push(workspace.0);
        let lock = composed(LOCK_WORKSPACE_CHATS, params, &[(ALLOWED, &allowed)])?;
        let once = || async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await.map_err(StoreError::from_read)?;
            let rows = query(&transaction, &lock.text, &lock.values())
                .await
                .map_err(StoreError::from_read)?;
            let chats = rows
                .iter()
                .map(|row| row.try_get("id").map_err(StoreError::row))
                .collect::<Result<Vec<Uuid>, _>>()?;
            if chats.is_empty() {
                return Ok(ReportedRefs {
                    chats: Vec::new(),
                    changed: false,
                });
            }
            let reported = report(&transaction, owner, &chats, git_ref).await?;
            transaction.commit().await.map_err(StoreError::from_write)?;
            Ok(reported)
        };
        retrying(once).await
    }
}

/// Locks a chat and asks whether the caller may; what to answer if not.
pub(super) async fn guard<T>(
    transaction: &Transaction<'_>,
    chat: ChatId,
    authorize: &Composed,
) -> Result<Option<Guarded<T>>, StoreError> {
    query(transaction, LOCK_CHAT.text, &[&chat.0])
        .await
        .map_err(StoreError::from_read)?;
    let rows = query(transaction, &authorize.text, &authorize.values())
        .await
        .map_err(StoreError::from_read)?;
    let Some(row) = rows.first() else {
        return Ok(Some(Guarded::NotVisible));
    };
    let allowed: bool = row.try_get("allowed").map_err(StoreError::row)?;
    Ok((!allowed).then_some(Guarded::NotAllowed))
}

/// Reports `git_ref` to `chats`, which are locked and `owner`'s.
async fn report(
    transaction: &Transaction<'_>,
    owner: UserId,
    chats: &[Uuid],
    git_ref: &NewGitRef,
) -> Result<ReportedRefs, StoreError> {
    let NewGitRef {
        origin,
        branch,
        commit,
    } = git_ref;
    let Origin {
        provider,
        owner: repository_owner,
        name: repository_name,
        sanitized,
    } = origin;
    let write = StoreError::from_write;
    query(
        transaction,
        SHARE_GIT_ACCOUNT.text,
        &[&owner.0, &provider.id],
    )
    .await
    .map_err(StoreError::from_read)?;
    let unlinked = BudgetKey::of_unlinked(&provider.id, owner);
    let budget = due_budget(transaction, owner, &provider.id, &unlinked).await?;
    let coalesced = query(
        transaction,
        COALESCE_REPORTS.text,
        &[
            &chats,
            &provider.id,
            repository_owner,
            repository_name,
            &branch.as_str(),
            commit,
        ],
    )
    .await
    .map_err(write)?;
    let coalesced = coalesced
        .iter()
        .map(|row| row.try_get("chat_id").map_err(StoreError::row))
        .collect::<Result<Vec<Uuid>, _>>()?;
    let fresh: Vec<Uuid> = chats
        .iter()
        .filter(|chat| !coalesced.contains(chat))
        .copied()
        .collect();
    if !fresh.is_empty() {
        for sql in [LOCK_CHAT_REFS, DEMOTE_REFS] {
            query(transaction, sql.text, &[&fresh])
                .await
                .map_err(write)?;
        }
        let ids: Vec<Uuid> = fresh.iter().map(|_| Uuid::now_v7()).collect();
        query(
            transaction,
            REPORT_REFS.text,
            &[
                &ids,
                &fresh,
                &provider.id,
                sanitized,
                repository_owner,
                repository_name,
                &branch.as_str(),
                commit,
                &budget,
            ],
        )
        .await
        .map_err(write)?;
        query(transaction, EVICT_REFS.text, &[&fresh, &MAX_GIT_REFS])
            .await
            .map_err(write)?;
    }
    Ok(ReportedRefs {
        chats: chats.iter().copied().map(ChatId).collect(),
        changed: !fresh.is_empty(),
    })
}

/// The budget that lookups for `owner` at the provider spend, due now and locked.
async fn due_budget(
    transaction: &Transaction<'_>,
    owner: UserId,
    provider_id: &str,
    unlinked: &BudgetKey,
) -> Result<Uuid, StoreError> {
    for _ in 0..BUDGET_ATTEMPTS {
        let budget = find_budget(transaction, owner, provider_id, unlinked).await?;
        if make_budgets_due(transaction, &[budget], false).await? > 0 {
            return Ok(budget);
        }
    }
    Err(StoreError::bug(
        "lock a budget",
        "it goes whenever it is made",
    ))
}

/// The budget that lookups for `owner` at the provider spend. The account cannot change meanwhile.
async fn find_budget(
    client: &impl GenericClient,
    owner: UserId,
    provider_id: &str,
    unlinked: &BudgetKey,
) -> Result<Uuid, StoreError> {
    let rows = query(client, FIND_GIT_ACCOUNT.text, &[&owner.0, &provider_id])
        .await
        .map_err(StoreError::from_read)?;
    match rows.first() {
        Some(row) => row.try_get("budget_id").map_err(StoreError::row),
        None => ensure_budget(client, &unlinked.0, provider_id).await,
    }
}
