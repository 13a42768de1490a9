//! The process's state of each host, by API base: whether it is down, or wants fewer requests from
//! this address.
//!
//! A circuit breaker opens only when several budgets meet the same failure: one account's may be
//! its own. Secondary limits are the host's only when a share of the budgets that it is asked for
//! meets them and none is answered in between: it is asked less then, and nothing if that goes on.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::sync::{BudgetKey, ProblemClass};
use tokio::time::Instant;

use super::{Settings, load::InFlight, refused_tokens::RefusedTokens, share};

/// Budgets that fail within [`FAILURE_WINDOW`], at least, until that is blamed on the host.
const FAILING_BUDGETS: usize = 3;
/// And one in this many of the budgets that it was asked for in that time, for secondary limits.
const FAILING_SHARE: usize = 5;
/// Window in which failures of several budgets are one failure of the host.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// When a host that is down is first tried again; doubles with each trial request that fails.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// Longest wait between two trial requests.
pub const PROBE_CAP: Duration = Duration::from_secs(60);
/// Longest time for which a host under maintenance is believed when it says when it is back: one
/// answer, perhaps of a single load balancer, must not close it for all for longer.
const MAINTENANCE_CAP: Duration = Duration::from_secs(5 * 60);
/// How long a host that wants several budgets to pause is asked less; and if others are to pause
/// all the same, how long no request is begun.
const SLOWDOWN: Duration = Duration::from_secs(60);
/// Budgets whose last request is remembered.
const MOST_ASKED: usize = 10_000;
/// A host that is asked less has one in this many of its request slots.
const SLOW_SHARE: usize = 4;
/// Duration over which budgets come back after that, each at its own time. Others halve their rate
/// and add a tenth of it each minute, and are back after as long.
const RAMP: Duration = Duration::from_secs(5 * 60);
/// The budget's share that decides when it resumes.
const RAMP_SHARE: u64 = 5;

/// One host.
#[derive(Debug, Default)]
pub(super) struct HostState {
    /// Its requests on the wire.
    pub(super) load: Arc<InFlight>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outages: FailureCount,
    secondary_limits: FailureCount,
    refused_tokens: RefusedTokens,
    breaker: CircuitBreaker,
    slow_until: Option<Instant>,
    stopped_until: Option<Instant>,
    /// When each budget was asked for last, in the last [`FAILURE_WINDOW`].
    asked: HashMap<BudgetKey, Instant>,
}

/// The consequence of several secondary limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throttle {
    /// The host is asked less for a while.
    Slowed,
    /// It is not asked for a while.
    Stopped,
}

/// Budgets that failed since a time.
#[derive(Debug, Default)]
struct FailureCount {
    since: Option<Instant>,
    budgets: HashSet<BudgetKey>,
}

/// Open while `trial_at` is set: then one trial request may be sent (half-open).
#[derive(Debug, Default)]
struct CircuitBreaker {
    trial_at: Option<Instant>,
    wait: Duration,
}

impl FailureCount {
    /// Counts a budget. Returns how many fail.
    fn add(&mut self, key: &BudgetKey, now: Instant) -> usize {
        if self.since.is_none_or(|since| now >= since + FAILURE_WINDOW) {
            self.budgets.clear();
            self.since = Some(now);
        }
        self.budgets.insert(key.clone());
        self.budgets.len()
    }
}

impl Inner {
    fn closed(&self, key: &BudgetKey, now: Instant) -> Option<Rejection> {
        let stopped_until = self
            .stopped_until
            .map(|until| until + RAMP.mul_f64(share(key, RAMP_SHARE)));
        if let Some(until) = stopped_until.filter(|until| *until > now) {
            return Some((ProblemClass::SecondaryLimited, until - now));
        }
        let trial_at = self.breaker.trial_at.filter(|at| *at > now);
        trial_at.map(|at| (ProblemClass::HostUnavailable, at - now))
    }

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
pub(super) type Rejection = (ProblemClass, Duration);

impl HostState {
    /// Admits a request for `key`. While the circuit breaker is half-open, one trial request is
    /// admitted and others are rejected until it completes.
    pub(super) fn admit(&self, key: &BudgetKey, now: Instant) -> Result<(), Rejection> {
        let mut inner = self.lock();
        inner.closed(key, now).map_or(Ok(()), Err)?;
        if inner.asked.len() >= MOST_ASKED {
            inner.asked.clear();
        }
        inner.asked.insert(key.clone(), now);
        let breaker = &mut inner.breaker;
        if breaker.trial_at.is_some() {
            breaker.wait = (breaker.wait * 2).min(PROBE_CAP);
            breaker.trial_at = Some(now + breaker.wait);
        }
        Ok(())
    }

