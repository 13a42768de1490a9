//! What this process knows of the hosts that it asks: whether one is down, wants fewer requests from this
//! address, and which interface it has.
//!
//! A breaker opens only when several budget keys meet the same trouble: one account's may be its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    lease::{BatchSizes, BudgetKey},
    outcome::Problem,
};

use super::{Batches, Settings};

/// So many budget keys in trouble are the host's trouble.
pub const KEYS_IN_TROUBLE: usize = 3;
/// Within this time.
pub const TROUBLE_WINDOW: Duration = Duration::from_secs(60);
/// When a host that is down is first tried again; doubles with each try that fails.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How far that grows.
pub const PROBE_CAP: Duration = Duration::from_secs(60);
/// How long nothing new is begun at a host that wants several accounts to pause.
pub const HOST_PAUSE: Duration = Duration::from_secs(60);
/// How long a host is taken to be as it was found, without GraphQL or with another version of it.
pub const CAPABILITY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Hosts that are remembered. They are those of chat-service's configuration, so this many are plenty.
const MOST_HOSTS: usize = 1_000;

/// All hosts, by API base.
#[derive(Debug, Default)]
pub struct Hosts {
    settings: Settings,
    known: Mutex<HashMap<String, Host>>,
}

#[derive(Debug)]
struct Host {
    outages: Trouble,
    secondary: Trouble,
    breaker: Breaker,
    paused_until: Option<Instant>,
    without_graphql_until: Option<Instant>,
    batches: Arc<Batches>,
}

/// Budget keys in trouble since a time.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    keys: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Breaker {
    /// Set while it is open: when the next one may try.
    try_at: Option<Instant>,
    wait: Duration,
}

impl Trouble {
    /// Notes a key; tells whether so many are in trouble that it is the host's.
    fn note(&mut self, key: &BudgetKey, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + TROUBLE_WINDOW) {
            self.keys.clear();
            self.since = Some(now);
        }
        if self.keys.len() < KEYS_IN_TROUBLE && !self.keys.contains(&key.0) {
            self.keys.insert(key.0.clone());
        }
        self.keys.len() >= KEYS_IN_TROUBLE
    }
}

impl Hosts {
    /// Knows none yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    /// Whether a request may be sent to the host at `base`. While it is down, one request at a time is
    /// let through to find out.
    ///
    /// # Errors
    ///
    /// [`Problem::HostUnavailable`] while it is down, [`Problem::SecondaryLimited`] while it wants to be
    /// left alone.
    pub fn admit(&self, base: &str, now: Instant) -> Result<(), Problem> {
        self.with(base, |host| {
            if let Some(until) = host.paused_until.filter(|until| *until > now) {
                return Err(Problem::SecondaryLimited {
                    retry_after: until - now,
                });
            }
            match host.breaker.try_at {
                Some(at) if now < at => Err(Problem::HostUnavailable(
                    "it failed for several accounts and is left alone for a moment",
                )),
                // This one tries; whoever comes before its answer waits as if it had failed.
                Some(_) => {
                    host.breaker.wait = (host.breaker.wait * 2).min(PROBE_CAP);
                    host.breaker.try_at = Some(now + host.breaker.wait);
                    Ok(())
                }
                None => Ok(()),
            }
        })
    }

    /// The host answered.
    pub fn note_ok(&self, base: &str) {
        self.with(base, |host| {
            host.breaker = Breaker::default();
            host.outages = Trouble::default();
        });
    }

    /// The host failed a request for `key`, or did not answer.
    pub fn note_outage(&self, base: &str, key: &BudgetKey) {
        self.note_outage_at(base, key, Instant::now());
    }

    fn note_outage_at(&self, base: &str, key: &BudgetKey, now: Instant) {
        self.with(base, |host| {
            if host.outages.note(key, now) && host.breaker.try_at.is_none() {
                host.breaker = Breaker {
                    try_at: Some(now + PROBE_AFTER),
                    wait: PROBE_AFTER,
                };
            }
        });
    }

    /// The host answered a request for `key` with a secondary limit.
    pub fn note_secondary(&self, base: &str, key: &BudgetKey) {
        self.note_secondary_at(base, key, Instant::now());
    }

    fn note_secondary_at(&self, base: &str, key: &BudgetKey, now: Instant) {
        self.with(base, |host| {
            if host.secondary.note(key, now) {
                host.secondary = Trouble::default();
                host.paused_until = Some(now + HOST_PAUSE);
            }
        });
    }

