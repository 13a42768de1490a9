//! The worker's own ceiling for hosts that state no rate limit, as an Enterprise one does by
//! default.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proto::sync::BudgetKey;
use tokio::time::Instant;

/// Requests a minute of a budget to a host that states no limit. A minute's worth may be sent at
/// once. Each worker counts its own.
pub const LOCAL_CEILING: u32 = 30;
/// Budgets that are remembered. What is forgotten is learned again.
const MOST_BUDGETS: usize = 10_000;

/// A leaky bucket for each budget.
#[derive(Debug)]
pub(super) struct LocalCeiling {
    /// Requests a minute; 0: unlimited.
    per_minute: u32,
    budgets: Mutex<HashMap<String, LeakyBucket>>,
}

#[derive(Debug, Default)]
struct LeakyBucket {
    /// Windows of which an answer stated no limit.
    unlimited: HashSet<&'static str>,
    level: f64,
    at: Option<Instant>,
}

impl LocalCeiling {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            budgets: Mutex::default(),
        }
    }

    /// An answer stated a limit of the window, or stated none.
    pub(super) fn observe(&self, key: &BudgetKey, window: &'static str, limited: bool) {
        self.with(key, |bucket| {
            if limited {
                bucket.unlimited.remove(window);
            } else {
                bucket.unlimited.insert(window);
            }
        });
    }

    /// Requests a second of a budget to this window. `None`: the host states a limit, or nothing is
    /// known of it.
    pub(super) fn per_second(&self, key: &BudgetKey, window: &str) -> Option<f64> {
        let budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = budgets.get(&key.0)?.unlimited.contains(window);
        (is_ours && self.per_minute > 0).then(|| f64::from(self.per_minute) / 60.0)
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// How long a request that `may_wait` is to wait: then it is not counted.
    pub(super) fn begin(
        &self,
        key: &BudgetKey,
        window: &'static str,
        may_wait: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let most = f64::from(self.per_minute);
        let a_second = most / 60.0;
        self.with(key, |bucket| {
            let passed = bucket.at.map(|at| now.saturating_duration_since(at));
            let leaked = passed.unwrap_or_default().as_secs_f64() * a_second;
            let level = (bucket.level - leaked).max(0.0) + 1.0;
            if level > most && may_wait && bucket.unlimited.contains(window) {
                return Err(Duration::from_secs_f64((level - most) / a_second));
            }
            (bucket.level, bucket.at) = (level, Some(now));
            Ok(())
        })
    }

    fn with<T>(&self, key: &BudgetKey, act: impl FnOnce(&mut LeakyBucket) -> T) -> T {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= MOST_BUDGETS && !budgets.contains_key(&key.0) {
            budgets.clear();
        }
        act(budgets.entry(key.0.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_goes_at_once_and_then_one_after_the_other() {
        let (ceiling, mut now) = (LocalCeiling::new(LOCAL_CEILING), Instant::now());
        let key = BudgetKey("key".to_owned());
        ceiling.observe(&key, "core", false);
        let begin = |window, may_wait, now| ceiling.begin(&key, window, may_wait, now);
        for _ in 0..LOCAL_CEILING {
            assert_eq!(begin("core", true, now), Ok(()));
        }
        for _ in 0..10 {
            let wait = begin("core", true, now).unwrap_err();
            assert!(wait.abs_diff(Duration::from_secs(2)) < Duration::from_millis(1));
            now += wait;
            assert_eq!(begin("core", true, now), Ok(()));
        }
        // A request that does not wait is counted, and a window that the host limits is not ours
        // to.
        assert_eq!(begin("core", false, now), Ok(()));
        assert_eq!(begin("graphql", true, now), Ok(()));
        let wait = begin("core", true, now).unwrap_err();
        assert!(wait > Duration::from_secs(5), "{wait:?}");
    }
}
