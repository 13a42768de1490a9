//! Looks up the refs of a lease: as many at once as the host is to bear, each question once, and
//! nothing behind an answer that forbids it.
//!
//! The refresher knows durations and deadlines, no lease times and no reports: whoever calls it
//! takes the outcomes as they come and drops it when the lease is lost.

mod builder;
mod unit;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::{Semaphore, mpsc::UnboundedSender},
    time::Instant,
};

use crate::{
    lease::{BudgetKey, Lease, LeaseGroup, LeasedRef},
    metrics::Metrics,
    outcome::{BudgetObservation, Found, Outcome, Problem, PullRequestState},
    provider::{
        HttpClient, Session,
        gate::{Asker, Gate},
    },
    schedule::Schedule,
};

pub use builder::{RefresherBuilder, RefresherError};

use unit::Unit;

/// How many requests to git hosts a worker has on the wire at once.
pub const CONCURRENCY: usize = 10;
/// Of the worker's slots, one in this many is out of a single lease's reach, so that a slow host
/// leaves room for others.
const RESERVED_SHARE: usize = 5;

/// Looks refs up. One per worker: all its leases share the slots.
#[derive(Clone)]
pub struct Refresher {
    http: HttpClient,
    schedule: Arc<Schedule>,
    slots: Arc<Semaphore>,
    concurrency: usize,
    metrics: Arc<Metrics>,
}

impl Refresher {
    /// Starts from the defaults.
    pub fn builder() -> RefresherBuilder {
        RefresherBuilder::default()
    }

    /// Prepares the refresh of a lease. Sends nothing yet.
    #[must_use]
    pub fn open(&self, lease: Arc<Lease>) -> Refresh {
        Refresh {
            gate: Gate::new(Arc::clone(&self.slots), Arc::clone(&self.metrics)),
            lease,
            refresher: self.clone(),
        }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// The refresh of one lease.
pub struct Refresh {
    refresher: Refresher,
    lease: Arc<Lease>,
    gate: Gate,
}

impl Refresh {
    /// What the host's answers said about the budget so far, as of now: a report that is sent again
    /// must not begin a pause again.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetObservation> {
        self.budget_at(Instant::now())
    }

    fn budget_at(&self, now: Instant) -> Option<BudgetObservation> {
        let pause_for = self.gate.spent().and_then(|(retry_after, heard)| {
            let passed = now.saturating_duration_since(heard);
            self.refresher
                .schedule
                .pause(retry_after)
                .checked_sub(passed)
        });
        let seen = self.gate.budget(now);
        if seen.is_none() && pause_for.is_none() {
            return None;
        }
        Some(BudgetObservation {
            rest: seen.unwrap_or_default(),
            pause_for,
            ..BudgetObservation::default()
        })
    }

    /// Looks up every ref and sends each outcome as soon as it is known.
    ///
    /// At the `deadline`, refs whose lookup had begun are failed as `HostUnavailable`, and refs
    /// that never got a turn have no outcome. Cancel-safe: dropping it stops every request, and
    /// what was sent stays sent.
    pub async fn run(&self, deadline: Instant, outcomes: &UnboundedSender<Outcome>) {
        let mut lookups = Vec::new();
        let sessions: Vec<_> = self
            .lease
            .groups
            .iter()
            .map(|group| self.open(group))
            .collect();
        for (group, opened) in self.lease.groups.iter().zip(&sessions) {
            match opened {
                Ok(opened) => {
                    for unit in Unit::of(&group.refs) {
                        lookups.push(Lookup::new(self, opened, unit, outcomes));
                    }
                }
                // One answer for all of them, and the host is not asked.
                Err(problem) => {
                    for git_ref in &group.refs {
                        self.send(outcomes, git_ref, Err(*problem), None);
                    }
                }
            }
        }
        // Few at once and each to its end, rather than all at once and none finished in time.
        let mut turns: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        for lookup in &lookups {
            turns.push(Box::pin(lookup.run()));
        }
        let at_once = stream::iter(turns)
            .buffer_unordered(self.refresher.slots_per_lease())
            .for_each(|()| std::future::ready(()));
        if tokio::time::timeout_at(deadline, at_once).await.is_err() {
            for lookup in &lookups {
                lookup.give_up();
            }
        }
    }

    /// What is said of a ref in place of an outcome that chat-service refuses: a ref without any
    /// outcome would be due again at once, for ever.
    pub(crate) fn in_place_of(&self, refused: &Outcome) -> Outcome {
        const REFUSED: Problem = Problem::Internal("chat-service refuses what was found");
        let mut refs = self.lease.groups.iter().flat_map(|group| &group.refs);
        let next = refs
            .find(|git_ref| git_ref.git_ref_id == refused.git_ref_id)
            .map_or(refused.next, |git_ref| {
                self.refresher
                    .schedule
                    .next(self.budget_key(), git_ref, &Err(REFUSED))
            });
        Outcome {
            git_ref_id: refused.git_ref_id.clone(),
            report_seq: refused.report_seq,
            result: Err(REFUSED),
            next,
            upstream_repository: None,
            fingerprint: None,
            validator: None,
        }
    }

    fn open(&self, group: &LeaseGroup) -> Result<Opened, Problem> {
        let session = Session::open(
            &self.refresher.http,
            &group.provider,
            group.access_token.as_ref(),
        )?;
        Ok(Opened {
            session,
            credential_rejected: AtomicBool::new(false),
        })
    }

    fn send(
        &self,
        outcomes: &UnboundedSender<Outcome>,
        git_ref: &LeasedRef,
        result: Result<Found, Problem>,
        upstream_repository: Option<String>,
    ) {
        let next = self
            .refresher
            .schedule
            .next(self.budget_key(), git_ref, &result);
        // Nobody listens any more only when the lease is over, and then nobody may write either.
        let _ = outcomes.send(Outcome {
            git_ref_id: git_ref.git_ref_id.clone(),
            report_seq: git_ref.report_seq,
            result,
            next,
            upstream_repository,
            fingerprint: None,
            validator: None,
        });
    }

    fn budget_key(&self) -> &BudgetKey {
        &self.lease.budget_key
    }
}

impl Refresher {
    fn slots_per_lease(&self) -> usize {
        (self.concurrency - self.concurrency / RESERVED_SHARE).max(1)
    }
}

/// A group's provider and credential, resolved once.
struct Opened {
    session: Session,
    credential_rejected: AtomicBool,
}

/// One branch's turn.
struct Lookup<'a> {
    refresh: &'a Refresh,
    opened: &'a Opened,
    unit: Unit<'a>,
    outcomes: &'a UnboundedSender<Outcome>,
    /// Whether a request of it ever got a slot.
    started: AtomicBool,
    /// How many of the unit's questions have their answer sent.
    answered: Mutex<usize>,
}

