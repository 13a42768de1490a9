//! Reports outcomes: batches them for a moment, and retries until chat-service has answered or the
//! lease has ended.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proto::sync::{
    DiffReport, Finding, Outcome, OutcomeStatus, ProblemClass, ProblemName as _, Report, RequestId,
};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use uuid::Uuid;

use crate::sync_client::{SyncClient, SyncError};

use super::{
    DiffFetch, LookupResult, Refresh, WorkerState, active_lease::ActiveLease, backoff::Backoff,
};

/// How long a first outcome waits for others: too short to be noticed, long enough for those that
/// were asked for together.
const GATHER_WINDOW: Duration = Duration::from_millis(50);
/// The most outcomes in a report.
const REPORT_SIZE: usize = 50;

/// Why the work on a lease ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseEnd {
    /// The lease is lost.
    Lost,
    /// chat-service did not answer for as long as the lease ran.
    Unreported,
}

/// Reports the outcomes of one lease.
pub(super) struct Reporter<'a> {
    pub(super) sync: &'a SyncClient,
    pub(super) state: &'a WorkerState,
    pub(super) active: &'a ActiveLease,
    pub(super) refresh: &'a Refresh,
    /// Whether chat-service took no outcome of some ref. Given back, it would be due at once; when
    /// the lease expires is soon enough.
    pub(super) refused: AtomicBool,
}

