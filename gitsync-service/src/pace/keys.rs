//! What this process knows of budget keys beside what all workers share.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::lease::BudgetKey;

use super::Settings;

/// A detail that takes longer costs the host more than the question what changed and then the detail of
/// that. GitHub charges both with the same point.
pub const SLOW_DETAIL: Duration = Duration::from_secs(3);
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
        let mut known = self.lock();
        if known.len() >= MOST_KEYS && !known.contains_key(&key.0) {
            known.clear();
        }
        let key = known.entry(key.0.clone()).or_default();
        key.slow_until = Some(now + self.settings.batch_hold);
    }

    /// Whether it is better to ask first what changed, however few there are.
    #[must_use]
    pub fn is_slow(&self, key: &BudgetKey) -> bool {
        self.is_slow_at(key, Instant::now())
    }

    fn is_slow_at(&self, key: &BudgetKey, now: Instant) -> bool {
        let known = self.lock();
        let until = known.get(&key.0).and_then(|key| key.slow_until);
        until.is_some_and(|until| now < until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::batches::HOLD, *};

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
}