    /// Whether the host speaks GraphQL as this version does, as far as is known.
    #[must_use]
    pub fn graphql_usable(&self, base: &str, now: Instant) -> bool {
        self.with(base, |host| {
            host.without_graphql_until.is_none_or(|until| now >= until)
        })
    }

    /// The host has no GraphQL.
    pub fn note_no_graphql(&self, base: &str) {
        self.avoid_graphql(base, Instant::now());
    }

    /// The host's GraphQL lacks what this version asks for.
    pub fn note_schema_skew(&self, base: &str) {
        self.avoid_graphql(base, Instant::now());
    }

    fn avoid_graphql(&self, base: &str, now: Instant) {
        self.with(base, |host| {
            host.without_graphql_until = Some(now + CAPABILITY_TTL);
        });
    }

    /// How much the host is asked for at once; `learned` is where a host that is new here begins.
    #[must_use]
    pub fn batches(&self, base: &str, learned: Option<BatchSizes>) -> Arc<Batches> {
        let mut known = self.lock();
        let host = Self::host(&mut known, &self.settings, base, learned);
        Arc::clone(&host.batches)
    }

    fn with<T>(&self, base: &str, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut known = self.lock();
        act(Self::host(&mut known, &self.settings, base, None))
    }

    fn host<'a>(
        known: &'a mut HashMap<String, Host>,
        settings: &Settings,
        base: &str,
        learned: Option<BatchSizes>,
    ) -> &'a mut Host {
        if known.len() >= MOST_HOSTS && !known.contains_key(base) {
            known.clear();
        }
        known.entry(base.to_owned()).or_insert_with(|| Host {
            outages: Trouble::default(),
            secondary: Trouble::default(),
            breaker: Breaker::default(),
            paused_until: None,
            without_graphql_until: None,
            batches: Arc::new(Batches::resume(settings, learned)),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://api.github.com";

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    fn is_open(hosts: &Hosts, now: Instant) -> bool {
        matches!(hosts.admit(BASE, now), Err(Problem::HostUnavailable(_)))
    }

    #[test]
    fn one_account_in_trouble_closes_no_host() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        for _ in 0..10 {
            hosts.note_outage_at(BASE, &key(1), now);
        }
        hosts.note_outage_at(BASE, &key(2), now);
        assert_eq!(hosts.admit(BASE, now), Ok(()));
    }

    #[test]
    fn a_host_that_fails_three_accounts_is_tried_by_one_request_at_a_time() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        (1..=3).for_each(|number| hosts.note_outage_at(BASE, &key(number), now));
        assert!(is_open(&hosts, now));
        assert_eq!(hosts.admit("https://git.example/api/v3", now), Ok(()));
        let first = now + PROBE_AFTER;
        assert_eq!(hosts.admit(BASE, first), Ok(()));
        assert!(is_open(&hosts, first), "the others wait for its answer");
        assert!(is_open(&hosts, first + PROBE_AFTER));
        assert_eq!(hosts.admit(BASE, first + PROBE_AFTER * 2), Ok(()));
        hosts.note_ok(BASE);
        assert_eq!(hosts.admit(BASE, first + PROBE_AFTER * 2), Ok(()));
    }

    #[test]
    fn trouble_long_ago_does_not_count() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        hosts.note_outage_at(BASE, &key(1), now);
        hosts.note_outage_at(BASE, &key(2), now);
        hosts.note_outage_at(BASE, &key(3), now + TROUBLE_WINDOW);
        assert_eq!(hosts.admit(BASE, now + TROUBLE_WINDOW), Ok(()));
    }

    #[test]
    fn three_accounts_with_secondary_limits_pause_the_host() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        (1..=3).for_each(|number| hosts.note_secondary_at(BASE, &key(number), now));
        assert_eq!(
            hosts.admit(BASE, now),
            Err(Problem::SecondaryLimited {
                retry_after: HOST_PAUSE
            })
        );
        assert_eq!(hosts.admit(BASE, now + HOST_PAUSE), Ok(()));
    }

    #[test]
    fn a_host_without_graphql_is_asked_for_it_again_after_a_day() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        assert!(hosts.graphql_usable(BASE, now));
        hosts.avoid_graphql(BASE, now);
        assert!(!hosts.graphql_usable(BASE, now + CAPABILITY_TTL / 2));
        assert!(hosts.graphql_usable(BASE, now + CAPABILITY_TTL));
    }

    #[test]
    fn all_leases_share_what_is_learned_of_a_host() {
        let hosts = Hosts::default();
        let (one, other) = (hosts.batches(BASE, None), hosts.batches(BASE, None));
        one.too_heavy(super::super::Kind::Detail);
        assert_eq!(other.size(super::super::Kind::Detail), 12);
    }
}
