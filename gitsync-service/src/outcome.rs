//! What a refresh of one ref found, in the words of the contract, and what goes wrong on the way.

use std::{sync::Arc, time::Duration};

pub use proto::sync::{
    BudgetObservation, CredentialObservation, CredentialState, Finding, FoundPullRequest, Head,
    Learned, Next, Outcome, Pause, ProblemClass, ProblemName, PullRequest, PullRequestState,
};

/// The host answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The branch's pull request. Shared, since several chats may be on one.
    PullRequest(Arc<FoundPullRequest>),
    /// The known pull request is as it was.
    Unchanged,
    /// The branch has none.
    NoPullRequest,
    /// The pull request was known and no longer exists.
    Gone,
}

impl Found {
    /// As it is reported.
    #[must_use]
    pub fn finding(&self) -> Finding {
        match self {
            Self::PullRequest(found) => Finding::PullRequest(Arc::clone(found)),
            Self::Unchanged => Finding::Unchanged,
            Self::NoPullRequest => Finding::NoPullRequest,
            Self::Gone => Finding::Gone,
        }
    }
}

/// What the reviews of a pull request amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviewSummary {
    /// Some reviewer's latest decisive review asks for changes.
    pub changes_requested: bool,
    /// Somebody approved and nobody's latest decisive review asks for changes.
    pub approved: bool,
    /// Reviewers with a decisive review.
    pub reviewer_count: i32,
}

/// Why a refresh brought nothing. The text says what happened and never quotes the host's answer,
/// a token, or a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The owner has linked no account at the provider.
    #[error("no account is linked at the provider")]
    NoAccount,
    /// The rate limit of one interface is spent.
    #[error("the host's rate limit is spent for {} s", retry_after.as_secs())]
    RateLimited {
        /// Which.
        interface: Interface,
        /// How long the host said to wait.
        retry_after: Duration,
    },
    /// What is left of the rate limit of one interface is the account owner's.
    #[error("what is left of the host's rate limit is kept for {} s", retry_after.as_secs())]
    Reserved {
        /// Which.
        interface: Interface,
        /// Until the window ends.
        retry_after: Duration,
    },
    /// The host wants to be left alone, though no limit is spent.
    #[error("the host wants no requests for {} s", retry_after.as_secs())]
    SecondaryLimited {
        /// How long it said, or is known to want.
        retry_after: Duration,
    },
    /// The host refused the token once; it is asked once more.
    #[error("the host refused the token once")]
    CredentialSuspect,
    /// The host does not accept the token, and said so twice.
    #[error("the host does not accept the token")]
    CredentialRejected,
    /// The account is suspended, or locked for a while.
    #[error("the account is suspended or locked at the host")]
    AccountLocked,
    /// The organization wants single sign-on.
    #[error("the organization wants the token to be authorized by single sign-on")]
    SsoRequired,
    /// The organization does not allow this service's address.
    #[error("the organization does not allow this address")]
    AddressNotAllowed,
    /// The host knows the token and refuses the request.
    #[error("the host refuses access")]
    AccessDenied,
    /// The repository does not exist for this token.
    #[error("the repository does not exist for this token")]
    RepositoryNotFound,
    /// The host blocked the repository, for legal reasons or its own rules.
    #[error("the host blocked the repository")]
    RepositoryBlocked,
    /// The pull request was just created and is not shown everywhere yet.
    #[error("the host does not show the new pull request everywhere yet")]
    NotReady,
    /// The host gives up on the question, even asked alone.
    #[error("the host gives up on the question")]
    QueryTooHeavy,
    /// The host failed, timed out or could not be reached.
    #[error("the host is unavailable: {0}")]
    HostUnavailable(&'static str),
    /// The host failed several accounts: its circuit breaker is open.
    #[error("the host is spared for {} s", retry_after.as_secs())]
    HostSpared {
        /// Until one request may find out whether it is back.
        retry_after: Duration,
    },
    /// The host answered something that is not an answer.
    #[error("the host's answer is invalid: {0}")]
    HostAnswerInvalid(&'static str),
    /// The host and this version do not understand each other.
    #[error("the host does not understand this service: {0}")]
    HostIncompatible(&'static str),
    /// This worker does not speak the provider's protocol.
    #[error("the provider's protocol is not supported")]
    ProviderUnsupported,
    /// The lease's turn is over: a person waits for another ref of its budget.
    #[error("the turn of the lease is over")]
    TurnOver,
    /// Our own fault.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// One of a host's interfaces, each with a rate limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// Counts requests.
    Rest,
    /// Counts points.
    Graphql,
}

/// What a problem concerns besides the ref that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This ref.
    Ref,
    /// All refs in the repository that are looked up with the same credential.
    Repository,
    /// All refs that are looked up with the same credential.
    Credential,
    /// All refs of the budget key.
    Budget,
    /// All refs at the host.
    Host,
}

impl Interface {
    /// The name of its rate limit window in the contract.
    #[must_use]
    pub fn window(self) -> &'static str {
        match self {
            Self::Rest => "core",
            Self::Graphql => "graphql",
        }
    }
}

