//! What the process remembers of one GitHub: whether it has GraphQL, how much it answers at once,
//! and for which budgets it is slow or does not tell the account.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proto::sync::BudgetKey;

use super::{
    Settings,
    capability::Capability,
    sizes::{HOLD, Sizes},
};

/// For how long a host that does not tell a token's account at all is not asked again.
const NAMELESS: Duration = Duration::from_secs(24 * 60 * 60);
/// The same where it refuses to, which an administrator may change meanwhile.
const NAME_REFUSED: Duration = Duration::from_secs(60 * 60);
/// Budgets that are remembered. What is forgotten is learned again.
const MOST_BUDGETS: usize = 10_000;

/// One GitHub, for all leases of the process.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) settings: Settings,
    pub(super) sizes: Sizes,
    capability: Mutex<Capability>,
    slow: Expiring,
    nameless: Expiring,
}

impl Instance {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            sizes: Sizes::new(&settings),
            settings,
            capability: Mutex::default(),
            slow: Expiring::default(),
            nameless: Expiring::default(),
        }
    }

    /// Whether the host has a GraphQL interface of this version, as far as is known.
    pub(super) fn has_graphql(&self) -> bool {
        self.settings.graphql && self.capability().is_usable(Instant::now())
    }

    /// The host understood a query of `key`.
    pub(super) fn note_graphql(&self, key: &BudgetKey) {
        self.capability().answered(key);
    }

    /// The host has no GraphQL, or another version: so it told `key`.
    pub(super) fn note_no_graphql(&self, key: &BudgetKey) {
        self.capability().missed(key, Instant::now());
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

    /// The host does not tell whose account `key` is, or refuses to.
    pub(super) fn note_nameless(&self, key: &BudgetKey, refused: bool) {
        let duration = if refused { NAME_REFUSED } else { NAMELESS };
        self.nameless.note(key, duration, Instant::now());
    }

    /// Whether there is no use in asking whose account `key` is.
    pub(super) fn is_nameless(&self, key: &BudgetKey) -> bool {
        self.nameless.holds(key, Instant::now())
    }

    fn capability(&self) -> MutexGuard<'_, Capability> {
        self.capability
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A property of budgets that is forgotten after a time.
#[derive(Debug, Default)]
struct Expiring(Mutex<HashMap<BudgetKey, Instant>>);

impl Expiring {
    fn note(&self, key: &BudgetKey, duration: Duration, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST_BUDGETS {
            until.clear();
        }
        until.insert(key.clone(), now + duration);
    }

    fn holds(&self, key: &BudgetKey, now: Instant) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(key).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_of_a_budget_holds_for_its_time_and_for_no_other_budget() {
        let (slow, now) = (Expiring::default(), Instant::now());
        let [ann, bob] = ["ann", "bob"].map(|key| BudgetKey(key.to_owned()));
        slow.note(&ann, HOLD, now);
        assert!(slow.holds(&ann, now + HOLD / 2));
        assert!(!slow.holds(&ann, now + HOLD));
        assert!(!slow.holds(&bob, now));
    }
}
