//! A chat's git ref and its pull request as last known.

use jiff::Timestamp;
use proto::sync::{ProblemClass, PullRequest, PullRequestState};

use crate::{
    attention::Attention,
    id::{ChatId, GitRefId},
    text_enum::text_enum,
};

/// Git refs of one chat at most; the one reported longest ago makes room, those without an open
/// pull request first.
pub const MAX_GIT_REFS: i64 = 20;

text_enum! {
    /// How fresh the knowledge is.
    Freshness, else Unspecified {
        /// Never looked up.
        Unknown = "unknown",
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
    /// What the pull request needs attention for now.
    pub attention: Vec<Attention>,
    /// When the host last answered with a status.
    pub refreshed_at: Option<Timestamp>,
    /// How fresh the above is.
    pub freshness: Freshness,
    /// When it is looked up next; none is planned otherwise.
    pub next_refresh_at: Option<Timestamp>,
    /// Why the last refresh failed, or why no refresh is sent for now.
    pub problem: Option<Problem>,
}

/// Why the last refresh failed, or why no refresh is sent for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The class of the problem.
    pub class: ProblemClass,
    /// When refreshes began to fail this way, or since when the ref waits; `None` while it does
    /// not.
    pub since: Option<Timestamp>,
    /// When the account or its budget can be used again.
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
        let pull_request = self.pull_request.as_ref()?;
        let (name, color) = match (pull_request.state, pull_request.draft) {
            (PullRequestState::Merged, _) => ("git-merge", "purple"),
            (PullRequestState::Closed, _) => ("git-pull-request-closed", "red"),
            (PullRequestState::Open, true) => ("git-pull-request-draft", "gray"),
            (PullRequestState::Open, false) => ("git-pull-request-arrow", "green"),
        };
        Some(Icon { name, color })
    }

    /// The problem in words for the chat's owner.
    #[must_use]
    pub fn problem_message(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        let repository = &self.repository;
        let provider = &self.provider_id;
        Some(match problem.class {
            ProblemClass::NoAccount => format!("link your {provider} account"),
            ProblemClass::RateLimited | ProblemClass::SecondaryLimited => {
                format!("rate limited{}", until(problem))
            }
            ProblemClass::LimitReserved => {
                format!(
                    "what you have left at {provider} is kept for you{}",
                    until(problem)
                )
            }
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
            ProblemClass::Internal | ProblemClass::Unspecified => {
                "something went wrong on our side".to_owned()
            }
            ProblemClass::CredentialSuspect => {
                format!("{provider} refused your token; trying again soon")
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

fn until(problem: &Problem) -> String {
    let Some(until) = problem.until else {
        return String::new();
    };
    format!(" until {}", until.strftime("%H:%M UTC"))
}
