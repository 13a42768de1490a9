//! A ref that a worker is to look up, as a lease hands it out.

use std::time::Duration;

use super::{
    GitRefId, PullRequestState, RepositoryPath,
    field::{FieldError, at, count, elapsed, message_count, message_duration, required, uuid},
};
use crate::chat::v1;

/// Proves that an outcome is of the refresh that a lease handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Reports of the ref so far.
    pub report_seq: i64,
    /// Outcomes applied to it so far.
    pub looks: i64,
    /// The generation of the credential that looks it up.
    pub generation: i64,
}

impl Fence {
    pub(super) fn read(path: &str, message: Option<v1::Fence>) -> Result<Self, FieldError> {
        let v1::Fence {
            report_seq,
            looks,
            generation,
        } = required(path, "fence", message)?;
        if report_seq < 1 || looks < 0 || generation < 0 {
            return Err(FieldError::new(
                at(path, "fence"),
                "must be that of the lease",
            ));
        }
        Ok(Self {
            report_seq,
            looks,
            generation,
        })
    }

    pub(super) fn message(self) -> v1::Fence {
        v1::Fence {
            report_seq: self.report_seq,
            looks: self.looks,
            generation: self.generation,
        }
    }
}

/// Why a ref is due, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A person waits in `RefreshChat`.
    Interactive = 1,
    /// A person is looking at the chat.
    Viewed = 2,
    /// The agent just pushed, or the pull request is open and moving.
    Active = 3,
    /// Everything else.
    Idle = 4,
}

impl Lane {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Interactive, Self::Viewed, Self::Active, Self::Idle];

    /// The number in the database and in messages.
    #[must_use]
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The lane of a number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == number)
    }

    /// The message's lane.
    #[must_use]
    pub fn message(self) -> v1::Lane {
        v1::Lane::try_from(i32::from(self.number())).unwrap_or(v1::Lane::Unspecified)
    }

    /// A lane of a message; `unspecified` where it names none.
    pub(super) fn read(
        path: &str,
        field: &str,
        message: i32,
        unspecified: Self,
    ) -> Result<Self, FieldError> {
        if message == 0 {
            return Ok(unspecified);
        }
        i16::try_from(message)
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| FieldError::new(at(path, field), format!("{message} is not a lane")))
    }
}

/// What a repository is a fork of, as last told by the host.
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

/// A ref to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedRef {
    /// Which.
    pub id: GitRefId,
    /// To repeat in the outcome.
    pub fence: Fence,
    /// The repository, as it was reported.
    pub repository: RepositoryPath,
    /// The branch, as it was reported.
    pub branch: String,
    /// The pushed commit, if it was reported.
    pub commit: Option<String>,
    /// Why it is due.
    pub lane: Lane,
    /// Since the agent last reported it.
    pub since_reported: Duration,
    /// Since something was last seen to change.
    pub since_changed: Duration,
    /// Since something happened in the chat.
    pub since_active: Duration,
    /// A person looked at the chat in the last two minutes.
    pub viewed: bool,
    /// Refreshes in a row that failed.
    pub failures: u32,
    /// Refreshes in a row, since the last report, that found no pull request.
    pub misses: u32,
    /// Refreshes in a row, since the last report, that found the same settled pull request.
    pub settled_count: u32,
    /// Refreshes in a row that found nothing new.
    pub unchanged_count: u32,
    /// What the repository is a fork of.
    pub upstream: Upstream,
    /// What the host calls the repository now. `None`: as it was reported.
    pub canonical_repository: Option<RepositoryPath>,
    /// The pull request as last known.
    pub known: Option<KnownPullRequest>,
    /// Since the whole status was last asked for. `None`: never.
    pub since_found: Option<Duration>,
    /// As the last outcome gave it.
    pub fingerprint: Option<String>,
    /// As the last outcome gave it.
    pub validator: Option<String>,
}

