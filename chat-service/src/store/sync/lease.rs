//! Claiming, renewing and releasing leases.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{FIND_SYNC_REQUEST, INSERT_SYNC_REQUEST, LEASE, RELEASE_REFS};
use crate::{
    accounts::BudgetKey,
    diff_status::PullRequestState,
    id::{GitAccountId, GitRefId, LeaseToken, RequestId, UserId},
    store::{
        Sql, Store, StoreError,
        budgets::{maybe_named, retrying, settle_budgets},
        query, sql,
    },
    sync::{
        Lane, MAX_KEYS, QUANTUM,
        budget::{BatchSizes, BudgetView, BudgetWindow},
        lease::{CredentialAccess, KnownPullRequest, LeaseRequest, LeasedRef},
    },
};

const CLAIM_BUDGETS: Sql = sql!("claim_budgets");
const LIST_LEASED_REFS: Sql = sql!("list_leased_refs");
const LIST_LEASED_BUDGETS: Sql = sql!("list_leased_budgets");
const READ_LEASED_CREDENTIAL: Sql = sql!("read_leased_credential");
const SECONDS_UNTIL_READY: Sql = sql!("seconds_until_ready");
const RENEW_LEASE: Sql = sql!("renew_lease");
const LOCK_RELEASED_LEASE: Sql = sql!("lock_released_lease");

/// What came of a lease request.
pub(crate) enum Claim {
    /// These, now or by the same request before.
    Leased(Leased),
    /// Nothing is ready; with `events`, some reader sees why.
    Nothing { events: bool },
    /// The request id was a report's.
    OtherKind,
}

/// Leased refs, ordered by lease, provider and owner, and the credentials that look them up.
pub(crate) struct Leased {
    pub(crate) rows: Vec<LeasedRow>,
    pub(crate) credentials: Vec<SealedCredential>,
    pub(crate) budgets: HashMap<LeaseToken, BudgetView>,
    /// Some reader sees why other refs were not leased.
    pub(crate) events: bool,
}

/// A leased ref with its lease.
pub(crate) struct LeasedRow {
    pub(crate) token: LeaseToken,
    pub(crate) budget_key: BudgetKey,
    pub(crate) expires_in: Duration,
    pub(crate) owner: UserId,
    pub(crate) provider_id: String,
    /// Whether the owner has an account there.
    pub(crate) linked: bool,
    pub(crate) git_ref: LeasedRef,
}

/// A credential as it is stored.
pub(crate) struct SealedCredential {
    pub(crate) account: GitAccountId,
    pub(crate) user: UserId,
    pub(crate) provider_id: String,
    pub(crate) key_id: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) suspect: bool,
}

/// What came of a renewal.
pub(crate) enum Renewed {
    /// It lasts this long from now.
    Until(Duration),
    /// It expired or was released.
    Lost,
}

impl Store {
    /// Leases what is ready. A request that leased before gets what is left of that, and nothing new.
    pub(crate) async fn claim_leases(
        &self,
        access: &CredentialAccess,
        request: &LeaseRequest,
        duration: Duration,
    ) -> Result<Claim, StoreError> {
        retrying(|| self.claim_once(access, request, duration)).await
    }

    async fn claim_once(
        &self,
        access: &CredentialAccess,
        request: &LeaseRequest,
        duration: Duration,
    ) -> Result<Claim, StoreError> {
        let mut client = self.client().await?;
        if let Some(kind) = find_request(&client, request.request).await? {
            return match kind.as_str() {
                LEASE => Ok(Claim::Leased(
                    leased(&client, access, request.request).await?,
                )),
                _ => Ok(Claim::OtherKind),
            };
        }
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        let rows = query(
            &transaction,
            CLAIM_BUDGETS.text,
            &[
                &request.request.0,
                &request.worker,
                &request.max_refs,
                &duration.as_secs_f64(),
                &QUANTUM,
                &MAX_KEYS,
            ],
        )
        .await
        .map_err(StoreError::from_write)?;
        let mut events = false;
        let mut idle: Vec<Uuid> = Vec::new();
        let mut refs = 0;
        for row in &rows {
            let leased: i64 = row.try_get("refs").map_err(StoreError::row)?;
            if leased == 0 {
                idle.push(row.try_get("id").map_err(StoreError::row)?);
            }
            refs += leased;
            events |= row.try_get::<_, bool>("events").map_err(StoreError::row)?;
        }
        if !idle.is_empty() {
            settle_budgets(&transaction, &idle, true).await?;
        }
        if refs == 0 {
            transaction.commit().await.map_err(StoreError::from_write)?;
            return Ok(Claim::Nothing { events });
        }
        let noted = query(
            &transaction,
            INSERT_SYNC_REQUEST.text,
            &[&request.request.0, &LEASE],
        )
        .await
        .map_err(StoreError::from_write)?;
        if noted.is_empty() {
            // The same request won meanwhile: what this one claimed is given back.
            transaction
                .rollback()
                .await
                .map_err(StoreError::from_read)?;
            return Ok(Claim::Leased(
                leased(&client, access, request.request).await?,
            ));
        }
        // Read before the commit: a lease whose credentials cannot be read is no lease.
        let mut leased = leased(&transaction, access, request.request).await?;
        leased.events = events;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(Claim::Leased(leased))
    }

