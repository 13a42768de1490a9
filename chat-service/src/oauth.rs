//! Renews users' tokens that expire, before they do and at a claim at the latest.
//!
//! A refresh token works once, and replaces both tokens when it does. So each renewal has one
//! sender over all replicas: it is leased, as data in the credential's row, for longer than a
//! request takes, and nothing is held while the host answers. What the host gives is stored before
//! anything else is done with it, for as long as the database takes. It replaces the tokens of the
//! generation that was leased and no others: a user who has linked the account again keeps those,
//! and of two processes that both sent, the one that has the new tokens stores them, whenever that
//! is.
//!
//! When a renewal is due, `upsert_git_credential.sql` and `lease_renewals.sql` say: shortly before
//! the access token expires where the account plans something soon, and a month before the refresh
//! token dies otherwise. An access token that has expired all the same is found by a claim, which
//! leases nothing of the account, holds it, and wakes this.
//!
//! # What a failure means
//!
//! | the host | then |
//! | --- | --- |
//! | fails, or does not answer | again after a backoff; the provider's circuit breaker counts |
//! | refuses the refresh token | retry after 1 to 2 minutes; a second refusal rejects the account |
//! | refuses this service | a warning, a metric, and a trial now and then; no account is at fault |
//!
//! An answer that is lost after the host has replaced the tokens, as by a crash, is followed by the
//! second one.

mod answer;
mod breaker;
mod exchange;
pub mod metrics;

use std::{sync::Arc, time::Duration};

use proto::sync::ProblemClass;
use secrecy::SecretString;
use service_runtime::{egress::EgressProxy, jitter::jittered};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    answer::{Pair, TokenAnswer},
    breaker::{Breakers, Health, Transition},
    exchange::{Exchange, REQUEST_TIMEOUT},
    metrics::{OauthMetrics, RenewalOutcome},
};
use crate::{
    accounts::{BudgetKey, KeyRing, SealError, seal::TokenColumn},
    events::notifier::{Notifier, Topic},
    provider::{Providers, oauth::OauthClient},
    store::{
        Store, StoreError,
        git_account::SealedTokens,
        renewal::{LeasedRenewal, RenewalResult, RenewedTokens},
    },
};

/// How long a renewal is leased: a request and as long again, so that a process that waits for its
/// turn on a loaded machine is not taken for dead.
const LEASE: Duration = Duration::from_secs(60);
/// How often this process looks for renewals that are due when no claim wakes it.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Requests at once, to all providers.
const CONCURRENCY: usize = 8;
/// The first backoff of an account's renewal; it doubles with each failure in a row.
const BACKOFF: Duration = Duration::from_secs(2);
/// The longest one.
const BACKOFF_CAP: Duration = Duration::from_secs(5 * 60);
/// How often it is doubled at most: beyond that it is the longest one anyway.
const BACKOFF_DOUBLINGS: u32 = 8;
/// When a refused refresh token is tried once more: beyond the lease, so that another process that
/// has the new tokens has stored them by then.
const CONFIRMATION: Duration = Duration::from_secs(90);
/// By how much times differ, so that accounts do not come back together.
const JITTER: f64 = 0.2;
/// Pauses between attempts to store what the host gave.
const STORE_PAUSE: Duration = Duration::from_millis(250);
const STORE_PAUSE_CAP: Duration = Duration::from_secs(5);

/// Has expired tokens renewed. Cheap to clone.
#[derive(Clone, Default)]
pub struct Renewals {
    providers: Arc<[String]>,
    wake: Arc<Notify>,
}

impl Renewals {
    /// Of those `providers` where this process can renew tokens.
    #[must_use]
    pub fn new(providers: &Providers) -> Self {
        let all = providers.iter().map(|provider| &provider.id);
        Self {
            providers: all
                .filter(|id| providers.oauth(id).is_some())
                .cloned()
                .collect(),
            wake: Arc::default(),
        }
    }

    /// The ids of the providers where tokens can be renewed.
    pub(crate) fn providers(&self) -> &[String] {
        &self.providers
    }

