//! Merging the keys of tokens that turned out to be one account's at the host.
//!
//! A token is a key of its own until a lease's holder reports whose it is. When no lease holds the key
//! any more it becomes the account's key, or is merged with that if there is one: then all tokens of the account have
//! one spender at a time, and a pause that was learned with one holds for all. A merge that cannot be
//! done now is done when one of the two is given back again. Which tokens were the key's is remembered: who
//! links one again gets the same key, with its pauses.
//!
//! Both spenders wait while the refs of one of the two keys move, so that is the one with few of them. Two
//! keys of which neither has stay apart, and are counted again an hour later. Until keys are merged they
//! share their pauses, in a transaction after that of the report that told; a lease of another of them that
//! began before goes on.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::spread::lock_budgets;
use crate::{
    accounts::BudgetKey,
    store::{
        Sql, Store, StoreError,
        budgets::{
            FIND_BUDGET, LOCK_GIT_ACCOUNT, bound_lock_wait, ensure_budget, retrying, settle_budgets,
        },
        query, sql,
    },
};

const LIST_PENDING_MERGES: Sql = sql!("list_pending_merges");
const LIST_BUDGET_ACCOUNTS: Sql = sql!("list_budget_accounts");
const ADOPT_ACCOUNT_KEY: Sql = sql!("adopt_account_key");
const FIND_LEASED_BUDGET: Sql = sql!("find_leased_budget");
const CHOOSE_MOVED_BUDGET: Sql = sql!("choose_moved_budget");
const JUDGE_MERGE: Sql = sql!("judge_merge");
const PUT_OFF_MERGE: Sql = sql!("put_off_merge");
const MERGE_BUDGET: Sql = sql!("merge_budget");
const MOVE_ACCOUNTS: Sql = sql!("move_accounts");
const MOVE_BUDGET_REFS: Sql = sql!("move_budget_refs");
const MOVE_TOKENS: Sql = sql!("move_tokens");
const DELETE_BUDGET: Sql = sql!("delete_budget");
const RENAME_BUDGET: Sql = sql!("rename_budget");
const SHARE_PAUSES: Sql = sql!("share_pauses");

/// Keys that are merged after one lease at most.
const BATCH: i64 = 10;
/// Refs that a merge moves at most, which takes a second or two.
const MAX_MOVED: i64 = 20_000;
/// After so long it is looked again whether a key has few enough refs.
const JUDGED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Tokens of an account that are remembered: twice as many as GitHub lets an app have of it at a time.
const MAX_TOKENS: i64 = 20;

/// The key of a token whose account is known.
pub(crate) struct PendingMerge {
    pub(crate) budget: Uuid,
    pub(crate) provider_id: String,
    pub(crate) account_id: String,
}

impl Store {
    /// The keys that are to be merged with that of a budget which was just given back.
    pub(crate) async fn pending_merges(
        &self,
        budget: Uuid,
    ) -> Result<Vec<PendingMerge>, StoreError> {
        let rows = self.read(LIST_PENDING_MERGES, &[&budget, &BATCH]).await?;
        rows.iter()
            .map(|row| {
                Ok(PendingMerge {
                    budget: row.try_get("id")?,
                    provider_id: row.try_get("provider_id")?,
                    account_id: row.try_get("account_id")?,
                })
            })
            .collect::<Result<_, _>>()
            .map_err(StoreError::row)
    }

    /// Has the longest pause of the keys of an account, one of which is `budget`, hold for all of them.
    /// Fails when one of them is locked for long: the others are not kept locked for it.
    pub(crate) async fn share_pauses(&self, budget: Uuid) -> Result<(), StoreError> {
        retrying(|| self.share_once(budget)).await
    }