impl Reporter<'_> {
    /// Reports everything that comes; when nothing more can come, gives the lease back.
    pub(super) async fn run(
        &self,
        mut finished: UnboundedReceiver<LookupResult>,
    ) -> Result<(), LeaseEnd> {
        while let Some(first) = finished.recv().await {
            let mut gathering = vec![first];
            let gathered = tokio::time::sleep(GATHER_WINDOW);
            tokio::pin!(gathered);
            while gathering.len() < REPORT_SIZE {
                tokio::select! {
                    biased;
                    next = finished.recv() => match next {
                        Some(next) => gathering.push(next),
                        None => break,
                    },
                    () = &mut gathered => break,
                }
            }
            let mut outcomes = Vec::with_capacity(gathering.len());
            for LookupResult { outcome, diff } in gathering {
                if let Some(diff) = diff {
                    self.report_diff(diff).await?;
                }
                outcomes.push(outcome);
            }
            let last = finished.is_closed() && finished.is_empty();
            self.report(&outcomes, last).await?;
            if last {
                self.note_withheld();
                return Ok(());
            }
        }
        let released = self.release().await;
        self.note_withheld();
        released
    }

    /// Logs, once per lease, why refs have no outcome: a refused credential, a rate limit, or
    /// requests that the worker withheld.
    fn note_withheld(&self) {
        let credentials = self.refresh.credentials();
        let refused = credentials.iter().filter(|credential| credential.refused);
        let accounts: Vec<String> = refused.map(|of| of.account.to_string()).collect();
        let note = |class: &'static str| {
            let message = "git refs were not looked up for now".to_owned();
            self.state.note_error(class, message);
        };
        if !accounts.is_empty() {
            let class = ProblemClass::CredentialSuspect.name();
            note(class);
            tracing::info!(class, git_account.ids = ?accounts, "the git host refused credentials");
        }
        let observed = self.refresh.observation().unwrap_or_default();
        if let Some(pause) = observed.pause {
            let class = pause.class.name();
            note(class);
            let seconds = pause.duration.as_secs();
            tracing::warn!(class, seconds, "the git host wants no requests for now");
        }
        if let Some(rest) = observed.rest {
            let class = rest.class.name();
            note(class);
            tracing::info!(class, "git refs were not looked up for now");
        }
    }

    /// Reports outcomes with the observations. If that is refused, each outcome is reported alone
    /// and without them: neither an invalid outcome of one ref nor a host's limits may cost another
    /// ref its outcome.
    async fn report(&self, outcomes: &[Outcome], last: bool) -> Result<(), LeaseEnd> {
        let release = last && self.may_release();
        if let Some(statuses) = self.send(outcomes, release, true).await? {
            self.count(outcomes, &statuses);
            return Ok(());
        }
        for outcome in outcomes {
            let alone = std::slice::from_ref(outcome);
            if let Some(statuses) = self.send(alone, false, false).await? {
                self.count(alone, &statuses);
                continue;
            }
            self.count(alone, &[Some(OutcomeStatus::Rejected)]);
            // A failure of ours in its place.
            let failure = [self.refresh.in_place_of(outcome)];
            if self.send(&failure, false, false).await?.is_none() {
                self.refused.store(true, Ordering::Relaxed);
            }
        }
        if last { self.release().await } else { Ok(()) }
    }

    /// Reports a diff. One that chat-service refuses is given up: its ref has its outcome all the
    /// same.
    async fn report_diff(&self, fetched: DiffFetch) -> Result<(), LeaseEnd> {
        let DiffFetch {
            git_ref,
            fence,
            result,
            room: _room,
        } = fetched;
        let report = DiffReport {
            lease: self.active.lease.token,
            git_ref,
            fence,
            result,
        };
        self.until_answered("report_diff", || self.sync.report_diff(&report))
            .await?;
        Ok(())
    }

    fn may_release(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// Sends one report until it is answered. Every try has the same request id, so that a report
    /// whose answer was lost is not applied twice; observations are as of then. `None`: it was
    /// refused.
    async fn send(
        &self,
        outcomes: &[Outcome],
        release: bool,
        observed: bool,
    ) -> Result<Option<Vec<Option<OutcomeStatus>>>, LeaseEnd> {
        if release {
            self.active.begin_release();
        }
        let request = RequestId(Uuid::new_v4());
        let begun = Instant::now();
        let answer = self
            .until_answered("report", || async {
                let observed = observed.then_some(self.refresh);
                let report = Report {
                    request,
                    lease: self.active.lease.token,
                    outcomes: outcomes.to_vec(),
                    budget: observed.and_then(Refresh::observation),
                    credentials: observed.map(Refresh::credentials).unwrap_or_default(),
                    release_lease: release,
                };
                self.sync.report(&report).await
            })
            .await?;
        let Some(answer) = answer else {
            if observed {
                self.refresh.undeliverable();
            }
            return Ok(None);
        };
        if observed {
            self.refresh.delivered();
        }
        self.state
            .metrics()
            .report_duration_seconds
            .observe(begun.elapsed().as_secs_f64());
        if answer.awaited {
            self.refresh.stop();
        }
        Ok(Some(answer.statuses))
    }

    /// Gives the lease back, with what was observed; what has no outcome is due again.
    async fn release(&self) -> Result<(), LeaseEnd> {
        self.active.begin_release();
        let observed =
            self.refresh.observation().is_some() || !self.refresh.credentials().is_empty();
        if observed && self.send(&[], self.may_release(), true).await?.is_some() {
            return Ok(());
        }
        if self.may_release() {
            let release = || self.sync.release(self.active.lease.token);
            // A lease whose release is refused expires.
            self.until_answered("release", release).await?;
        }
        Ok(())
    }

    /// Calls until there is an answer. `None`: the call was refused as it is.
    async fn until_answered<T, F>(
        &self,
        call: &'static str,
        send: impl Fn() -> F,
    ) -> Result<Option<T>, LeaseEnd>
    where
        F: Future<Output = Result<T, SyncError>>,
    {
        let give_up_at = self
            .active
            .expires_at()
            .max(Instant::now() + self.active.lease.expires_in);
        let mut backoff = Backoff::new();
        loop {
            let asked_at = Instant::now();
            let error = match send().await {
                Ok(answer) => {
                    self.state.health().answered();
                    return Ok(Some(answer));
                }
                Err(error) => error,
            };
            let is_refused = matches!(error, SyncError::Refused(_));
            let is_lost = matches!(error, SyncError::LeaseLost);
            // A refusal is of this report alone.
            let is_news = is_refused || (!is_lost && self.state.health().unanswered(asked_at));
            self.state.note_failed_call("report", call, &error, is_news);
            if is_lost {
                return Err(LeaseEnd::Lost);
            }
            if is_refused {
                return Ok(None);
            }
            let pause = backoff.next();
            if Instant::now() + pause >= give_up_at {
                return Err(LeaseEnd::Unreported);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The host of the lease: a budget is of one provider.
    fn host(&self) -> &str {
        let group = self.active.lease.groups.first();
        group.map_or("", |group| &group.provider.api_base_url)
    }

    fn count(&self, outcomes: &[Outcome], statuses: &[Option<OutcomeStatus>]) {
        let mut taken = 0;
        let mut rejected: Vec<String> = Vec::new();
        let mut problems: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, outcome) in outcomes.iter().enumerate() {
            if let Finding::Failed { class, .. } = outcome.finding {
                *problems.entry(class.name()).or_default() += 1;
            }
            match statuses.get(index).copied().flatten() {
                // A later release may say more of what it did than this one understands.
                Some(OutcomeStatus::Applied | OutcomeStatus::Superseded) | None => {
                    taken += 1;
                    self.state.metrics().count_outcome(self.host(), outcome);
                }
                Some(OutcomeStatus::Rejected) => {
                    self.state.metrics().outcomes_rejected.inc();
                    rejected.push(outcome.git_ref.to_string());
                }
            }
        }
        // A line for all refs of a report: a host that fails does so for each of them.
        for (class, refs) in problems {
            let message = "a git ref could not be looked up".to_owned();
            self.state.note_error(class, message);
            tracing::info!(class, refs, "git refs could not be looked up");
        }
        if !rejected.is_empty() {
            let message = "an outcome was rejected".to_owned();
            self.state.note_error("report", message);
            tracing::warn!(git_ref.ids = ?rejected, "chat-service cannot store outcomes");
        }
        self.state.note_reported(taken);
        self.active.done(outcomes.len());
    }
}
