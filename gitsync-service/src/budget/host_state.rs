//! What this process knows of the hosts that it asks, by API base: whether one is down, or wants
//! fewer requests from this address.
//!
//! A circuit breaker opens only when several budgets meet the same failure: one account's may be
//! its own.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::sync::{BudgetKey, ProblemClass};
use tokio::time::Instant;

use super::{Settings, refused_tokens::RefusedTokens, share};

/// Budgets that fail within [`FAILURE_WINDOW`] until the circuit breaker opens.
const FAILING_BUDGETS: usize = 3;
/// Window in which failures of several budgets are one failure of the host.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// When a host that is down is first tried again; doubles with each trial request that fails.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// Longest wait between two trial requests.
pub const PROBE_CAP: Duration = Duration::from_secs(60);
/// How long no request is begun at a host that wants several budgets to pause.
const SLOWDOWN: Duration = Duration::from_secs(60);
/// Duration over which budgets come back after that, each at its own time. Others halve their rate
/// and add a tenth of it each minute, and are back after as long.
const RAMP: Duration = Duration::from_secs(5 * 60);
/// Which of a budget's shares says when it comes back.
const RAMP_SHARE: u64 = 5;

/// One host.
#[derive(Debug, Default)]
pub(super) struct HostState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outages: FailureCount,
    secondary_limits: FailureCount,
    refused_tokens: RefusedTokens,
    breaker: CircuitBreaker,
    slow_until: Option<Instant>,
    in_flight: usize,
}

/// Budgets that failed since a time.
#[derive(Debug, Default)]
struct FailureCount {
    since: Option<Instant>,
    budgets: BTreeSet<String>,
}

/// Open while `trial_at` is set: then one trial request may be sent (half-open).
#[derive(Debug, Default)]
struct CircuitBreaker {
    trial_at: Option<Instant>,
    wait: Duration,
}

impl FailureCount {
    /// Counts a budget. Returns whether enough of them fail to blame the host.
    fn add(&mut self, key: &BudgetKey, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + FAILURE_WINDOW) {
            self.budgets.clear();
            self.since = Some(now);
        }
        if self.budgets.len() < FAILING_BUDGETS {
            self.budgets.insert(key.0.clone());
        }
        self.budgets.len() >= FAILING_BUDGETS
    }
}

impl Inner {
    /// Opens the breaker; false if it is open.
    fn open(&mut self, settings: &Settings, now: Instant) -> bool {
        let opens = self.breaker.trial_at.is_none();
        if opens {
            let wait = settings.host_probe_after;
            self.breaker = CircuitBreaker {
                trial_at: Some(now + wait),
                wait,
            };
        }
        opens
    }
}

/// Why a host takes no request for a budget, and for how long.
pub(super) type Closed = (ProblemClass, Duration);

impl HostState {
    /// Admits a request for `key`. While the circuit breaker is half-open, one trial request is
    /// admitted and others are rejected until it completes.
    pub(super) fn admit(&self, key: &BudgetKey, now: Instant) -> Result<(), Closed> {
        self.closed(key, now).map_or(Ok(()), Err)?;
        let breaker = &mut self.lock().breaker;
        if breaker.trial_at.is_some() {
            breaker.wait = (breaker.wait * 2).min(PROBE_CAP);
            breaker.trial_at = Some(now + breaker.wait);
        }
        Ok(())
    }

    /// Why no request for `key` would be admitted now.
    pub(super) fn closed(&self, key: &BudgetKey, now: Instant) -> Option<Closed> {
        let inner = self.lock();
        let slow_until = inner
            .slow_until
            .map(|until| until + RAMP.mul_f64(share(key, RAMP_SHARE)));
        if let Some(until) = slow_until.filter(|until| *until > now) {
            return Some((ProblemClass::SecondaryLimited, until - now));
        }
        let trial_at = inner.breaker.trial_at.filter(|at| *at > now);
        trial_at.map(|at| (ProblemClass::HostUnavailable, at - now))
    }

    /// The host answered.
    pub(super) fn answered(&self) {
        let mut inner = self.lock();
        inner.breaker = CircuitBreaker::default();
        inner.outages = FailureCount::default();
    }

    /// The host failed a request for `key`, or did not answer. Returns whether the breaker opens.
    pub(super) fn unanswered(&self, settings: &Settings, key: &BudgetKey, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.outages.add(key, now) && inner.open(settings, now)
    }

    /// The host took the credential of `key`.
    pub(super) fn accepted(&self, key: &BudgetKey, now: Instant) {
        self.lock().refused_tokens.count(key, false, now);
    }

