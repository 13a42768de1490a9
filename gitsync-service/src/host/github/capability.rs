//! Whether a host has a GraphQL interface that this version understands, as its answers tell.
//!
//! A host without one says so at once. One that has answered before may have had a bad moment, or
//! may refuse one account only: turning it over to REST for a day takes a second account that hears
//! the same, or the same one a minute later with no other account answered in between.

use std::time::{Duration, Instant};

use proto::sync::BudgetKey;

/// How long a host is taken to be without GraphQL, or to have another version of it.
const WITHOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// When a second answer of the same account confirms the first.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// For how long a first answer waits for its confirmation.
const DOUBT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Default)]
pub(super) struct Capability {
    /// Whether it has answered, in this process.
    answered: bool,
    /// Which account heard that there is no GraphQL, and when.
    doubt: Option<(Instant, BudgetKey)>,
    without_until: Option<Instant>,
}

impl Capability {
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.without_until.is_none_or(|until| now >= until)
    }

    /// A query of `key` was understood. Of the account that was refused, another query may be.
    pub(super) fn answered(&mut self, key: &BudgetKey) {
        self.answered = true;
        self.doubt.take_if(|(_, doubting)| doubting != key);
    }

    /// A query of `key` was not understood, or the interface was not there.
    pub(super) fn missed(&mut self, key: &BudgetKey, now: Instant) {
        self.doubt.take_if(|(since, _)| now >= *since + DOUBT);
        let confirmed = self
            .doubt
            .as_ref()
            .is_some_and(|(since, doubting)| doubting != key || now >= *since + AGAIN_AFTER);
        if confirmed || !self.answered {
            self.without_until = Some(now + WITHOUT);
            self.doubt = None;
        } else if self.doubt.is_none() {
            self.doubt = Some((now, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        capability.missed(&key("ann"), now);
        assert!(!capability.is_usable(now + WITHOUT / 2));
        assert!(capability.is_usable(now + WITHOUT));
    }

    #[test]
    fn one_that_has_answered_is_believed_when_another_account_hears_it_too() {
        let (mut capability, now) = answered();
        for _ in 0..3 {
            capability.missed(&key("ann"), now);
            assert!(capability.is_usable(now));
        }
        capability.missed(&key("bob"), now);
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
            capability.missed(&key("ann"), now);
            capability.answered(&key("ann"));
            capability.missed(&key("ann"), now + after);
            assert_eq!(!capability.is_usable(now + after), believed, "{after:?}");
        }
    }

    #[test]
    fn but_not_the_same_one_alone_while_others_are_answered() {
        let (mut capability, now) = answered();
        capability.missed(&key("ann"), now);
        capability.answered(&key("bob"));
        capability.missed(&key("ann"), now + AGAIN_AFTER);
        assert!(capability.is_usable(now + AGAIN_AFTER));
    }

    #[test]
    fn one_odd_answer_is_not_believed_after_the_day_either() {
        let (mut capability, now) = answered();
        capability.missed(&key("ann"), now);
        capability.missed(&key("bob"), now);
        capability.missed(&key("ann"), now + WITHOUT);
        assert!(capability.is_usable(now + WITHOUT));
    }
}
