//! What this process knows of budget keys beside what all workers share.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{lease::BudgetKey, outcome::Interface};

use super::Settings;

/// Requests a minute of a budget key to a host that tells no limit, as an Enterprise one does unless somebody
/// turns limits on. A minute's worth may be sent at once. Each worker counts its own.
pub const LOCAL_CEILING: u32 = 30;

/// A detail that takes longer costs the host more than the question what changed and then the detail of
/// that. GitHub charges both with the same point.
pub const SLOW_DETAIL: Duration = Duration::from_secs(3);
/// When an account that the host refuses to tell is asked for again.
const REFUSED: Duration = Duration::from_secs(60 * 60);
/// Budget keys that are remembered. What is forgotten is learned again.
const MOST_KEYS: usize = 10_000;

/// All budget keys.
#[derive(Debug, Default)]
pub struct Keys {
    settings: Settings,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    slow_until: Option<Instant>,
    nameless_until: Option<Instant>,
    rest_unlimited: bool,
    graphql_unlimited: bool,
    sent: Sent,
}

/// Requests that are not forgiven yet, as of a time.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    count: f64,
    at: Option<Instant>,
}

impl Known {
    fn unlimited(&mut self, interface: Interface) -> &mut bool {
        match interface {
            Interface::Rest => &mut self.rest_unlimited,
            Interface::Graphql => &mut self.graphql_unlimited,
        }
    }
}

impl Sent {
    /// What is left of them, when so many are forgiven in a second.
    fn left(self, a_second: f64, now: Instant) -> f64 {
        let passed = self.at.map(|at| now.saturating_duration_since(at));
        (self.count - passed.unwrap_or_default().as_secs_f64() * a_second).max(0.0)
    }
}

impl Keys {
    /// Knows none yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    /// Pull requests of `key` were asked for in whole, and it took so long.
    pub fn note_detail(&self, key: &BudgetKey, took: Duration) {
        self.note_detail_at(key, took, Instant::now());
    }

    fn note_detail_at(&self, key: &BudgetKey, took: Duration, now: Instant) {
        if took <= self.settings.slow_detail {
            return;
        }
        self.with(key, |known| {
            known.slow_until = Some(now + self.settings.batch_hold);
        });
    }

    /// Whether it is better to ask first what changed, however few there are.
    #[must_use]
    pub fn is_slow(&self, key: &BudgetKey) -> bool {
        self.is_slow_at(key, Instant::now())
    }

    fn is_slow_at(&self, key: &BudgetKey, now: Instant) -> bool {
        self.holds(key, |known| known.slow_until, now)
    }

    /// The host does not say whose account `key` is: for as long as what else it cannot do, or for an hour
    /// where it is `refused`, which may be changed meanwhile.
    pub fn note_nameless(&self, key: &BudgetKey, refused: bool) {
        self.note_nameless_at(key, refused, Instant::now());
    }

    fn note_nameless_at(&self, key: &BudgetKey, refused: bool, now: Instant) {
        let ttl = self.settings.capability_ttl;
        let ttl = if refused { ttl.min(REFUSED) } else { ttl };
        self.with(key, |known| known.nameless_until = Some(now + ttl));
    }

    /// Whether there is no use in asking whose account it is.
    #[must_use]
    pub fn is_nameless(&self, key: &BudgetKey) -> bool {
        self.is_nameless_at(key, Instant::now())
    }

    fn is_nameless_at(&self, key: &BudgetKey, now: Instant) -> bool {
        self.holds(key, |known| known.nameless_until, now)
    }

    /// The host told of a limit of this interface, or answered without.
    pub fn note_limit(&self, key: &BudgetKey, interface: Interface, limited: bool) {
        self.with(key, |known| *known.unlimited(interface) = !limited);
    }

    /// Counts a request of `key`. One that `may_wait` is not to be sent where it would be too many.
    ///
    /// # Errors
    ///
    /// How long it has to wait.
    pub fn begin(
        &self,
        key: &BudgetKey,
        interface: Interface,
        may_wait: bool,
    ) -> Result<(), Duration> {
        self.begin_at(key, interface, may_wait, Instant::now())
    }

