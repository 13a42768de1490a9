//! Looks up the refs of a lease: as many in one request as the host allows, each question once, and
//! nothing behind an answer that forbids it.
//!
//! Where the host has GraphQL, `graphql` asks for many refs at once, one request after the other.
//! `rest` asks for one ref at a time, several beside each other: where there is no GraphQL, while its
//! budget is spent, and for what it cannot answer. Both answer through the same `Job`s, so that each
//! ref has one outcome whoever found it.
//!
//! The refresher knows durations and deadlines, no lease times and no reports: whoever calls it
//! takes the outcomes as they come and drops it when the lease is lost.

mod builder;
mod graphql;
mod job;
mod rest;
mod unit;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    sync::mpsc::{self, UnboundedSender},
    time::Instant,
};

use crate::{
    lease::{BudgetKey, Lease, LeasedRef, is_also_elsewhere},
    metrics::Metrics,
    outcome::{
        self, BudgetObservation, CredentialObservation, Interface, Outcome, Problem, ProblemClass,
        Scope,
    },
    pace::{self, Stretch},
    provider::{
        Finding, HttpClient, Session,
        gate::{Access, Counts, Gate, Shared, Slots},
    },
    schedule::Schedule,
};

pub use builder::{RefresherBuilder, RefresherError};

use graphql::Engine;
use job::{Job, Party};
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
    concurrency: usize,
    /// Whether hosts are asked for many refs at once, where they can be.
    graphql: bool,
    shared: Shared,
}

impl Refresher {
    /// Starts from the defaults.
    pub fn builder() -> RefresherBuilder {
        RefresherBuilder::default()
    }

    /// Prepares the refresh of a lease. Sends nothing yet.
    #[must_use]
    pub fn open(&self, lease: Arc<Lease>) -> Refresh {
        let stretch = Stretch::of(&self.shared.pace, &lease.budget);
        self.metrics().observe_stretch(stretch);
        Refresh {
            stretch,
            gate: Gate::new(self.shared.clone(), lease.budget_key.clone(), &lease.budget),
            access: lease.groups.iter().map(Access::of).collect(),
            withheld: Mutex::default(),
            lease,
            refresher: self.clone(),
        }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// How many requests may be on the wire at once.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// For requests on the wire.
    pub(crate) fn slots(&self) -> &Slots {
        &self.shared.slots
    }

    fn slots_per_lease(&self) -> usize {
        (self.concurrency - self.concurrency / RESERVED_SHARE).max(1)
    }
}

/// The refresh of one lease.
pub struct Refresh {
    refresher: Refresher,
    lease: Arc<Lease>,
    gate: Gate,
    /// One for each group.
    access: Vec<Access>,
    /// By how much intervals are stretched, for as long as the lease lasts: all its refs bear the same.
    stretch: Stretch,
    /// Why refs have no outcome, each reason once.
    withheld: Mutex<Vec<ProblemClass>>,
}

/// What was counted since the last report. It is told once: a report that is not delivered gives it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted(Counts);

impl Refresh {
    /// What the host's answers said about the budget so far, as of now: a report that is sent again
    /// must not begin a pause again.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetObservation> {
        let interfaces: &[Interface] = if self.has_graphql() {
            &[Interface::Rest, Interface::Graphql]
        } else {
            // Where there is no GraphQL, REST is all there is.
            &[Interface::Rest]
        };
        self.gate.observed(interfaces, Instant::now())
    }

    /// Ends the lease's turn: what is on the wire is brought to its end, and nothing more is sent.
    pub fn end_turn(&self) {
        self.gate.end_turn();
    }

    /// Why refs were left without an outcome so far. Not that the turn is over: that is no reason of theirs.
    pub(crate) fn withheld(&self) -> Vec<ProblemClass> {
        let withheld = self.withheld.lock();
        withheld.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the host is asked over GraphQL, as far as is known.
    fn has_graphql(&self) -> bool {
        let Some(group) = self.lease.groups.first() else {
            return false;
        };
        self.speaks_graphql(&group.provider.api_base_url)
    }

    /// Takes what was counted since this was last called.
    pub(crate) fn take_counts(&self) -> Counted {
        Counted(self.gate.take_counts())
    }

    /// Counts again what was taken and not told.
    pub(crate) fn give_back(&self, counted: Counted) {
        self.gate.give_back(counted.0);
    }

    /// The budget, with what was counted.
    pub(crate) fn budget_with(&self, counted: Counted) -> Option<BudgetObservation> {
        let seen = self.budget();
        if seen.is_none() && counted.0.is_none() {
            return None;
        }
        let mut seen = seen.unwrap_or_default();
        counted.0.add_to(&mut seen);
        Some(seen)
    }

    /// What the host's answers said about the lease's credentials so far.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialObservation> {
        let confirm_in = pace::pause::suspect_confirmation(
            &self.refresher.shared.pace.pauses,
            self.budget_key(),
        );
        let mut all: Vec<CredentialObservation> = Vec::new();
        for (credential, state) in self.access.iter().filter_map(Access::learned) {
            if all.iter().any(|seen| seen.account == credential.account) {
                continue;
            }
            all.push(CredentialObservation {
                account: credential.account,
                generation: credential.generation,
                state,
                confirm_in,
            });
        }
        all
    }

