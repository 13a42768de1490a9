//! What this process knows of the hosts that it asks: whether one is down, wants fewer requests from this
//! address, and which interface it has.
//!
//! A breaker opens only when several budget keys meet the same trouble: one account's may be its own.

mod capability;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{lease::BudgetKey, outcome::Problem};

use super::{Batches, Settings, share};

use capability::Capability;

/// So many budget keys in trouble are the host's trouble.
pub const KEYS_IN_TROUBLE: u32 = 3;
/// Within this time.
pub const TROUBLE_WINDOW: Duration = Duration::from_secs(60);
/// When a host that is down is first tried again; doubles with each try that fails.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How far that grows.
pub const PROBE_CAP: Duration = Duration::from_secs(60);
/// How long nothing new is begun at a host that wants several accounts to pause.
pub const HOST_PAUSE: Duration = Duration::from_secs(60);
/// Over which its budget keys come back after that, each at its own time. Others who halve their rate and
/// add a tenth of it each minute are back after as long.
pub const HOST_RAMP: Duration = Duration::from_secs(5 * 60);
/// How long a host is taken to be as it was found, without GraphQL or with another version of it.
pub const CAPABILITY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Hosts that are remembered. They are those of chat-service's configuration, so this many are plenty.
const MOST_HOSTS: usize = 1_000;
/// Which of a key's shares says when it comes back.
const RAMP_TURN: u64 = 5;

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
    graphql: Capability,
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
    fn note(&mut self, settings: &Settings, key: &BudgetKey, now: Instant) -> bool {
        let enough = usize::try_from(settings.host_trouble_keys).unwrap_or(usize::MAX);
        let is_over = |since| now >= since + settings.host_trouble_window;
        if self.since.is_none_or(is_over) {
            self.keys.clear();
            self.since = Some(now);
        }
        if self.keys.len() < enough && !self.keys.contains(&key.0) {
            self.keys.insert(key.0.clone());
        }
        self.keys.len() >= enough
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

    /// Whether a request for `key` may be sent to the host at `base`. While it is down, one request at a
    /// time is let through to find out; after a pause the keys come back one after the other.
    ///
    /// # Errors
    ///
    /// [`Problem::HostSpared`] while it is down, [`Problem::SecondaryLimited`] while it wants to be
    /// left alone.
    pub fn admit(&self, base: &str, key: &BudgetKey, now: Instant) -> Result<(), Problem> {
        let turn = self.settings.host_ramp.mul_f64(share(key, RAMP_TURN));
        self.with(base, |host| {
            let until = host.paused_until.map(|until| until + turn);
            if let Some(until) = until.filter(|until| *until > now) {
                return Err(Problem::SecondaryLimited {
                    retry_after: until - now,
                });
            }
            match host.breaker.try_at {
                Some(at) if now < at => Err(Problem::HostSpared {
                    retry_after: at - now,
                }),
                // This one tries; whoever comes before its answer waits as if it had failed.
                Some(_) => {
                    host.breaker.wait = (host.breaker.wait * 2).min(self.settings.host_probe_cap);
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
    /// Returns whether that makes it down.
    pub fn note_outage(&self, base: &str, key: &BudgetKey) -> bool {
        self.note_outage_at(base, key, Instant::now())
    }

    fn note_outage_at(&self, base: &str, key: &BudgetKey, now: Instant) -> bool {
        let wait = self.settings.host_probe_after;
        self.with(base, |host| {
            let opens =
                host.outages.note(&self.settings, key, now) && host.breaker.try_at.is_none();
            if opens {
                let try_at = Some(now + wait);
                host.breaker = Breaker { try_at, wait };
            }
            opens
        })
    }

    /// The host answered a request for `key` with a secondary limit.
    /// Returns whether that pauses it.
    pub fn note_secondary(&self, base: &str, key: &BudgetKey) -> bool {
        self.note_secondary_at(base, key, Instant::now())
    }

    fn note_secondary_at(&self, base: &str, key: &BudgetKey, now: Instant) -> bool {
        self.with(base, |host| {
            let pauses = host.secondary.note(&self.settings, key, now);
            if pauses {
                host.secondary = Trouble::default();
                host.paused_until = Some(now + self.settings.host_pause);
            }
            pauses
        })
    }

    /// Whether the host speaks GraphQL as this version does, as far as is known.
    #[must_use]
    pub fn graphql_usable(&self, base: &str, now: Instant) -> bool {
        self.with(base, |host| host.graphql.is_usable(now))
    }

    /// The host answered a query for `key`.
    pub fn note_graphql(&self, base: &str, key: &BudgetKey) {
        self.with(base, |host| host.graphql.answered(key));
    }

    /// The host has no GraphQL, or it lacks what this version asks for: so it said to `key`.
    pub fn note_no_graphql(&self, base: &str, key: &BudgetKey) {
        let ttl = self.settings.capability_ttl;
        self.with(base, |host| host.graphql.missed(key, ttl, Instant::now()));
    }

    /// How much the host is asked for at once.
    #[must_use]
    pub fn batches(&self, base: &str) -> Arc<Batches> {
        self.with(base, |host| Arc::clone(&host.batches))
    }

    fn with<T>(&self, base: &str, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut known = self.lock();
        if known.len() >= MOST_HOSTS && !known.contains_key(base) {
            known.clear();
        }
        act(known.entry(base.to_owned()).or_insert_with(|| Host {
            outages: Trouble::default(),
            secondary: Trouble::default(),
            breaker: Breaker::default(),
            paused_until: None,
            graphql: Capability::default(),
            batches: Arc::new(Batches::new(&self.settings)),
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lease::{lease_of, reported},
        metrics::Metrics,
        refresh::Refresher,
    };

    const BASE: &str = "https://api.github.com";

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    fn is_open(hosts: &Hosts, now: Instant) -> bool {
        matches!(
            hosts.admit(BASE, &key(9), now),
            Err(Problem::HostSpared { .. })
        )
    }

    #[test]
    fn one_account_in_trouble_closes_no_host() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        for _ in 0..10 {
            hosts.note_outage_at(BASE, &key(1), now);
        }
        hosts.note_outage_at(BASE, &key(2), now);
        assert_eq!(hosts.admit(BASE, &key(9), now), Ok(()));
    }

    #[test]
    fn a_host_that_fails_three_accounts_is_tried_by_one_request_at_a_time() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        let opened = [1, 2, 3, 3].map(|number| hosts.note_outage_at(BASE, &key(number), now));
        assert_eq!(opened, [false, false, true, false]);
        assert!(is_open(&hosts, now));
        assert_eq!(
            hosts.admit("https://git.example/api/v3", &key(9), now),
            Ok(())
        );
        let first = now + PROBE_AFTER;
        assert_eq!(hosts.admit(BASE, &key(9), first), Ok(()));
        assert!(is_open(&hosts, first), "the others wait for its answer");
        assert!(is_open(&hosts, first + PROBE_AFTER));
        assert_eq!(hosts.admit(BASE, &key(9), first + PROBE_AFTER * 2), Ok(()));
        hosts.note_ok(BASE);
        assert_eq!(hosts.admit(BASE, &key(9), first + PROBE_AFTER * 2), Ok(()));
    }

    #[test]
    fn trouble_long_ago_does_not_count() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        hosts.note_outage_at(BASE, &key(1), now);
        hosts.note_outage_at(BASE, &key(2), now);
        hosts.note_outage_at(BASE, &key(3), now + TROUBLE_WINDOW);
        assert_eq!(hosts.admit(BASE, &key(9), now + TROUBLE_WINDOW), Ok(()));
    }

    #[test]
    fn three_accounts_with_secondary_limits_pause_the_host_and_keys_come_back_one_after_the_other()
    {
        let (hosts, now) = (Hosts::default(), Instant::now());
        let paused = [1, 2, 3].map(|number| hosts.note_secondary_at(BASE, &key(number), now));
        assert_eq!(paused, [false, false, true]);
        let keys: Vec<_> = (0..1000).map(key).collect();
        let admitted = |after| {
            let let_in = |key: &&BudgetKey| hosts.admit(BASE, key, now + after).is_ok();
            keys.iter().filter(let_in).count()
        };
        for key in &keys {
            let Err(Problem::SecondaryLimited { retry_after }) = hosts.admit(BASE, key, now) else {
                panic!("a request was let through");
            };
            assert!((HOST_PAUSE..=HOST_PAUSE + HOST_RAMP).contains(&retry_after));
            assert_eq!(hosts.admit(BASE, key, now + retry_after), Ok(()));
        }
        assert!(admitted(HOST_PAUSE) <= 5);
        assert!((420..580).contains(&admitted(HOST_PAUSE + HOST_RAMP / 2)));
        assert_eq!(admitted(HOST_PAUSE + HOST_RAMP), 1000);
    }

    #[test]
    fn how_many_accounts_and_how_long_is_what_was_set() {
        let settings = Settings {
            host_trouble_keys: 1,
            host_probe_after: Duration::from_secs(1),
            host_probe_cap: Duration::from_secs(3),
            ..Settings::default()
        };
        let (hosts, mut now) = (Hosts::new(settings), Instant::now());
        assert!(hosts.note_outage_at(BASE, &key(1), now));
        for wait in [1, 2, 3, 3].map(Duration::from_secs) {
            assert!(is_open(&hosts, now + wait - Duration::from_millis(1)));
            now += wait;
            assert_eq!(hosts.admit(BASE, &key(9), now), Ok(()));
        }
    }

    #[test]
    fn all_leases_share_what_is_learned_of_a_host() {
        let hosts = Hosts::default();
        let (one, other) = (hosts.batches(BASE), hosts.batches(BASE));
        one.too_heavy(super::super::Kind::Detail);
        assert_eq!(other.size(super::super::Kind::Detail), 12);
    }

    /// Through the whole refresher, at an address where nobody listens.
    #[tokio::test]
    async fn that_a_host_is_down_is_counted_once() {
        let metrics = Arc::<Metrics>::default();
        let refresher = Refresher::builder()
            .graphql(false)
            .metrics(Arc::clone(&metrics))
            .build()
            .unwrap();
        let mut opened = Vec::new();
        for number in 1..=4 {
            let refs = vec![reported("acme/web", "feature")];
            let lease = Arc::new(lease_of(&key(number).0, "http://127.0.0.1:1", refs));
            let (outcomes, mut found) = tokio::sync::mpsc::unbounded_channel();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            refresher.open(lease).run(deadline, &outcomes).await;
            // Whose account it is is asked first, and opens the breaker: what is not sent is no failure of
            // the ref.
            assert_eq!(found.try_recv().is_ok(), number <= 2);
            opened.push(metrics.host_breakers_opened.get());
        }
        assert_eq!(opened, [0, 0, 1, 1]);
    }
}
