//! Hands due refs to workers and takes what they found.
//!
//! A lease is the exclusive right to a budget: data in the database, not a transaction, so nothing
//! is held while a worker works. No ref is marked for it. What is due is read, and an outcome
//! repeats what proves that it is of that reading ([`proto::sync::Fence`]): how often the ref was
//! reported, how often it was looked at, and which credential looks it up. Every write of a worker
//! names its lease, in the transaction that writes; a lease that is lost writes nothing. The
//! database's clock alone decides.
//!
//! ARCHITECTURE.md draws the life of a ref and of a lease. Whose turn it is,
//! `lock_ready_budgets.sql` says, and what a turn hands out, `list_due_refs.sql`.
//!
//! # What a budget may spend
//!
//! All that workers learn of a budget is kept with it, and handed out with each lease: its windows,
//! pauses and secondary limits. Pauses are only ever raised; no good answer, report, view or new
//! token ends one. A rest is the worker's own choice, and each report replaces it. Both say from
//! which lane on they hold. A token's budget becomes its account's once the host has named that.
//!
//! # Credentials that the host refuses
//!
//! An account has no place in the queue without a credential, nor before a refused one is to be
//! tried again, nor before an expired token was renewed ([`crate::oauth`]). Its refs stay due, and
//! nothing is written on them.
//!
//! # What one report means for other refs
//!
//! A problem of a repository puts off its account's other refs there; a pull request that was seen
//! to change makes other accounts' refs of it due within 5 s, and one that a branch turned to makes
//! that branch's other refs due, each looked up with its own credential: data never crosses. What a
//! person looks at is due sooner ([`viewed`]).

pub mod lease;
mod lookout;
pub mod metrics;
pub mod viewed;

use std::{sync::Arc, time::Duration};

use proto::{
    bounds::MAX_LEASE_WAIT,
    sync::{
        DiffReport, Lease, LeaseRequest, LeaseToken, OutcomeStatus, Renewal, Report, ReportAnswer,
        RequestId,
    },
};
use service_runtime::telemetry::{AUDIT, Failing};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    accounts::KeyRing,
    authz::{Action, Authorizer, CredentialAccess, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    oauth::Renewals,
    provider::Providers,
    store::{
        Store,
        sync::{Claim, CredentialRefusal, DiffReportResult, ReportResult},
    },
};

pub use crate::store::sync::QUANTUM;

use self::{
    lease::assemble,
    lookout::{Lookout, LookoutTurn, Looks},
    metrics::SyncMetrics,
};

pub use proto::bounds::LEASE_DURATION;

/// The parts of a [`Dispatcher`].
pub struct DispatcherParts {
    /// Where refs and leases are.
    pub store: Store,
    /// Authorizes leasing and reading credentials.
    pub authorizer: Authorizer,
    /// Tells of due refs and of outcomes.
    pub notifier: Notifier,
    /// Opens access tokens.
    pub keys: Arc<KeyRing>,
    /// Where refs are looked up.
    pub providers: Arc<Providers>,
    /// Has expired tokens renewed.
    pub renewals: Renewals,
    /// Counts.
    pub metrics: SyncMetrics,
    /// How long a lease lasts; [`LEASE_DURATION`] by default.
    pub lease_duration: Duration,
    /// Ends waiting calls when the server drains.
    pub draining: CancellationToken,
}

/// Leases due refs and applies outcomes. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    parts: Arc<DispatcherParts>,
    lookout: Lookout,
    /// Policy lets workers lease, and not read credentials.
    denied: Arc<Failing>,
}

impl Dispatcher {
    /// Takes its parts.
    #[must_use]
    pub fn new(parts: DispatcherParts) -> Self {
        Self {
            parts: Arc::new(parts),
            lookout: Lookout::default(),
            denied: Arc::default(),
        }
    }

