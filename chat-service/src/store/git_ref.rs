//! Reports of git refs. Everything that a report does is one transaction of three round trips: the
//! chats are locked, then the account is found and the refs are locked, and then everything is
//! written; the account and its budget are locked last, together with the commit.

use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, column, first},
    due::{LIST_CHAT_ACCOUNTS, LOCK_CHAT_POLLS},
    guard::Guard,
    predicate::{ALLOWED, composed},
    sql::{Params, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    branch_name::Branch,
    diff_status::MAX_GIT_REFS,
    id::{ChatId, UserId, WorkspaceId},
    provider::origin::Origin,
};

const LIST_WORKSPACE_CHATS: Sql = sql!("list_workspace_chats");
const LOCK_WORKSPACE_CHATS: Sql = sql!("lock_workspace_chats");
const ENSURE_GIT_ACCOUNT: Sql = sql!("ensure_git_account");
const FIND_GIT_ACCOUNT: Sql = sql!("find_git_account");
const COALESCE_REPORTS: Sql = sql!("coalesce_reports");
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

/// The effects of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportedRefs {
    /// The chats that have the ref as their primary now.
    pub(crate) chats: Vec<ChatId>,
    /// Something changed; false when the report coalesced with an earlier one everywhere.
    pub(crate) changed: bool,
    /// Workers are to look for what is due now.
    pub(crate) due: bool,
}

impl Store {
    /// Makes `git_ref` the primary of one chat.
    pub(crate) async fn report_chat_ref(
        &self,
        readable: Authorized,
        allowed: Authorized,
        chat: ChatId,
        git_ref: &NewGitRef,
    ) -> Result<ReportedRefs, StoreError> {
        let guard = Guard::new(&readable, &allowed, chat)?;
        self.transaction(async |tx: Tx| {
            let owner = guard.pass(&tx).await?.get_as("owner_id")?;
            report(tx, owner, &[chat.0], git_ref).await
        })
        .await
    }

    /// At most `limit` unarchived chats of `owner` in `workspace` for which the caller may report a
    /// git ref, by id.
    pub(crate) async fn list_workspace_chats(
        &self,
        allowed: &Authorized,
        owner: UserId,
        workspace: WorkspaceId,
        limit: usize,
    ) -> Result<Vec<ChatId>, StoreError> {
        let mut params = Params::default();
        params.push(owner.0);
        params.push(workspace.0);
        params.push(i64::try_from(limit).unwrap_or(i64::MAX));
        let list = composed(LIST_WORKSPACE_CHATS, params, &[(ALLOWED, allowed)])?;
        let connection = self.connection().await?;
        column(
            &connection.read(list.statement(), &list.values()).await?,
            "id",
        )
    }

    /// Makes `git_ref` the primary of those of `chats` that are still unarchived chats of `owner`
    /// in `workspace` for which the caller may report one.
    pub(crate) async fn report_workspace_ref(
        &self,
        allowed: &Authorized,
        owner: UserId,
        workspace: WorkspaceId,
        chats: &[ChatId],
        git_ref: &NewGitRef,
    ) -> Result<ReportedRefs, StoreError> {
        let chats: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
        let mut params = Params::default();
        params.push(owner.0);
        params.push(workspace.0);
        params.push(chats);
        let lock = composed(LOCK_WORKSPACE_CHATS, params, &[(ALLOWED, allowed)])?;
        self.transaction(async |tx: Tx| {
            let rows = tx.query(lock.statement(), &lock.values()).await?;
            let chats: Vec<Uuid> = column(&rows, "id")?;
            report(tx, owner, &chats, git_ref).await
        })
        .await
    }
}

/// Reports `git_ref` to `chats`, which are locked and `owner`'s, and commits.
async fn report(
    tx: Tx,
    owner: UserId,
    chats: &[Uuid],
    git_ref: &NewGitRef,
) -> Result<ReportedRefs, StoreError> {
    let mut reported = ReportedRefs {
        chats: chats.iter().copied().map(ChatId).collect(),
        changed: false,
        due: false,
    };
    if chats.is_empty() {
        return Ok(reported);
    }
    let (origin, commit) = (&git_ref.origin, &git_ref.commit);
    let (provider, repository) = (&origin.provider.id, origin.repository.as_str());
    let branch = git_ref.branch.as_str();
    let [_, account, _, others, coalesced] = tx
        .pipeline([
            bind(ENSURE_GIT_ACCOUNT, &[&Uuid::now_v7(), &owner.0, provider]),
            bind(FIND_GIT_ACCOUNT, &[&owner.0, provider]),
            bind(LOCK_CHAT_POLLS, &[&chats]),
            bind(LIST_CHAT_ACCOUNTS, &[&chats]),
            bind(
                COALESCE_REPORTS,
                &[&chats, provider, &repository, &branch, commit],
            ),
        ])
        .await?;
    let account: Uuid = first(&account, "id")?
        .ok_or_else(|| StoreError::bug("report a ref", "no account was made"))?;
    let coalesced: Vec<Uuid> = column(&coalesced, "chat_id")?;
    let fresh: Vec<Uuid> = chats
        .iter()
        .filter(|chat| !coalesced.contains(chat))
        .copied()
        .collect();
    if fresh.is_empty() {
        tx.commit().await?;
        return Ok(reported);
    }
    let ids: Vec<Uuid> = fresh.iter().map(|_| Uuid::now_v7()).collect();
    // Refs of other providers may have been demoted or evicted.
    let mut accounts: Vec<Uuid> = column(&others, "id")?;
    accounts.push(account);
    let (_, due) = tx
        .commit_due(
            [
                bind(DEMOTE_REFS, &[&fresh, provider, &repository, &branch]),
                bind(
                    REPORT_REFS,
                    &[
                        &ids,
                        &fresh,
                        &account,
                        provider,
                        &origin.sanitized,
                        &repository,
                        &branch,
                        commit,
                    ],
                ),
                bind(EVICT_REFS, &[&fresh, &MAX_GIT_REFS]),
            ],
            &accounts,
        )
        .await?;
    (reported.changed, reported.due) = (true, due);
    Ok(reported)
}
