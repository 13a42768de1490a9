//! A chat's git ref and its pull request as last known.

use jiff::Timestamp;

use crate::{
    id::{ChatId, GitRefId},
    text_enum::text_enum,
};

/// Git refs of one chat at most; the one reported longest ago makes room, those without an open
/// pull request first.
pub const MAX_GIT_REFS: i64 = 20;

text_enum! {
    /// Where a pull request stands; whether it is a draft is another question.
    PullRequestState {
        /// Not decided.
        Open = "open",
        /// Merged.
        Merged = "merged",
        /// Closed without a merge.
        Closed = "closed",
    }
}

text_enum! {
    /// How fresh the knowledge is.
    Freshness {
        /// Known, and not due.
        Fresh = "fresh",
        /// Due.
        Due = "due",
        /// A worker is at it.
        Refreshing = "refreshing",
        /// Nothing is asked for now.
        Paused = "paused",
    }
}

text_enum! {
    /// Why a refresh brought nothing.
    ProblemClass {
        /// The owner has linked no account.
        NoAccount = "no_account",
        /// The account's rate limit is spent.
        RateLimited = "rate_limited",
        /// The host does not accept the token.
        CredentialRejected = "credential_rejected",
        /// The host refuses the request.
        AccessDenied = "access_denied",
        /// The repository does not exist for this token.
        RepositoryNotFound = "repository_not_found",
        /// The pull request was known and is gone.
        PullRequestGone = "pull_request_gone",
        /// The host failed or could not be reached.
        HostUnavailable = "host_unavailable",
        /// The host's answer is none.
        HostAnswerInvalid = "host_answer_invalid",
        /// The worker does not speak this provider's protocol.
        ProviderUnsupported = "provider_unsupported",
        /// Our own fault.
        Internal = "internal",
        /// The host wants to be left alone, though the limit is not spent.
        SecondaryLimited = "secondary_limited",
        /// The host refused the token once.
        CredentialSuspect = "credential_suspect",
        /// The account is suspended, or locked for a while.
        AccountLocked = "account_locked",
        /// The organization wants single sign-on.
        SsoRequired = "sso_required",
        /// The organization does not allow this service's address.
        AddressNotAllowed = "address_not_allowed",
        /// The pull request was just created and is not shown everywhere yet.
        NotReady = "not_ready",
        /// The host gives up on the question.
        QueryTooHeavy = "query_too_heavy",
        /// The host and the worker do not understand each other.
        HostIncompatible = "host_incompatible",
        /// The host blocked the repository.
        RepositoryBlocked = "repository_blocked",
    }
}

/// A git ref, its pull request as last known, and how fresh that is.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffStatus {
    /// Which ref.
    pub id: GitRefId,
    /// Of which chat.
    pub chat: ChatId,
    /// As reported, without user info.
    pub git_remote_origin: String,
    /// As reported.
    pub git_branch: String,
    /// Whose host the origin names.
    pub provider_id: String,
    /// `owner/name` as the origin spells it.
    pub repository: String,
    /// Reported last.
    pub primary: bool,
    /// When it was reported last.
    pub reported_at: Timestamp,
    /// The pull request; none is known otherwise.
    pub pull_request: Option<PullRequest>,
    /// When the host last told.
    pub refreshed_at: Option<Timestamp>,
    /// How fresh the above is.
    pub freshness: Freshness,
    /// When it is looked up next; none is planned otherwise.
    pub next_refresh_at: Option<Timestamp>,
    /// Why the last refresh brought nothing.
    pub problem: Option<Problem>,
    /// Outcomes so far; `RefreshChat` waits for one more.
    pub outcome_seq: i64,
    /// Whether it is polled at all: the primary, and those with an open pull request.
    pub polled: bool,
}