    async fn share_once(&self, budget: Uuid) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        bound_lock_wait(&transaction).await?;
        query(&transaction, SHARE_PAUSES.text, &[&budget])
            .await
            .map_err(StoreError::from_write)?;
        transaction.commit().await.map_err(StoreError::from_write)
    }

    /// Makes the key of a token that of its account; false when that cannot be done now.
    pub(crate) async fn merge_budget(
        &self,
        token: Uuid,
        key: &BudgetKey,
        provider_id: &str,
    ) -> Result<bool, StoreError> {
        if self.adopt_key(token, key).await? {
            return Ok(true);
        }
        retrying(|| self.merge_once(token, key, provider_id)).await
    }

    /// What happens to nearly every token, once: it is the first of its account.
    async fn adopt_key(&self, token: Uuid, key: &BudgetKey) -> Result<bool, StoreError> {
        let client = self.client().await?;
        match query(&client, ADOPT_ACCOUNT_KEY.text, &[&token, &key.0]).await {
            Ok(adopted) => Ok(!adopted.is_empty()),
            // Another token of the account did so at the same moment, or a merge has made the key and waits
            // for this one; it is merged with that.
            Err(error)
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                    || error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) =>
            {
                Ok(false)
            }
            Err(error) => Err(StoreError::from_write(error)),
        }
    }

    async fn merge_once(
        &self,
        token: Uuid,
        key: &BudgetKey,
        provider_id: &str,
    ) -> Result<bool, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        let known = query(&transaction, FIND_BUDGET.text, &[&key.0])
            .await
            .map_err(StoreError::from_read)?;
        let mut both = vec![token];
        for row in &known {
            both.push(row.try_get("id").map_err(StoreError::row)?);
        }
        // Judged again once all is locked. But who is leased now most often is then, too: it is neither
        // counted nor locked, and the account's key is not made for it, which another may just adopt.
        let leased = query(&transaction, FIND_LEASED_BUDGET.text, &[&both])
            .await
            .map_err(StoreError::from_read)?;
        if !leased.is_empty() {
            return Ok(false);
        }
        let chosen = query(&transaction, CHOOSE_MOVED_BUDGET.text, &[&both, &MAX_MOVED])
            .await
            .map_err(StoreError::from_read)?;
        // One that nobody has yet takes no refs: then nothing moves.
        let moved: Uuid = match chosen.first() {
            Some(row) => row.try_get("id").map_err(StoreError::row)?,
            None => token,
        };
        // Accounts before budgets, as everywhere: nobody links or unlinks one meanwhile, or chooses a
        // budget for its refs.
        let accounts = query(&transaction, LIST_BUDGET_ACCOUNTS.text, &[&moved])
            .await
            .map_err(StoreError::from_read)?;
        for account in &accounts {
            let user: Uuid = account.try_get("user_id").map_err(StoreError::row)?;
            let provider: String = account.try_get("provider_id").map_err(StoreError::row)?;
            query(&transaction, LOCK_GIT_ACCOUNT.text, &[&user, &provider])
                .await
                .map_err(StoreError::from_read)?;
        }
        let account = ensure_budget(&transaction, &key.0, provider_id).await?;
        lock_budgets(&transaction, &[token, account]).await?;
        let locked = accounts.len() as i64;
        let judged = query(
            &transaction,
            JUDGE_MERGE.text,
            &[&token, &account, &moved, &locked, &MAX_MOVED],
        )
        .await
        .map_err(StoreError::from_read)?;
        let Some(judged) = judged.first() else {
            return Ok(false);
        };
        let is = |name: &str| judged.try_get::<_, bool>(name).map_err(StoreError::row);
        let write = StoreError::from_write;
        let vacant = is("vacant")?;
        if !is("possible")? {
            return Ok(false);
        }
        if !vacant && !is("few")? {
            // To count that many refs after every lease costs more than the merge is worth.
            query(
                &transaction,
                PUT_OFF_MERGE.text,
                &[&token, &JUDGED_AGAIN.as_secs_f64()],
            )
            .await
            .map_err(write)?;
            transaction.commit().await.map_err(write)?;
            return Ok(false);
        }
        if !vacant && !is("held")? {
            return Ok(false);
        }
        let (kept, merged) = if vacant || moved == account {
            (token, account)
        } else {
            (account, token)
        };
        query(&transaction, MERGE_BUDGET.text, &[&kept, &merged])
            .await
            .map_err(write)?;
        if !vacant {
            for sql in [MOVE_ACCOUNTS, MOVE_BUDGET_REFS] {
                query(&transaction, sql.text, &[&merged, &kept])
                    .await
                    .map_err(write)?;
            }
        }
        query(
            &transaction,
            MOVE_TOKENS.text,
            &[&merged, &kept, &MAX_TOKENS],
        )
        .await
        .map_err(write)?;
        query(&transaction, DELETE_BUDGET.text, &[&merged])
            .await
            .map_err(write)?;
        if kept == token {
            query(&transaction, RENAME_BUDGET.text, &[&kept, &key.0])
                .await
                .map_err(write)?;
        }
        settle_budgets(&transaction, &[kept], false).await?;
        transaction.commit().await.map_err(write)?;
        Ok(true)
    }
}
