//! The process's state of one GitHub: whether it has GraphQL and with which fields, how much it
//! answers at once, and for which budgets it is slow or hides the account.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use proto::sync::{BudgetKey, RepositoryPath};
use url::Url;

use super::{
    Settings,
    capability::{Capability, Lack},
    sizes::{HOLD, Sizes},
    thread_authors::ThreadAuthors,
};

/// How long the account of a token is not asked for again after the host did not return it.
const NAMELESS: Duration = Duration::from_secs(24 * 60 * 60);
/// The same where it refuses to, which an administrator may change meanwhile.
const NAME_REFUSED: Duration = Duration::from_secs(60 * 60);
/// How long the checks of a repository are read over REST alone, after they failed over GraphQL.
const HEAVY_CHECKS: Duration = Duration::from_secs(60 * 60);
/// The state of a host whose GraphQL is not used, for operators.
pub(super) const NO_GRAPHQL: &str = "graphql_left";
/// Budgets, or repositories, that are remembered. What is forgotten is learned again.
const MOST_REMEMBERED: usize = 10_000;

/// One GitHub, for all leases of the process.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) settings: Settings,
    pub(super) sizes: Sizes,
    pub(super) thread_authors: ThreadAuthors,
    /// It has GraphQL, whatever is answered in a bad moment.
    is_public: bool,
    capability: Mutex<Capability>,
    /// Fields that its GraphQL lacks.
    dropped: Mutex<BTreeMap<&'static str, Lack>>,
    /// It refused the version of the REST API that is asked for.
    unversioned: AtomicBool,
    slow: TtlSet<BudgetKey>,
    nameless: TtlSet<BudgetKey>,
    /// The repositories whose checks are too heavy for its GraphQL.
    heavy_checks: TtlSet<RepositoryPath>,
}

impl Instance {
    pub(super) fn new(settings: Settings, base: &str) -> Self {
        let host = Url::parse(base).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
        Self {
            settings,
            sizes: Sizes::default(),
            thread_authors: ThreadAuthors::default(),
            is_public: host == "api.github.com" || host.ends_with(".ghe.com"),
            capability: Mutex::default(),
            dropped: Mutex::default(),
            unversioned: AtomicBool::new(false),
            slow: TtlSet::default(),
            nameless: TtlSet::default(),
            heavy_checks: TtlSet::default(),
        }
    }

    /// Whether GitHub itself runs it, and not an enterprise whose release may be older.
    pub(super) fn is_public(&self) -> bool {
        self.is_public
    }

    /// Whether the host has a GraphQL interface of this version, as far as is known.
    pub(super) fn has_graphql(&self) -> bool {
        self.settings.graphql && self.capability().is_usable(Instant::now())
    }