impl Problem {
    /// The class that it is reported and shown as.
    #[must_use]
    pub fn class(&self) -> ProblemClass {
        match self {
            Self::NoAccount => ProblemClass::NoAccount,
            Self::RateLimited { .. } => ProblemClass::RateLimited,
            Self::Reserved { .. } => ProblemClass::LimitReserved,
            Self::SecondaryLimited { .. } => ProblemClass::SecondaryLimited,
            Self::CredentialSuspect => ProblemClass::CredentialSuspect,
            Self::CredentialRejected => ProblemClass::CredentialRejected,
            Self::AccountLocked => ProblemClass::AccountLocked,
            Self::SsoRequired => ProblemClass::SsoRequired,
            Self::AddressNotAllowed => ProblemClass::AddressNotAllowed,
            Self::AccessDenied => ProblemClass::AccessDenied,
            Self::RepositoryNotFound => ProblemClass::RepositoryNotFound,
            Self::RepositoryBlocked => ProblemClass::RepositoryBlocked,
            Self::NotReady => ProblemClass::NotReady,
            Self::QueryTooHeavy => ProblemClass::QueryTooHeavy,
            Self::HostUnavailable(_) | Self::HostSpared { .. } => ProblemClass::HostUnavailable,
            Self::HostAnswerInvalid(_) => ProblemClass::HostAnswerInvalid,
            Self::HostIncompatible(_) => ProblemClass::HostIncompatible,
            Self::ProviderUnsupported => ProblemClass::ProviderUnsupported,
            Self::TurnOver => ProblemClass::Unspecified,
            Self::Internal(_) => ProblemClass::Internal,
        }
    }

    /// Whether it is of the budget, the credential or the host's breaker rather than of a ref: a ref that
    /// meets it has no outcome and stays due, and the report says it of the budget or the credential.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Reserved { .. }
            | Self::SecondaryLimited { .. }
            | Self::CredentialSuspect
            | Self::CredentialRejected
            | Self::AccountLocked
            | Self::HostSpared { .. }
            | Self::TurnOver => true,
            Self::NoAccount
            | Self::SsoRequired
            | Self::AddressNotAllowed
            | Self::AccessDenied
            | Self::RepositoryNotFound
            | Self::RepositoryBlocked
            | Self::NotReady
            | Self::QueryTooHeavy
            | Self::HostUnavailable(_)
            | Self::HostAnswerInvalid(_)
            | Self::HostIncompatible(_)
            | Self::ProviderUnsupported
            | Self::Internal(_) => false,
        }
    }

    /// Whether it is of one interface's limit, so that another interface may serve.
    #[must_use]
    pub fn is_of_one_limit(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Reserved { .. })
    }

    /// What it concerns besides the ref that met it: of a repository, the one that was asked about.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::NotReady
            | Self::QueryTooHeavy
            | Self::HostAnswerInvalid(_)
            | Self::Internal(_) => Scope::Ref,
            Self::AccessDenied
            | Self::RepositoryNotFound
            | Self::RepositoryBlocked
            | Self::SsoRequired
            | Self::AddressNotAllowed => Scope::Repository,
            Self::NoAccount | Self::CredentialSuspect | Self::CredentialRejected => {
                Scope::Credential
            }
            Self::RateLimited { .. }
            | Self::Reserved { .. }
            | Self::SecondaryLimited { .. }
            | Self::AccountLocked
            | Self::TurnOver => Scope::Budget,
            Self::HostUnavailable(_)
            | Self::HostSpared { .. }
            | Self::HostIncompatible(_)
            | Self::ProviderUnsupported => Scope::Host,
        }
    }
}
