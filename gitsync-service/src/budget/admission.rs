//! Admission of one credential's requests, one by one.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use proto::sync::{BudgetKey, Lane, Pause, ProblemClass, Window};
use tokio::time::Instant;

use crate::metrics::Metrics;

use super::{
    BREAKER_OPEN, LeaseBudget, SLOWED, STOPPED, WithholdReason,
    credential::{CredentialCheck, CredentialProbe},
    host_state::{HostState, Throttle},
    pause,
    slots::{Demand, RequestSlot},
    window::TimedValue,
};

/// The admission of one credential's requests in a lease. A host is opened with it.
#[derive(Clone, Debug)]
pub struct Admission {
    pub(super) budget: Arc<LeaseBudget>,
    pub(super) api_base_url: Arc<str>,
    pub(super) credential: Arc<CredentialCheck>,
    pub(super) host: Arc<HostState>,
}

/// A request may be on the wire for as long as this is held.
#[derive(Debug)]
pub struct RequestPermit {
    // Dropped in this order: a request that waits for the window finds the credential's verdict.
    _probe: Option<CredentialProbe>,
    _place: WindowPlace,
    _slot: RequestSlot,
    budget: Arc<LeaseBudget>,
}

/// A request that waits for a place in its window: less urgent ones of the lease wait behind it.
#[derive(Debug)]
struct WindowWait {
    budget: Arc<LeaseBudget>,
    window: &'static str,
    lane: Lane,
}

impl WindowWait {
    fn new(budget: &Arc<LeaseBudget>, window: &'static str, lane: Lane) -> Self {
        budget.with_window(window, |state| state.wait(lane));
        Self {
            budget: Arc::clone(budget),
            window,
            lane,
        }
    }
}

impl Drop for WindowWait {
    fn drop(&mut self) {
        let lane = self.lane;
        self.budget
            .with_window(self.window, |window| window.end_wait(lane));
        self.budget.changed.notify_waiters();
    }
}

/// A request's place in its window.
#[derive(Debug)]
struct WindowPlace {
    budget: Arc<LeaseBudget>,
    window: &'static str,
}

impl Drop for WindowPlace {
    fn drop(&mut self) {
        self.budget.with_window(self.window, |window| window.end());
        self.budget.changed.notify_waiters();
    }
}

impl RequestPermit {
    /// Runs the exchange until its end, or until the turn's deadline. `None`: it was cut off, which
    /// counts as [`ProblemClass::HostUnavailable`].
    pub async fn run<T>(&self, exchange: impl Future<Output = T> + Send) -> Option<T> {
        tokio::select! {
            biased;
            answer = exchange => Some(answer),
            () = self.budget.overdue() => None,
        }
    }
}

impl Admission {
    /// Waits until a request that costs at most `cost` of `window` may be sent: for the window's
    /// earlier requests, for the credential's confirmation, for a slot.
    ///
    /// # Errors
    ///
    /// Why it may not be sent in this lease.
    pub async fn permit(
        &self,
        window: &'static str,
        lane: Lane,
        cost: i64,
    ) -> Result<RequestPermit, WithholdReason> {
        self.admit(window, lane, cost, lane != Lane::Interactive)
            .await
    }

    /// The same for a request that completes what an earlier one began: it does not wait for the
    /// worker's own ceiling.
    ///
    /// # Errors
    ///
    /// Why it may not be sent in this lease.
    pub async fn permit_begun(
        &self,
        window: &'static str,
        lane: Lane,
        cost: i64,
    ) -> Result<RequestPermit, WithholdReason> {
        self.admit(window, lane, cost, false).await
    }

    async fn admit(
        &self,
        window: &'static str,
        lane: Lane,
        cost: i64,
        may_wait: bool,
    ) -> Result<RequestPermit, WithholdReason> {
        // The slot comes last: a request that waits for its window must not keep one from other
        // leases.
        let (place, probe) = self.place(window, lane, cost, may_wait).await?;
        let budget = &self.budget;
        let (_, hosts) = budget.budgets.host(&self.api_base_url);
        let demand = Demand {
            lane,
            lease: Arc::clone(&budget.load),
            host: Arc::clone(&self.host),
            has_others: hosts > 1,
        };
        let slot = tokio::select! {
            slot = budget.budgets.slots.acquire(demand) => slot,
            () = budget.over() => None,
        };
        let slot = slot.ok_or(WithholdReason::TurnOver)?;
        // Answers may have closed something meanwhile.
        self.check(window, lane, cost)?;
        if self.host.admit(&budget.key, Instant::now()).is_err() {
            return Err(WithholdReason::HostClosed);
        }
        if budget.with_window(window, |window| window.sent()) {
            budget.changed.notify_waiters();
        }
        Ok(RequestPermit {
            _probe: probe,
            _place: place,
            _slot: slot,
            budget: Arc::clone(budget),
        })
    }