/// A pull request as last known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its page for people.
    pub url: String,
    /// Where it stands.
    pub state: PullRequestState,
    /// Marked as a draft; closed and merged ones keep the mark.
    pub draft: bool,
    /// Its title.
    pub title: String,
    /// Some reviewer's latest decisive review asks for changes.
    pub changes_requested: bool,
    /// Lines added.
    pub additions: i32,
    /// Lines deleted.
    pub deletions: i32,
    /// Files changed.
    pub changed_files: i32,
    /// The branch that it would merge.
    pub head_branch: Option<String>,
    /// The branch that it would merge into.
    pub base_branch: Option<String>,
    /// The latest commit of the head branch.
    pub head_sha: Option<String>,
    /// None when the account is gone.
    pub author_login: Option<String>,
    /// None when the account is gone.
    pub author_avatar_url: Option<String>,
    /// Its number.
    pub number: i32,
    /// Commits in it.
    pub commits: Option<i32>,
    /// Somebody approved and nobody asks for changes.
    pub approved: Option<bool>,
    /// Reviewers with a decisive review.
    pub reviewer_count: Option<i32>,
}

/// Why the last refresh brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub class: ProblemClass,
    /// When refreshes began to fail this way.
    pub since: Timestamp,
    /// When the host said to come back.
    pub until: Option<Timestamp>,
}

/// How a pull request looks in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icon {
    /// As in `git-merge`.
    pub name: &'static str,
    /// As in `purple`.
    pub color: &'static str,
}

impl DiffStatus {
    /// The pull request's icon. Merged and closed are decided before draft.
    #[must_use]
    pub fn icon(&self) -> Option<Icon> {
        self.pull_request.as_ref().map(PullRequest::icon)
    }

    /// The problem in words for the chat's owner.
    #[must_use]
    pub fn problem_message(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        let repository = &self.repository;
        let provider = &self.provider_id;
        Some(match problem.class {
            ProblemClass::NoAccount => format!("link your {provider} account"),
            ProblemClass::RateLimited | ProblemClass::SecondaryLimited => match problem.until {
                Some(until) => format!("rate limited until {}", until.strftime("%H:%M UTC")),
                None => "rate limited".to_owned(),
            },
            ProblemClass::CredentialRejected => format!("reconnect your {provider} account"),
            ProblemClass::AccessDenied => format!("no access to {repository}"),
            ProblemClass::RepositoryNotFound => {
                format!("{repository} does not exist or your account has no access to it")
            }
            ProblemClass::PullRequestGone => "the pull request no longer exists".to_owned(),
            ProblemClass::HostUnavailable => format!("{provider} is not answering"),
            ProblemClass::HostAnswerInvalid => {
                format!("{provider} gave an answer that cannot be used")
            }
            ProblemClass::ProviderUnsupported => format!("{provider} is not supported yet"),
            ProblemClass::Internal => "something went wrong on our side".to_owned(),
            ProblemClass::CredentialSuspect => {
                format!("{provider} refused your token once; trying again soon")
            }
            ProblemClass::AccountLocked => {
                format!("your {provider} account is suspended or locked for a while")
            }
            ProblemClass::SsoRequired => {
                format!("authorize your {provider} token for {repository} through single sign-on")
            }
            ProblemClass::AddressNotAllowed => format!(
                "the organization of {repository} does not allow requests from this service"
            ),
            ProblemClass::NotReady => {
                format!("{provider} does not show the new pull request everywhere yet")
            }
            ProblemClass::QueryTooHeavy => {
                format!("{provider} takes too long to answer for this pull request")
            }
            ProblemClass::HostIncompatible => {
                format!("{provider} does not understand this service's requests")
            }
            ProblemClass::RepositoryBlocked => format!("{provider} blocked {repository}"),
        })
    }
}

impl PullRequest {
    /// Its icon. Merged and closed are decided before draft.
    #[must_use]
    pub fn icon(&self) -> Icon {
        match (self.state, self.draft) {
            (PullRequestState::Merged, _) => Icon {
                name: "git-merge",
                color: "purple",
            },
            (PullRequestState::Closed, _) => Icon {
                name: "git-pull-request-closed",
                color: "red",
            },
            (PullRequestState::Open, true) => Icon {
                name: "git-pull-request-draft",
                color: "gray",
            },
            (PullRequestState::Open, false) => Icon {
                name: "git-pull-request-arrow",
                color: "green",
            },
        }
    }
}
