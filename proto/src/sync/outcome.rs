//! The outcome of a refresh of one ref, and when to look again.

use std::{sync::Arc, time::Duration};

use super::{
    Fence, FoundPullRequest, GitRefId, Lane, ProblemClass, RepositoryPath, Upstream,
    field::{FieldError, Wire, carried_by, read, words},
    pull_request::drop_unfit,
};
use crate::{
    bounds::{MAX_NEXT_REFRESH, MAX_OPAQUE_BYTES},
    chat::v1::{self, outcome::Result as Found},
};

/// The outcome of a refresh of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of which ref.
    pub git_ref: GitRefId,
    /// As the lease handed it out.
    pub fence: Fence,
    /// The finding.
    pub finding: Finding,
    /// When to look again.
    pub next: Next,
    /// The facts learned beside the finding.
    pub learned: Learned,
}

/// The host's answer about a ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This pull request.
    PullRequest(Arc<FoundPullRequest>),
    /// The known pull request is as it was.
    Unchanged,
    /// The branch has no pull request.
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
    /// `refresh_in` with an ample budget and without jitter. `None`: the same.
    pub base: Option<Duration>,
}

/// Facts that a refresh learned beside the finding. `None` keeps the last known value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The upstream of the repository.
    pub upstream: Upstream,
    /// The host's present name of the repository.
    pub canonical_repository: Option<RepositoryPath>,
    /// Tells whether the pull request changed since; opaque.
    pub fingerprint: Option<String>,
}

words! {
    /// The result of an outcome.
    OutcomeStatus = OutcomeResultStatus {
        /// It was applied.
        Applied = "applied",
        /// The ref was reported since, or its credential replaced: it stays due. Or it was deleted.
        Superseded = "superseded",
        /// It is not of this lease, is a repetition, or cannot be stored.
        Rejected = "rejected",
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
        if let Finding::PullRequest(found) = self.finding {
            self.finding = Finding::PullRequest(Arc::new(Arc::unwrap_or_clone(found).fitted()?));
        }
        Some(self)
    }

    fn read(message: v1::Outcome) -> Result<Self, FieldError> {
        let soon = |duration: Option<Duration>| duration.map(|after| after.min(MAX_NEXT_REFRESH));
        let canonical = message.canonical_repository.as_deref();
        Ok(Self {
            git_ref: read("git_ref_id", message.git_ref_id)?,
            fence: read("fence", message.fence)?,
            finding: Finding::read(message.result)?,
            next: Next {
                refresh_in: soon(read("next_refresh_in", message.next_refresh_in)?),
                lane: Lane::read_or(Lane::Idle, "next_lane", message.next_lane)?,
                base: soon(read("base_interval", message.base_interval)?),
            },
            learned: Learned {
                // A path that cannot be one teaches nothing, and costs no status.
                upstream: Upstream::from_text(message.upstream_repository.as_deref()),
                canonical_repository: canonical.and_then(RepositoryPath::parse),
                fingerprint: message.fingerprint,
            },
        })
    }

    fn message(&self) -> v1::Outcome {
        v1::Outcome {
            git_ref_id: self.git_ref.message(),
            fence: Wire::message(&self.fence),
            result: self.finding.message(),
            next_refresh_in: self.next.refresh_in.message(),
            next_lane: self.next.lane.message().into(),
            base_interval: self.next.base.message(),
            upstream_repository: self.learned.upstream.message(),
            canonical_repository: self.learned.canonical_repository.message(),
            fingerprint: self.learned.fingerprint.clone(),
        }
    }
}

carried_by!(Outcome, v1::Outcome);

impl Wire<Option<Found>> for Finding {
    fn read(message: Option<Found>) -> Result<Self, FieldError> {
        Ok(match message {
            Some(Found::Found(found)) => Self::PullRequest(Arc::new(read("found", found)?)),
            Some(Found::NoPullRequest(_)) => Self::NoPullRequest,
            Some(Found::Gone(_)) => Self::Gone,
            Some(Found::Unchanged(_)) => Self::Unchanged,
            Some(Found::Failed(failed)) => Self::Failed {
                class: read("failed.class", failed.class)?,
                repository_wide: failed.repository_wide,
            },
            None => return Err(FieldError::new("result", "must say what was found")),
        })
    }

    fn message(&self) -> Option<Found> {
        Some(match self {
            Self::PullRequest(found) => Found::Found(found.message()),
            Self::Unchanged => Found::Unchanged(v1::Unchanged {}),
            Self::NoPullRequest => Found::NoPullRequest(v1::NoPullRequest {}),
            Self::Gone => Found::Gone(v1::Gone {}),
            Self::Failed {
                class,
                repository_wide,
            } => Found::Failed(v1::Failed {
                class: (*class).into(),
                repository_wide: *repository_wide,
            }),
        })
    }
}
