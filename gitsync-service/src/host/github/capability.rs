//! What a host's GraphQL lacks, by its responses: the interface as a whole, or single fields.
//!
//! A host without GraphQL says so at once. A host whose GraphQL has worked may have a short outage,
//! or may refuse one account only: it is switched to REST after the same refusal of a second
//! account, or of the same one a minute later with no other account answered in between. A missing
//! capability is probed again after minutes, and then ever more rarely: the host may have been
//! upgraded.

use std::time::{Duration, Instant};

use proto::sync::BudgetKey;

/// When what a host lacks is asked for again; doubles each time that it is still lacking.
const FIRST_WAIT: Duration = Duration::from_secs(5 * 60);
/// How far that stretches.
const LAST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// When a second answer of the same account confirms the first.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// For how long a first answer waits for its confirmation.
const DOUBT: Duration = Duration::from_secs(60 * 60);

/// Something that a host lacks, and until when it is not asked for.
#[derive(Debug, Default)]
pub(super) struct Lack {
    until: Option<Instant>,
    wait: Duration,
}

impl Lack {
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The capability is missing. Returns whether the state changed.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        let is_news = self.until.is_none();
        if !self.holds(now) {
            self.wait = (self.wait * 2).clamp(FIRST_WAIT, LAST_WAIT);
            self.until = Some(now + self.wait);
        }
        is_news
    }

    /// The capability was probed and works. Returns whether the state changed.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        let is_news = self.until.is_some() && !self.holds(now);
        if is_news {
            *self = Self::default();
        }
        is_news
    }
}

/// Whether a host has a GraphQL interface that this version understands.
#[derive(Debug, Default)]
pub(super) struct Capability {
    /// Whether it has answered, in this process.
    answered: bool,
    /// Which account heard that there is no GraphQL, and when.
    doubt: Option<(Instant, BudgetKey)>,
    lack: Lack,
}

impl Capability {
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.lack.holds(now)
    }

    /// A query of `key` was understood. Of the account that was refused, another query may be.
    /// Returns whether the interface was taken to be lacking.
    pub(super) fn answered(&mut self, key: &BudgetKey, now: Instant) -> bool {
        self.answered = true;
        self.doubt.take_if(|(_, doubting)| doubting != key);
        self.lack.end(now)
    }

    /// A query of `key` was not understood, or the interface was not there; `own` if the host
    /// itself says so. Returns whether it is taken to be lacking from now on.
    pub(super) fn missed(&mut self, key: &BudgetKey, own: bool, now: Instant) -> bool {
        self.doubt.take_if(|(since, _)| now >= *since + DOUBT);
        let confirmed = self
            .doubt
            .as_ref()
            .is_some_and(|(since, doubting)| doubting != key || now >= *since + AGAIN_AFTER);
        if confirmed || (own && !self.answered) {
            self.doubt = None;
            return self.lack.note(now);
        }
        self.doubt.get_or_insert_with(|| (now, key.clone()));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> BudgetKey {
        BudgetKey(name.to_owned())
    }

    fn answered() -> (Capability, Instant) {
        let (mut capability, now) = (Capability::default(), Instant::now());
        capability.answered(&key("zoe"), now);
        (capability, now)
    }

    #[test]
    fn a_host_that_never_answered_is_believed_at_once_for_minutes_and_then_ever_longer() {
        let (mut capability, mut now) = (Capability::default(), Instant::now());
        assert!(capability.is_usable(now));
        let mut news = Vec::new();
        for wait in [5, 10, 20].map(|minutes| Duration::from_secs(minutes * 60)) {
            news.push(capability.missed(&key("ann"), true, now));
            capability.missed(&key("bob"), true, now);
            assert!(!capability.is_usable(now + wait - Duration::from_secs(1)));
            now += wait;
            assert!(capability.is_usable(now));
        }
        assert_eq!(news, [true, false, false]);
        assert!(capability.answered(&key("ann"), now), "it is back");
        assert!(!capability.answered(&key("ann"), now));
    }

    #[test]
    fn what_something_else_says_in_its_place_is_confirmed_first() {
        let (mut capability, now) = (Capability::default(), Instant::now());
        assert!(!capability.missed(&key("ann"), false, now));
        assert!(capability.is_usable(now));
        assert!(capability.missed(&key("bob"), false, now));
        assert!(!capability.is_usable(now));
    }

    #[test]
    fn one_that_has_answered_is_believed_when_another_account_hears_it_too() {
        let (mut capability, now) = answered();
        for _ in 0..3 {
            capability.missed(&key("ann"), true, now);
            assert!(capability.is_usable(now));
        }
        capability.missed(&key("bob"), true, now);
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
            capability.missed(&key("ann"), true, now);
            capability.answered(&key("ann"), now);
            capability.missed(&key("ann"), true, now + after);
            assert_eq!(!capability.is_usable(now + after), believed, "{after:?}");
        }
    }

    #[test]
    fn but_not_the_same_one_alone_while_others_are_answered() {
        let (mut capability, now) = answered();
        capability.missed(&key("ann"), true, now);
        capability.answered(&key("bob"), now);
        capability.missed(&key("ann"), true, now + AGAIN_AFTER);
        assert!(capability.is_usable(now + AGAIN_AFTER));
    }
}