    /// Notes that a query of `key`, sent `without` some fields, succeeded: it proves nothing of
    /// those fields. Returns the fields that the host was assumed to lack until now.
    pub(super) fn note_graphql(&self, key: &BudgetKey, without: &[&str]) -> Vec<&'static str> {
        self.note_graphql_at(key, without, Instant::now())
    }

    fn note_graphql_at(
        &self,
        key: &BudgetKey,
        without: &[&str],
        now: Instant,
    ) -> Vec<&'static str> {
        let mut back = Vec::new();
        back.extend(self.capability().answered(key, now).then_some(NO_GRAPHQL));
        let mut dropped = self.dropped();
        let asked = dropped
            .iter_mut()
            .filter(|(field, _)| !without.contains(*field));
        back.extend(asked.filter_map(|(field, lack)| lack.end(now).then_some(*field)));
        back
    }

    /// The host has no GraphQL, or another version: so `key` heard, from the host's `own` mouth or
    /// from something before it. Returns whether GraphQL is left from now on.
    pub(super) fn note_no_graphql(&self, key: &BudgetKey, own: bool) -> bool {
        !self.is_public && self.capability().missed(key, own, Instant::now())
    }

    /// The host's GraphQL lacks this field. Returns whether the state changed.
    pub(super) fn drop_field(&self, field: &'static str) -> bool {
        self.dropped()
            .entry(field)
            .or_default()
            .note(Instant::now())
    }

    /// The fields that are not asked for.
    pub(super) fn dropped_fields(&self) -> Vec<&'static str> {
        let now = Instant::now();
        let dropped = self.dropped();
        let dropped = dropped.iter().filter(|(_, lack)| lack.holds(now));
        dropped.map(|(field, _)| *field).collect()
    }

    /// Whether the host has the version of the REST API that is asked for, as far as is known.
    /// Without a version, it answers in the oldest that it has.
    pub(super) fn has_api_version(&self) -> bool {
        !self.unversioned.load(Ordering::Relaxed)
    }

    /// The host refused that version, until the process ends: both are understood.
    pub(super) fn note_no_api_version(&self) {
        self.unversioned.store(true, Ordering::Relaxed);
    }

    /// A request for whole statuses of `key` took so long.
    pub(super) fn note_detail(&self, key: &BudgetKey, took: Duration) {
        if took > self.settings.slow_detail {
            self.slow.note(key, HOLD, Instant::now());
        }
    }

    /// Whether it is cheaper to ask first what changed, however few pull requests there are.
    pub(super) fn is_slow(&self, key: &BudgetKey) -> bool {
        self.slow.holds(key, Instant::now())
    }

    /// The host does not return the account of `key`, or refuses to.
    pub(super) fn note_nameless(&self, key: &BudgetKey, refused: bool) {
        let duration = if refused { NAME_REFUSED } else { NAMELESS };
        self.nameless.note(key, duration, Instant::now());
    }

    /// Whether there is no use in asking whose account `key` is.
    pub(super) fn is_nameless(&self, key: &BudgetKey) -> bool {
        self.nameless.holds(key, Instant::now())
    }

    /// Notes that the host fails on this repository's checks, and on nothing else of it.
    pub(super) fn note_heavy_checks(&self, repository: &RepositoryPath) {
        self.heavy_checks
            .note(repository, HEAVY_CHECKS, Instant::now());
    }

    /// Whether it did, of late.
    pub(super) fn has_heavy_checks(&self, repository: &RepositoryPath) -> bool {
        self.heavy_checks.holds(repository, Instant::now())
    }

    fn dropped(&self) -> MutexGuard<'_, BTreeMap<&'static str, Lack>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn capability(&self) -> MutexGuard<'_, Capability> {
        self.capability
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A property of budgets, or of repositories, that is forgotten after a time.
#[derive(Debug)]
struct TtlSet<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for TtlSet<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> TtlSet<K> {
    fn note(&self, key: &K, duration: Duration, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST_REMEMBERED {
            until.clear();
        }
        until.insert(key.clone(), now + duration);
    }

    fn holds(&self, key: &K, now: Instant) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(key).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_is_never_given_up_on_github_itself() {
        for (base, is_left) in [
            ("https://api.github.com", false),
            ("https://api.acme.ghe.com", false),
            ("https://github.acme.com/api/v3", true),
        ] {
            let instance = Instance::new(Settings::default(), base);
            for key in ["ann", "bob"] {
                instance.note_no_graphql(&BudgetKey(key.to_owned()), true);
            }
            assert_eq!(!instance.has_graphql(), is_left, "{base}");
        }
    }

    #[test]
    fn a_query_without_a_field_does_not_say_that_the_host_has_it() {
        let instance = Instance::new(Settings::default(), "https://github.acme.com/api/v3");
        let (ann, field) = (BudgetKey("ann".to_owned()), "isInMergeQueue");
        assert!(instance.drop_field(field));
        // The request was sent while the field was dropped, and answered when the field is due for
        // a retry.
        let later = Instant::now() + Duration::from_secs(60 * 60);
        let none: [&str; 0] = [];
        assert_eq!(instance.note_graphql_at(&ann, &[field], later), none);
        assert!(!instance.drop_field(field), "it is still lacking");
        assert_eq!(instance.note_graphql_at(&ann, &[], later), [field]);
    }

    #[test]
    fn a_property_of_a_budget_holds_for_its_time_and_for_no_other_budget() {
        let (slow, now) = (TtlSet::default(), Instant::now());
        let [ann, bob] = ["ann", "bob"].map(|key| BudgetKey(key.to_owned()));
        slow.note(&ann, HOLD, now);
        assert!(slow.holds(&ann, now + HOLD / 2));
        assert!(!slow.holds(&ann, now + HOLD));
        assert!(!slow.holds(&bob, now));
    }
}