    /// In how long the next budget can be leased; none when nothing is planned.
    pub(crate) async fn next_ready_in(&self) -> Result<Option<Duration>, StoreError> {
        let rows = self.read(SECONDS_UNTIL_READY, &[]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let seconds: Option<f64> = row.try_get("seconds").map_err(StoreError::row)?;
        Ok(seconds.map(duration))
    }

    /// Extends a lease to `duration` from now.
    pub(crate) async fn renew_lease(
        &self,
        token: LeaseToken,
        duration: Duration,
    ) -> Result<Renewed, StoreError> {
        let rows = self
            .write(RENEW_LEASE, &[&token.0, &duration.as_secs_f64()])
            .await?;
        Ok(match rows.first() {
            Some(_) => Renewed::Until(duration),
            None => Renewed::Lost,
        })
    }

    /// Gives a lease back; returns its budget, and none when it was lost.
    pub(crate) async fn release_lease(
        &self,
        token: LeaseToken,
    ) -> Result<Option<Uuid>, StoreError> {
        retrying(|| self.release_once(token)).await
    }

    async fn release_once(&self, token: LeaseToken) -> Result<Option<Uuid>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from_read)?;
        let rows = query(&transaction, LOCK_RELEASED_LEASE.text, &[&token.0])
            .await
            .map_err(StoreError::from_read)?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let budget: Uuid = row.try_get("id").map_err(StoreError::row)?;
        query(&transaction, RELEASE_REFS.text, &[&token.0])
            .await
            .map_err(StoreError::from_write)?;
        settle_budgets(&transaction, &[budget], true).await?;
        transaction.commit().await.map_err(StoreError::from_write)?;
        Ok(Some(budget))
    }
}

async fn find_request(
    client: &impl GenericClient,
    request: RequestId,
) -> Result<Option<String>, StoreError> {
    let rows = query(client, FIND_SYNC_REQUEST.text, &[&request.0])
        .await
        .map_err(StoreError::from_read)?;
    rows.first()
        .map(|row| row.try_get("kind").map_err(StoreError::row))
        .transpose()
}

/// What is left of the leases of `request`, with their credentials.
async fn leased(
    client: &impl GenericClient,
    _access: &CredentialAccess,
    request: RequestId,
) -> Result<Leased, StoreError> {
    let rows = query(client, LIST_LEASED_REFS.text, &[&request.0])
        .await
        .map_err(StoreError::from_read)?;
    let budgets = query(client, LIST_LEASED_BUDGETS.text, &[&request.0])
        .await
        .map_err(StoreError::from_read)?;
    let credentials = query(client, READ_LEASED_CREDENTIAL.text, &[&request.0])
        .await
        .map_err(StoreError::from_read)?;
    Ok(Leased {
        rows: rows.iter().map(leased_row).collect::<Result<_, _>>()?,
        credentials: credentials
            .iter()
            .map(|row| sealed_credential(row).map_err(StoreError::row))
            .collect::<Result<_, _>>()?,
        budgets: budgets
            .iter()
            .map(|row| leased_budget(row).map_err(StoreError::row))
            .collect::<Result<_, _>>()?,
        events: false,
    })
}

fn leased_row(row: &Row) -> Result<LeasedRow, StoreError> {
    let state = maybe_named(row, "pull_request_state", PullRequestState::parse)?;
    let lane: i16 = row.try_get("lane").map_err(StoreError::row)?;
    let lane =
        Lane::from_number(lane).ok_or_else(|| StoreError::bug("read a row", "lane: no lane"))?;
    leased_columns(row, lane, state).map_err(StoreError::row)
}

