//! What a report means for refs that it has no outcome of: those in a repository that cannot be read,
//! those of a credential that the host refuses, and other owners' refs of a pull request that was seen
//! to change.
//!
//! Each is a transaction of its own after the report's, bounded, with budgets locked before refs and
//! both by id. When one fails, or the process dies before it, nothing is lost: what was to wait fails
//! by itself, a lease holds back what a refused credential would look up, and what was to be looked
//! up soon is looked up later.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use crate::store::{
    Sql, Store, StoreError,
    budgets::{Parts, bound_lock_wait, retrying, settle_budgets},
    query, sql,
};

const LOCK_BUDGETS_BY_ID: Sql = sql!("lock_budgets_by_id");
const HOLD_CREDENTIAL_REFS: Sql = sql!("hold_credential_refs");
const PUT_OFF_REFS: Sql = sql!("put_off_refs");
const LIST_HINTED_REFS: Sql = sql!("list_hinted_refs");
const HINT_REFS: Sql = sql!("hint_refs");

/// Refs that one transaction puts off or holds at most, of a repository or a lane.
const BATCH: i64 = 500;
/// Refs of other owners that one report makes due at most.
const MAX_HINTED: i64 = 200;
/// Refs of one pull request that are looked at for that at most.
const MAX_FOLLOWERS: i64 = 1000;

/// What a report means for other refs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    /// Whose lease it was.
    pub(crate) budget: Uuid,
    /// When that began, if it was noted.
    pub(crate) leased_at: Option<Timestamp>,
    /// Refs that failed with a problem of their whole repository.
    pub(crate) of_repository: Vec<Uuid>,
    /// Accounts whose credential the host refuses.
    pub(crate) refused: Vec<Uuid>,
    /// Refs whose pull request was seen to change.
    pub(crate) seen_to_change: Vec<Uuid>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spreading {
    /// Refs that were put off.
    pub(crate) put_off: u64,
    /// Refs that were held back.
    pub(crate) held: u64,
    /// Refs of other owners that were made due.
    pub(crate) hinted: u64,
    /// Some reader sees something new.
    pub(crate) events: bool,
}

impl Store {
    /// Does what a report means for other refs.
    pub(crate) async fn spread(&self, spread: &Spread) -> Result<Spreading, StoreError> {
        let Spread {
            budget,
            leased_at,
            of_repository,
            refused,
            seen_to_change,
        } = spread;
        let mut done = Spreading::default();
        for account in refused {
            loop {
                let (held, events) = retrying(|| self.hold_once(*budget, *account)).await?;
                done.held += held.unsigned_abs();
                done.events |= events;
                if held < BATCH {
                    break;
                }
            }
        }
        if !of_repository.is_empty() {
            let (put_off, events) =
                retrying(|| self.put_off_once(*budget, *leased_at, of_repository)).await?;
            done.put_off = put_off.unsigned_abs();
            done.events |= events;
        }
        if !seen_to_change.is_empty() {
            done.hinted = self.hint(seen_to_change).await?;
        }
        Ok(done)
    }

    async fn hold_once(&self, budget: Uuid, account: Uuid) -> Result<(i64, bool), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        lock_budgets(&transaction, &[budget]).await?;
        let rows = query(
            &transaction,
            HOLD_CREDENTIAL_REFS.text,
            &[&budget, &account, &BATCH],
        )
        .await
        .map_err(StoreError::from_write)?;
        let counted = counted(&rows)?;
        settle_budgets(&transaction, &[budget], false).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(counted)
    }

    async fn put_off_once(
        &self,
        budget: Uuid,
        leased_at: Option<Timestamp>,
        failed: &[Uuid],
    ) -> Result<(i64, bool), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        lock_budgets(&transaction, &[budget]).await?;
        let rows = query(
            &transaction,
            PUT_OFF_REFS.text,
            &[&budget, &failed, &BATCH, &leased_at],
        )
        .await
        .map_err(StoreError::from_write)?;
        let counted = counted(&rows)?;
        settle_budgets(&transaction, &[budget], false).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(counted)
    }

    async fn hint(&self, seen: &[Uuid]) -> Result<u64, StoreError> {
        // Most pull requests are followed by one owner: no transaction then.
        let followers = self.followers(seen).await?;
        let mut hinted = 0;
        let mut parts = Parts::of(&followers);
        while let Some(part) = parts.next() {
            let made = retrying(|| self.hint_once(part)).await;
            hinted += parts.settle(part, made)?.unwrap_or_default();
        }
        Ok(hinted)
    }

    /// Refs of other owners, with their budgets.
    async fn followers(&self, seen: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let client = self.client().await?;
        let rows = query(
            &client,
            LIST_HINTED_REFS.text,
            &[&seen, &MAX_HINTED, &MAX_FOLLOWERS],
        )
        .await
        .map_err(StoreError::from_read)?;
        rows.iter()
            .map(|row| {
                let id = row.try_get("id").map_err(StoreError::row)?;
                Ok((id, row.try_get("budget_id").map_err(StoreError::row)?))
            })
            .collect()
    }

    async fn hint_once(&self, followers: &[(Uuid, Uuid)]) -> Result<u64, StoreError> {
        let (refs, mut budgets): (Vec<Uuid>, Vec<Uuid>) = followers.iter().copied().unzip();
        budgets.sort_unstable();
        budgets.dedup();
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        bound_lock_wait(&transaction).await?;
        let locked = lock_budgets(&transaction, &budgets).await?;
        let hinted = query(&transaction, HINT_REFS.text, &[&refs, &locked])
            .await
            .map_err(StoreError::from_write)?;
        settle_budgets(&transaction, &locked, false).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(hinted.len() as u64)
    }
}

/// Locks budgets; returns those that there are.
pub(super) async fn lock_budgets(
    client: &impl GenericClient,
    budgets: &[Uuid],
) -> Result<Vec<Uuid>, StoreError> {
    query(client, LOCK_BUDGETS_BY_ID.text, &[&budgets])
        .await
        .map_err(StoreError::from_read)?
        .iter()
        .map(|row| row.try_get("id").map_err(StoreError::row))
        .collect()
}

/// How many refs, and whether some reader sees something new.
fn counted(rows: &[tokio_postgres::Row]) -> Result<(i64, bool), StoreError> {
    let Some(row) = rows.first() else {
        return Ok((0, false));
    };
    let refs = row.try_get("refs").map_err(StoreError::row)?;
    Ok((refs, row.try_get("events").map_err(StoreError::row)?))
}