    /// Leases due refs, waiting for some to become due. No connection is held while it waits. When
    /// the future is dropped, leases that were just made are found by the same request again, or
    /// expire.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`] when the caller may not lease or may not read credentials: nothing is
    /// leased then. [`Error::InvalidArgument`] for a request id that was a report's.
    pub async fn lease(
        &self,
        principal: &Principal,
        request: &LeaseRequest,
    ) -> Result<Vec<Lease>, Error> {
        let parts = &*self.parts;
        parts
            .authorizer
            .site(principal, Action::LeaseDiffStatuses)?;
        let access = CredentialAccess::of(&parts.authorizer, principal).inspect_err(|_| {
            // Without this, every account would look unlinked to a worker.
            parts.metrics.credential_denied.inc();
            if self.denied.begins() {
                tracing::error!(
                    "workers may lease refs but not read credentials; nothing is leased"
                );
            }
        })?;
        if self.denied.ends() {
            tracing::info!("workers may read credentials again");
        }
        let until = Instant::now() + request.wait.min(MAX_LEASE_WAIT);
        let mut due = parts.notifier.subscribe(Topic::Due);
        let mut place = None;
        let mut looks = Looks::default();
        loop {
            due.mark_unchanged();
            if let Some(leases) = self.claim(&access, request, looks.contended()).await? {
                return Ok(leases);
            }
            looks.note(parts.store.next_budget().await?);
            let now = Instant::now();
            if parts.draining.is_cancelled() || (now >= until && !looks.again()) {
                return Ok(Vec::new());
            }
            let waiting = async {
                if now < until && place.is_none() {
                    let taken = tokio::time::timeout_at(until, self.lookout.take()).await;
                    let Ok(LookoutTurn { lookout, waited }) = taken else {
                        return;
                    };
                    place = Some(lookout);
                    if waited {
                        // The call that had the place may have left budgets that are ready.
                        return;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(looks.pause(until, request.request)) => {}
                    // Fails only without senders, and the notifier outlives this.
                    _ = due.changed() => {}
                }
            };
            let drained = parts.draining.run_until_cancelled(waiting).await;
            if drained.is_none() {
                return Ok(Vec::new());
            }
        }
    }

    /// Leases what is ready now; `None` when nothing is.
    async fn claim(
        &self,
        access: &CredentialAccess,
        request: &LeaseRequest,
        contended: Option<Uuid>,
    ) -> Result<Option<Vec<Lease>>, Error> {
        let parts = &*self.parts;
        let claim = parts
            .store
            .claim_leases(
                access,
                request,
                parts.lease_duration,
                contended,
                parts.renewals.providers(),
            )
            .await?;
        let Claim { leased, held } = claim;
        if held {
            parts.renewals.wake();
        }
        let Some(handed_out) = leased else {
            return Ok(None);
        };
        parts
            .metrics
            .leased_refs
            .inc_by(handed_out.refs.len() as u64);
        parts.metrics.leases_expired.inc_by(handed_out.expired);
        let assembled = assemble(handed_out, &parts.keys, &parts.providers);
        for failed in assembled.failed {
            self.fail_unopened(failed).await;
        }
        for lease in &assembled.leases {
            note_credentials(lease, &request.worker);
        }
        Ok(Some(assembled.leases))
    }

    /// Extends a lease by its full duration.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it is lost.
    pub async fn renew(&self, principal: &Principal, token: LeaseToken) -> Result<Renewal, Error> {
        let parts = &*self.parts;
        parts.authorizer.site(principal, Action::RenewLease)?;
        let renewed = parts.store.renew_lease(token, parts.lease_duration).await?;
        renewed.ok_or_else(|| self.lost())
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
    ) -> Result<ReportAnswer, Error> {
        self.parts
            .authorizer
            .site(principal, Action::ReportOutcomes)?;
        self.apply(report).await
    }

    /// Takes the diff of a leased ref, and wakes those who wait for it. Nothing is stored of one
    /// that is not wanted any more, or not of the ref as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the lease is lost.
    pub async fn report_diff(
        &self,
        principal: &Principal,
        report: &DiffReport,
    ) -> Result<(), Error> {
        let parts = &*self.parts;
        parts.authorizer.site(principal, Action::ReportOutcomes)?;
        match parts.store.report_diff(report).await? {
            DiffReportResult::Stored { budget } => parts.notifier.notify_outcomes(&[budget]),
            DiffReportResult::NotWanted => {}
            DiffReportResult::LeaseLost => return Err(self.lost()),
        }
        Ok(())
    }

    /// Gives a lease back. Does nothing when it is lost.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn release(&self, principal: &Principal, token: LeaseToken) -> Result<(), Error> {
        let parts = &*self.parts;
        parts.authorizer.site(principal, Action::ReleaseLease)?;
        if parts.store.release_lease(token).await? {
            parts.notifier.notify(Topic::Due);
        }
        Ok(())
    }

