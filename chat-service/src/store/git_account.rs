//! Linked accounts. Linking and unlinking write one account, its credential, and the budgets that
//! it spends before and after; no ref. What shows of that in chats follows after the commit, in
//! batches, by the relay.

use jiff::Timestamp;
use proto::sync::CredentialState;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, column, first},
    due::{LOCK_BUDGETS, SETTLE_ACCOUNTS, SETTLE_BUDGETS, is_due},
    sql::{bind, sql},
    transaction::Tx,
};
use crate::id::{GitAccountId, UserId};

const ENSURE_GIT_ACCOUNT: Sql = sql!("ensure_git_account");
const LOCK_GIT_ACCOUNT: Sql = sql!("lock_git_account");
const CARRY_TOKEN: Sql = sql!("carry_token");
const USE_TOKEN: Sql = sql!("use_token");
const INSERT_TOKEN_BUDGET: Sql = sql!("insert_token_budget");
const NOTE_TOKEN: Sql = sql!("note_token");
const LEAVE_BUDGETS: Sql = sql!("leave_budgets");
const UPSERT_GIT_CREDENTIAL: Sql = sql!("upsert_git_credential");
const LINK_GIT_ACCOUNT: Sql = sql!("link_git_account");
const RAISE_PAUSES: Sql = sql!("raise_pauses");
const DELETE_GIT_CREDENTIAL: Sql = sql!("delete_git_credential");
const UNLINK_GIT_ACCOUNT: Sql = sql!("unlink_git_account");
const LIST_GIT_ACCOUNTS: Sql = sql!("list_git_accounts");
const LIST_GIT_ACCOUNTS_AFTER: Sql = sql!("list_git_accounts_after");
const LIST_CHANGED_ACCOUNTS: Sql = sql!("list_changed_accounts");
const SETTLE_CHANGED_ACCOUNT: Sql = sql!("settle_changed_account");
const LIST_PLANNED_CHATS: Sql = sql!("list_planned_chats");
const INSERT_STATUS_EVENTS: Sql = sql!("insert_status_events");
const LIST_DENIED_REFS: Sql = sql!("list_denied_refs");
const LOCK_POLLS: Sql = sql!("lock_polls");
const REQUEUE_REFS: Sql = sql!("requeue_refs");

/// Events, or refs, that one transaction writes at most: reports of the account wait for no more.
const BATCH: usize = 500;
/// Accounts that are listed at once to be followed up.
const MAX_CHANGED_ACCOUNTS: i64 = 100;

/// A linked account, without its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitAccount {
    /// Which.
    pub(crate) id: GitAccountId,
    /// Whose.
    pub(crate) user: UserId,
    /// Where.
    pub(crate) provider_id: String,
    /// Since when.
    pub(crate) linked_at: Timestamp,
    /// When the access token expires.
    pub(crate) expires_at: Option<Timestamp>,
    /// The state of the credential at its host.
    pub(crate) credential_state: CredentialState,
    /// When a refused one is tried again.
    pub(crate) retry_at: Option<Timestamp>,
}

/// Tokens as they are stored. Has no `Debug`.
pub(crate) struct SealedTokens {
    pub(crate) key_id: String,
    pub(crate) access_token: Vec<u8>,
    pub(crate) refresh_token: Option<Vec<u8>>,
}

/// An account to be linked.
pub(crate) struct NewGitAccount<'a> {
    pub(crate) user: UserId,
    pub(crate) provider_id: &'a str,
    /// A keyed hash of the access token.
    pub(crate) token_key: &'a str,
    /// The key of the budget that it spends: the same until its account is known, or its
    /// installation's.
    pub(crate) budget_key: &'a str,
    /// Other keyed hashes of the token, by the other keys of the ring.
    pub(crate) other_token_keys: Vec<&'a str>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// An account whose credential changed, and whose change is not followed up yet.
#[derive(Clone, Debug)]
pub(crate) struct ChangedAccount {
    pub(crate) id: GitAccountId,
    state: String,
    generation: i64,
    unannounced: bool,
    requeue_denied: bool,
}

/// The effects of following a change up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FollowUp {
    /// Workers are to look for what is due now.
    pub(crate) due: bool,
    /// Events were recorded.
    pub(crate) events: bool,
}

impl Store {
    /// Links an account, or replaces its tokens. `seal` seals them for the account they will be of.
    /// Says also whether workers are to look for what is due now.
    pub(crate) async fn link_git_account(
        &self,
        account: &NewGitAccount<'_>,
        seal: &(dyn Fn(GitAccountId) -> Result<SealedTokens, StoreError> + Sync),
    ) -> Result<(GitAccount, bool), StoreError> {
        self.transaction(|tx| link_once(tx, account, seal)).await
    }