    /// Why no request for `key` would be admitted now.
    pub(super) fn closed(&self, key: &BudgetKey, now: Instant) -> Option<Rejection> {
        self.lock().closed(key, now)
    }

    /// The host answered, whatever it said. Returns whether the breaker closes.
    pub(super) fn answered(&self) -> bool {
        let mut inner = self.lock();
        inner.outages = FailureCount::default();
        std::mem::take(&mut inner.breaker).trial_at.is_some()
    }

    /// The host answered what it was asked: what others meet is their own. Returns whether it was
    /// asked less, or nothing, until now.
    pub(super) fn answered_well(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.secondary_limits = FailureCount::default();
        let slow = inner.slow_until.take_if(|until| now >= *until);
        let stopped = inner.stopped_until.take_if(|until| now >= *until + RAMP);
        slow.or(stopped).is_some()
    }

    /// The host failed a request for `key`, or did not answer. One that says when it is back is
    /// under maintenance. Returns whether the breaker opens.
    pub(super) fn unanswered(
        &self,
        settings: &Settings,
        key: &BudgetKey,
        back_in: Option<Duration>,
        now: Instant,
    ) -> bool {
        let mut inner = self.lock();
        let fails = inner.outages.add(key, now) >= FAILING_BUDGETS || back_in.is_some();
        let opens = fails && inner.open(settings, now);
        if let Some(back_in) = back_in {
            let back_at = now + back_in.min(MAINTENANCE_CAP);
            inner.breaker.trial_at = inner.breaker.trial_at.max(Some(back_at));
        }
        opens
    }

    /// The host took the credential of `key`.
    pub(super) fn accepted(&self, key: &BudgetKey, now: Instant) {
        self.lock().refused_tokens.count(key, false, now);
    }

    /// Counts a refused credential of `key`. The host is reachable, unless it refuses many. Returns
    /// whether the circuit breaker is open, if that changed.
    pub(super) fn refused(
        &self,
        settings: &Settings,
        key: &BudgetKey,
        now: Instant,
    ) -> Option<bool> {
        let mut inner = self.lock();
        inner.refused_tokens.count(key, true, now);
        if !inner.refused_tokens.are_of_host(now) {
            drop(inner);
            return self.answered().then_some(false);
        }
        inner.open(settings, now).then_some(true)
    }

    /// Whether a refused credential is the host's fault.
    pub(super) fn refuses_many(&self, now: Instant) -> bool {
        self.lock().refused_tokens.are_of_host(now)
    }

    /// The host answered a request for `key` with a secondary limit. Returns what becomes of all
    /// others for that.
    pub(super) fn secondary_limit(&self, key: &BudgetKey, now: Instant) -> Option<Throttle> {
        let mut inner = self.lock();
        inner.asked.retain(|_, at| now < *at + FAILURE_WINDOW);
        let slow_until = inner.slow_until.filter(|until| now < *until);
        // What was on the wire by then says nothing of the slower pace.
        if let Some(slow_until) = slow_until
            && inner
                .asked
                .get(key)
                .is_none_or(|at| *at + SLOWDOWN < slow_until)
        {
            return None;
        }
        let share = inner.asked.len() / FAILING_SHARE;
        if inner.secondary_limits.add(key, now) < share.max(FAILING_BUDGETS) {
            return None;
        }
        inner.secondary_limits = FailureCount::default();
        let until = now + SLOWDOWN;
        inner.slow_until = Some(until);
        if slow_until.is_some() {
            inner.stopped_until = Some(until);
            return Some(Throttle::Stopped);
        }
        Some(Throttle::Slowed)
    }

