//! Hands due refs to workers and takes what they found.
//!
//! A lease is the exclusive right to a budget key and to some of its refs: data in the database, not
//! a transaction, so nothing is held while a worker works. Every write of a worker names its lease, in
//! the transaction that writes; a lease that is lost writes nothing. No clock but the database's
//! decides anything.
//!
//! # Whose turn it is
//!
//! Budget keys take turns (`claim_budgets.sql`). A key waits in the queue of its most urgent due ref's
//! lane; a turn hands out up to [`QUANTUM`] of its due refs; then the key goes to the tail, however
//! long its next ref has been due. So a backlog delays nobody else: a small tenant waits for as many
//! turns as there are keys before it, each a batch. A turn that the claim's size cut short is
//! continued. Of ten turns six are the viewed lane's, three the active one's, one the idle one's, over
//! all replicas, and of ten refs of a turn alike; what a lane does not use goes to the others. What
//! somebody waits for in `RefreshChat` comes first, in at most half of a claim. A claim looks at
//! [`MAX_KEYS`] keys of each queue and a quantum of each lane of those whose turn it is, by index: its
//! cost does not grow with what waits.
//!
//! # What a key may spend
//!
//! All that workers learn of a key is kept with it, and told with each lease ([`budget`]). REST and
//! GraphQL have windows of their own: one that resets more than a minute later is new; of the same one
//! the least that was ever seen is left. Pauses, of one interface or of the key, are only ever raised;
//! no good answer, report, view or new token ends one. A key with one interface paused is leased, one
//! with both is not. Secondary limits are forgiven by the hour, and make the key cautious until ten
//! minutes after the pause. A token's key becomes its account's when the host has told whose it is; keys of one
//! account that are not merged yet, or have too many refs for that, share their pauses.
//!
//! # Credentials that the host refuses
//!
//! Nothing is sent with a suspect credential until its refusal is to be confirmed ([`credential`]), and
//! nothing with a rejected one until another is linked. What it would look up waits with that problem,
//! from the report on that told; a lease holds back whatever became due since.
//!
//! # What one report means for other refs
//!
//! A problem of a repository puts off its owner's other refs there; a pull request that was seen to
//! change makes other owners' refs of it due within 5 s, each looked up with its own credential: data
//! never crosses. What somebody looks at is due sooner ([`viewed`]).

pub mod budget;
pub mod credential;
pub mod lease;
mod merge;
pub mod metrics;
pub mod outcome;
pub mod viewed;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    accounts::KeyRing,
    authz::{Action, Authorizer, Principal},
    error::Error,
    events::bell::{Bell, Ring},
    id::{LeaseToken, RequestId},
    provider::Providers,
    store::{
        Store,
        sync::{Claim, Renewed, Reported, Spread, Spreading},
    },
};

use self::{
    lease::{Lease, LeaseRequest, sort_out},
    metrics::SyncMetrics,
    outcome::{Outcome, OutcomeStatus, Report},
};

pub use proto::bounds::LEASE_DURATION;

/// Refs of one lease call unless the worker says otherwise.
pub const DEFAULT_MAX_REFS: i64 = 100;
/// Refs of one lease call at most.
pub const MAX_REFS: i64 = proto::bounds::MAX_LEASED_REFS as i64;
/// Refs that a turn of a budget key hands out at most: a full batch.
pub const QUANTUM: i64 = 100;
/// Budget keys of each lane's queue that a lease call looks at.
pub const MAX_KEYS: i64 = 20;
/// How long a lease call may wait.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// When to look again for a budget that is ready and that somebody else is just claiming.
const CONTENDED_PAUSE: Duration = Duration::from_millis(20);
/// When to look again after a lookup that failed here, as with a token that does not open.
const OWN_FAILURE_BACKOFF: Duration = Duration::from_secs(120);

/// Why a ref is due, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody waits in `RefreshChat`.
    Interactive,
    /// Somebody is looking at the chat.
    Viewed,
    /// The agent just pushed, or the pull request is open and moving.
    Active,
    /// Everything else.
    Idle,
}