impl<'a> Lookup<'a> {
    fn new(
        refresh: &'a Refresh,
        opened: &'a Opened,
        unit: Unit<'a>,
        outcomes: &'a UnboundedSender<Outcome>,
    ) -> Self {
        Self {
            refresh,
            opened,
            unit,
            outcomes,
            started: AtomicBool::new(false),
            answered: Mutex::new(0),
        }
    }

    async fn run(&self) {
        let asker = Asker::new(
            &self.refresh.gate,
            &self.opened.credential_rejected,
            &self.started,
        );
        let mut open = None;
        for question in &self.unit.questions {
            // What was just found open for this branch answers those who know nothing yet.
            if question.known.is_none()
                && let Some(found) = open.take()
            {
                self.answer(&question.refs, &Ok(Found::PullRequest(found)), None);
                continue;
            }
            let finding = self
                .opened
                .session
                .look_up(&asker, &self.unit.target, question.known)
                .await;
            if let Ok(Found::PullRequest(found)) = &finding.result
                && found.state == PullRequestState::Open
            {
                open = Some(Arc::clone(found));
            }
            self.answer(
                &question.refs,
                &finding.result,
                finding.upstream_repository.as_ref(),
            );
        }
    }

    fn answer(
        &self,
        refs: &[&LeasedRef],
        result: &Result<Found, Problem>,
        upstream: Option<&String>,
    ) {
        *self.lock_answered() += 1;
        for git_ref in refs {
            self.refresh
                .send(self.outcomes, git_ref, result.clone(), upstream.cloned());
        }
    }

    /// Fails what was begun and not finished in time. What never had a turn is left for another.
    fn give_up(&self) {
        if !self.started.load(Ordering::Relaxed) {
            return;
        }
        const LATE: Problem = Problem::HostUnavailable("it did not answer within the attempt");
        let answered = *self.lock_answered();
        for question in self.unit.questions.iter().skip(answered) {
            self.answer(&question.refs, &Err(LATE), None);
        }
    }

    fn lock_answered(&self) -> std::sync::MutexGuard<'_, usize> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
