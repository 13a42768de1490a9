//! What a refresh of one ref found, and when to look again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::lease::{BatchSizes, Lane, Window};

/// The answer for one ref, ready to be reported.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which ref.
    pub git_ref_id: String,
    /// From the lease.
    pub report_seq: i64,
    /// What was found.
    pub result: Result<Found, Problem>,
    /// What a problem concerns besides the ref: not its repository, where another one may be the one that
    /// has the problem. Without a problem: the ref.
    pub scope: Scope,
    /// When to look again.
    pub next: Next,
    /// `owner/name` that the ref's repository is a fork of, empty when it is none; absent when not
    /// learned.
    pub upstream_repository: Option<String>,
    /// Opaque to chat-service: tells the next refresh whether the pull request changed. Absent: as
    /// it was.
    pub fingerprint: Option<String>,
    /// Opaque to chat-service: lets the host answer the next refresh that nothing changed. Absent:
    /// as it was.
    pub validator: Option<String>,
    /// `owner/name` that the host calls the ref's repository now, empty when that is as it was reported;
    /// absent when not learned.
    pub canonical_repository: Option<String>,
}

/// When a ref is to be looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Absent: not again until something happens.
    pub refresh_in: Option<Duration>,
    /// With which urgency.
    pub lane: Lane,
    /// What `refresh_in` is when the budget is ample, without jitter. Absent: the same.
    pub base: Option<Duration>,
}

/// The host answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The branch's pull request. Shared, since several chats may be on one.
    PullRequest(Arc<PullRequest>),
    /// The known pull request is as it was.
    Unchanged,
    /// The branch has none.
    NoPullRequest,
    /// The pull request was known and no longer exists.
    Gone,
}

/// A pull request's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// `owner/name` of the repository that it is in.
    pub repository: String,
    /// Its number there.
    pub number: i32,
    /// Its page for people.
    pub url: String,
    /// Whether it is settled, and how.
    pub state: PullRequestState,
    /// The host's draft flag, whatever the state.
    pub draft: bool,
    /// Its title.
    pub title: String,
    /// Its reviews.
    pub reviews: ReviewSummary,
    /// Lines added.
    pub additions: i32,
    /// Lines deleted.
    pub deletions: i32,
    /// Files changed.
    pub changed_files: i32,
    /// Commits in it.
    pub commits: i32,
    /// The branch that it brings.
    pub head_branch: String,
    /// The branch that it goes to.
    pub base_branch: String,
    /// The commit at its head.
    pub head_sha: String,
    /// Absent when the author's account is gone.
    pub author: Option<Author>,
    /// The host's own id, which survives renames.
    pub node_id: Option<String>,
    /// When it last changed, by the host's clock.
    pub updated_at: Option<Timestamp>,
}

/// Who opened a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Login name.
    pub login: String,
    /// Where the avatar is.
    pub avatar_url: Option<String>,
}

/// Whether a pull request is settled, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestState {
    /// Open, draft or not.
    Open,
    /// Merged.
    Merged,
    /// Closed without a merge.
    Closed,
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
    /// The host answered something that is not an answer.
    #[error("the host's answer is invalid: {0}")]
    HostAnswerInvalid(&'static str),
    /// The host and this version do not understand each other.
    #[error("the host does not understand this service: {0}")]
    HostIncompatible(&'static str),
    /// This worker does not speak the provider's protocol.
    #[error("the provider's protocol is not supported")]
    ProviderUnsupported,
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

impl Problem {
    /// The class's name in metrics, logs and `GetWorkerState`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoAccount => "no_account",
            Self::RateLimited { .. } => "rate_limited",
            Self::SecondaryLimited { .. } => "secondary_limited",
            Self::CredentialSuspect => "credential_suspect",
            Self::CredentialRejected => "credential_rejected",
            Self::AccountLocked => "account_locked",
            Self::SsoRequired => "sso_required",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::AccessDenied => "access_denied",
            Self::RepositoryNotFound => "repository_not_found",
            Self::RepositoryBlocked => "repository_blocked",
            Self::NotReady => "not_ready",
            Self::QueryTooHeavy => "query_too_heavy",
            Self::HostUnavailable(_) => "host_unavailable",
            Self::HostAnswerInvalid(_) => "host_answer_invalid",
            Self::HostIncompatible(_) => "host_incompatible",
            Self::ProviderUnsupported => "provider_unsupported",
            Self::Internal(_) => "internal",
        }
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
            Self::RateLimited { .. } | Self::SecondaryLimited { .. } | Self::AccountLocked => {
                Scope::Budget
            }
            Self::HostUnavailable(_) | Self::HostIncompatible(_) | Self::ProviderUnsupported => {
                Scope::Host
            }
        }
    }
}

/// What the host's answers said about the account's rate limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetObservation {
    /// The account's id as the host itself told it.
    pub account_id: Option<String>,
    /// The REST interface.
    pub rest: Window,
    /// The GraphQL interface.
    pub graphql: Window,
    /// Nothing may be sent for this budget key, to any interface, before this has passed.
    pub pause_for: Option<Duration>,
    /// Secondary limits met since the last report.
    pub secondary_refusals: u32,
    /// GraphQL requests sent since the last report.
    pub graphql_requests: u32,
    /// What was learned of batch sizes.
    pub batches: Option<BatchSizes>,
}

/// What the host's answers said about a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialObservation {
    /// Which, as the lease names it.
    pub credential_id: String,
    /// Whether the host takes it.
    pub state: CredentialState,
    /// When to confirm that a suspect one is refused. Nothing is sent with it before.
    pub confirm_in: Option<Duration>,
}

/// Whether the host takes a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// It does.
    Accepted,
    /// It refused it once.
    Suspect,
    /// It refused it again.
    Rejected,
}
