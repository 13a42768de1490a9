//! Outcomes on their way back: gathered for a moment, reported, and reported again until
//! chat-service has answered or the lease is over.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proto::sync::{OutcomeStatus, Report, ReportAnswer, RequestId};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use uuid::Uuid;

use crate::{
    grpc::{SyncClient, SyncError},
    outcome::{
        BudgetObservation, CredentialObservation, Finding, Outcome, ProblemClass, ProblemName,
    },
    refresh::Refresh,
};

use super::{WorkerState, backoff::Backoff, held::Held};

/// How long a first outcome waits for others: too short to be noticed, long enough for those that
/// were asked for together.
const GATHER_WINDOW: Duration = Duration::from_millis(50);
/// The most outcomes in a report.
const REPORT_SIZE: usize = 50;

/// Why the work on a lease ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The lease is not ours any more.
    Lost,
    /// chat-service did not answer for as long as the lease ran.
    Unreported,
}

/// Reports the outcomes of one lease.
pub(super) struct Reporter<'a> {
    pub(super) sync: &'a SyncClient,
    pub(super) state: &'a WorkerState,
    pub(super) held: &'a Held,
    pub(super) refresh: &'a Refresh,
    /// Whether some ref has no outcome that chat-service took. Given back, it would be due at once;
    /// when the lease runs out is soon enough.
    pub(super) refused: AtomicBool,
}

impl Reporter<'_> {
    /// Reports everything that comes; when nothing more can come, gives the lease back.
    pub(super) async fn run(&self, mut finished: UnboundedReceiver<Outcome>) -> Result<(), Over> {
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
                return Ok(());
            }
        }
        self.end().await
    }

    /// Gives the lease back when nothing more can come, with what is to be said of the budget and the
    /// credentials: refs without an outcome are due, and only that keeps them from being leased at once.
    async fn end(&self) -> Result<(), Over> {
        if !self.refresh.withheld().is_empty() && self.may_release() {
            match self.deliver(&[], true).await {
                Ok(_) => return Ok(()),
                Err(Undelivered::Refused) => {}
                Err(Undelivered::Over(over)) => return Err(over),
            }
        }
        self.release().await
    }

    async fn report(&self, outcomes: &[Outcome], last: bool) -> Result<(), Over> {
        match self.deliver(outcomes, last && self.may_release()).await {
            Ok(statuses) => {
                self.count(outcomes, &statuses);
                Ok(())
            }
            Err(Undelivered::Over(over)) => Err(over),
            // One outcome that chat-service cannot take must not cost the others.
            Err(Undelivered::Refused) => self.report_singly(outcomes, last).await,
        }
    }

    async fn report_singly(&self, outcomes: &[Outcome], last: bool) -> Result<(), Over> {
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
                    Err(Undelivered::Over(over)) => return Err(over),
                }
            };
            if refused {
                self.report_refused(outcome).await?;
            }
        }
        if last { self.end().await } else { Ok(()) }
    }

    /// Reports a failure of ours in place of what chat-service refuses.
    async fn report_refused(&self, refused: &Outcome) -> Result<(), Over> {
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
            Err(Undelivered::Over(over)) => Err(over),
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
        match self.observed(outcomes, release).await {
            Err(Undelivered::Refused) => self.send(outcomes, release, || (None, Vec::new())).await,
            delivered => delivered,
        }
    }

    async fn observed(
        &self,
        outcomes: &[Outcome],
        release: bool,
    ) -> Result<Vec<Option<OutcomeStatus>>, Undelivered> {
        // Told once, by whichever try is heard.
        let counted = self.refresh.take_counts();
        let delivered = self
            .send(outcomes, release, || {
                let budget = self.refresh.budget_with(counted);
                (budget, self.refresh.credentials())
            })
            .await;
        if delivered.is_err() {
            self.refresh.give_back(counted);
        }
        delivered
    }

    /// Sends one report until it is answered. Every try has the same request id, so that a report
    /// whose answer was lost is not applied twice.
    async fn send(
        &self,
        outcomes: &[Outcome],
        release: bool,
        observed: impl Fn() -> (Option<BudgetObservation>, Vec<CredentialObservation>),
    ) -> Result<Vec<Option<OutcomeStatus>>, Undelivered> {
        if release {
            self.held.begin_release();
        }
        let request = RequestId(Uuid::new_v4());
        let begun = Instant::now();
        let answered = self.until_answered("report", || async {
            let (budget, credentials) = observed();
            let report = Report {
                request,
                lease: self.held.lease.token,
                outcomes: outcomes.to_vec(),
                budget,
                credentials,
                release_lease: release,
            };
            let answer = self.sync.report(&report).await;
            if answer.is_ok() {
                self.state.metrics().observe_report(begun.elapsed());
            }
            answer
        });
        let ReportAnswer { statuses, awaited } = answered.await?;
        if awaited {
            self.refresh.end_turn();
        }
        Ok(statuses)
    }

    /// Gives the lease back; what has no outcome is due again at once.
    async fn release(&self) -> Result<(), Over> {
        self.held.begin_release();
        if !self.may_release() {
            return Ok(());
        }
        let released = self
            .until_answered("release", || self.sync.release(self.held.lease.token))
            .await;
        match released {
            // One that is refused expires by itself.
            Ok(()) | Err(Undelivered::Refused) => Ok(()),
            Err(Undelivered::Over(over)) => Err(over),
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
            .held
            .expires_at()
            .max(Instant::now() + self.held.lease.expires_in);
        let mut backoff = Backoff::new();
        loop {
            let asked_at = Instant::now();
            let error = match send().await {
                Ok(answer) => {
                    self.state.contact().answered();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.state.metrics().count_failed_call(call, error.code());
            match &error {
                SyncError::LeaseLost => return Err(Undelivered::Over(Over::Lost)),
                SyncError::Refused(_) => {
                    self.note(call, &error);
                    return Err(Undelivered::Refused);
                }
                SyncError::Unauthenticated => self.sync.reload_token(),
                SyncError::Unanswered(_) => {}
            }
            self.state.contact().unanswered(asked_at);
            self.note(call, &error);
            let pause = backoff.next();
            if Instant::now() + pause >= give_up_at {
                return Err(Undelivered::Over(Over::Unreported));
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
            if let Finding::Failed { class, .. } = &outcome.finding {
                self.note_problem(outcome, *class);
            }
            match statuses.get(index) {
                // One that a later release knows is no reason to believe that it was not taken.
                Some(Some(OutcomeStatus::Applied | OutcomeStatus::Superseded) | None) => {
                    taken += 1;
                    self.state.metrics().count_outcome(outcome);
                }
                Some(Some(OutcomeStatus::Rejected)) | None => {
                    self.state.metrics().count_rejected();
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
        self.held.done(outcomes.len());
    }

    fn note_problem(&self, outcome: &Outcome, class: ProblemClass) {
        self.state
            .note_error(class.name(), "a ref could not be looked up".to_owned());
        tracing::info!(
            git_ref.id = %outcome.git_ref,
            class = class.name(),
            "a ref could not be looked up"
        );
    }
}

enum Undelivered {
    /// The call was refused as it is.
    Refused,
    Over(Over),
}