    /// Has this process look for renewals that are due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// The parts of a [`Renewer`].
pub struct RenewerParts {
    /// Where tokens are.
    pub store: Store,
    /// Opens and seals them.
    pub keys: Arc<KeyRing>,
    /// Where they are renewed.
    pub providers: Providers,
    /// Notifies of renewed tokens, and of accounts that must be linked again.
    pub notifier: Notifier,
    /// Counts.
    pub metrics: OauthMetrics,
    /// Wakes the renewer.
    pub renewals: Renewals,
    /// What token endpoints are reached through, if not directly.
    pub proxy: Option<EgressProxy>,
}

/// Renews tokens in the background.
pub struct Renewer {
    parts: RenewerParts,
    exchange: Exchange,
    breakers: Breakers,
}

impl Renewer {
    /// Takes its parts; none are sent before [`Renewer::run`].
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, or the proxy's URL cannot be used.
    pub fn new(parts: RenewerParts) -> anyhow::Result<Self> {
        Ok(Self {
            exchange: Exchange::new(parts.proxy.as_ref())?,
            parts,
            breakers: Breakers::default(),
        })
    }

    /// Renews tokens until `stop`, and then finishes what was begun: an answer that is not waited
    /// for costs its user the account. Does nothing where no provider has an app.
    pub async fn run(self, stop: CancellationToken) {
        let renewals = self.parts.renewals.clone();
        if renewals.providers().is_empty() {
            return;
        }
        for provider in renewals.providers() {
            self.parts.metrics.state(provider, false, false);
        }
        let renewer = Arc::new(self);
        let mut under_way = JoinSet::new();
        let mut failing = false;
        while !stop.is_cancelled() {
            let room = CONCURRENCY - under_way.len();
            let mut more = false;
            if room > 0 {
                match renewer.begin(room, &mut under_way).await {
                    Ok(begun_all) => {
                        more = begun_all;
                        failing = false;
                    }
                    Err(error) => {
                        if !failing {
                            tracing::warn!(%error, "tokens are not renewed; trying again");
                        }
                        failing = true;
                    }
                }
            }
            if more && under_way.len() < CONCURRENCY {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = renewals.wake.notified() => {}
                () = tokio::time::sleep(jittered(LOOK_INTERVAL, JITTER)) => {}
                Some(_) = under_way.join_next() => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Begins what is due, and returns whether there may be more.
    async fn begin(
        self: &Arc<Self>,
        room: usize,
        under_way: &mut JoinSet<()>,
    ) -> Result<bool, StoreError> {
        // Counted from before the lease begins, so that it is never later than the row's own
        // expiry.
        let leased_at = Instant::now();
        let parts = &self.parts;
        let (leased, more) = parts
            .store
            .lease_renewals(LEASE, room, parts.renewals.providers())
            .await?;
        for leased in leased {
            let renewer = Arc::clone(self);
            under_way.spawn(async move { renewer.renew(leased, leased_at).await });
        }
        Ok(more)
    }

    async fn renew(&self, leased: LeasedRenewal, leased_at: Instant) {
        let provider = leased.provider_id.as_str();
        let outcome = match self.admitted(&leased, leased_at).await {
            Ok(answer) => self.settle(&leased, answer).await,
            Err(outcome) => outcome,
        };
        self.parts.metrics.count(provider, outcome);
        tracing::debug!(git_account.id = %leased.account, provider, ?outcome, "a renewal ended");
    }

    /// Sends the refresh token if the account and the breaker admit it.
    async fn admitted(
        &self,
        leased: &LeasedRenewal,
        leased_at: Instant,
    ) -> Result<TokenAnswer, RenewalOutcome> {
        let provider = leased.provider_id.as_str();
        let Some(client) = self.parts.providers.oauth(provider) else {
            return Err(RenewalOutcome::NotSent);
        };
        if let Err(wait) = self
            .breakers
            .admit(provider, REQUEST_TIMEOUT, Instant::now())
        {
            let unavailable = ProblemClass::HostUnavailable;
            return Err(self
                .put_off(leased, wait, unavailable, RenewalOutcome::NotSent)
                .await);
        }
        let token = match self.open(leased) {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(git_account.id = %leased.account, %error, "a refresh token cannot be opened");
                let internal = ProblemClass::Internal;
                return Err(self
                    .put_off(leased, BACKOFF_CAP, internal, RenewalOutcome::Unopened)
                    .await);
            }
        };
        // A process that was stopped meanwhile may no longer be the only sender.
        if leased_at.elapsed() + REQUEST_TIMEOUT > LEASE {
            return Err(RenewalOutcome::Superseded);
        }
        Ok(self.ask(client, provider, &token).await)
    }

    fn open(&self, leased: &LeasedRenewal) -> Result<SecretString, SealError> {
        let LeasedRenewal {
            account,
            key_id,
            sealed,
            ..
        } = leased;
        self.parts
            .keys
            .open(key_id, *account, TokenColumn::RefreshToken, sealed)
    }

    async fn ask(&self, client: &OauthClient, provider: &str, token: &SecretString) -> TokenAnswer {
        let asked_at = Instant::now();
        let answer = self.exchange.send(client, token).await;
        self.parts.metrics.answered(provider, asked_at.elapsed());
        let host = client.token_url.host_str();
        let health = match &answer {
            TokenAnswer::Renewed(_) | TokenAnswer::Refused => Health::Works,
            TokenAnswer::Misconfigured => Health::Misconfigured,
            TokenAnswer::Failed { why, .. } => {
                tracing::debug!(provider, host, why, "a token endpoint failed");
                Health::Failed
            }
        };
        if let Some(transition) = self.breakers.count(provider, health, Instant::now()) {
            let metrics = &self.parts.metrics;
            match transition {
                Transition::Opened => {
                    tracing::warn!(
                        provider,
                        host,
                        "a token endpoint fails; tokens are renewed later"
                    );
                    metrics.state(provider, true, false);
                }
                Transition::Misconfigured => {
                    tracing::warn!(
                        provider,
                        host,
                        "a git host does not accept the OAuth client id or secret of this service; no \
                         token is renewed there"
                    );
                    metrics.state(provider, true, true);
                }
                Transition::Closed => {
                    tracing::info!(provider, host, "tokens are renewed again");
                    metrics.state(provider, false, false);
                }
            }
        }
        answer
    }

    /// Stores the result of an exchange.
    async fn settle(&self, leased: &LeasedRenewal, answer: TokenAnswer) -> RenewalOutcome {
        let unavailable = ProblemClass::HostUnavailable;
        match answer {
            TokenAnswer::Renewed(pair) => self.keep(leased, pair).await,
            TokenAnswer::Refused if leased.refused_before => {
                let given_up = self.parts.store.give_up_renewal(leased).await;
                let outcome = self.noted(leased, given_up, RenewalOutcome::Rejected);
                if outcome == RenewalOutcome::Rejected {
                    tracing::info!(
                        git_account.id = %leased.account,
                        provider = leased.provider_id,
                        "the git host renews the tokens of an account no more; it is to be linked again"
                    );
                }
                outcome
            }
            // A host that has just replaced the tokens for another process says so, too.
            TokenAnswer::Refused => {
                let doubted = ProblemClass::CredentialSuspect;
                self.put_off(leased, CONFIRMATION, doubted, RenewalOutcome::Doubted)
                    .await
            }
            TokenAnswer::Misconfigured => {
                let wait = backoff(leased.failures);
                self.put_off(leased, wait, unavailable, RenewalOutcome::Misconfigured)
                    .await
            }
            TokenAnswer::Failed { retry_after, .. } => {
                let wait = backoff(leased.failures).max(retry_after.unwrap_or_default());
                self.put_off(leased, wait, unavailable, RenewalOutcome::Failed)
                    .await
            }
        }
    }

    /// Stores new tokens, however long the database is away: there are no others.
    async fn keep(&self, leased: &LeasedRenewal, pair: Pair) -> RenewalOutcome {
        let Some(renewed) = self.seal(leased, pair) else {
            return RenewalOutcome::Unopened;
        };
        let mut pause = STORE_PAUSE;
        loop {
            match self.parts.store.keep_renewed(leased, &renewed).await {
                Err(error) => {
                    if pause == STORE_PAUSE {
                        tracing::warn!(git_account.id = %leased.account, %error, "renewed tokens are not stored yet; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(STORE_PAUSE_CAP);
                }
                kept => return self.noted(leased, kept, RenewalOutcome::Renewed),
            }
        }
    }

    fn seal(&self, leased: &LeasedRenewal, pair: Pair) -> Option<RenewedTokens> {
        let RenewerParts {
            keys, providers, ..
        } = &self.parts;
        let Pair {
            access_token,
            refresh_token,
            expires_in,
            refresh_expires_in,
        } = pair;
        let sealed = || -> Result<SealedTokens, SealError> {
            // A refresh token that was not replaced is resealed: one key seals both tokens.
            let refresh_token = match refresh_token {
                Some(replaced) => replaced,
                None => self.open(leased)?,
            };
            let seal = |column, token| keys.seal(leased.account, column, token);
            Ok(SealedTokens {
                key_id: keys.active_id().to_owned(),
                access_token: seal(TokenColumn::AccessToken, &access_token)?,
                refresh_token: Some(seal(TokenColumn::RefreshToken, &refresh_token)?),
            })
        };
        match sealed() {
            Ok(tokens) => {
                let host = providers.by_id(&leased.provider_id)?.api_host();
                Some(RenewedTokens {
                    tokens,
                    token_key: BudgetKey::of_token(keys, host, &access_token).current.0,
                    expires_in,
                    refresh_expires_in,
                })
            }
            Err(error) => {
                tracing::error!(git_account.id = %leased.account, %error, "renewed tokens cannot be sealed");
                None
            }
        }
    }

    async fn put_off(
        &self,
        leased: &LeasedRenewal,
        wait: Duration,
        class: ProblemClass,
        outcome: RenewalOutcome,
    ) -> RenewalOutcome {
        let wait = jittered(wait, JITTER);
        let put_off = self.parts.store.put_off_renewal(leased, wait, class).await;
        self.noted(leased, put_off, outcome)
    }

    /// Tells of what was written. Returns `outcome`, or what kept it from being written.
    fn noted(
        &self,
        leased: &LeasedRenewal,
        noted: Result<RenewalResult, StoreError>,
        outcome: RenewalOutcome,
    ) -> RenewalOutcome {
        let notifier = &self.parts.notifier;
        match noted {
            Ok(RenewalResult::Superseded) => RenewalOutcome::Superseded,
            Ok(RenewalResult::Written { due }) => {
                // The relay is notified of a changed state, too.
                if matches!(outcome, RenewalOutcome::Renewed | RenewalOutcome::Rejected) {
                    notifier.notify(Topic::Changes);
                }
                if due {
                    notifier.notify(Topic::Due);
                }
                outcome
            }
            Err(error) => {
                // It is leased again when this lease ends.
                tracing::warn!(git_account.id = %leased.account, %error, "a failed renewal could not be noted");
                RenewalOutcome::Failed
            }
        }
    }
}

/// The backoff of an account after this many failures in a row.
fn backoff(failures: u32) -> Duration {
    let backoff = BACKOFF * 2_u32.pow(failures.min(BACKOFF_DOUBLINGS));
    backoff.min(BACKOFF_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlasts_a_request_by_far() {
        assert!(LEASE >= REQUEST_TIMEOUT * 3);
        assert!(CONFIRMATION.mul_f64(1.0 - JITTER) >= LEASE);
    }

    #[test]
    fn a_backoff_doubles_up_to_five_minutes() {
        let all: Vec<u64> = (0..10)
            .map(|failures| backoff(failures).as_secs())
            .collect();
        assert_eq!(all, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
