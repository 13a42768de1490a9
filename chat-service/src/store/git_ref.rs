//! Reports of git refs. Everything that a report does is one transaction of three round trips: the
//! chats are locked, then the account is found and the refs are locked, and then everything is
//! written; the account and its budget are locked last, together with the commit.

use policy::UserId;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    chat::Guarded,
    column::{Columns as _, column, first},
    due::{LOCK_ACCOUNTS, LOCK_BUDGETS, NO_BUDGETS, SETTLE_ACCOUNTS, SETTLE_BUDGETS},
    predicate::{ALLOWED, READABLE, composed},
    sql::{Composed, Params, bind, sql},
    transaction::Tx,
};
use crate::{
    authz::Authorized,
    branch_name::Branch,
    diff_status::MAX_GIT_REFS,
    id::{ChatId, WorkspaceId},
    provider::origin::Origin,
};

const LOCK_CHAT: Sql = sql!("lock_chat");
const AUTHORIZE_CHAT: Sql = sql!("authorize_chat");
const LOCK_WORKSPACE_CHATS: Sql = sql!("lock_workspace_chats");
const ENSURE_GIT_ACCOUNT: Sql = sql!("ensure_git_account");
const FIND_GIT_ACCOUNT: Sql = sql!("find_git_account");
const LOCK_CHAT_POLLS: Sql = sql!("lock_chat_polls");
const LIST_CHAT_ACCOUNTS: Sql = sql!("list_chat_accounts");
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
        self.transaction(|tx| report_to_chat(tx, chat, &authorize, git_ref))
            .await
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
        self.transaction(async |tx: Tx| {
            let rows = tx.query(lock.statement(), &lock.values()).await?;
            let chats: Vec<Uuid> = column(&rows, "id")?;
            report(tx, owner, &chats, git_ref).await
        })
        .await
    }
}

async fn report_to_chat(
    tx: Tx,
    chat: ChatId,
    authorize: &Composed,
    git_ref: &NewGitRef,
) -> Result<Guarded<ReportedRefs>, StoreError> {
    let owner = match guard(&tx, chat, authorize).await? {
        Guarded::Done(owner) => owner,
        Guarded::NotVisible => return Ok(Guarded::NotVisible),
        Guarded::NotAllowed => return Ok(Guarded::NotAllowed),
    };
    let reported = report(tx, owner, &[chat.0], git_ref).await?;
    Ok(Guarded::Done(reported))
}

/// Locks a chat, in the same round trip that asks whether the caller may. Returns whose it is.
pub(super) async fn guard(
    tx: &Tx,
    chat: ChatId,
    authorize: &Composed,
) -> Result<Guarded<UserId>, StoreError> {
    let [_, rows] = tx
        .pipeline([
            bind(LOCK_CHAT, &[&chat.0]),
            bind(authorize.statement(), &authorize.values()),
        ])
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Guarded::NotVisible);
    };
    if !row.get_as::<bool>("allowed")? {
        return Ok(Guarded::NotAllowed);
    }
    Ok(Guarded::Done(row.get_as("owner_id")?))
}

/// Reports `git_ref` to `chats`, which are locked and `owner`'s, and commits.
async fn report(
    tx: Tx,
    owner: UserId,
    chats: &[Uuid],
    git_ref: &NewGitRef,
) -> Result<ReportedRefs, StoreError> {
    let NewGitRef {
        origin:
            Origin {
                provider,
                repository,
                sanitized,
            },
        branch,
        commit,
    } = git_ref;
    if chats.is_empty() {
        return Ok(ReportedRefs {
            chats: Vec::new(),
            changed: false,
        });
    }
    let (provider, repository, branch) = (&provider.id, repository.as_str(), branch.as_str());
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
    let ids: Vec<Uuid> = fresh.iter().map(|_| Uuid::now_v7()).collect();
    let changed = !fresh.is_empty();
    // Refs of other providers may have been demoted or evicted.
    let mut accounts: Vec<Uuid> = column(&others, "id")?;
    accounts.push(account);
    tx.commit_after([
        bind(DEMOTE_REFS, &[&fresh, provider, &repository, &branch]).only_if(changed),
        bind(
            REPORT_REFS,
            &[
                &ids,
                &fresh,
                &account,
                provider,
                sanitized,
                &repository,
                &branch,
                commit,
            ],
        )
        .only_if(changed),
        bind(EVICT_REFS, &[&fresh, &MAX_GIT_REFS]).only_if(changed),
        bind(LOCK_ACCOUNTS, &[&accounts]).only_if(changed),
        bind(SETTLE_ACCOUNTS, &[&accounts]).only_if(changed),
        bind(LOCK_BUDGETS, &[&NO_BUDGETS, &accounts]).only_if(changed),
        bind(SETTLE_BUDGETS, &[&NO_BUDGETS, &false, &accounts]).only_if(changed),
    ])
    .await?;
    Ok(ReportedRefs {
        chats: chats.iter().copied().map(ChatId).collect(),
        changed,
    })
}
