//! The budget of one lease: the observations so far, and the report of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::sync::{
    BudgetKey, BudgetObservation, BudgetView, CredentialObservation, Lane, Lease, LeaseGroup,
    Pause, ProblemClass,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Admission, Budgets, WithholdReason,
    credential::CredentialCheck,
    host_state::{HostState, PROBE_AFTER},
    load::InFlight,
    pause,
    window::{RateLimitWindow, TimedValue},
};

/// The budget of one lease.
#[derive(Debug)]
pub struct LeaseBudget {
    pub(super) budgets: Arc<Budgets>,
    pub(super) key: BudgetKey,
    pub(super) view: BudgetView,
    deadline: Instant,
    /// Its requests on the wire.
    pub(super) load: Arc<InFlight>,
    /// Cancelled when nothing more may be sent.
    stop: CancellationToken,
    state: Mutex<State>,
    /// Notified whenever there may be room for a request that there was none for.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    windows: BTreeMap<&'static str, RateLimitWindow>,
    /// The host wants no requests.
    pub(super) pause: Option<TimedValue<Pause>>,
    pub(super) account_id: Option<String>,
    pub(super) secondary_refusals: u32,
    /// Counted by a report that is not delivered yet.
    secondary_refusals_taken: u32,
    /// Each with its host.
    credentials: Vec<(Arc<CredentialCheck>, Arc<HostState>)>,
    unsent: SkippedLanes,
}

/// The most urgent lane of what was not sent, by reason.
#[derive(Debug, Default)]
struct SkippedLanes {
    host_closed: bool,
    reserved: Option<Lane>,
    window_paused: Option<Lane>,
}

/// Pauses that a host asked for in a lease whose reports may not have delivered them.
#[derive(Debug, Default)]
pub(super) struct UnreportedPauses {
    /// How often an operator had resumed the budget when they were met.
    resumes: i64,
    budget: Option<TimedValue<Pause>>,
    windows: Vec<(&'static str, TimedValue<Duration>)>,
}

impl UnreportedPauses {
    /// Whether no operator has resumed the budget, as a lease has it, since they were met.
    pub(super) fn hold_for(&self, budget: &BudgetView) -> bool {
        self.resumes >= budget.resumes
    }

    /// Whether a pause is in force at `now`.
    pub(super) fn in_force(&self, now: Instant) -> bool {
        let budget = self
            .budget
            .and_then(|pause| pause.left(pause.value.duration, now));
        let mut windows = self.windows.iter();
        budget.is_some() || windows.any(|(_, pause)| pause.left(pause.value, now).is_some())
    }
}

impl State {
    /// Begins with the pauses in force.
    fn new(view: &BudgetView, pauses: UnreportedPauses) -> Self {
        let mut windows = BTreeMap::new();
        for (name, pause) in pauses.windows {
            let mut window = RateLimitWindow::new(view.window(name));
            window.resume(pause);
            windows.insert(name, window);
        }
        Self {
            windows,
            pause: pauses.budget,
            ..Self::default()
        }
    }

    /// What is left of the pause that the host asked for.
    fn pause(&self, now: Instant) -> Option<Pause> {
        let pause = self.pause?;
        let duration = pause.left(pause.value.duration, now)?;
        Some(Pause {
            duration,
            ..pause.value
        })
    }

    /// Whether the host wants no requests at `now`.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        let left = self
            .pause
            .and_then(|pause| pause.left(pause.value.duration, now));
        left.is_some_and(|left| !left.is_zero())
    }
}

impl LeaseBudget {
    pub(super) fn new(
        budgets: Arc<Budgets>,
        lease: &Lease,
        deadline: Instant,
        pauses: UnreportedPauses,
    ) -> Self {
        Self {
            budgets,
            key: lease.budget_key.clone(),
            view: lease.budget.clone(),
            deadline,
            load: Arc::default(),
            stop: CancellationToken::new(),
            state: Mutex::new(State::new(&lease.budget, pauses)),
            changed: Notify::new(),
        }
    }

    /// The admission of a group of the lease.
    #[must_use]
    pub fn admission(self: &Arc<Self>, group: &LeaseGroup) -> Admission {
        let credential = Arc::new(CredentialCheck::new(group.credential.clone()));
        let (host, _) = self.budgets.host(&group.provider.api_base_url);
        let known = (Arc::clone(&credential), Arc::clone(&host));
        self.lock().credentials.push(known);
        Admission {
            budget: Arc::clone(self),
            api_base_url: Arc::from(group.provider.api_base_url.as_str()),
            credential,
            host,
        }
    }