    /// How many of `most` request slots the host has now.
    pub(super) fn places(&self, most: usize, now: Instant) -> usize {
        let slow_until = self.lock().slow_until;
        match slow_until.filter(|until| now < *until) {
            Some(_) => (most / SLOW_SHARE).max(1),
            None => most,
        }
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
        host.unanswered(&Settings::default(), &key(number), None, now)
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
        let opened = [1, 2, 3].map(|number| host.unanswered(&settings, &key(number), None, now));
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
    fn a_host_under_maintenance_is_tried_again_when_it_says_that_it_is_back() {
        let (host, now) = (HostState::default(), Instant::now());
        let back_in = Duration::from_secs(240);
        let settings = Settings::default();
        assert!(host.unanswered(&settings, &key(1), Some(back_in), now));
        assert!(!host.unanswered(&settings, &key(2), Some(back_in), now));
        assert!(is_open(&host, now + back_in - Duration::from_secs(1)));
        assert!(!is_open(&host, now + back_in));
        host.unanswered(&settings, &key(1), Some(MAINTENANCE_CAP * 24), now);
        assert!(!is_open(&host, now + MAINTENANCE_CAP));
    }

    fn limit(
        host: &HostState,
        numbers: std::ops::Range<u32>,
        now: Instant,
    ) -> Vec<Option<Throttle>> {
        let limited = numbers.map(|number| {
            assert_eq!(host.admit(&key(number), now), Ok(()));
            host.secondary_limit(&key(number), now)
        });
        limited.collect()
    }

    #[test]
    fn a_host_that_wants_three_budgets_to_pause_is_asked_less_and_of_three_more_nothing() {
        let (host, now) = (HostState::default(), Instant::now());
        assert_eq!(host.places(8, now), 8);
        let paces = limit(&host, 0..6, now);
        let [slowed, stopped] = [Throttle::Slowed, Throttle::Stopped].map(Some);
        assert_eq!(paces, [None, None, slowed, None, None, stopped]);
        assert_eq!((host.places(8, now), host.places(2, now)), (2, 1));
        let before = HostState::default();
        for number in 0..6 {
            assert_eq!(before.admit(&key(number), now), Ok(()));
        }
        let later = now + Duration::from_secs(1);
        let limited = (0..6).map(|number| before.secondary_limit(&key(number), later));
        let on_the_wire: Vec<_> = limited.collect();
        assert_eq!(on_the_wire, [None, None, slowed, None, None, None]);
        assert_eq!(host.places(8, now + SLOWDOWN), 8);
        assert!(!host.answered_well(now));
        assert!(host.answered_well(now + SLOWDOWN));
        assert!(!host.answered_well(now + SLOWDOWN));
    }

    #[test]
    fn budgets_come_back_to_a_host_that_stopped_all_spread() {
        let (host, now) = (HostState::default(), Instant::now());
        limit(&host, 0..6, now);
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

    #[test]
    fn secondary_limits_of_fewer_than_a_fifth_of_the_budgets_are_their_own() {
        let (host, now) = (HostState::default(), Instant::now());
        for number in 100..120 {
            assert_eq!(host.admit(&key(number), now), Ok(()));
        }
        // Of 24 budgets, four are fewer than a fifth of those that were asked for by then.
        assert_eq!(limit(&host, 0..3, now), [None; 3]);
        assert_eq!(limit(&host, 3..4, now), [Some(Throttle::Slowed)]);
        // What was asked for more than a minute ago does not count.
        assert_eq!(
            limit(&host, 0..3, now + FAILURE_WINDOW * 2).pop(),
            Some(Some(Throttle::Slowed))
        );
    }

    #[test]
    fn nothing_is_slowed_while_others_are_answered_well() {
        let (host, now) = (HostState::default(), Instant::now());
        for number in 0..10 {
            assert_eq!(limit(&host, number..number + 1, now), [None]);
            host.answered_well(now);
        }
    }
}