impl Lane {
    /// As the database numbers it.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::Interactive => 1,
            Self::Viewed => 2,
            Self::Active => 3,
            Self::Idle => 4,
        }
    }

    /// From the database's number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Interactive),
            2 => Some(Self::Viewed),
            3 => Some(Self::Active),
            4 => Some(Self::Idle),
            _ => None,
        }
    }
}

/// What [`Dispatcher`] needs.
pub struct DispatcherParts {
    /// Where refs and leases are.
    pub store: Store,
    /// Who may lease, and read credentials.
    pub authorizer: Authorizer,
    /// Tells of due refs and of outcomes.
    pub bell: Bell,
    /// Opens access tokens.
    pub keys: Arc<KeyRing>,
    /// Where refs are looked up.
    pub providers: Arc<Providers>,
    /// Counts.
    pub metrics: SyncMetrics,
    /// How long a lease lasts; [`LEASE_DURATION`] by default.
    pub lease_duration: Duration,
    /// Ends waiting calls when the server drains.
    pub draining: CancellationToken,
}

/// Leases due refs and applies outcomes. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<DispatcherParts>);

impl Dispatcher {
    /// Takes its parts.
    #[must_use]
    pub fn new(parts: DispatcherParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Leases due refs, waiting for some to become due. No connection is held while it waits. When
    /// the future is dropped, leases that were just made are found by the same request again, or
    /// expire.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`] for who may not lease or may not read credentials: nothing is leased
    /// then. [`Error::InvalidArgument`] for a request id that was a report's.
    pub async fn lease(
        &self,
        principal: &Principal,
        request: &LeaseRequest,
    ) -> Result<Vec<Lease>, Error> {
        let parts = &*self.0;
        parts
            .authorizer
            .site(principal, Action::LeaseDiffStatuses)?;
        let access =
            lease::CredentialAccess::of(&parts.authorizer, principal).inspect_err(|_| {
                // Without this a worker would be told that nobody has an account.
                parts.metrics.credential_denied.inc();
                tracing::error!(
                    principal = principal.name(),
                    "a worker may lease refs but not read credentials; nothing is leased"
                );
            })?;
        let until = Instant::now() + request.wait.min(MAX_WAIT);
        let mut due = parts.bell.listen(Ring::Due);
        let mut patient = true;
        loop {
            due.mark_unchanged();
            let claim = parts
                .store
                .claim_leases(&access, request, parts.lease_duration)
                .await?;
            match claim {
                Claim::Leased(leased) => {
                    parts.metrics.leased_refs.inc_by(leased.rows.len() as u64);
                    if leased.events {
                        parts.bell.ring(Ring::Changes);
                    }
                    let sorted = sort_out(leased, &parts.keys, &parts.providers);
                    for failed in sorted.failed {
                        self.fail_unopened(failed).await;
                    }
                    return Ok(sorted.leases);
                }
                Claim::OtherKind => return Err(used_otherwise()),
                Claim::Nothing { events } => {
                    if events {
                        parts.bell.ring(Ring::Changes);
                    }
                }
            }
            let now = Instant::now();
            if parts.draining.is_cancelled() || (now >= until && !patient) {
                return Ok(Vec::new());
            }
            let ready = parts.store.next_ready_in().await?;
            if now >= until {
                if ready.is_none_or(|ready| !ready.is_zero()) {
                    return Ok(Vec::new());
                }
                // Somebody holds what is ready, for a moment: even who does not wait looks once more.
                patient = false;
                tokio::time::sleep(CONTENDED_PAUSE).await;
                continue;
            }
            let pause = ready
                .map_or(until - now, |ready| ready.max(CONTENDED_PAUSE))
                .min(until - now);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Fails only without senders, and the bell outlives this.
                _ = due.changed() => {}
                () = parts.draining.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    /// Extends a lease by its full duration; returns that.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it is lost.
    pub async fn renew(&self, principal: &Principal, token: LeaseToken) -> Result<Duration, Error> {
        let parts = &*self.0;
        parts.authorizer.site(principal, Action::RenewLease)?;
        match parts.store.renew_lease(token, parts.lease_duration).await? {
            Renewed::Until(duration) => Ok(duration),
            Renewed::Lost => Err(self.lost()),
        }
    }

    /// Applies the outcomes of a report, or returns the answer that it had before.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the lease is lost: nothing is applied then.
    pub async fn report(
        &self,
        principal: &Principal,
        report: &Report,
    ) -> Result<Vec<OutcomeStatus>, Error> {
        self.0.authorizer.site(principal, Action::ReportOutcomes)?;
        self.apply(report).await
    }

    /// Gives a lease back. Does nothing when it is lost.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn release(&self, principal: &Principal, token: LeaseToken) -> Result<(), Error> {
        let parts = &*self.0;
        parts.authorizer.site(principal, Action::ReleaseLease)?;
        if let Some(budget) = parts.store.release_lease(token).await? {
            self.merge(budget).await;
            parts.bell.ring(Ring::Due);
        }
        Ok(())
    }

    async fn apply(&self, report: &Report) -> Result<Vec<OutcomeStatus>, Error> {
        let parts = &*self.0;
        match parts.store.report_outcomes(report).await? {
            Reported::Applied(applied) => {
                parts.metrics.count_outcomes(&applied.statuses);
                let spreading = self.spread(&applied.spread).await;
                if report.budget.as_ref().is_some_and(|budget| budget.pauses()) {
                    self.share_pauses(applied.spread.budget).await;
                }
                if report.release_lease {
                    self.merge(applied.spread.budget).await;
                }
                // Last: who is woken finds all of it done.
                if applied.events || spreading.events {
                    parts.bell.ring(Ring::Changes);
                }
                parts.bell.ring(Ring::Outcomes);
                if spreading.hinted > 0 || report.release_lease {
                    parts.bell.ring(Ring::Due);
                }
                Ok(applied.statuses)
            }
            Reported::Before(statuses) => Ok(statuses),
            Reported::LeaseLost => Err(self.lost()),
            Reported::OtherKind => Err(used_otherwise()),
        }
    }

    /// Does what a report means for other refs. The report itself is applied, whatever comes of that.
    async fn spread(&self, spread: &Spread) -> Spreading {
        let parts = &*self.0;
        match parts.store.spread(spread).await {
            Ok(spreading) => {
                let Spreading {
                    put_off,
                    held,
                    hinted,
                    events: _,
                } = spreading;
                parts.metrics.put_off_refs.inc_by(put_off);
                parts.metrics.held_refs.inc_by(held);
                parts.metrics.hinted_refs.inc_by(hinted);
                spreading
            }
            Err(error) => {
                tracing::warn!(%error, "what a report means for other refs was not done");
                Spreading::default()
            }
        }
    }

    /// Writes our own failure to refs that were leased and cannot be handed out, so that they are
    /// neither lost until the lease expires nor leased again at once.
    async fn fail_unopened(&self, failed: lease::Unopened) {
        let parts = &*self.0;
        let lease::Unopened {
            token,
            refs,
            whole_lease,
            problem,
        } = failed;
        parts.metrics.credential_unopened.inc_by(refs.len() as u64);
        let report = Report {
            request: RequestId(Uuid::now_v7()),
            lease: token,
            outcomes: refs
                .into_iter()
                .map(|(git_ref, report_seq)| {
                    Outcome::failed(git_ref, report_seq, problem, OWN_FAILURE_BACKOFF)
                })
                .collect(),
            budget: None,
            credentials: Vec::new(),
            release_lease: whole_lease,
        };
        if let Err(error) = self.apply(&report).await {
            // They are leased again when this lease ends.
            tracing::warn!(%error, "a failure of our own could not be written");
        }
    }

    fn lost(&self) -> Error {
        self.0.metrics.leases_lost.inc();
        Error::FailedPrecondition {
            problem: "the lease is lost",
            reason: proto::reason::LEASE_LOST,
        }
    }
}

fn used_otherwise() -> Error {
    Error::invalid("request_id", "was used for a call of another kind")
}
