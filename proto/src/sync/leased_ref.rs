//! A ref that a worker is to look up, as a lease hands it out.

use std::time::Duration;

use super::{
    GitRefId, RepositoryPath,
    field::{FieldError, Wire, message, words},
    pull_request::PullRequestState,
};
use crate::chat::v1;

message! {
    /// Proves that an outcome is of the refresh that a lease handed out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    Fence = v1::Fence, with Fence::checked {
        /// Reports of the ref so far.
        report_seq: i64,
        /// Outcomes applied to it so far.
        looks: i64,
        /// The generation of the credential that looks it up.
        generation: i64,
    }
}

impl Fence {
    fn checked(self) -> Result<Self, FieldError> {
        if self.report_seq < 1 || self.looks < 0 || self.generation < 0 {
            return Err(FieldError::new("", "must be that of the lease"));
        }
        Ok(self)
    }
}

words! {
    /// Why a ref is due, the most urgent first.
    #[derive(PartialOrd, Ord)]
    Lane = Lane, else Idle {
        /// A person waits in `RefreshChat`.
        Interactive = "interactive",
        /// A person is looking at the chat.
        Viewed = "viewed",
        /// The agent just pushed, or the pull request is open and moving.
        Active = "active",
        /// Everything else.
        Idle = "idle",
    }
}

impl Lane {
    /// The number in the database and in messages.
    #[must_use]
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The lane of a number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::known(number.into())
    }

    /// The lane of a message's field, and `unspecified` where that names none.
    pub(super) fn read_or(unspecified: Self, field: &str, number: i32) -> Result<Self, FieldError> {
        match number {
            0 => Ok(unspecified),
            _ => Self::known(number)
                .ok_or_else(|| FieldError::new(field, format!("cannot be {number}"))),
        }
    }
}

/// The upstream of a repository that is a fork, as last reported by the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upstream {
    /// Not known.
    #[default]
    Unknown,
    /// It is no fork.
    NoFork,
    /// Of this one.
    Of(RepositoryPath),
}

impl Upstream {
    /// From how messages and the database say it: absent, empty, or a path.
    #[must_use]
    pub fn from_text(text: Option<&str>) -> Self {
        match text {
            None => Self::Unknown,
            Some("") => Self::NoFork,
            Some(path) => RepositoryPath::parse(path).map_or(Self::Unknown, Self::Of),
        }
    }

    /// As messages and the database say it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::NoFork => Some(""),
            Self::Of(path) => Some(path.as_str()),
        }
    }
}

impl Wire<Option<String>> for Upstream {
    fn read(text: Option<String>) -> Result<Self, FieldError> {
        Ok(Self::from_text(text.as_deref()))
    }

    fn message(&self) -> Option<String> {
        self.text().map(str::to_owned)
    }
}

message! {
    /// A ref to look up.
    #[derive(Clone, Debug, PartialEq, Eq)]
    LeasedRef = v1::LeasedRef {
        /// Which.
        id as git_ref_id: GitRefId,
        /// To repeat in the outcome.
        fence: Fence,
        /// The repository, as it was reported.
        repository: RepositoryPath,
        /// The branch, as it was reported.
        branch: String,
        /// The pushed commit, if it was reported.
        commit: Option<String>,
        /// Why it is due. One that a later release added is idle.
        lane: Lane,
        /// Since the agent last reported it.
        since_reported: Duration,
        /// Since the agent first reported it.
        since_first_reported: Duration,
        /// Since something was last seen to change.
        since_changed: Duration,
        /// Since something happened in the chat.
        since_active: Duration,
        /// A person looked at the chat in the last two minutes.
        viewed: bool,
        /// Refreshes in a row that failed.
        failures: u32,
        /// Refreshes in a row, since the last report, that found no pull request.
        misses: u32,
        /// Refreshes in a row, since the last report, that found the same settled pull request.
        settled_count: u32,
        /// Refreshes in a row that found nothing new.
        unchanged_count: u32,
        /// The upstream of the repository.
        upstream as upstream_repository: Upstream,
        /// The host's present name of the repository. `None`: as it was reported.
        lenient canonical_repository: Option<RepositoryPath>,
        /// The pull request as last known.
        known: Option<KnownPullRequest>,
        /// Since the whole status was last asked for. `None`: never.
        lenient since_found: Option<Duration>,
        /// As the last outcome gave it.
        fingerprint: Option<String>,
        /// The trace context of the caller that waits for the outcome. An invalid `traceparent` is
        /// ignored.
        traceparent: Option<String>,
        /// A person waits for its diff in `GetChatDiff`.
        diff_wanted: bool,
    }
}

impl LeasedRef {
    /// A ref that was just reported for the first time.
    #[must_use]
    pub fn new(id: GitRefId, repository: RepositoryPath, branch: &str) -> Self {
        Self {
            id,
            fence: Fence {
                report_seq: 1,
                ..Fence::default()
            },
            repository,
            branch: branch.to_owned(),
            commit: None,
            lane: Lane::Active,
            since_reported: Duration::ZERO,
            since_first_reported: Duration::ZERO,
            since_changed: Duration::ZERO,
            since_active: Duration::ZERO,
            viewed: false,
            failures: 0,
            misses: 0,
            settled_count: 0,
            unchanged_count: 0,
            upstream: Upstream::Unknown,
            canonical_repository: None,
            known: None,
            since_found: None,
            fingerprint: None,
            traceparent: None,
            diff_wanted: false,
        }
    }
}

message! {
    /// A pull request as it was last known.
    #[derive(Clone, Debug, PartialEq, Eq)]
    KnownPullRequest = v1::KnownPullRequest {
        /// The path of the repository that it is in.
        repository: String,
        /// Its number there.
        number: i32,
        /// Where it stands. A state that a later release added is open: it is looked at again.
        state: PullRequestState,
        /// Whether it is a draft.
        draft: bool,
        /// The host's own id.
        host_id: Option<String>,
        /// Checks of its head have not ended.
        checks_pending: bool,
        /// The host had not worked out yet whether it can be merged.
        merge_unknown: bool,
    }
}