    /// Forgets an account's credential; false when there was none.
    pub(crate) async fn unlink_git_account(
        &self,
        user: UserId,
        provider_id: &str,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| unlink_once(tx, user, provider_id))
            .await
    }

    /// At most `limit` accounts of a user, by provider, after that of the provider `after`.
    pub(crate) async fn list_git_accounts(
        &self,
        user: UserId,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<GitAccount>, StoreError> {
        let rows = match after {
            None => self.read(LIST_GIT_ACCOUNTS, &[&user.0, &limit]).await?,
            Some(after) => {
                self.read(LIST_GIT_ACCOUNTS_AFTER, &[&user.0, &after, &limit])
                    .await?
            }
        };
        rows.iter().map(git_account).collect()
    }

    /// The first accounts whose credential changed, and whose change is not followed up yet.
    pub(crate) async fn list_changed_accounts(&self) -> Result<Vec<ChangedAccount>, StoreError> {
        let rows = self
            .read(LIST_CHANGED_ACCOUNTS, &[&MAX_CHANGED_ACCOUNTS])
            .await?;
        rows.iter().map(changed_account).collect()
    }

    /// Follows the change of an account's credential up, in batches: makes what the former
    /// credential could not look up due, and records an event for each chat in which the change
    /// shows. Done again from the beginning if it is interrupted.
    pub(crate) async fn follow_up(&self, account: &ChangedAccount) -> Result<FollowUp, StoreError> {
        let ChangedAccount {
            id,
            state,
            generation,
            unannounced,
            requeue_denied,
        } = account;
        let mut followed = FollowUp::default();
        if *requeue_denied {
            followed.due = self.requeue_denied(*id).await?;
        }
        if *unannounced {
            followed.events = self.announce(*id).await?;
        }
        self.write(SETTLE_CHANGED_ACCOUNT, &[&id.0, state, generation])
            .await?;
        Ok(followed)
    }

    async fn announce(&self, account: GitAccountId) -> Result<bool, StoreError> {
        let rows = self.read(LIST_PLANNED_CHATS, &[&account.0]).await?;
        let chats: Vec<Uuid> = column(&rows, "id")?;
        for batch in chats.chunks(BATCH) {
            self.write(INSERT_STATUS_EVENTS, &[&batch]).await?;
        }
        Ok(!chats.is_empty())
    }

    async fn requeue_denied(&self, account: GitAccountId) -> Result<bool, StoreError> {
        let rows = self.read(LIST_DENIED_REFS, &[&account.0]).await?;
        let refs: Vec<Uuid> = column(&rows, "id")?;
        let mut due = false;
        for batch in refs.chunks(BATCH) {
            due |= self
                .transaction(|tx| requeue_once(tx, account, batch))
                .await?;
        }
        Ok(due)
    }
}

