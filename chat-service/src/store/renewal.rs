//! Renewing tokens that expire. A renewal is leased as a budget is: by data in the row and by the
//! database's clock. No lock and no connection is held while the host answers.

use std::time::Duration;

use proto::sync::{ProblemClass, ProblemName as _};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::Columns as _,
    due::LOCK_ACCOUNTS,
    git_account::SealedTokens,
    sql::{Bound, bind, sql},
    transaction::Tx,
};
use crate::id::GitAccountId;

const LEASE_RENEWALS: Sql = sql!("lease_renewals");
const KEEP_RENEWED_TOKENS: Sql = sql!("keep_renewed_tokens");
const PUT_OFF_RENEWAL: Sql = sql!("put_off_renewal");
const GIVE_UP_RENEWAL: Sql = sql!("give_up_renewal");

/// A renewal that this process has leased. Has no `Debug`.
pub(crate) struct LeasedRenewal {
    pub(crate) account: GitAccountId,
    pub(crate) provider_id: String,
    /// The lease's token.
    pub(crate) lease: Uuid,
    /// The credential's generation.
    pub(crate) generation: i64,
    /// The key that sealed the refresh token.
    pub(crate) key_id: String,
    /// The refresh token.
    pub(crate) sealed: Vec<u8>,
    /// Renewals in a row that failed.
    pub(crate) failures: u32,
    /// The last one failed since the host refused the refresh token.
    pub(crate) refused_before: bool,
}

/// Tokens that a renewal gave, sealed. Has no `Debug`.
pub(crate) struct RenewedTokens {
    /// Both of them.
    pub(crate) tokens: SealedTokens,
    /// The keyed hash of the access token.
    pub(crate) token_key: String,
    /// Time until the access token expires; absent where the host did not say.
    pub(crate) expires_in: Option<Duration>,
    /// When the refresh token does.
    pub(crate) refresh_expires_in: Option<Duration>,
}

/// The result of storing a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewalResult {
    /// It is written.
    Written {
        /// Workers are to look for what is due now.
        due: bool,
    },
    /// The tokens were replaced meanwhile, or another process renews them: nothing was written.
    Superseded,
}

impl Store {
    /// Leases the renewal of at most `limit` accounts' tokens at `providers` for `duration`. Says
    /// also whether there may be more.
    pub(crate) async fn lease_renewals(
        &self,
        duration: Duration,
        limit: usize,
        providers: &[String],
    ) -> Result<(Vec<LeasedRenewal>, bool), StoreError> {
        let seconds = duration.as_secs_f64();
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .write(LEASE_RENEWALS, &[&seconds, &most, &providers])
            .await?;
        let mut leased = Vec::new();
        for row in &rows {
            leased.extend(leased_renewal(row)?);
        }
        Ok((leased, rows.len() >= limit))
    }

    /// Keeps what a renewal gave, unless the account's tokens were replaced since it was leased.
    pub(crate) async fn keep_renewed(
        &self,
        leased: &LeasedRenewal,
        renewed: &RenewedTokens,
    ) -> Result<RenewalResult, StoreError> {
        let RenewedTokens {
            tokens,
            token_key,
            expires_in,
            refresh_expires_in,
        } = renewed;
        let seconds = |duration: &Option<Duration>| duration.map(|of| of.as_secs_f64());
        self.note_renewal(
            leased,
            bind(
                KEEP_RENEWED_TOKENS,
                &[
                    &leased.account.0,
                    &leased.generation,
                    &tokens.key_id,
                    &tokens.access_token,
                    &seconds(expires_in),
                    &tokens.refresh_token,
                    &seconds(refresh_expires_in),
                    token_key,
                ],
            ),
        )
        .await
    }

    /// Notes that a renewal failed by a problem of this class, and is to be tried again after
    /// `backoff`.
    pub(crate) async fn put_off_renewal(
        &self,
        leased: &LeasedRenewal,
        backoff: Duration,
        class: ProblemClass,
    ) -> Result<RenewalResult, StoreError> {
        let LeasedRenewal { account, lease, .. } = leased;
        let seconds = backoff.as_secs_f64();
        self.note_renewal(
            leased,
            bind(
                PUT_OFF_RENEWAL,
                &[&account.0, lease, &seconds, &class.name()],
            ),
        )
        .await
    }

    /// Notes that the host will not renew the tokens: the account is rejected.
    pub(crate) async fn give_up_renewal(
        &self,
        leased: &LeasedRenewal,
    ) -> Result<RenewalResult, StoreError> {
        let LeasedRenewal { account, lease, .. } = leased;
        self.note_renewal(leased, bind(GIVE_UP_RENEWAL, &[&account.0, lease]))
            .await
    }

    /// Runs `statement`, which returns the account if it wrote anything, under the account's lock.
    async fn note_renewal(
        &self,
        leased: &LeasedRenewal,
        statement: Bound<'_>,
    ) -> Result<RenewalResult, StoreError> {
        let account = leased.account.0;
        self.transaction(|tx| note_once(tx, account, statement))
            .await
    }
}

async fn note_once(
    tx: Tx,
    account: Uuid,
    statement: Bound<'_>,
) -> Result<RenewalResult, StoreError> {
    let accounts = [account];
    let accounts = accounts.as_slice();
    let ([_, rows], due) = tx
        .commit_due([bind(LOCK_ACCOUNTS, &[&accounts]), statement], accounts)
        .await?;
    Ok(if rows.is_empty() {
        RenewalResult::Superseded
    } else {
        RenewalResult::Written { due }
    })
}

/// `None` for an account whose tokens are not to be renewed now.
fn leased_renewal(row: &Row) -> Result<Option<LeasedRenewal>, StoreError> {
    let Some(lease) = row.get_as("renewal_lease")? else {
        return Ok(None);
    };
    let failures: i16 = row.get_as("renewal_failures")?;
    Ok(Some(LeasedRenewal {
        account: row.get_as("account_id")?,
        provider_id: row.get_as("provider_id")?,
        lease,
        generation: row.get_as("generation")?,
        key_id: row.get_as("key_id")?,
        sealed: row.get_as("refresh_token_sealed")?,
        failures: u32::try_from(failures).unwrap_or(0),
        refused_before: row.get_as("refused_before")?,
    }))
}
