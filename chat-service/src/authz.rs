//! Who may do what.
//!
//! The policies (`policies/*.cedar`) are translated when they are loaded; for a known principal and
//! action they are a predicate over an unknown chat. The store prints it into SQL
//! (`store::predicate`), and [`Pred::holds`] interprets it for a chat that is in memory. An error
//! anywhere denies.

mod guard;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

pub use policy::{
    Action, Atom, Attribute, ChatFacts, Level, Pattern, Policies, Pred, Principal, Subject, User,
    Way,
};

pub use self::guard::{DEFAULT_EVERY, DecisionGuard, Disagreements, Sample};
use crate::{chat::Chat, error::Error, id::UserId};

/// A predicate that policy made for a principal and an action. Store functions take it by value:
/// only [`Authorizer`] makes one, so a list without authorization does not compile.
#[derive(Clone, Debug)]
pub struct Authorized {
    action: Action,
    pred: Pred,
}

impl Authorized {
    /// The predicate over a chat.
    #[must_use]
    pub fn pred(&self) -> &Pred {
        &self.pred
    }

    /// Whether a chat that is in memory satisfies it.
    #[must_use]
    pub fn holds(&self, chat: &ChatFacts<'_>) -> bool {
        self.pred.holds(chat)
    }

    /// The intersection of this and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            action: self.action,
            pred: Pred::all([self.pred, other.pred]),
        }
    }

    /// The action that it allows.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }
}

/// The policies of this binary, parsed once.
static EMBEDDED: LazyLock<Arc<Policies>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "what is built in is tested, and nothing is decided without it"
    )]
    Arc::new(Policies::embedded().expect("the embedded policies load"))
});

/// Decides. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer {
    policies: Arc<Policies>,
    guard: DecisionGuard,
}

impl Default for Authorizer {
    fn default() -> Self {
        Self::of(EMBEDDED.clone())
    }
}

impl Authorizer {
    /// Follows the policies of this binary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows `policies`.
    #[must_use]
    pub fn of(policies: Arc<Policies>) -> Self {
        Self {
            policies,
            guard: DecisionGuard::default(),
        }
    }

    /// Checks what is returned again, as `guard` says.
    #[must_use]
    pub fn guarded(self, guard: DecisionGuard) -> Self {
        Self { guard, ..self }
    }

    /// The chats on which `principal` may do `action`.
    #[must_use]
    pub fn chats(&self, principal: &Principal, action: Action) -> Authorized {
        Authorized {
            action,
            pred: self.policies.compile(principal, action),
        }
    }

    /// The chats that another user shared with `principal`: those it may read for that reason.
    #[must_use]
    pub fn shared_chats(&self, principal: &Principal) -> Authorized {
        let action = Action::ReadChat;
        let shared = self.policies.compile_shares(principal, action);
        // A user's own chats were shared with others, whatever else they match.
        let own = principal
            .user_id()
            .map_or(Pred::False, |user| Pred::Atom(Atom::Owner([user].into())));
        Authorized {
            action,
            pred: Pred::all([shared, own.negated()]),
        }
    }

    /// By which attributes of a chat, beside its shares, it is decided who may read it.
    #[must_use]
    pub fn deciding_reading(&self) -> BTreeSet<Attribute> {
        self.policies.attributes(Action::ReadChat)
    }

    /// Whether `principal` may create `chat`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn create_chat(&self, principal: &Principal, chat: &ChatFacts<'_>) -> Result<(), Error> {
        self.decide(principal, Action::CreateChat, chat)
    }

    /// Whether `principal` may do `action` to the git accounts of `user`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn git_accounts(
        &self,
        principal: &Principal,
        action: Action,
        user: UserId,
    ) -> Result<(), Error> {
        self.decide(principal, action, &ChatFacts::of_owner(user))
    }

    /// Whether `principal` may do `action`, which is about no chat and no user.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub fn site(&self, principal: &Principal, action: Action) -> Result<(), Error> {
        // Policies about the site as a whole leave nothing that could be asked of a chat.
        if self.chats(principal, action).pred == Pred::True {
            Ok(())
        } else {
            Err(not_allowed(action))
        }
    }

    /// Whether the next call is one of those about which Cedar itself decides again.
    #[must_use]
    pub fn sample(&self) -> Sample {
        self.guard.sample()
    }

    /// Has Cedar itself decide again about the chats of a call, if that is in the sample.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when it decides otherwise: better no answer than one chat too many.
    pub fn recheck(
        &self,
        sample: Sample,
        principal: &Principal,
        action: Action,
        chats: &[Chat],
    ) -> Result<(), Error> {
        let policies = &self.policies;
        self.guard
            .recheck(sample, policies, principal, action, chats)
    }

    fn decide(
        &self,
        principal: &Principal,
        action: Action,
        facts: &ChatFacts<'_>,
    ) -> Result<(), Error> {
        if self.chats(principal, action).holds(facts) {
            Ok(())
        } else {
            Err(not_allowed(action))
        }
    }
}

/// The right to read the credentials of what is leased. The store reads none without it.
pub(crate) struct CredentialAccess(());

impl CredentialAccess {
    /// Asks policy.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`].
    pub(crate) fn of(authorizer: &Authorizer, principal: &Principal) -> Result<Self, Error> {
        authorizer.site(principal, Action::ReadGitCredential)?;
        Ok(Self(()))
    }
}

fn not_allowed(action: Action) -> Error {
    Error::NotAllowed {
        action: action.name(),
    }
}