async fn link_once(
    tx: Tx,
    account: &NewGitAccount<'_>,
    seal: &(dyn Fn(GitAccountId) -> Result<SealedTokens, StoreError> + Sync),
) -> Result<(GitAccount, bool), StoreError> {
    let NewGitAccount {
        user,
        provider_id,
        token_key,
        budget_key,
        other_token_keys,
        expires_at,
    } = account;
    let [_, locked, _, known_rows, _, noted] = tx
        .pipeline([
            bind(ENSURE_GIT_ACCOUNT, &[&Uuid::now_v7(), &user.0, provider_id]),
            bind(LOCK_GIT_ACCOUNT, &[&user.0, provider_id]),
            bind(CARRY_TOKEN, &[token_key, other_token_keys]).only_if(!other_token_keys.is_empty()),
            bind(USE_TOKEN, &[token_key]),
            bind(
                INSERT_TOKEN_BUDGET,
                &[&Uuid::now_v7(), provider_id, token_key, budget_key],
            ),
            bind(NOTE_TOKEN, &[token_key, budget_key]),
        ])
        .await?;
    let row = locked
        .first()
        .ok_or_else(|| StoreError::bug("link an account", "none was made"))?;
    let id: GitAccountId = row.get_as("id")?;
    let former: Option<Uuid> = row.get_as("budget_id")?;
    let is_installation = token_key != budget_key;
    let known: Option<Uuid> = first(&known_rows, "budget_id")?;
    let budget: Uuid = match known.filter(|_| !is_installation) {
        Some(known) => known,
        None => first(&noted, "budget_id")?
            .ok_or_else(|| StoreError::bug("link an account", "its token has no budget"))?,
    };
    let SealedTokens {
        key_id,
        access_token,
        refresh_token,
    } = seal(id)?;
    // What can be renewed is not used beyond that time; of other tokens the host decides.
    let renewable = expires_at.filter(|_| refresh_token.is_some());
    let former = former.filter(|former| *former != budget);
    // A new token is most often the same account's at the host. What others spend is not paused for
    // it, nor is an installation for what another token spent.
    let carries = former.is_some()
        && if is_installation {
            former == known
        } else {
            !first(&known_rows, "taken")?.unwrap_or(false)
        };
    let left: Vec<Uuid> = former.into_iter().collect();
    let budgets: Vec<Uuid> = former.into_iter().chain([budget]).collect();
    let accounts = [id.0];
    let accounts = accounts.as_slice();
    let [linked, .., settled] = tx
        .commit_after([
            bind(
                UPSERT_GIT_CREDENTIAL,
                &[&id.0, &key_id, &access_token, &refresh_token, expires_at],
            ),
            bind(LEAVE_BUDGETS, &[&left]).only_if(former.is_some()),
            bind(LOCK_BUDGETS, &[&budgets, &accounts]),
            bind(LINK_GIT_ACCOUNT, &[&id.0, &budget, &renewable]),
            bind(SETTLE_ACCOUNTS, &[&accounts]),
            bind(RAISE_PAUSES, &[&former, &budget]).only_if(carries),
            bind(SETTLE_BUDGETS, &[&budgets, &false, &accounts]),
        ])
        .await?;
    let linked_at = first(&linked, "linked_at")?
        .ok_or_else(|| StoreError::bug("link an account", "no credential was written"))?;
    let account = GitAccount {
        id,
        user: *user,
        provider_id: (*provider_id).to_owned(),
        linked_at,
        expires_at: *expires_at,
        credential_state: CredentialState::Accepted,
        retry_at: None,
    };
    Ok((account, is_due(&settled)?))
}

async fn unlink_once(tx: Tx, user: UserId, provider_id: &str) -> Result<bool, StoreError> {
    let locked = tx.query(LOCK_GIT_ACCOUNT, &[&user.0, &provider_id]).await?;
    let Some(row) = locked.first() else {
        return Ok(false);
    };
    if !row.get_as::<bool>("linked")? {
        return Ok(false);
    }
    let id: GitAccountId = row.get_as("id")?;
    let left: Vec<Uuid> = row
        .get_as::<Option<Uuid>>("budget_id")?
        .into_iter()
        .collect();
    let accounts = [id.0];
    let accounts = accounts.as_slice();
    tx.commit_after([
        bind(DELETE_GIT_CREDENTIAL, &[&id.0]),
        bind(LEAVE_BUDGETS, &[&left]),
        bind(LOCK_BUDGETS, &[&left, &accounts]),
        bind(UNLINK_GIT_ACCOUNT, &[&id.0]),
        bind(SETTLE_ACCOUNTS, &[&accounts]),
        bind(SETTLE_BUDGETS, &[&left, &false, &accounts]),
    ])
    .await?;
    Ok(true)
}

async fn requeue_once(tx: Tx, account: GitAccountId, refs: &[Uuid]) -> Result<bool, StoreError> {
    let (_, due) = tx
        .commit_due(
            [
                bind(LOCK_POLLS, &[&refs]),
                bind(REQUEUE_REFS, &[&refs, &true]),
            ],
            &[account.0],
        )
        .await?;
    Ok(due)
}

fn git_account(row: &Row) -> Result<GitAccount, StoreError> {
    Ok(GitAccount {
        id: row.get_as("id")?,
        user: row.get_as("user_id")?,
        provider_id: row.get_as("provider_id")?,
        linked_at: row.get_as("linked_at")?,
        expires_at: row.get_as("expires_at")?,
        credential_state: row.get_as("credential_state")?,
        retry_at: row.get_as("retry_at")?,
    })
}

fn changed_account(row: &Row) -> Result<ChangedAccount, StoreError> {
    Ok(ChangedAccount {
        id: row.get_as("id")?,
        state: row.get_as("credential_state")?,
        generation: row.get_as("generation")?,
        unannounced: row.get_as("unannounced")?,
        requeue_denied: row.get_as("requeue_denied")?,
    })
}
