//! Decides whether a request may be sent now: an account that is not to be left alone, a budget that
//! has room for it, a credential that the host takes, a host that is there, a free slot of the worker.
//!
//! The first answer that closes the gate closes it for everything behind it: requests that wait
//! look again when they get their turn. Requests already on the wire are not called back, so that no
//! more of them are sent than the budget is known to bear: then one refusal is all there is. An answer
//! that is one opens nothing that was closed.

mod access;
mod line;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    lease::{BudgetKey, BudgetView, Lane, Window},
    metrics::Metrics,
    outcome::{BudgetObservation, Interface, Problem},
    pace::{self, Allowance, Hosts},
};

pub(crate) use access::Access;
use line::{Heard, Line};

/// How long the first request of a lease goes alone. Its answer says what is left; a host that is
/// slower than this is not to hold up all refs of the lease, and refusals are the fastest of answers.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);
/// When to come back to a budget whose end of window nobody told.
const UNTOLD_RESET: Duration = Duration::from_secs(60);

/// What all gates of a worker share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hosts: Arc<Hosts>,
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
        let retry_after = state.line(interface).ends_in(Instant::now());
        Err(Problem::RateLimited {
            interface,
            retry_after: retry_after.unwrap_or(UNTOLD_RESET),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's part of the budget.
struct Turn<'a> {
    gate: &'a Gate,
    interface: Interface,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.lock().line(self.interface).in_flight -= 1;
        self.gate.changed.notify_waiters();
    }
}

/// A request may be on the wire for as long as this is held.
pub(crate) struct Pass<'a> {
    _confirms: Option<access::Confirms<'a>>,
    _turn: Turn<'a>,
    _slot: OwnedSemaphorePermit,
}

/// One lookup before the gate: how it gets in, how urgent it is, and whether it ever got through.
pub(crate) struct Asker<'a> {
    gate: &'a Gate,
    access: &'a Access,
    lane: Lane,
    started: &'a AtomicBool,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        gate: &'a Gate,
        access: &'a Access,
        lane: Lane,
        started: &'a AtomicBool,
    ) -> Self {
        Self {
            gate,
            access,
            lane,
            started,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.gate.metrics()
    }

    /// Waits until a request of so many points may be sent.
    ///
    /// # Errors
    ///
    /// What an earlier answer closed the gate with, or what the budget has no room for.
    pub(crate) async fn enter(
        &self,
        interface: Interface,
        points: i64,
    ) -> Result<Pass<'a>, Problem> {
        // First the turn: one that waits for it must not keep a slot from other leases.
        let (turn, confirms) = self.turn(interface, points).await?;
        let slot = Arc::clone(&self.gate.shared.slots)
            .acquire_owned()
            .await
            .map_err(|_| Problem::Internal("the worker's slots are closed"))?;
        self.check(interface)?;
        self.gate
            .shared
            .hosts
            .admit(self.access.base(), std::time::Instant::now())?;
        self.begin(interface);
        self.started.store(true, Ordering::Relaxed);
        Ok(Pass {
            _confirms: confirms,
            _turn: turn,
            _slot: slot,
        })
    }

    async fn turn(
        &self,
        interface: Interface,
        points: i64,
    ) -> Result<(Turn<'a>, Option<access::Confirms<'a>>), Problem> {
        loop {
            // Made before the look, so that nothing said after it is missed.
            let changed = self.gate.changed.notified();
            self.check(interface)?;
            self.gate.may_spend(interface, self.lane, points)?;
            let until = {
                let mut state = self.gate.lock();
                let now = Instant::now();
                if state.has_room(interface, self.lane, points, now)
                    && let Some(confirms) = self.access.begin()
                {
                    state.line(interface).in_flight += 1;
                    let gate = self.gate;
                    return Ok((Turn { gate, interface }, confirms));
                }
                state.alone_until.filter(|until| now < *until)
            };
            // Late or changed: both are a reason to look again.
            match until {
                Some(until) => drop(tokio::time::timeout_at(until, changed).await),
                None => changed.await,
            }
        }
    }

    /// The first request goes alone from here on.
    fn begin(&self, interface: Interface) {
        let mut state = self.gate.lock();
        match interface {
            Interface::Graphql => state.counts.graphql_requests += 1,
            Interface::Rest if state.alone_until.is_none() => {
                state.alone_until = Some(Instant::now() + FIRST_ANSWER_WAIT);
                drop(state);
                self.gate.changed.notify_waiters();
            }
            Interface::Rest => {}
        }
    }

    /// Whether a request that got through may be followed by another one.
    ///
    /// # Errors
    ///
    /// What an answer closed the gate with meanwhile.
    pub(crate) fn check(&self, interface: Interface) -> Result<(), Problem> {
        if let Some(problem) = self.gate.stopped(interface) {
            return Err(problem);
        }
        self.access.check()
    }

    /// Remembers that the host answered, and what it said about the budget.
    pub(crate) fn observe(&self, interface: Interface, new: Option<Window>) {
        let mut state = self.gate.lock();
        let line = state.line(interface);
        line.answered = true;
        if let Some(new) = new
            && line.observe(new)
        {
            state.allowance.observe(interface, new);
        }
    }

    /// Remembers whose account it is.
    pub(crate) fn identify(&self, account_id: String) {
        self.gate.lock().account_id = Some(account_id);
    }

    /// The host answered as it should: it is there, and it takes the credential.
    pub(crate) fn answered(&self) {
        self.gate.shared.hosts.note_ok(self.access.base());
        self.access.accept();
    }

    /// The host is in trouble.
    pub(crate) fn no_answer(&self) {
        self.gate
            .shared
            .hosts
            .note_outage(self.access.base(), &self.gate.key);
    }

    /// Closes one interface for the whole budget key. The first word stands, so that all refs behind
    /// it are told the same.
    pub(crate) fn spend(&self, interface: Interface, retry_after: Duration) -> Problem {
        let pause = pace::pause::primary(retry_after, &self.gate.key);
        let mut state = self.gate.lock();
        let line = state.line(interface);
        if line.spend(retry_after, pause) {
            self.gate.metrics().rate_limit_pauses.inc();
        }
        Problem::RateLimited {
            interface,
            retry_after: line.spent().unwrap_or(retry_after),
        }
    }

    /// Closes the gate for the whole budget key: the host wants to be left alone.
    pub(crate) fn leave_alone(&self, retry_after: Option<Duration>) -> Problem {
        let mut state = self.gate.lock();
        if state.closed.is_none() {
            self.gate.metrics().rate_limit_pauses.inc();
            self.gate
                .shared
                .hosts
                .note_secondary(self.access.base(), &self.gate.key);
        }
        let strikes = self.gate.strikes + state.counts.secondary_refusals;
        state.counts.secondary_refusals += 1;
        let pause = pace::pause::secondary(retry_after, strikes, &self.gate.key);
        let problem = Problem::SecondaryLimited { retry_after: pause };
        state
            .closed
            .get_or_insert_with(|| Heard::now(Closed { problem, pause }))
            .what
            .problem
    }

    /// Closes the gate for the whole budget key: the host takes nothing of this account.
    pub(crate) fn lock_account(&self) -> Problem {
        let problem = Problem::AccountLocked;
        let pause = pace::pause::locked(&self.gate.key);
        let mut state = self.gate.lock();
        state
            .closed
            .get_or_insert_with(|| Heard::now(Closed { problem, pause }))
            .what
            .problem
    }

    /// Closes the gate for everything that uses the same credential.
    pub(crate) fn refuse_credential(&self) -> Problem {
        let problem = self.access.refuse();
        self.gate.changed.notify_waiters();
        problem
    }
}