    /// Looks up every ref and sends each outcome as soon as it is known.
    ///
    /// At the `deadline`, refs whose lookup had begun are failed as `HostUnavailable`, and refs
    /// that never got a turn have no outcome; nor have those that a limit, the credential or a host that is
    /// spared keeps from their answer. Cancel-safe: dropping it stops every request, and what was sent stays
    /// sent.
    pub async fn run(&self, deadline: Instant, outcomes: &UnboundedSender<Outcome>) {
        let mut parties = Vec::with_capacity(self.lease.groups.len());
        for (group, access) in self.lease.groups.iter().zip(&self.access) {
            let credential = group.credential.as_ref();
            let token = credential.map(|credential| &credential.access_token);
            match Session::open(&self.refresher.http, &group.provider, token) {
                Ok(session) => parties.push(Party::new(self, group, access, session)),
                // One answer for all of them, and the host is not asked.
                Err(problem) => {
                    if problem == Problem::CredentialRejected {
                        access.reject();
                    }
                    for git_ref in &group.refs {
                        self.send(outcomes, git_ref, &Finding::of(Err(problem)));
                    }
                }
            }
        }
        let jobs: Vec<Vec<Job<'_>>> = parties
            .iter()
            .map(|party| {
                let units = Unit::of(&party.group.refs).into_iter();
                units.map(|unit| Job::new(party, unit, outcomes)).collect()
            })
            .collect();
        let (to_rest, for_rest) = mpsc::unbounded_channel();
        let mut engine = Engine::new(self, to_rest);
        for (party, jobs) in parties.iter().zip(&jobs) {
            engine.take(party, jobs);
        }
        let work = async {
            let rest = rest::serve(for_rest, self.refresher.slots_per_lease());
            tokio::join!(engine.run(), rest);
        };
        if tokio::time::timeout_at(deadline, Box::pin(work))
            .await
            .is_err()
        {
            for job in jobs.iter().flatten() {
                job.give_up();
            }
        }
    }

    /// What is said of a ref in place of an outcome that chat-service refuses: a ref without any
    /// outcome would be due again at once, for ever.
    pub(crate) fn in_place_of(&self, refused: &Outcome) -> Outcome {
        const REFUSED: Problem = Problem::Internal("chat-service refuses what was found");
        let mut refs = self.lease.groups.iter().flat_map(|group| &group.refs);
        let next =
            refs.find(|git_ref| git_ref.id == refused.git_ref)
                .map_or(refused.next, |git_ref| {
                    self.refresher.schedule.next(
                        self.budget_key(),
                        git_ref,
                        &Err(REFUSED),
                        self.stretch,
                    )
                });
        Outcome {
            git_ref: refused.git_ref,
            fence: refused.fence,
            finding: outcome::Finding::Failed {
                class: REFUSED.class(),
                repository_wide: false,
            },
            next,
            learned: outcome::Learned::default(),
        }
    }

    fn send(&self, outcomes: &UnboundedSender<Outcome>, git_ref: &LeasedRef, finding: &Finding) {
        let Finding { result, learned } = finding;
        let finding = match result {
            Ok(found) => found.finding(),
            Err(problem) if problem.is_withheld() => return self.withhold(git_ref, *problem),
            Err(problem) => outcome::Finding::Failed {
                class: problem.class(),
                repository_wide: problem.scope() == Scope::Repository
                    && !is_also_elsewhere(git_ref, &learned.upstream),
            },
        };
        if let Err(problem) = result {
            tracing::debug!(
                git_ref.id = %git_ref.id,
                problem = %problem,
                "a ref could not be looked up"
            );
        }
        let next = self
            .refresher
            .schedule
            .next(self.budget_key(), git_ref, result, self.stretch);
        // Nobody listens any more only when the lease is over, and then nobody may write either.
        let _ = outcomes.send(Outcome {
            git_ref: git_ref.id,
            fence: git_ref.fence,
            finding,
            next,
            learned: learned.clone(),
        });
    }

    /// Leaves a ref without an outcome, and due. The budget or the credential has the problem.
    fn withhold(&self, git_ref: &LeasedRef, problem: Problem) {
        self.gate.withhold(git_ref.lane, problem);
        let class = problem.class();
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        if class != ProblemClass::Unspecified && !withheld.contains(&class) {
            withheld.push(class);
        }
    }

    fn budget_key(&self) -> &BudgetKey {
        &self.lease.budget_key
    }
}

#[cfg(test)]
mod tests;
