//! A circuit breaker for each provider's token endpoint: while it is open, nothing is sent but one
//! trial request at a time, after a backoff.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row of which the endpoint is to blame, whichever accounts met them.
const FAILURES: u32 = 5;
/// When an endpoint is first tried again; doubles with each trial request that fails.
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// Longest wait between two trial requests.
const PROBE_CAP: Duration = Duration::from_secs(5 * 60);

/// How an endpoint answered, whatever that means for one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It did what it is for.
    Works,
    /// It failed, or could not be reached.
    Failed,
    /// It does not accept this service's client id and secret.
    Misconfigured,
}

/// A transition that is reported to operators once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The breaker opened.
    Opened,
    /// The endpoint was found to refuse this service.
    Misconfigured,
    /// All is well again.
    Closed,
}

/// The circuit breakers of all providers.
#[derive(Default)]
pub(super) struct Breakers(Mutex<HashMap<String, Breaker>>);

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// No request before, if open.
    open_until: Option<Instant>,
    /// Trial requests in a row that failed.
    probes: u32,
    /// One is under way. What else is answered was sent before the breaker opened.
    trying: bool,
    misconfigured: bool,
}

impl Breakers {
    /// Whether a request may be sent; otherwise when to ask again. Of an open breaker one may be,
    /// each time that it was waited for, and others wait for what comes of that at most `trial`.
    pub(super) fn admit(
        &self,
        provider: &str,
        trial: Duration,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut all = self.lock();
        let Some(breaker) = all.get_mut(provider) else {
            return Ok(());
        };
        match breaker.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                breaker.open_until = Some(now + trial);
                breaker.trying = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts an answer.
    pub(super) fn count(&self, provider: &str, health: Health, now: Instant) -> Option<Transition> {
        let mut all = self.lock();
        if health == Health::Works {
            let former = all.remove(provider)?;
            return former.open_until.map(|_| Transition::Closed);
        }
        let breaker = all.entry(provider.to_owned()).or_default();
        breaker.failures += 1;
        let misconfigured = health == Health::Misconfigured;
        let (was_open, was_misconfigured) = (breaker.open_until.is_some(), breaker.misconfigured);
        breaker.misconfigured = misconfigured;
        let opens = !was_open && (misconfigured || breaker.failures >= FAILURES);
        if opens || breaker.trying {
            let wait = PROBE_AFTER * 2_u32.pow(breaker.probes.min(8));
            breaker.open_until = Some(now + wait.min(PROBE_CAP));
            breaker.probes += 1;
            breaker.trying = false;
        }
        if misconfigured {
            return (!was_misconfigured).then_some(Transition::Misconfigured);
        }
        (breaker.open_until.is_some() && (!was_open || was_misconfigured))
            .then_some(Transition::Opened)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: Duration = Duration::from_secs(20);

    #[test]
    fn a_failing_endpoint_gets_one_trial_request_at_a_time() {
        let breakers = Breakers::default();
        let mut now = Instant::now();
        let admit = |provider, now| breakers.admit(provider, TRIAL, now);
        let count = |health, now| breakers.count("github", health, now);
        for _ in 1..FAILURES {
            assert_eq!(count(Health::Failed, now), None);
            assert_eq!(admit("github", now), Ok(()));
        }
        assert_eq!(count(Health::Failed, now), Some(Transition::Opened));
        assert_eq!(admit("github", now), Err(PROBE_AFTER));
        assert_eq!(admit("ghe", now), Ok(()));
        for wait in [15, 30, 60, 120, 240, 300, 300] {
            let wait = Duration::from_secs(wait);
            assert_eq!(admit("github", now), Err(wait));
            now += wait;
            assert_eq!(admit("github", now), Ok(()));
            assert_eq!(admit("github", now), Err(TRIAL));
            assert_eq!(count(Health::Failed, now), None);
        }
        assert_eq!(count(Health::Works, now), Some(Transition::Closed));
        assert_eq!(count(Health::Works, now), None);
        assert_eq!(admit("github", now), Ok(()));
        assert_eq!(count(Health::Failed, now), None);
    }

    #[test]
    fn a_trial_that_comes_to_nothing_is_followed_by_another() {
        let breakers = Breakers::default();
        let begun = Instant::now();
        breakers.count("github", Health::Misconfigured, begun);
        for now in [begun + PROBE_AFTER, begun + PROBE_AFTER + TRIAL] {
            assert_eq!(breakers.admit("github", TRIAL, now), Ok(()));
        }
    }

    #[test]
    fn an_endpoint_that_refuses_this_service_is_reported_once() {
        let breakers = Breakers::default();
        let now = Instant::now();
        for (health, expected) in [
            (Health::Misconfigured, Some(Transition::Misconfigured)),
            (Health::Misconfigured, None),
            (Health::Failed, Some(Transition::Opened)),
            (Health::Works, Some(Transition::Closed)),
            (Health::Misconfigured, Some(Transition::Misconfigured)),
        ] {
            assert_eq!(
                breakers.count("github", health, now),
                expected,
                "{health:?}"
            );
        }
        assert_eq!(breakers.admit("github", TRIAL, now), Err(PROBE_AFTER));
    }

    #[test]
    fn answers_to_what_was_sent_before_it_opened_are_no_trials() {
        let breakers = Breakers::default();
        let now = Instant::now();
        for _ in 0..10 {
            breakers.count("github", Health::Misconfigured, now);
        }
        assert_eq!(breakers.admit("github", TRIAL, now), Err(PROBE_AFTER));
    }
}