    fn begin_at(
        &self,
        key: &BudgetKey,
        interface: Interface,
        may_wait: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        if self.settings.local_ceiling == 0 {
            return Ok(());
        }
        let most = f64::from(self.settings.local_ceiling);
        let a_second = most / 60.0;
        self.with(key, |known| {
            let count = known.sent.left(a_second, now) + 1.0;
            if count > most && may_wait && *known.unlimited(interface) {
                return Err(Duration::from_secs_f64((count - most) / a_second));
            }
            known.sent = Sent {
                count,
                at: Some(now),
            };
            Ok(())
        })
    }

    /// Whether what is known of `key` until some time is still known.
    fn holds(
        &self,
        key: &BudgetKey,
        until: impl FnOnce(&Known) -> Option<Instant>,
        now: Instant,
    ) -> bool {
        let known = self.lock();
        let until = known.get(&key.0).and_then(until);
        until.is_some_and(|until| now < until)
    }

    fn with<T>(&self, key: &BudgetKey, act: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.lock();
        if known.len() >= MOST_KEYS && !known.contains_key(&key.0) {
            known.clear();
        }
        act(known.entry(key.0.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{batches::HOLD, hosts::CAPABILITY_TTL},
        *,
    };

    #[test]
    fn that_the_host_names_no_account_is_remembered_of_its_key_for_a_day_or_an_hour() {
        let (keys, now) = (Keys::default(), Instant::now());
        let [nameless, other] = ["nameless", "other"].map(|key| BudgetKey(key.to_owned()));
        for (refused, ttl) in [(false, CAPABILITY_TTL), (true, REFUSED)] {
            keys.note_nameless_at(&nameless, refused, now);
            assert!(keys.is_nameless_at(&nameless, now + ttl - Duration::from_secs(1)));
            assert!(!keys.is_nameless_at(&nameless, now + ttl));
            assert!(!keys.is_nameless_at(&other, now));
        }
    }

    #[test]
    fn a_slow_detail_is_remembered_of_its_key_for_as_long_as_a_smaller_batch() {
        let (keys, now) = (Keys::default(), Instant::now());
        let [slow, quick] = ["slow", "quick"].map(|key| BudgetKey(key.to_owned()));
        keys.note_detail_at(&quick, SLOW_DETAIL, now);
        keys.note_detail_at(&slow, SLOW_DETAIL + Duration::from_millis(1), now);
        // What is asked for after a probe is less, and says nothing of all.
        keys.note_detail_at(&slow, Duration::ZERO, now);
        assert!(keys.is_slow_at(&slow, now) && !keys.is_slow_at(&quick, now));
        assert!(!keys.is_slow_at(&slow, now + HOLD));
    }

    #[test]
    fn a_minutes_worth_goes_at_once_and_then_one_after_the_other() {
        let (keys, mut now) = (Keys::default(), Instant::now());
        let key = BudgetKey("key".to_owned());
        keys.note_limit(&key, Interface::Rest, false);
        let begin = |interface, may_wait, now| keys.begin_at(&key, interface, may_wait, now);
        for _ in 0..LOCAL_CEILING {
            assert_eq!(begin(Interface::Rest, true, now), Ok(()));
        }
        for _ in 0..10 {
            let wait = begin(Interface::Rest, true, now).unwrap_err();
            assert!(wait.abs_diff(Duration::from_secs(2)) < Duration::from_millis(1));
            now += wait;
            assert_eq!(begin(Interface::Rest, true, now), Ok(()));
        }
        // What does not wait is counted, and what is limited by the host is not ours to limit.
        assert_eq!(begin(Interface::Rest, false, now), Ok(()));
        assert_eq!(begin(Interface::Graphql, true, now), Ok(()));
        let wait = begin(Interface::Rest, true, now).unwrap_err();
        assert!(wait > Duration::from_secs(5), "{wait:?}");
    }
}
