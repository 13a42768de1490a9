//! Linked accounts. Linking and unlinking move the user's refs to the budget that their lookups spend
//! from then on, in the same transaction.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    budgets::{BUDGET_ATTEMPTS, LOCK_GIT_ACCOUNT, ensure_budget, retrying, settle_budgets},
    query, sql,
};
use crate::{
    accounts::BudgetKey,
    id::{GitAccountId, UserId},
};

const FIND_GIT_ACCOUNT: Sql = sql!("find_git_account");
const LOCK_BUDGETS: Sql = sql!("lock_budgets");
const UPSERT_GIT_ACCOUNT: Sql = sql!("upsert_git_account");
const DELETE_GIT_ACCOUNT: Sql = sql!("delete_git_account");
const LIST_GIT_ACCOUNTS: Sql = sql!("list_git_accounts");
const LIST_GIT_ACCOUNTS_AFTER: Sql = sql!("list_git_accounts_after");
const CARRY_OVER_BUDGET: Sql = sql!("carry_over_budget");
const MOVE_REFS: Sql = sql!("move_refs");

/// Refs that one statement moves at most. All of a user's move in one transaction; a statement has less time
/// than that.
const MOVE_BATCH: i64 = 20_000;

/// An account, without its tokens.
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
}

/// Tokens as they are stored. Has no `Debug`.
pub(crate) struct SealedTokens {
    pub(crate) key_id: String,
    pub(crate) access_token: Vec<u8>,
    pub(crate) refresh_token: Option<Vec<u8>>,
}

/// An account that is to be linked.
pub(crate) struct NewGitAccount<'a> {
    pub(crate) user: UserId,
    pub(crate) provider_id: &'a str,
    pub(crate) budget_key: BudgetKey,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Store {
    /// Links an account, or replaces its tokens. `seal` seals them for the row they will be in. The
    /// user's refs there move to the new budget; those that waited for it are due at once.
    pub(crate) async fn link_git_account(
        &self,
        account: &NewGitAccount<'_>,
        seal: &(dyn Fn(GitAccountId) -> Result<SealedTokens, StoreError> + Sync),
    ) -> Result<GitAccount, StoreError> {
        retrying(|| self.link_once(account, seal)).await
    }

    async fn link_once(
        &self,
        account: &NewGitAccount<'_>,
        seal: &(dyn Fn(GitAccountId) -> Result<SealedTokens, StoreError> + Sync),
    ) -> Result<GitAccount, StoreError> {
        let NewGitAccount {
            user,
            provider_id,
            budget_key,
            expires_at,
        } = account;
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        lock(&transaction, *user, provider_id).await?;
        let found = query(&transaction, FIND_GIT_ACCOUNT.text, &[&user.0, provider_id])
            .await
            .map_err(StoreError::from_read)?;
        let (id, former): (Uuid, Option<Uuid>) = match found.first() {
            Some(row) => (
                row.try_get("id").map_err(StoreError::row)?,
                row.try_get("budget_id").map_err(StoreError::row)?,
            ),
            None => (Uuid::now_v7(), None),
        };
        let SealedTokens {
            key_id,
            access_token,
            refresh_token,
        } = seal(GitAccountId(id))?;
        let (budget, budgets) = lock_budgets(&transaction, budget_key, *user, provider_id).await?;
        if let Some(former) = former {
            query(
                &transaction,
                CARRY_OVER_BUDGET.text,
                &[&former, &user.0, &budget],
            )
            .await
            .map_err(StoreError::from_write)?;
        }
        let rows = query(
            &transaction,
            UPSERT_GIT_ACCOUNT.text,
            &[
                &id,
                &user.0,
                provider_id,
                &budget,
                &key_id,
                &access_token,
                &refresh_token,
                expires_at,
            ],
        )
        .await
        .map_err(StoreError::from_write)?;
        let Some(row) = rows.first() else {
            return Err(StoreError::bug("link an account", "no row came back"));
        };
        let linked = git_account(row).map_err(StoreError::row)?;
        move_refs(&transaction, *user, provider_id, budget, true).await?;
        settle_budgets(&transaction, &budgets, false).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(linked)
    }

    /// Forgets an account; false when there was none. The user's refs there move to `unlinked`.
    pub(crate) async fn unlink_git_account(
        &self,
        user: UserId,
        provider_id: &str,
        unlinked: &BudgetKey,
    ) -> Result<bool, StoreError> {
        retrying(|| self.unlink_once(user, provider_id, unlinked)).await
    }

    async fn unlink_once(
        &self,
        user: UserId,
        provider_id: &str,
        unlinked: &BudgetKey,
    ) -> Result<bool, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        lock(&transaction, user, provider_id).await?;
        let found = query(
            &transaction,
            FIND_GIT_ACCOUNT.text,
            &[&user.0, &provider_id],
        )
        .await
        .map_err(StoreError::from_read)?;
        if found.is_empty() {
            return Ok(false);
        }
        let (budget, budgets) = lock_budgets(&transaction, unlinked, user, provider_id).await?;
        query(
            &transaction,
            DELETE_GIT_ACCOUNT.text,
            &[&user.0, &provider_id],
        )
        .await
        .map_err(StoreError::from_write)?;
        move_refs(&transaction, user, provider_id, budget, false).await?;
        settle_budgets(&transaction, &budgets, false).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(true)
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
        rows.iter()
            .map(|row| git_account(row).map_err(StoreError::row))
            .collect()
    }
}

