//! Counts accepted and refused credentials of a host, to detect that the host itself fails.

use std::{collections::HashMap, time::Duration};

use proto::sync::BudgetKey;
use tokio::time::Instant;

/// Window in which answers to several budgets are one state of the host.
const WINDOW: Duration = Duration::from_secs(60);
/// Budgets whose credentials are refused in a window, at least, until the host is blamed: fewer may
/// all be dead.
const REFUSED_BUDGETS: usize = 3;
/// Upper bound for how long refusals count as the host's failure while it accepts no credential.
/// Outages in which GitHub refused valid tokens lasted minutes, rarely an hour; if all tokens of a
/// small host are dead, their owners must be notified.
const BLAMED: Duration = Duration::from_secs(2 * 60 * 60);

/// The answers of a host to credentials.
#[derive(Debug, Default)]
pub(super) struct RefusedTokens {
    since: Option<Instant>,
    /// By budget, whether its last answer in the window refused the credential.
    last: HashMap<BudgetKey, bool>,
    /// Since when the host refuses many, without having taken one since.
    blamed_since: Option<Instant>,
}

impl RefusedTokens {
    /// Counts an answer. A host that takes a credential is not to blame until many more are
    /// refused.
    pub(super) fn count(&mut self, key: &BudgetKey, refused: bool, now: Instant) {
        if self.since.is_none_or(|since| now >= since + WINDOW) {
            self.last.clear();
            self.since = Some(now);
        }
        if self.last.get(key) != Some(&refused) {
            self.last.insert(key.clone(), refused);
        }
        if !refused {
            self.blamed_since = None;
            return;
        }
        let many = self.last.values().filter(|refused| **refused).count();
        if many >= REFUSED_BUDGETS && many * 2 > self.last.len() {
            self.blamed_since.get_or_insert(now);
        }
    }

    /// Whether the host is to blame for refusals.
    pub(super) fn are_of_host(&self, now: Instant) -> bool {
        self.blamed_since.is_some_and(|since| now < since + BLAMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> BudgetKey {
        BudgetKey(format!("github:{number}"))
    }

    fn refuse(tokens: &mut RefusedTokens, numbers: std::ops::Range<u32>, now: Instant) -> bool {
        for number in numbers {
            tokens.count(&key(number), true, now);
        }
        tokens.are_of_host(now)
    }

    #[test]
    fn two_dead_tokens_are_not_their_hosts_fault_however_often_they_are_refused() {
        let (mut tokens, now) = (RefusedTokens::default(), Instant::now());
        for _ in 0..10 {
            assert!(!refuse(&mut tokens, 0..2, now));
        }
        assert!(!refuse(&mut tokens, 2..3, now + WINDOW));
        assert!(refuse(&mut tokens, 0..2, now + WINDOW));
    }

    #[test]
    fn dead_tokens_among_as_many_good_ones_are_not_their_hosts_fault() {
        let (mut tokens, now) = (RefusedTokens::default(), Instant::now());
        for number in 100..150 {
            tokens.count(&key(number), false, now);
        }
        assert!(!refuse(&mut tokens, 0..50, now));
        assert!(refuse(&mut tokens, 50..51, now));
        tokens.count(&key(0), false, now);
        assert!(!tokens.are_of_host(now));
    }

    #[test]
    fn a_host_that_refuses_all_is_to_blame_until_it_takes_one_and_for_two_hours_at_most() {
        let (mut tokens, begun) = (RefusedTokens::default(), Instant::now());
        assert!(refuse(&mut tokens, 0..3, begun));
        // One trial request at a time: too few to be blamed for again.
        let mut now = begun;
        while now < begun + BLAMED {
            assert!(refuse(&mut tokens, 3..4, now));
            now += WINDOW;
        }
        assert!(!refuse(&mut tokens, 3..4, now));
        tokens.count(&key(3), false, now);
        assert!(refuse(&mut tokens, 0..3, now));
    }
}