fn leased_columns(
    row: &Row,
    lane: Lane,
    state: Option<PullRequestState>,
) -> Result<LeasedRow, tokio_postgres::Error> {
    let repository: Option<String> = row.try_get("pr_repository")?;
    let number: Option<i32> = row.try_get("pr_number")?;
    let known = match (repository, number, state) {
        (Some(repository), Some(number), Some(state)) => Some(KnownPullRequest {
            repository,
            number,
            state,
            draft: row.try_get("pull_request_draft")?,
            node_id: row.try_get("pr_node_id")?,
        }),
        // A CHECK keeps the three together.
        _ => None,
    };
    Ok(LeasedRow {
        token: LeaseToken(row.try_get("lease_token")?),
        budget_key: BudgetKey(row.try_get("budget_key")?),
        expires_in: duration(row.try_get("expires_seconds")?),
        owner: UserId(row.try_get("owner_id")?),
        provider_id: row.try_get("provider_id")?,
        linked: row.try_get("linked")?,
        git_ref: LeasedRef {
            id: GitRefId(row.try_get("id")?),
            report_seq: row.try_get("report_seq")?,
            repository_owner: row.try_get("repository_owner")?,
            repository_name: row.try_get("repository_name")?,
            branch: row.try_get("git_branch")?,
            commit: row.try_get("commit_sha")?,
            lane,
            since_reported: duration(row.try_get("reported_seconds")?),
            failures: row.try_get("failures")?,
            misses: row.try_get("misses")?,
            settled_count: row.try_get("settled_count")?,
            upstream_repository: row.try_get("upstream_repository")?,
            known,
            since_changed: duration(row.try_get("changed_seconds")?),
            since_active: duration(row.try_get("active_seconds")?),
            viewed: row.try_get("viewed")?,
            unchanged_count: row.try_get("unchanged_count")?,
            since_found: maybe_duration(row, "found_seconds")?,
            fingerprint: row.try_get("fingerprint")?,
            validator: row.try_get("validator")?,
            canonical_repository: row.try_get("canonical_repository")?,
        },
    })
}

fn leased_budget(row: &Row) -> Result<(LeaseToken, BudgetView), tokio_postgres::Error> {
    let view = BudgetView {
        rest: BudgetWindow {
            limit: row.try_get("rest_limit")?,
            remaining: row.try_get("rest_remaining")?,
            reset_in: maybe_duration(row, "rest_reset_seconds")?,
            pause_for: maybe_duration(row, "rest_pause_seconds")?,
        },
        graphql: BudgetWindow {
            limit: row.try_get("graphql_limit")?,
            remaining: row.try_get("graphql_remaining")?,
            reset_in: maybe_duration(row, "graphql_reset_seconds")?,
            pause_for: maybe_duration(row, "graphql_pause_seconds")?,
        },
        strikes: row.try_get::<_, Option<i32>>("strikes")?.unwrap_or(0),
        cautious_for: maybe_duration(row, "cautious_seconds")?,
        demand: row.try_get("demand")?,
        burst: row.try_get::<_, Option<f64>>("burst")?.unwrap_or(0.0),
        batches: BatchSizes {
            probe: row.try_get("batch_probe")?,
            detail: row.try_get("batch_detail")?,
            discover: row.try_get("batch_discover")?,
        },
        account_known: row.try_get("account_known")?,
    };
    Ok((LeaseToken(row.try_get("lease_token")?), view))
}

fn sealed_credential(row: &Row) -> Result<SealedCredential, tokio_postgres::Error> {
    Ok(SealedCredential {
        account: GitAccountId(row.try_get("id")?),
        user: UserId(row.try_get("user_id")?),
        provider_id: row.try_get("provider_id")?,
        key_id: row.try_get("key_id")?,
        sealed: row.try_get("access_token_sealed")?,
        suspect: row.try_get("suspect")?,
    })
}

/// Seconds that the database counted; none when they have passed.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// As [`duration`], of a column that may be NULL.
pub(super) fn maybe_duration(
    row: &Row,
    column: &str,
) -> Result<Option<Duration>, tokio_postgres::Error> {
    let seconds: Option<f64> = row.try_get(column)?;
    Ok(seconds.map(duration))
}
