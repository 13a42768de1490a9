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
use tokio_util::sync::CancellationToken;

use crate::{
    lease::{BudgetKey, BudgetView, Lane},
    metrics::Metrics,
    outcome::{BudgetObservation, Interface, Pause, Problem, ProblemClass},
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
    /// Cancelled when the lease's turn ends.
    turn_over: CancellationToken,
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
    /// What was chosen not to be sent, and until when.
    withheld: Option<Heard<Pause>>,
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
}

impl Counts {
    /// Adds them to what is told.
    pub(crate) fn add_to(self, seen: &mut BudgetObservation) {
        seen.secondary_refusals += self.secondary_refusals;
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
                rest: Line::new(budget.window(Interface::Rest.window())),
                graphql: Line::new(budget.window(Interface::Graphql.window())),
                allowance,
                alone_until: None,
                closed: None,
                withheld: None,
                account_id: None,
                counts: Counts::default(),
            }),
            changed: Notify::new(),
            turn_over: CancellationToken::new(),
            wants: Wants::new(Arc::clone(&shared.slots)),
            shared,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What the host's answers said, as of `now`; `None` when they said nothing. The budget as a whole is
    /// paused when the host said so, or when all `interfaces` that it can be asked by are.
    pub(crate) fn observed(
        &self,
        interfaces: &[Interface],
        now: Instant,
    ) -> Option<BudgetObservation> {
        let state = self.lock();
        let whole = |duration, class| Pause {
            duration,
            class,
            from_lane: Lane::Interactive,
        };
        let closed = state.closed.and_then(|closed| {
            let left = closed.left(closed.what.pause, now)?;
            Some(whole(left, closed.what.problem.class()))
        });
        let pauses = interfaces.iter().map(|interface| match interface {
            Interface::Rest => state.rest.paused(now),
            Interface::Graphql => state.graphql.paused(now),
        });
        let every = pauses.min().flatten();
        let pause = closed.or(every.map(|left| whole(left, ProblemClass::RateLimited)));
        let withheld = state.withheld.filter(|_| pause.is_none());
        let rest = withheld.and_then(|withheld| {
            let duration = withheld.left(withheld.what.duration, now)?;
            Some(Pause {
                duration,
                ..withheld.what
            })
        });
        let windows = [
            state.rest.observed(Interface::Rest, now),
            state.graphql.observed(Interface::Graphql, now),
        ];
        let seen = BudgetObservation {
            account_id: state.account_id.clone(),
            windows: windows.into_iter().flatten().collect(),
            pause,
            rest,
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
    }

    /// Ends the lease's turn: nothing more is sent.
    pub(crate) fn end_turn(&self) {
        self.turn_over.cancel();
        self.changed.notify_waiters();
    }

    /// Remembers why a ref of this lane is left without an answer, as far as that was chosen here: what
    /// the host refuses is known from its answers. Of several reasons the most urgent lane's is told, and
    /// for as long as the first of them lasts.
    pub(crate) fn withhold(&self, lane: Lane, problem: Problem) {
        let (duration, class, from_lane) = if let Problem::RateLimited { retry_after, .. }
        | Problem::Reserved { retry_after, .. } = problem
        {
            let until = pace::pause::primary(&self.shared.pace.pauses, retry_after, &self.key);
            match lane {
                // REST, which costs more, is not spent for what nobody waits for.
                Lane::Idle => (until, ProblemClass::LimitReserved, lane),
                Lane::Interactive | Lane::Viewed | Lane::Active => {
                    (until, problem.class(), lane.min(Lane::Viewed))
                }
            }
        } else if let Problem::HostSpared { retry_after }
        | Problem::SecondaryLimited { retry_after } = problem
        {
            (retry_after, problem.class(), Lane::Interactive)
        } else {
            return;
        };
        let mut state = self.lock();
        let now = Instant::now();
        let before = state.withheld.and_then(|withheld| {
            let left = withheld.left(withheld.what.duration, now)?;
            Some(Pause {
                duration: left,
                ..withheld.what
            })
        });
        let rest = Pause {
            duration,
            class,
            from_lane,
        };
        let urgent = before.filter(|before| before.from_lane <= from_lane);
        state.withheld = Some(Heard::now(Pause {
            duration: before.map_or(duration, |before| before.duration.min(duration)),
            ..urgent.unwrap_or(rest)
        }));
    }

    /// Whether a question of this lane may be put to this interface, as far as its limit is known.
    pub(crate) fn may_ask(&self, interface: Interface, lane: Lane) -> bool {
        self.stopped(interface).is_none() && self.lock().allowance.may_spend(interface, lane, 1)
    }

    /// Why nothing more may be sent to this interface, if nothing may.
    pub(crate) fn stopped(&self, interface: Interface) -> Option<Problem> {
        if self.turn_over.is_cancelled() {
            return Some(Problem::TurnOver);
        }
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
        let retry_after = retry_after.unwrap_or(UNTOLD_RESET);
        Err(if state.allowance.is_paused(interface) {
            Problem::RateLimited {
                interface,
                retry_after,
            }
        } else {
            Problem::Reserved {
                interface,
                retry_after,
            }
        })
    }

    /// Lets time pass, and the worker's slots to others.
    pub(crate) async fn rest(&self, time: Duration) {
        if !time.is_zero() {
            let _rest = self.wants.rest();
            // Late or never: a turn that is over waits for nothing.
            drop(tokio::time::timeout(time, self.turn_over.cancelled()).await);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