    async fn place(
        &self,
        window: &'static str,
        lane: Lane,
        cost: i64,
        may_wait: bool,
    ) -> Result<(WindowPlace, Option<CredentialProbe>), WithholdReason> {
        let budget = &self.budget;
        let mut waiting = None;
        loop {
            // Subscribe before checking, so that a wake-up between the two is not lost.
            let changed = budget.changed.notified();
            self.check(window, lane, cost)?;
            let now = Instant::now();
            let settings = &budget.budgets.settings;
            let until = budget.with_window(window, |state| {
                if !state.has_room(settings, lane, cost, now) {
                    return Err((state.alone_until(), true));
                }
                let Ok(probe) = self.credential.begin() else {
                    return Err((state.alone_until(), false));
                };
                let ceiling = &budget.budgets.ceiling;
                if let Err(wait) = ceiling.begin(&budget.key, window, may_wait, now) {
                    return Err((Some(now + wait), false));
                }
                state.begin();
                Ok(probe)
            });
            let until = match until {
                Ok(probe) => {
                    let budget = Arc::clone(budget);
                    return Ok((WindowPlace { budget, window }, probe));
                }
                Err((until, for_room)) => {
                    // Only who waits for room goes first; what keeps another one may last.
                    if !for_room {
                        waiting = None;
                    } else if waiting.is_none() {
                        waiting = Some(WindowWait::new(budget, window, lane));
                    }
                    until.filter(|until| now < *until)
                }
            };
            let late = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = late => {}
                () = budget.over() => return Err(WithholdReason::TurnOver),
            }
        }
    }

    /// Whether a request could be sent, without waiting and without taking anything.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn check(&self, window: &'static str, lane: Lane, cost: i64) -> Result<(), WithholdReason> {
        let budget = &self.budget;
        if budget.is_over() {
            return Err(WithholdReason::TurnOver);
        }
        let now = Instant::now();
        if budget.lock().is_paused(now) {
            return Err(WithholdReason::BudgetPaused);
        }
        self.credential.check()?;
        let settings = &budget.budgets.settings;
        let checked =
            budget.with_window(window, |state| state.may_spend(settings, lane, cost, now));
        if checked == Err(WithholdReason::Reserved) {
            self.metrics()
                .count_withheld(&self.api_base_url, window, lane);
        }
        checked
    }

    /// Has at most one request of `window` on the wire at a time, over all credentials of the
    /// lease.
    pub fn serial(&self, window: &'static str) {
        self.budget.with_window(window, |window| window.serial());
    }

    /// Waits, without holding a slot, until `time` has passed or the turn has ended.
    pub async fn wait(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.budget.over() => {}
        }
    }

    /// How many lookups are begun beside each other, where each is several requests: few and each
    /// to its end, rather than all at once and none finished in time. Other leases find free slots
    /// beside them.
    #[must_use]
    pub fn lookups_at_once(&self) -> usize {
        self.budget.budgets.slots.share()
    }

    /// The key of the budget.
    #[must_use]
    pub fn key(&self) -> &BudgetKey {
        &self.budget.key
    }

    /// Whether the host has said whose account it is, in this lease or before.
    #[must_use]
    pub fn is_identified(&self) -> bool {
        self.budget.view.account_known || self.budget.lock().account_id.is_some()
    }

    /// Whether to send fewer and smaller requests, because a secondary limit was met recently.
    #[must_use]
    pub fn is_cautious(&self) -> bool {
        self.budget.view.cautious_for.is_some()
    }

    /// Where requests are counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.budget.budgets.metrics
    }

    /// An answer described its window (limit, remaining, reset, length; no pause). A limit of 0
    /// means that the host has none.
    pub fn observe(&self, window: &'static str, seen: Window) {
        let limited = seen.limit != Some(0);
        self.metrics()
            .observe_window(&self.api_base_url, window, &seen);
        self.budget.with_window(window, |state| state.observe(seen));
        let ceiling = &self.budget.budgets.ceiling;
        ceiling.observe(&self.budget.key, window, limited);
    }

    /// An answer stated no limit of `window`: from then on the worker's own ceiling counts.
    pub fn observe_unlimited(&self, window: &'static str) {
        self.budget.with_window(window, |state| state.answered());
        let ceiling = &self.budget.budgets.ceiling;
        ceiling.observe(&self.budget.key, window, false);
    }

    /// The host answered, whatever it said but that it refuses the credential: its circuit breaker
    /// closes.
    pub fn answered(&self) {
        if self.host.answered() {
            self.note_host(BREAKER_OPEN, false, None);
        }
    }

    /// The host answered what it was asked: secondary limits that others meet are their own.
    pub fn answered_well(&self) {
        if self.host.answered_well(Instant::now()) {
            self.note_host(SLOWED, false, None);
            self.metrics()
                .set_host_state(&self.api_base_url, STOPPED, false);
        }
    }

    /// The host failed, or did not answer; perhaps with its word for when it is back, and with its
    /// own id of the request. Returns whether its circuit breaker opens.
    pub fn unanswered(&self, back_in: Option<Duration>, request: Option<&str>) -> bool {
        let budgets = &self.budget.budgets;
        let now = Instant::now();
        let opens = self
            .host
            .unanswered(&budgets.settings, &self.budget.key, back_in, now);
        if opens {
            self.note_host(BREAKER_OPEN, true, request);
        }
        opens
    }

    /// Says to operators that a host's state begins or ends, once for each time that it does.
    pub(crate) fn note_host(&self, state: &'static str, holds: bool, request: Option<&str>) {
        let host = &*self.api_base_url;
        self.metrics().set_host_state(host, state, holds);
        if holds {
            tracing::warn!(
                git_host.url = host,
                state,
                holds,
                git_host.request_id = request,
                "a git host is in another state"
            );
        } else {
            tracing::info!(
                git_host.url = host,
                state,
                holds,
                "a git host is out of a state"
            );
        }
    }

    /// The host takes the credential.
    pub fn accept_credential(&self) {
        self.credential.accept();
        self.host.accepted(&self.budget.key, Instant::now());
    }

    /// Notes when the credential expires, as the host's response says.
    pub fn credential_expires_at(&self, at: Timestamp) {
        self.credential.expires_at(at);
    }

    /// The host refused the credential.
    pub fn refuse_credential(&self) -> WithholdReason {
        self.credential.refuse();
        let budgets = &self.budget.budgets;
        let (settings, key) = (&budgets.settings, &self.budget.key);
        if let Some(is_open) = self.host.refused(settings, key, Instant::now()) {
            self.note_host(BREAKER_OPEN, is_open, None);
        }
        self.budget.changed.notify_waiters();
        WithholdReason::Credential
    }

    /// The credential cannot be sent at all, which no host needs to say.
    pub(crate) fn unsendable_credential(&self) {
        self.credential.refuse();
    }

    /// The limit of `window` is spent: pauses it until `reset_in` (or what is known, or a minute)
    /// and a margin have passed. The first word stands.
    pub fn pause_window(&self, window: &'static str, reset_in: Option<Duration>) -> WithholdReason {
        let budget = &self.budget;
        let settings = &budget.budgets.settings;
        let first = budget.with_window(window, |state| {
            let known = reset_in.or_else(|| state.ends_in(Instant::now()));
            let reset_in = known.unwrap_or(pause::UNKNOWN_RESET);
            state.pause(pause::primary(settings, reset_in, &budget.key))
        });
        if first {
            self.count_pause(ProblemClass::RateLimited);
        }
        WithholdReason::WindowPaused
    }

    /// How long `window` is still paused, by this lease or as it was leased.
    #[must_use]
    pub fn window_pause(&self, window: &'static str) -> Option<Duration> {
        let now = Instant::now();
        self.budget
            .with_window(window, |state| state.paused_for(now))
    }

    /// A secondary limit: counts it, and pauses the budget for `retry_after` or longer. `request`
    /// is the host's own id of what it refused.
    pub fn secondary_limit(
        &self,
        retry_after: Option<Duration>,
        request: Option<&str>,
    ) -> WithholdReason {
        let (budget, now) = (&self.budget, Instant::now());
        let mut state = budget.lock();
        let first = !state.is_paused(now);
        let strikes = budget.view.secondary_strikes + state.secondary_refusals;
        // Requests that were on the wire together meet one limit.
        state.secondary_refusals += u32::from(first);
        drop(state);
        if first && let Some(pace) = self.host.secondary_limit(&budget.key, now) {
            if pace == Throttle::Stopped {
                self.metrics()
                    .set_host_state(&self.api_base_url, STOPPED, true);
            }
            self.note_host(SLOWED, true, request);
        }
        let settings = &budget.budgets.settings;
        self.pause(Pause {
            duration: pause::secondary(settings, retry_after, strikes, &budget.key),
            class: ProblemClass::SecondaryLimited,
            from_lane: Lane::Interactive,
        })
    }

    /// The account is locked or suspended: pauses the budget for an hour.
    pub fn lock_account(&self) -> WithholdReason {
        self.pause(Pause {
            duration: pause::locked(&self.budget.key),
            class: ProblemClass::AccountLocked,
            from_lane: Lane::Interactive,
        })
    }

    /// Pauses the budget as a whole: its host says which of its windows stand in for one another.
    /// The first word stands.
    pub fn pause(&self, pause: Pause) -> WithholdReason {
        let mut state = self.budget.lock();
        if !state.is_paused(Instant::now()) {
            state.pause = Some(TimedValue::now(pause));
            self.count_pause(pause.class);
            drop(state);
            self.budget.changed.notify_waiters();
        }
        WithholdReason::BudgetPaused
    }

    fn count_pause(&self, class: ProblemClass) {
        self.metrics().count_pause(&self.api_base_url, class);
    }

    /// The base of its host's API.
    pub(crate) fn api_base_url(&self) -> &str {
        &self.api_base_url
    }

    /// The host said whose account it is.
    pub fn identify(&self, account_id: String) {
        self.budget.lock().account_id = Some(account_id);
    }
}