impl LeasedRef {
    /// A ref that was just reported for the first time.
    #[must_use]
    pub fn new(id: GitRefId, repository: RepositoryPath, branch: &str) -> Self {
        Self {
            id,
            fence: Fence {
                report_seq: 1,
                looks: 0,
                generation: 0,
            },
            repository,
            branch: branch.to_owned(),
            commit: None,
            lane: Lane::Active,
            since_reported: Duration::ZERO,
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
            validator: None,
        }
    }

    pub(super) fn read(path: &str, message: v1::LeasedRef) -> Result<Self, FieldError> {
        let v1::LeasedRef {
            git_ref_id,
            fence,
            repository,
            branch,
            commit,
            lane,
            since_reported,
            since_changed,
            since_active,
            viewed,
            failures,
            misses,
            settled_count,
            unchanged_count,
            upstream_repository,
            canonical_repository,
            known,
            since_found,
            fingerprint,
            validator,
        } = message;
        Ok(Self {
            id: GitRefId(uuid(path, "git_ref_id", &git_ref_id)?),
            fence: Fence::read(path, fence)?,
            repository: RepositoryPath::read(at(path, "repository"), &repository)?,
            branch,
            commit,
            // A lane that a later release added is no reason to drop the ref.
            lane: Lane::read(path, "lane", lane, Lane::Idle).unwrap_or(Lane::Idle),
            since_reported: elapsed(since_reported),
            since_changed: elapsed(since_changed),
            since_active: elapsed(since_active),
            viewed,
            failures: count(failures),
            misses: count(misses),
            settled_count: count(settled_count),
            unchanged_count: count(unchanged_count),
            upstream: Upstream::from_text(upstream_repository.as_deref()),
            canonical_repository: canonical_repository
                .as_deref()
                .and_then(RepositoryPath::parse),
            known: known.and_then(KnownPullRequest::read),
            since_found: since_found.map(|since| elapsed(Some(since))),
            fingerprint,
            validator,
        })
    }

    pub(super) fn message(&self) -> v1::LeasedRef {
        let Self {
            id,
            fence,
            repository,
            branch,
            commit,
            lane,
            since_reported,
            since_changed,
            since_active,
            viewed,
            failures,
            misses,
            settled_count,
            unchanged_count,
            upstream,
            canonical_repository,
            known,
            since_found,
            fingerprint,
            validator,
        } = self;
        v1::LeasedRef {
            git_ref_id: id.to_string(),
            fence: Some(fence.message()),
            repository: repository.as_str().to_owned(),
            branch: branch.clone(),
            commit: commit.clone(),
            lane: lane.message().into(),
            since_reported: Some(message_duration(*since_reported)),
            since_changed: Some(message_duration(*since_changed)),
            since_active: Some(message_duration(*since_active)),
            viewed: *viewed,
            failures: message_count(*failures),
            misses: message_count(*misses),
            settled_count: message_count(*settled_count),
            unchanged_count: message_count(*unchanged_count),
            upstream_repository: upstream.text().map(str::to_owned),
            canonical_repository: canonical_repository.as_ref().map(ToString::to_string),
            known: known.as_ref().map(KnownPullRequest::message),
            since_found: since_found.map(message_duration),
            fingerprint: fingerprint.clone(),
            validator: validator.clone(),
        }
    }
}

/// A pull request as it was last known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPullRequest {
    /// The path of the repository that it is in.
    pub repository: String,
    /// Its number there.
    pub number: i32,
    /// Where it stands.
    pub state: PullRequestState,
    /// Whether it is a draft.
    pub draft: bool,
    /// The host's own id.
    pub host_id: Option<String>,
}

impl KnownPullRequest {
    /// `None` for one whose state this version does not know: it is looked for anew.
    fn read(message: v1::KnownPullRequest) -> Option<Self> {
        let (state, draft) = PullRequestState::read(message.state(), message.draft)?;
        Some(Self {
            repository: message.repository,
            number: message.number,
            state,
            draft,
            host_id: message.host_id,
        })
    }

    fn message(&self) -> v1::KnownPullRequest {
        v1::KnownPullRequest {
            repository: self.repository.clone(),
            number: self.number,
            state: self.state.message().into(),
            draft: self.draft,
            host_id: self.host_id.clone(),
        }
    }
}
