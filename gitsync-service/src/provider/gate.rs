//! Decides whether a request may be sent now: an account that is not to be left alone, a budget that
//! has room for it, a credential that the host takes, a host that is there, a free slot of the worker.
//!
//! The first answer that closes the gate closes it for everything behind it: requests that wait
//! look again when they get their turn. Requests already on the wire are not called back, so that no
//! more of them are sent than the budget is known to bear: then one refusal is all there is. An answer
//! that is one opens nothing that was closed.

mod access;
mod asker;
mod line;
mod slots;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    lease::{BudgetKey, BudgetView, Lane},
    metrics::Metrics,
    outcome::{BudgetObservation, Interface, Problem},
    pace::{self, Allowance, Hosts, Keys},
};

pub(crate) use access::Access;
pub(crate) use asker::Asker;
use line::{Heard, Line};
pub(crate) use slots::Slots;
use slots::Wants;

/// How long the first request of a lease goes alone, also for other credentials than its own. Its answer
/// says what is left; a host that is slower than this is not to hold up all refs of the lease, and refusals
/// are the fastest of answers.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);
/// When to come back to a budget whose end of window nobody told. GitHub: "wait for at least one minute".
const UNTOLD_RESET: Duration = Duration::from_secs(60);

/// What all gates of a worker share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) slots: Arc<Slots>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) pace: Arc<pace::Settings>,
}

/// The gate of one budget key, for as long as it is leased.
pub(crate) struct Gate {
    shared: Shared,
    key: BudgetKey,
    /// Secondary limits met before this lease.
    strikes: u32,
    state: Mutex<State>,
    /// Said whenever there may be room for a request that there was none for.
    changed: Notify,
    wants: Wants,
}

struct State {
    rest: Line,
    graphql: Line,
    allowance: Allowance,
    /// Until when the first request goes alone, once it is sent.
    alone_until: Option<Instant>,
    /// Why nothing at all is sent any more, and for how long.
    closed: Option<Heard<Closed>>,
    account_id: Option<String>,
    counts: Counts,
}

#[derive(Clone, Copy)]
struct Closed {
    problem: Problem,
    pause: Duration,
}

/// What was counted since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    secondary_refusals: u32,
    graphql_requests: u32,
}

impl Counts {
    /// Adds them to what is told.
    pub(crate) fn add_to(self, seen: &mut BudgetObservation) {
        seen.secondary_refusals += self.secondary_refusals;
        seen.graphql_requests += self.graphql_requests;
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl State {
    fn line(&mut self, interface: Interface) -> &mut Line {
        match interface {
            Interface::Rest => &mut self.rest,
            Interface::Graphql => &mut self.graphql,
        }
    }

    /// Whether a request more may be on the wire beside those that are. What they cost may still have to
    /// be taken from what was left.
    fn has_room(&self, interface: Interface, lane: Lane, points: i64, now: Instant) -> bool {
        match interface {
            // One at a time: the answer says how much the next may ask for.
            Interface::Graphql => self.graphql.in_flight == 0,
            Interface::Rest => {
                let waited = self.alone_until.is_some_and(|until| now >= until);
                let owed = i64::try_from(self.rest.in_flight).unwrap_or(i64::MAX);
                self.rest.in_flight < self.rest.room(waited)
                    && (owed == 0
                        || self
                            .allowance
                            .may_spend(interface, lane, points.saturating_add(owed)))
            }
        }
    }
}

impl Gate {
    pub(crate) fn new(shared: Shared, key: BudgetKey, budget: &BudgetView) -> Self {
        let allowance = Allowance::of(&shared.pace, budget);
        Self {
            key,
            strikes: budget.secondary_strikes,
            state: Mutex::new(State {
                rest: Line::new(budget.rest),
                graphql: Line::new(budget.graphql),
                allowance,
                alone_until: None,
                closed: None,
                account_id: None,
                counts: Counts::default(),
            }),
            changed: Notify::new(),
            wants: Wants::new(Arc::clone(&shared.slots)),
            shared,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What the host's answers said, as of `now`; `None` when they said nothing.
    pub(crate) fn observed(&self, now: Instant) -> Option<BudgetObservation> {
        let state = self.lock();
        let seen = BudgetObservation {
            account_id: state.account_id.clone(),
            rest: state.rest.observed(now),
            graphql: state.graphql.observed(now),
            pause_for: state
                .closed
                .and_then(|closed| closed.left(closed.what.pause, now)),
            ..BudgetObservation::default()
        };
        (seen != BudgetObservation::default()).then_some(seen)
    }

    /// What was counted since this was last asked. Whoever cannot tell it gives it back.
    pub(crate) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.lock().counts)
    }

    /// Counts again what was taken and not told.
    pub(crate) fn give_back(&self, counts: Counts) {
        let held = &mut self.lock().counts;
        held.secondary_refusals += counts.secondary_refusals;
        held.graphql_requests += counts.graphql_requests;
    }

    /// Why nothing more may be sent to this interface, if nothing may.
    pub(crate) fn stopped(&self, interface: Interface) -> Option<Problem> {
        let mut state = self.lock();
        if let Some(closed) = state.closed {
            return Some(closed.what.problem);
        }
        state
            .line(interface)
            .spent()
            .map(|retry_after| Problem::RateLimited {
                interface,
                retry_after,
            })
    }

    /// Whether refs of this lane may spend so much; else what is to be said of them.
    pub(crate) fn may_spend(
        &self,
        interface: Interface,
        lane: Lane,
        points: i64,
    ) -> Result<(), Problem> {
        if let Some(problem) = self.stopped(interface) {
            return Err(problem);
        }
        let mut state = self.lock();
        if state.allowance.may_spend(interface, lane, points) {
            return Ok(());
        }
        self.metrics().count_withheld(interface, lane);
        let retry_after = state.line(interface).ends_in(Instant::now());
        Err(Problem::RateLimited {
            interface,
            retry_after: retry_after.unwrap_or(UNTOLD_RESET),
        })
    }

    /// Lets time pass, and the worker's slots to others.
    pub(crate) async fn rest(&self, time: Duration) {
        if !time.is_zero() {
            let _rest = self.wants.rest();
            tokio::time::sleep(time).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
