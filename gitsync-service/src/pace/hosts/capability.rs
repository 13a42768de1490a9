//! Whether a host has a GraphQL interface that this version understands, as its answers tell.
//!
//! A host without one says so at once. One that has answered before may have had a bad moment, or be
//! in trouble with one account only: turning it over to REST for a day takes another account that hears
//! the same, or none that hears better for a minute.

use std::time::{Duration, Instant};

use crate::lease::BudgetKey;

/// When an answer that a host has no GraphQL is believed of the same account, if one more comes.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// For how long it waits for one more.
const DOUBT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Default)]
pub(super) struct Capability {
    /// Whether it has answered, in this process.
    answered: bool,
    doubted: Option<Doubt>,
    without_until: Option<Instant>,
}

#[derive(Debug)]
struct Doubt {
    since: Instant,
    key: BudgetKey,
    /// Another account was answered since.
    contradicted: bool,
}

impl Capability {
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.without_until.is_none_or(|until| now >= until)
    }

    /// A query for `key` was understood. That says nothing of other queries, so that no doubt ends.
    pub(super) fn answered(&mut self, key: &BudgetKey) {
        self.answered = true;
        if let Some(doubt) = &mut self.doubted {
            doubt.contradicted |= doubt.key != *key;
        }
    }

    /// A query for `key` was not understood, or the interface was not there. If that is believed, it holds
    /// for `ttl`.
    pub(super) fn missed(&mut self, key: &BudgetKey, ttl: Duration, now: Instant) {
        let doubted = self
            .doubted
            .as_ref()
            .filter(|doubt| now < doubt.since + DOUBT);
        let again = doubted.is_some_and(|doubt| {
            doubt.key != *key || (now >= doubt.since + AGAIN_AFTER && !doubt.contradicted)
        });
        if again || !self.answered {
            self.without_until = Some(now + ttl);
            self.doubted = None;
        } else if doubted.is_none() {
            self.doubted = Some(Doubt {
                since: now,
                key: key.clone(),
                contradicted: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(24 * 60 * 60);

    fn key(name: &str) -> BudgetKey {
        BudgetKey(name.to_owned())
    }

    fn answered() -> (Capability, Instant) {
        let mut capability = Capability::default();
        capability.answered(&key("zoe"));
        (capability, Instant::now())
    }

    #[test]
    fn a_host_that_never_answered_is_believed_at_once_and_for_a_day() {
        let (mut capability, now) = (Capability::default(), Instant::now());
        assert!(capability.is_usable(now));
        capability.missed(&key("ann"), TTL, now);
        assert!(!capability.is_usable(now + TTL / 2));
        assert!(capability.is_usable(now + TTL));
    }

    #[test]
    fn one_that_has_answered_is_believed_when_another_account_hears_it_too() {
        let (mut capability, now) = answered();
        for _ in 0..3 {
            capability.missed(&key("ann"), TTL, now);
            assert!(capability.is_usable(now));
        }
        capability.missed(&key("bob"), TTL, now);
        assert!(!capability.is_usable(now));
    }

    #[test]
    fn or_the_same_one_a_minute_later_and_not_much_later() {
        for (after, believed) in [
            (AGAIN_AFTER - Duration::from_secs(1), false),
            (AGAIN_AFTER, true),
            (DOUBT, false),
        ] {
            let (mut capability, now) = answered();
            capability.missed(&key("ann"), TTL, now);
            capability.answered(&key("ann"));
            capability.missed(&key("ann"), TTL, now + after);
            assert_eq!(!capability.is_usable(now + after), believed, "{after:?}");
        }
    }

    #[test]
    fn but_not_the_same_one_alone_while_others_are_answered() {
        let (mut capability, now) = answered();
        capability.missed(&key("ann"), TTL, now);
        capability.answered(&key("bob"));
        capability.missed(&key("ann"), TTL, now + AGAIN_AFTER);
        assert!(capability.is_usable(now + AGAIN_AFTER));
    }

    #[test]
    fn one_odd_answer_is_not_believed_after_the_day_either() {
        let (mut capability, now) = answered();
        capability.missed(&key("ann"), TTL, now);
        capability.missed(&key("bob"), TTL, now);
        capability.missed(&key("ann"), TTL, now + TTL);
        assert!(capability.is_usable(now + TTL));
    }
}