    /// The host refused the credential of `key`: it answers, unless it refuses many. Returns whether
    /// the breaker opens.
    pub(super) fn refused(&self, settings: &Settings, key: &BudgetKey, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.refused_tokens.count(key, true, now);
        if !inner.refused_tokens.are_of_host(now) {
            drop(inner);
            self.answered();
            return false;
        }
        inner.open(settings, now)
    }

    /// Whether a refused credential is the host's fault.
    pub(super) fn refuses_many(&self, now: Instant) -> bool {
        self.lock().refused_tokens.are_of_host(now)
    }

    /// The host answered a request for `key` with a secondary limit. Returns whether it slows all
    /// down.
    pub(super) fn secondary_limit(&self, key: &BudgetKey, now: Instant) -> bool {
        let mut inner = self.lock();
        let slows = inner.secondary_limits.add(key, now);
        if slows {
            inner.secondary_limits = FailureCount::default();
            inner.slow_until = Some(now + SLOWDOWN);
        }
        slows
    }

    /// Takes a place for a request, if fewer than `most` are on the wire to this host.
    pub(super) fn try_begin(&self, most: usize) -> bool {
        let mut inner = self.lock();
        let has_room = inner.in_flight < most;
        inner.in_flight += usize::from(has_room);
        has_room
    }

    /// Gives a request's place back.
    pub(super) fn end(&self) {
        self.lock().in_flight -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    fn fail(host: &HostState, number: u32, now: Instant) -> bool {
        host.unanswered(&Settings::default(), &key(number), now)
    }

    fn is_open(host: &HostState, now: Instant) -> bool {
        matches!(
            host.admit(&key(9), now),
            Err((ProblemClass::HostUnavailable, _))
        )
    }

    #[test]
    fn the_failures_of_two_budgets_open_no_breaker() {
        let (host, now) = (HostState::default(), Instant::now());
        for _ in 0..10 {
            assert!(!fail(&host, 1, now));
        }
        assert!(!fail(&host, 2, now) && !is_open(&host, now));
    }

    #[test]
    fn a_host_that_fails_three_budgets_is_tried_by_one_request_at_a_time() {
        let (host, now) = (HostState::default(), Instant::now());
        let opened = [1, 2, 3, 3].map(|number| fail(&host, number, now));
        assert_eq!(opened, [false, false, true, false]);
        assert!(is_open(&host, now));
        let first = now + PROBE_AFTER;
        assert!(!is_open(&host, first));
        assert!(is_open(&host, first), "the trial request is on the wire");
        assert!(is_open(&host, first + PROBE_AFTER));
        assert!(!is_open(&host, first + PROBE_AFTER * 2));
        host.answered();
        assert!(!is_open(&host, first + PROBE_AFTER * 2));
    }

    #[test]
    fn trial_requests_that_fail_are_ever_further_apart() {
        let settings = Settings {
            host_probe_after: Duration::from_secs(20),
            ..Settings::default()
        };
        let (host, mut now) = (HostState::default(), Instant::now());
        let opened = [1, 2, 3].map(|number| host.unanswered(&settings, &key(number), now));
        assert_eq!(opened, [false, false, true]);
        for wait in [20, 40, 60, 60].map(Duration::from_secs) {
            assert!(is_open(&host, now + wait - Duration::from_millis(1)));
            now += wait;
            assert!(!is_open(&host, now));
        }
    }

    #[test]
    fn failures_of_more_than_a_minute_ago_do_not_count() {
        let (host, now) = (HostState::default(), Instant::now());
        fail(&host, 1, now);
        fail(&host, 2, now);
        assert!(!fail(&host, 3, now + FAILURE_WINDOW));
    }

    #[test]
    fn three_budgets_with_secondary_limits_slow_the_host_down_and_budgets_come_back_spread() {
        let (host, now) = (HostState::default(), Instant::now());
        let slowed = [1, 2, 3].map(|number| host.secondary_limit(&key(number), now));
        assert_eq!(slowed, [false, false, true]);
        let keys: Vec<_> = (0..1000).map(key).collect();
        let admitted = |after| {
            let admit = |key: &&BudgetKey| host.admit(key, now + after).is_ok();
            keys.iter().filter(admit).count()
        };
        for key in &keys {
            let Err((ProblemClass::SecondaryLimited, wait)) = host.admit(key, now) else {
                panic!("a request was admitted");
            };
            assert!((SLOWDOWN..=SLOWDOWN + RAMP).contains(&wait));
            assert_eq!(host.admit(key, now + wait), Ok(()));
        }
        assert!(admitted(SLOWDOWN) <= 5);
        assert!((420..580).contains(&admitted(SLOWDOWN + RAMP / 2)));
        assert_eq!(admitted(SLOWDOWN + RAMP), 1000);
    }
}
