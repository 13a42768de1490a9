//! What a refresh of one ref found, and when to look again.

use std::{sync::Arc, time::Duration};

use super::{
    Fence, FoundPullRequest, GitRefId, Lane, ProblemClass, RepositoryPath, Upstream,
    field::{FieldError, at, maybe_duration, message_duration, uuid},
    pull_request::drop_unfit,
};
use crate::{
    bounds::{MAX_NEXT_REFRESH, MAX_OPAQUE_BYTES},
    chat::v1,
};

/// What a refresh of one ref found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of which ref.
    pub git_ref: GitRefId,
    /// As the lease handed it out.
    pub fence: Fence,
    /// What was found.
    pub finding: Finding,
    /// When to look again.
    pub next: Next,
    /// What was learned beside.
    pub learned: Learned,
}

/// What the host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This pull request.
    PullRequest(Arc<FoundPullRequest>),
    /// The known pull request is as it was.
    Unchanged,
    /// There is none.
    NoPullRequest,
    /// The known one no longer exists.
    Gone,
    /// A problem of the ref or of its repository.
    Failed {
        /// Which.
        class: ProblemClass,
        /// Whether all refs of the account in the repository have it.
        repository_wide: bool,
    },
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// In how long. `None`: not until something happens.
    pub refresh_in: Option<Duration>,
    /// In which lane.
    pub lane: Lane,
    /// What `refresh_in` is when the budget is ample and without jitter. `None`: the same.
    pub base: Option<Duration>,
}

/// What an answer taught beside the finding. What is `None` leaves what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// What the repository is a fork of.
    pub upstream: Upstream,
    /// What the host calls the repository now.
    pub canonical_repository: Option<RepositoryPath>,
    /// Tells whether the pull request changed since; opaque.
    pub fingerprint: Option<String>,
    /// Lets the host answer that nothing changed; opaque.
    pub validator: Option<String>,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeStatus {
    /// It was applied.
    Applied,
    /// The ref was reported since, or its credential replaced: it stays due.
    Superseded,
    /// It is not of this lease, is a repetition, or cannot be stored.
    Rejected,
}

impl OutcomeStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Superseded, Self::Rejected];

    /// The name in the database and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
        }
    }

    /// The status of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    pub(super) fn message(self) -> v1::OutcomeResultStatus {
        match self {
            Self::Applied => v1::OutcomeResultStatus::Applied,
            Self::Superseded => v1::OutcomeResultStatus::Superseded,
            Self::Rejected => v1::OutcomeResultStatus::Rejected,
        }
    }

    pub(super) fn read(status: v1::OutcomeResultStatus) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.message() == status)
    }
}

impl Outcome {
    /// The outcome with its texts cut to what the database takes.
    ///
    /// Returns `None` when something that is needed does not fit: then it is rejected, and costs no
    /// other.
    #[must_use]
    pub fn fitted(mut self) -> Option<Self> {
        drop_unfit(&mut self.learned.fingerprint, MAX_OPAQUE_BYTES);
        drop_unfit(&mut self.learned.validator, MAX_OPAQUE_BYTES);
        if let Finding::PullRequest(found) = self.finding {
            self.finding = Finding::PullRequest(Arc::new(Arc::unwrap_or_clone(found).fitted()?));
        }
        Some(self)
    }

    pub(super) fn read(path: &str, message: v1::Outcome) -> Result<Self, FieldError> {
        let v1::Outcome {
            git_ref_id,
            fence,
            result,
            next_refresh_in,
            next_lane,
            base_interval,
            upstream_repository,
            canonical_repository,
            fingerprint,
            validator,
        } = message;
        let Some(result) = result else {
            return Err(FieldError::new(
                at(path, "result"),
                "must say what was found",
            ));
        };
        let most = MAX_NEXT_REFRESH;
        Ok(Self {
            git_ref: GitRefId(uuid(path, "git_ref_id", &git_ref_id)?),
            fence: Fence::read(path, fence)?,
            finding: Finding::read(path, result)?,
            next: Next {
                refresh_in: maybe_duration(path, "next_refresh_in", next_refresh_in, most)?,
                lane: Lane::read(path, "next_lane", next_lane, Lane::Idle)?,
                base: maybe_duration(path, "base_interval", base_interval, most)?,
            },
            learned: Learned {
                // A path that cannot be one teaches nothing, and costs no status.
                upstream: Upstream::from_text(upstream_repository.as_deref()),
                canonical_repository: canonical_repository
                    .as_deref()
                    .and_then(RepositoryPath::parse),
                fingerprint,
                validator,
            },
        })
    }

    pub(super) fn message(&self) -> v1::Outcome {
        let Self {
            git_ref,
            fence,
            finding,
            next,
            learned,
        } = self;
        let Learned {
            upstream,
            canonical_repository,
            fingerprint,
            validator,
        } = learned;
        v1::Outcome {
            git_ref_id: git_ref.to_string(),
            fence: Some(fence.message()),
            result: Some(finding.message()),
            next_refresh_in: next.refresh_in.map(message_duration),
            next_lane: next.lane.message().into(),
            base_interval: next.base.map(message_duration),
            upstream_repository: upstream.text().map(str::to_owned),
            canonical_repository: canonical_repository.as_ref().map(ToString::to_string),
            fingerprint: fingerprint.clone(),
            validator: validator.clone(),
        }
    }
}

impl Finding {
    fn read(path: &str, result: v1::outcome::Result) -> Result<Self, FieldError> {
        Ok(match result {
            v1::outcome::Result::Found(found) => {
                Self::PullRequest(Arc::new(FoundPullRequest::read(&at(path, "found"), found)?))
            }
            v1::outcome::Result::NoPullRequest(v1::NoPullRequest {}) => Self::NoPullRequest,
            v1::outcome::Result::Gone(v1::Gone {}) => Self::Gone,
            v1::outcome::Result::Unchanged(v1::Unchanged {}) => Self::Unchanged,
            v1::outcome::Result::Failed(failed) => {
                let class = failed.class();
                if class == ProblemClass::Unspecified {
                    return Err(FieldError::new(
                        at(path, "failed.class"),
                        "must say what failed",
                    ));
                }
                Self::Failed {
                    class,
                    repository_wide: failed.repository_wide,
                }
            }
        })
    }

    fn message(&self) -> v1::outcome::Result {
        match self {
            Self::PullRequest(found) => v1::outcome::Result::Found(found.message()),
            Self::Unchanged => v1::outcome::Result::Unchanged(v1::Unchanged {}),
            Self::NoPullRequest => v1::outcome::Result::NoPullRequest(v1::NoPullRequest {}),
            Self::Gone => v1::outcome::Result::Gone(v1::Gone {}),
            Self::Failed {
                class,
                repository_wide,
            } => v1::outcome::Result::Failed(v1::Failed {
                class: (*class).into(),
                repository_wide: *repository_wide,
            }),
        }
    }
}
