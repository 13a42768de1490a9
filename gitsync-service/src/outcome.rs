//! What a refresh of one ref found, and when to look again.

use std::{sync::Arc, time::Duration};

use crate::lease::Lane;

/// The answer for one ref, ready to be reported.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which ref.
    pub git_ref_id: String,
    /// From the lease.
    pub report_seq: i64,
    /// What was found.
    pub result: Result<Found, Problem>,
    /// When to look again.
    pub next: Next,
    /// `owner/name` that the ref's repository is a fork of, empty when it is none; absent when not
    /// learned.
    pub upstream_repository: Option<String>,
}

/// When a ref is to be looked up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Absent: not again until something happens.
    pub refresh_in: Option<Duration>,
    /// With which urgency.
    pub lane: Lane,
}

/// The host answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The branch's pull request. Shared, since several chats may be on one.
    PullRequest(Arc<PullRequest>),
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
    /// The account's rate limit is spent.
    #[error("the host's rate limit is spent for {} s", retry_after.as_secs())]
    RateLimited {
        /// How long the host said to wait.
        retry_after: Duration,
    },
    /// The host does not accept the token.
    #[error("the host does not accept the token")]
    CredentialRejected,
    /// The host knows the token and refuses the request.
    #[error("the host refuses access")]
    AccessDenied,
    /// The repository does not exist for this token.
    #[error("the repository does not exist for this token")]
    RepositoryNotFound,
    /// The host failed, timed out or could not be reached.
    #[error("the host is unavailable: {0}")]
    HostUnavailable(&'static str),
    /// The host answered something that is not an answer.
    #[error("the host's answer is invalid: {0}")]
    HostAnswerInvalid(&'static str),
    /// This worker does not speak the provider's protocol.
    #[error("the provider's protocol is not supported")]
    ProviderUnsupported,
    /// Our own fault.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl Problem {
    /// The class's name in metrics, logs and `GetWorkerState`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoAccount => "no_account",
            Self::RateLimited { .. } => "rate_limited",
            Self::CredentialRejected => "credential_rejected",
            Self::AccessDenied => "access_denied",
            Self::RepositoryNotFound => "repository_not_found",
            Self::HostUnavailable(_) => "host_unavailable",
            Self::HostAnswerInvalid(_) => "host_answer_invalid",
            Self::ProviderUnsupported => "provider_unsupported",
            Self::Internal(_) => "internal",
        }
    }
}

/// What the host's answers said about the account's rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetObservation {
    /// Requests allowed per window.
    pub limit: Option<i64>,
    /// Requests left in it.
    pub remaining: Option<i64>,
    /// How long the window still runs, by the host's clock.
    pub reset_in: Option<Duration>,
    /// Nothing may be sent for this budget key before this has passed.
    pub pause_for: Option<Duration>,
}