async fn lock(
    transaction: &deadpool_postgres::Transaction<'_>,
    user: UserId,
    provider_id: &str,
) -> Result<(), StoreError> {
    query(transaction, LOCK_GIT_ACCOUNT.text, &[&user.0, &provider_id])
        .await
        .map_err(StoreError::from_read)?;
    Ok(())
}

/// Locks the budget of `key`, which is made if there is none, and those that the user spent until
/// now. Returns the former, and all of them.
async fn lock_budgets(
    transaction: &deadpool_postgres::Transaction<'_>,
    key: &BudgetKey,
    user: UserId,
    provider_id: &str,
) -> Result<(Uuid, Vec<Uuid>), StoreError> {
    for _ in 0..BUDGET_ATTEMPTS {
        let budget = ensure_budget(transaction, &key.0, provider_id).await?;
        let locked = query(
            transaction,
            LOCK_BUDGETS.text,
            &[&budget, &user.0, &provider_id],
        )
        .await
        .map_err(StoreError::from_read)?
        .iter()
        .map(|row| row.try_get("id").map_err(StoreError::row))
        .collect::<Result<Vec<Uuid>, _>>()?;
        if locked.contains(&budget) {
            return Ok((budget, locked));
        }
    }
    Err(StoreError::bug(
        "lock a budget",
        "it goes whenever it is made",
    ))
}

async fn move_refs(
    transaction: &deadpool_postgres::Transaction<'_>,
    user: UserId,
    provider_id: &str,
    budget: Uuid,
    linked: bool,
) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        let rows = query(
            transaction,
            MOVE_REFS.text,
            &[&user.0, &provider_id, &budget, &linked, &after, &MOVE_BATCH],
        )
        .await
        .map_err(StoreError::from_write)?;
        let Some(row) = rows.first() else {
            return Err(StoreError::bug("move refs", "no row came back"));
        };
        let moved: i64 = row.try_get("refs").map_err(StoreError::row)?;
        let last: Option<Uuid> = row.try_get("last").map_err(StoreError::row)?;
        match last {
            Some(last) if moved == MOVE_BATCH => after = last,
            _ => return Ok(()),
        }
    }
}

fn git_account(row: &Row) -> Result<GitAccount, tokio_postgres::Error> {
    Ok(GitAccount {
        id: GitAccountId(row.try_get("id")?),
        user: UserId(row.try_get("user_id")?),
        provider_id: row.try_get("provider_id")?,
        linked_at: row.try_get("linked_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
