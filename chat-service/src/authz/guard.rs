//! The production guard: a sample of what is about to be returned is decided again by Cedar itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use policy::{Action, Policies, Principal, Resource};
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::{
    chat::{Chat, ChatStatus},
    error::Error,
};

/// The default sampling rate: one call in this many is checked.
pub const DEFAULT_EVERY: u64 = 100;
/// Chats of a sampled call that are checked at most. Cedar takes some 50 µs for one.
const MAX_CHATS: usize = 20;

/// How often Cedar decided otherwise than the predicate. Anything but zero is a bug of ours.
#[derive(Clone, Debug, Default)]
pub struct Disagreements(Counter);

impl Disagreements {
    /// Registers the counter.
    pub fn register(registry: &mut Registry) -> Self {
        let counter = Counter::default();
        registry.register(
            "chat_policy_disagreements",
            "Chats that a predicate selected and Cedar denies, or that Cedar could not decide about",
            counter.clone(),
        );
        Self(counter)
    }

    /// How often so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// Whether one call is checked again.
#[derive(Clone, Copy, Debug)]
pub struct Sample(bool);

impl Sample {
    /// If so, the statement that selects its chats must read their shares, too.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.0
    }
}

/// Which calls are checked again. Cheap to clone; clones count calls together.
#[derive(Clone, Debug, Default)]
pub struct DecisionGuard {
    /// Zero: none.
    every: u64,
    calls: Arc<AtomicU64>,
    disagreements: Disagreements,
}

impl DecisionGuard {
    /// Checks one call in `every`; none if that is zero.
    #[must_use]
    pub fn new(every: u64, disagreements: Disagreements) -> Self {
        Self {
            every,
            calls: Arc::default(),
            disagreements,
        }
    }

    /// Whether the next call is in the sample.
    pub(super) fn sample(&self) -> Sample {
        let taken = self.every > 0
            && self
                .calls
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(self.every);
        Sample(taken)
    }

    /// If the call is in the sample, has Cedar decide again about its chats.
    pub(super) fn recheck(
        &self,
        sample: Sample,
        policies: &Policies,
        principal: &Principal,
        action: Action,
        chats: &[Chat],
    ) -> Result<(), Error> {
        let Sample(taken) = sample;
        if !taken {
            return Ok(());
        }
        self.check(policies, principal, action, chats)
            .map_err(|disagreement| {
                self.disagreements.0.inc();
                Error::Internal {
                    source: disagreement.into(),
                }
            })
    }

    /// Fails with a disagreement, in words for the log.
    fn check(
        &self,
        policies: &Policies,
        principal: &Principal,
        action: Action,
        chats: &[Chat],
    ) -> Result<(), String> {
        let most = if self.every == 1 {
            usize::MAX
        } else {
            MAX_CHATS
        };
        // Cedar refuses to decide about a status of a later release, which is not in its schema. No
        // policy can name it, either.
        let known = |chat: &&Chat| chat.status != ChatStatus::Unspecified;
        for chat in chats.iter().filter(known).take(most) {
            let resource = Resource::Chat(chat.id.0, chat.facts());
            let decided = policies
                .oracle()
                .is_authorized(principal, action, &resource);
            let problem = match decided {
                Ok(decided) if decided.allowed => continue,
                Ok(_) => String::new(),
                Err(error) => format!(": {error}"),
            };
            let (action, caller) = (action.name(), principal.name());
            return Err(format!(
                "the predicate for {action} selected chat {}, which Cedar denies {caller}{problem}",
                chat.id
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use policy::User;

    use super::*;
    use crate::events::watch::tests::{chat, user};

    #[test]
    fn what_cedar_denies_fails_the_call_and_is_counted() {
        let disagreements = Disagreements::default();
        let guard = DecisionGuard::new(1, disagreements.clone());
        let policies = Policies::embedded().unwrap();
        let id = user();
        let principal = Principal::User(User {
            id,
            organizations: BTreeMap::new(),
            groups: [].into(),
            site_roles: [].into(),
            suspended: false,
        });
        let recheck = |chats: &[Chat]| {
            let sample = guard.sample();
            guard.recheck(sample, &policies, &principal, Action::ReadChat, chats)
        };
        recheck(&[chat(id)]).unwrap();
        assert_eq!(disagreements.count(), 0);
        let refused = recheck(&[chat(id), chat(user())]);
        assert!(
            matches!(refused, Err(Error::Internal { .. })),
            "{refused:?}"
        );
        assert_eq!(disagreements.count(), 1);
    }
}