    async fn apply(&self, report: &Report) -> Result<ReportAnswer, Error> {
        let parts = &*self.parts;
        let applied = match parts.store.report_outcomes(report).await? {
            ReportResult::Applied(applied) => applied,
            ReportResult::Before(statuses) => {
                return Ok(answer(statuses, false));
            }
            ReportResult::LeaseLost => return Err(self.lost()),
        };
        parts.metrics.count_outcomes(&applied.statuses);
        parts.metrics.observe_lateness(&applied.lateness);
        if applied.moved {
            parts.metrics.merged_budgets.inc();
            tracing::info!("the accounts of a token spend the budget of the host's account now");
        }
        for refused in applied.refused.iter().filter(|refused| refused.is_news) {
            let CredentialRefusal { account, state, .. } = refused;
            tracing::warn!(
                git_account.id = %account,
                state,
                "the git host refused the credential of an account"
            );
        }
        let spreading = parts.store.spread(&applied.spread).await;
        parts.metrics.put_off_refs.inc_by(spreading.put_off);
        parts.metrics.hinted_refs.inc_by(spreading.hinted);
        // Notified last, so that woken waiters observe every write.
        if applied.events || spreading.events || applied.accounts_changed {
            parts.notifier.notify(Topic::Changes);
        }
        parts.notifier.notify_outcomes(&applied.budgets);
        if applied.due || spreading.due {
            parts.notifier.notify(Topic::Due);
        }
        // A merge ends the lease, and so its turn.
        Ok(answer(applied.statuses, applied.awaited || applied.moved))
    }

    /// Writes our own failure to refs that were leased and cannot be handed out, so that they are
    /// neither lost until the lease expires nor leased again at once.
    async fn fail_unopened(&self, failed: lease::UnopenedRefs) {
        let lease::UnopenedRefs {
            token,
            outcomes,
            whole_lease,
        } = failed;
        let refs = outcomes.len() as u64;
        self.parts.metrics.credential_unopened.inc_by(refs);
        let report = Report {
            request: RequestId(Uuid::now_v7()),
            lease: token,
            outcomes,
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
        self.parts.metrics.leases_lost.inc();
        Error::FailedPrecondition {
            problem: "the lease is lost",
            reason: proto::reason::LEASE_LOST,
        }
    }
}

/// Notes for the audit whose credentials a worker is handed, once a turn.
fn note_credentials(lease: &Lease, worker: &str) {
    let credentials = lease
        .groups
        .iter()
        .filter_map(|group| group.credential.as_ref());
    let accounts: Vec<String> = credentials
        .map(|credential| credential.account.to_string())
        .collect();
    if accounts.is_empty() {
        return;
    }
    tracing::info!(
        target: AUDIT,
        action = Action::ReadGitCredential.name(),
        decision = "allowed",
        worker.id = worker,
        budget.key = lease.budget_key.0,
        git_account.ids = ?accounts,
        "a worker was handed credentials"
    );
}

fn answer(statuses: Vec<OutcomeStatus>, awaited: bool) -> ReportAnswer {
    ReportAnswer {
        statuses: statuses.into_iter().map(Some).collect(),
        awaited,
    }
}