    /// Ends the turn: what is on the wire is finished, and nothing more is sent.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Resolves when nothing more may be sent.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep_until(self.deadline) => {}
        }
    }

    /// Resolves when what is on the wire is not waited for any longer.
    pub(super) async fn overdue(&self) {
        tokio::time::sleep_until(self.deadline).await;
    }

    /// Notes that a question of `lane` was not asked, and why.
    pub(crate) fn note_unsent(&self, lane: Lane, withheld: WithholdReason) {
        let unsent = &mut self.lock().unsent;
        let most_urgent = |last: Option<Lane>| Some(last.map_or(lane, |last| last.min(lane)));
        match withheld {
            WithholdReason::HostClosed => unsent.host_closed = true,
            WithholdReason::Reserved => unsent.reserved = most_urgent(unsent.reserved),
            WithholdReason::WindowPaused => {
                unsent.window_paused = most_urgent(unsent.window_paused);
            }
            // These have a pause or an observation of their own, or none is due.
            WithholdReason::BudgetPaused
            | WithholdReason::Credential
            | WithholdReason::TurnOver => {}
        }
    }

    /// The observation from responses so far, as of now. `None`: nothing was observed.
    ///
    /// Secondary limits are counted once: `Self::delivered` says whether the report arrived.
    #[must_use]
    pub fn observation(&self) -> Option<BudgetObservation> {
        self.observation_at(Instant::now())
    }

    fn observation_at(&self, now: Instant) -> Option<BudgetObservation> {
        let mut state = self.lock();
        state.secondary_refusals_taken = state.secondary_refusals;
        let windows = state.windows.iter();
        let observation = BudgetObservation {
            account_id: state.account_id.clone(),
            windows: windows
                .filter_map(|(name, window)| window.observation(name, now))
                .collect(),
            pause: state.pause(now),
            rest: self.rest(&state, now),
            secondary_refusals: state.secondary_refusals,
            resumes: self.view.resumes,
        };
        let nothing = BudgetObservation {
            resumes: self.view.resumes,
            ..BudgetObservation::default()
        };
        (observation != nothing).then_some(observation)
    }

    /// What is left of the pause of the budget as a whole, if the host asked for one.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.lock().pause(Instant::now())
    }

    /// Keeps the pauses for the budget's next lease, since this one cannot report them.
    pub(crate) fn undeliverable(&self) {
        let state = self.lock();
        let windows = state.windows.iter();
        let pauses = UnreportedPauses {
            resumes: self.view.resumes,
            budget: state.pause,
            windows: windows
                .filter_map(|(name, window)| Some((*name, window.paused()?)))
                .collect(),
        };
        drop(state);
        self.budgets.keep_unreported(&self.key, pauses);
    }

    /// The report with the last observation arrived.
    pub(crate) fn delivered(&self) {
        let mut state = self.lock();
        state.secondary_refusals -= state.secondary_refusals_taken;
        state.secondary_refusals_taken = 0;
    }

    /// How long no further lease is worthwhile, and for which lanes: requests that were withheld by
    /// choice.
    fn rest(&self, state: &State, now: Instant) -> Option<Pause> {
        let unsent = &state.unsent;
        let mut credentials = state.credentials.iter();
        let host_refuses = credentials.any(|(of, host)| of.is_refused() && host.refuses_many(now));
        if unsent.host_closed || host_refuses {
            let hosts = state.credentials.iter();
            let closed = hosts.filter_map(|(_, host)| host.closed(&self.key, now));
            let (class, duration) = closed
                .max_by_key(|(_, duration)| *duration)
                .unwrap_or((ProblemClass::HostUnavailable, PROBE_AFTER));
            return Some(Pause {
                duration,
                class,
                from_lane: Lane::Interactive,
            });
        }
        let (class, from_lane) = match (unsent.window_paused, unsent.reserved) {
            (None, None) => return None,
            (Some(paused), Some(reserved)) if reserved < paused => {
                (ProblemClass::LimitReserved, reserved)
            }
            (Some(paused), _) => (ProblemClass::RateLimited, paused),
            (None, Some(reserved)) => (ProblemClass::LimitReserved, reserved),
        };
        // The first of the withheld windows to end may serve them.
        let settings = &self.budgets.settings;
        let closed = state.windows.values();
        let is_closed =
            |window: &&RateLimitWindow| window.may_spend(settings, from_lane, 1, now).is_err();
        let closed = closed.filter(is_closed);
        let ends = closed.map(|window| {
            let reset_in = window.ends_in(now).unwrap_or(pause::UNKNOWN_RESET);
            window
                .paused_for(now)
                .unwrap_or_else(|| pause::primary(settings, reset_in, &self.key))
        });
        // No breaker is open any more: no reason for a rest is left.
        Some(Pause {
            duration: ends.min()?,
            class,
            from_lane,
        })
    }

    /// The observations of the lease's credentials so far. A refusal by a host that refuses many is
    /// left out.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialObservation> {
        let now = Instant::now();
        let mut observations: Vec<CredentialObservation> = Vec::new();
        for (credential, host) in &self.lock().credentials {
            let news = credential.news();
            let news = news.filter(|news| !(news.refused && host.refuses_many(now)));
            if let Some(news) = news
                && observations.iter().all(|seen| seen.account != news.account)
            {
                observations.push(news);
            }
        }
        observations
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a window, or changes it. One that was not spent yet begins as it was leased.
    pub(super) fn with_window<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut RateLimitWindow) -> T,
    ) -> T {
        let leased = || RateLimitWindow::new(self.view.window(name));
        act(self.lock().windows.entry(name).or_insert_with(leased))
    }
}

#[cfg(test)]
mod tests;
