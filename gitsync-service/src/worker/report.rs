//! Outcomes on their way back: gathered for a moment, reported, and reported again until
//! chat-service has answered or the lease is over.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proto::sync::{
    Finding, Outcome, OutcomeStatus, ProblemClass, ProblemName as _, Report, RequestId,
};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use uuid::Uuid;

use crate::sync_client::{SyncClient, SyncError};

use super::{
    Refresh, WorkerState, active_lease::ActiveLease, backoff::Backoff, lease_end::LeaseEnd,
};

/// How long a first outcome waits for others: too short to be noticed, long enough for those that
/// were asked for together.
const GATHER_WINDOW: Duration = Duration::from_millis(50);
/// The most outcomes in a report.
const REPORT_SIZE: usize = 50;

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
        mut finished: UnboundedReceiver<Outcome>,
    ) -> Result<(), LeaseEnd> {
        while let Some(first) = finished.recv().await {
            let mut outcomes = vec![first];
            let gathered = tokio::time::sleep(GATHER_WINDOW);
            tokio::pin!(gathered);
            while outcomes.len() < REPORT_SIZE {
                tokio::select! {
                    biased;
                    next = finished.recv() => match next {
                        Some(next) => outcomes.push(next),
                        None => break,
                    },
                    () = &mut gathered => break,
                }
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

    /// Notes, once a lease, why refs of it have no outcome: a token that the host refused, a limit, or
    /// our own decision not to send.
    fn note_withheld(&self) {
        let credentials = self.refresh.credentials().into_iter();
        let refused = credentials
            .filter(|credential| credential.refused)
            .map(|_| ProblemClass::CredentialSuspect);
        let observed = self.refresh.observation().unwrap_or_default();
        let pauses = [observed.pause, observed.rest].into_iter().flatten();
        for class in refused.chain(pauses.map(|pause| pause.class)) {
            let class = class.name();
            self.state
                .note_error(class, "git refs were not looked up for now".to_owned());
            tracing::info!(
                budget.key = self.active.lease.budget_key.0,
                class,
                "git refs were not looked up for now"
            );
        }
    }

    async fn report(&self, outcomes: &[Outcome], last: bool) -> Result<(), LeaseEnd> {
        match self.deliver(outcomes, last && self.may_release()).await {
            Ok(statuses) => {
                self.count(outcomes, &statuses);
                Ok(())
            }
            Err(Undelivered::End(end)) => Err(end),
            // One outcome that chat-service cannot take must not cost the others.
            Err(Undelivered::Refused) => self.report_singly(outcomes, last).await,
        }
    }

    async fn report_singly(&self, outcomes: &[Outcome], last: bool) -> Result<(), LeaseEnd> {
        let single = outcomes.len() == 1;
        for outcome in outcomes {
            let refused = if single {
                true
            } else {
                match self.deliver(std::slice::from_ref(outcome), false).await {
                    Ok(statuses) => {
                        self.count(std::slice::from_ref(outcome), &statuses);
                        false
                    }
                    Err(Undelivered::Refused) => true,
                    Err(Undelivered::End(end)) => return Err(end),
                }
            };
            if refused {
                self.report_refused(outcome).await?;
            }
        }
        if last { self.release().await } else { Ok(()) }
    }

    /// Reports a failure of ours in place of what chat-service refuses.
    async fn report_refused(&self, refused: &Outcome) -> Result<(), LeaseEnd> {
        let failure = [self.refresh.in_place_of(refused)];
        self.count(
            std::slice::from_ref(refused),
            &[Some(OutcomeStatus::Rejected)],
        );
        match self.deliver(&failure, false).await {
            Ok(_) => Ok(()),
            Err(Undelivered::Refused) => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(Undelivered::End(end)) => Err(end),
        }
    }

    fn may_release(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// Sends outcomes with what was observed on the way, or if that is refused, by themselves: what
    /// a host says of limits must not cost a ref its outcome.
    async fn deliver(
        &self,
        outcomes: &[Outcome],
        release: bool,
    ) -> Result<Vec<Option<OutcomeStatus>>, Undelivered> {
        match self.send(outcomes, release, true).await {
            Ok(statuses) => {
                self.refresh.delivered();
                Ok(statuses)
            }
            Err(Undelivered::Refused) => self.send(outcomes, release, false).await,
            undelivered => undelivered,
        }
    }

    /// Sends one report until it is answered. Every try has the same request id, so that a report
    /// whose answer was lost is not applied twice; observations are as of then.
    async fn send(
        &self,
        outcomes: &[Outcome],
        release: bool,
        observed: bool,
    ) -> Result<Vec<Option<OutcomeStatus>>, Undelivered> {
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
        self.state
            .metrics()
            .report_duration_seconds
            .observe(begun.elapsed().as_secs_f64());
        if answer.awaited {
            self.refresh.stop();
        }
        Ok(answer.statuses)
    }

    /// Gives the lease back, with what was observed; what has no outcome is due again.
    async fn release(&self) -> Result<(), LeaseEnd> {
        self.active.begin_release();
        let observed =
            self.refresh.observation().is_some() || !self.refresh.credentials().is_empty();
        let released = if observed {
            self.deliver(&[], self.may_release()).await.map(drop)
        } else if !self.may_release() {
            return Ok(());
        } else {
            self.until_answered("release", || self.sync.release(self.active.lease.token))
                .await
        };
        match released {
            // A lease whose release is refused expires by itself.
            Ok(()) | Err(Undelivered::Refused) => Ok(()),
            Err(Undelivered::End(end)) => Err(end),
        }
    }

    async fn until_answered<T, F>(
        &self,
        call: &'static str,
        send: impl Fn() -> F,
    ) -> Result<T, Undelivered>
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
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.state.metrics().count_failed_call(call, error.code());
            match &error {
                SyncError::LeaseLost => return Err(Undelivered::End(LeaseEnd::Lost)),
                SyncError::Refused(_) => {
                    self.note(call, &error);
                    return Err(Undelivered::Refused);
                }
                SyncError::Unauthenticated => self.sync.reload_token(),
                SyncError::Unanswered(_) => {}
            }
            self.state.health().unanswered(asked_at);
            self.note(call, &error);
            let pause = backoff.next();
            if Instant::now() + pause >= give_up_at {
                return Err(Undelivered::End(LeaseEnd::Unreported));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn note(&self, call: &'static str, error: &SyncError) {
        self.state.note_error("report", error.to_string());
        tracing::warn!(
            error = error as &dyn std::error::Error,
            detail = error.detail(),
            call,
            "chat-service did not take a report"
        );
    }

    fn count(&self, outcomes: &[Outcome], statuses: &[Option<OutcomeStatus>]) {
        let mut taken = 0;
        for (index, outcome) in outcomes.iter().enumerate() {
            if let Finding::Failed { class, .. } = outcome.finding {
                self.note_problem(outcome, class);
            }
            match statuses.get(index).copied().flatten() {
                // A later release may say more of what it did than this one understands.
                Some(OutcomeStatus::Applied | OutcomeStatus::Superseded) | None => {
                    taken += 1;
                    self.state.metrics().count_outcome(outcome);
                }
                Some(OutcomeStatus::Rejected) => {
                    self.state.metrics().outcomes_rejected.inc();
                    self.state
                        .note_error("report", "an outcome was rejected".to_owned());
                    tracing::warn!(
                        git_ref.id = %outcome.git_ref,
                        "chat-service cannot store an outcome"
                    );
                }
            }
        }
        self.state.note_reported(taken);
        self.active.done(outcomes.len());
    }

    fn note_problem(&self, outcome: &Outcome, class: ProblemClass) {
        let class = class.name();
        self.state
            .note_error(class, "a git ref could not be looked up".to_owned());
        tracing::info!(
            git_ref.id = %outcome.git_ref,
            class,
            "a git ref could not be looked up"
        );
    }
}

enum Undelivered {
    /// The call was refused as it is.
    Refused,
    /// The lease is over.
    End(LeaseEnd),
}
