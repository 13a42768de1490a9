//! What a refresh of a ref found, as a worker reports it.

use std::time::Duration;

use jiff::Timestamp;
use proto::bounds::{MAX_NAME_BYTES, MAX_PULL_REQUEST_TITLE_CHARS, MAX_URL_BYTES};

use super::{Lane, budget::BudgetObservation, credential::CredentialObservation};
use crate::{
    diff_status::{ProblemClass, PullRequestState},
    id::{GitRefId, LeaseToken, RequestId},
    text_enum::text_enum,
};

pub use proto::bounds::MAX_PAUSE;

/// Outcomes of one report at most.
pub const MAX_OUTCOMES: usize = 500;
/// No ref is planned farther ahead.
pub const MAX_NEXT_REFRESH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Bytes of a node id, or of the names of a repository that a pull request is in, at most.
const MAX_KEY_BYTES: usize = 1024;
/// Bytes of a fingerprint or validator at most. The schema says so, too.
const MAX_OPAQUE_BYTES: usize = 512;

/// The outcomes of a lease.
#[derive(Clone, Debug)]
pub struct Report {
    /// Makes a repeated call the same call.
    pub request: RequestId,
    /// Proves the right.
    pub lease: LeaseToken,
    /// Each of another ref; at most [`MAX_OUTCOMES`].
    pub outcomes: Vec<Outcome>,
    /// What the host said about the budget.
    pub budget: Option<BudgetObservation>,
    /// What the host said about the credentials; at most one of each.
    pub credentials: Vec<CredentialObservation>,
    /// Gives the lease back.
    pub release_lease: bool,
}

/// What a refresh of one ref found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which ref.
    pub git_ref: GitRefId,
    /// From the lease.
    pub report_seq: i64,
    /// What was found.
    pub result: Found,
    /// None: not again until something happens.
    pub next_refresh_in: Option<Duration>,
    /// With which urgency.
    pub next_lane: Lane,
    /// What the repository is a fork of; empty: of none; None: not learned.
    pub upstream_repository: Option<String>,
    /// What `next_refresh_in` is when the budget is ample; None: the same.
    pub base_interval: Option<Duration>,
    /// Opaque: tells whether the pull request changed since. None: as before.
    pub fingerprint: Option<String>,
    /// Opaque: lets the host answer that nothing changed. None: as before.
    pub validator: Option<String>,
    /// What the host calls the repository now; empty: as it was reported; None: not learned.
    pub canonical_repository: Option<String>,
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The pull request.
    PullRequest(Box<FoundPullRequest>),
    /// The host was asked and there is none.
    NoPullRequest,
    /// It was known and is gone.
    Gone,
    /// It was known and is as it was.
    Unchanged,
    /// Nothing: the lookup failed.
    Failed {
        /// How.
        class: ProblemClass,
        /// When the host said to come back.
        retry_after: Option<Duration>,
        /// All refs of this one's owner in its repository meet the same.
        of_repository: bool,
    },
}

/// A pull request as the host described it.
#[derive(Clone, Debug, Default)]
pub struct FoundPullRequest {
    /// `owner/name` that it is in.
    pub repository: String,
    /// Its number there.
    pub number: i32,
    /// Its page for people.
    pub url: String,
    /// Where it stands.
    pub state: Option<PullRequestState>,
    /// Marked as a draft.
    pub draft: bool,
    /// Its title; the end of one that is too long is cut off.
    pub title: String,
    /// Some reviewer's latest decisive review asks for changes.
    pub changes_requested: bool,
    /// Somebody approved and nobody asks for changes.
    pub approved: bool,
    /// Reviewers with a decisive review.
    pub reviewer_count: i32,
    /// Lines added.
    pub additions: i32,
    /// Lines deleted.
    pub deletions: i32,
    /// Files changed.
    pub changed_files: i32,
    /// Commits in it.
    pub commits: i32,
    /// The branch that it would merge.
    pub head_branch: String,
    /// The branch that it would merge into.
    pub base_branch: String,
    /// The latest commit of the head branch.
    pub head_sha: String,
    /// None when the account is gone.
    pub author_login: Option<String>,
    /// None when the account is gone.
    pub author_avatar_url: Option<String>,
    /// The host's own id.
    pub node_id: Option<String>,
    /// When it last changed, by the host's clock.
    pub updated_at: Option<Timestamp>,
}

text_enum! {
    /// What became of an outcome.
    OutcomeStatus {
        /// It was written.
        Applied = "applied",
        /// The ref was reported again meanwhile and stays due.
        Superseded = "superseded",
        /// The ref is not of this lease, or its outcome cannot be stored.
        Rejected = "rejected",
    }
}

impl Outcome {
    /// A failure, to be tried again after `again_in`.
    #[must_use]
    pub fn failed(
        git_ref: GitRefId,
        report_seq: i64,
        class: ProblemClass,
        again_in: Duration,
    ) -> Self {
        Self {
            git_ref,
            report_seq,
            result: Found::Failed {
                class,
                retry_after: None,
                of_repository: false,
            },
            next_refresh_in: Some(again_in),
            next_lane: Lane::Idle,
            upstream_repository: None,
            base_interval: None,
            fingerprint: None,
            validator: None,
            canonical_repository: None,
        }
    }

    /// The same, so that it can be stored: a title that is too long loses its end, and what nobody
    /// needs is left out. None when what is needed does not fit: then this outcome is rejected, and
    /// costs no other.
    #[must_use]
    pub fn fitted(mut self) -> Option<Self> {
        for name in [
            &mut self.upstream_repository,
            &mut self.canonical_repository,
        ] {
            if name
                .as_deref()
                .is_some_and(|name| !is_short(name, MAX_KEY_BYTES))
            {
                *name = None;
            }
        }
        for opaque in [&mut self.fingerprint, &mut self.validator] {
            if opaque
                .as_deref()
                .is_some_and(|text| !is_short(text, MAX_OPAQUE_BYTES))
            {
                *opaque = None;
            }
        }
        if let Found::PullRequest(found) = &mut self.result {
            let found = &mut **found;
            found.title = found
                .title
                .chars()
                .filter(|c| *c != '\0')
                .take(MAX_PULL_REQUEST_TITLE_CHARS)
                .collect();
            let leave_out = |text: &mut Option<String>, bytes| {
                if text
                    .as_deref()
                    .is_some_and(|text| text.is_empty() || !is_short(text, bytes))
                {
                    *text = None;
                }
            };
            leave_out(&mut found.author_login, MAX_NAME_BYTES);
            leave_out(&mut found.author_avatar_url, MAX_URL_BYTES);
            leave_out(&mut found.node_id, MAX_KEY_BYTES);
            let fits = is_short(&found.url, MAX_URL_BYTES)
                && !found.url.is_empty()
                && is_short(&found.repository, MAX_KEY_BYTES)
                && found.repository.contains('/')
                && is_short(&found.head_branch, MAX_NAME_BYTES)
                && is_short(&found.base_branch, MAX_NAME_BYTES)
                && is_short(&found.head_sha, MAX_NAME_BYTES);
            if !fits {
                return None;
            }
        }
        Some(self)
    }
}

/// Whether it fits, and PostgreSQL can hold it.
fn is_short(text: &str, bytes: usize) -> bool {
    text.len() <= bytes && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn outcome(found: FoundPullRequest) -> Outcome {
        Outcome {
            git_ref: GitRefId(Uuid::now_v7()),
            report_seq: 1,
            result: Found::PullRequest(Box::new(found)),
            next_refresh_in: None,
            next_lane: Lane::Idle,
            upstream_repository: None,
            base_interval: None,
            fingerprint: Some("f".repeat(513)),
            validator: Some("v".repeat(512)),
            canonical_repository: Some("c".repeat(MAX_KEY_BYTES + 1)),
        }
    }

    fn found() -> FoundPullRequest {
        FoundPullRequest {
            repository: "acme/web".to_owned(),
            number: 1,
            url: "https://github.com/acme/web/pull/1".to_owned(),
            ..FoundPullRequest::default()
        }
    }

    #[test]
    fn a_long_title_loses_its_end_and_not_the_status() {
        let fitted = outcome(FoundPullRequest {
            title: format!("\0{}", "ä".repeat(5000)),
            author_avatar_url: Some("x".repeat(5000)),
            author_login: Some(String::new()),
            ..found()
        })
        .fitted()
        .unwrap();
        assert_eq!(fitted.fingerprint, None, "too long");
        assert_eq!(fitted.canonical_repository, None, "too long");
        assert_eq!(fitted.validator, Some("v".repeat(512)));
        let Found::PullRequest(fitted) = fitted.result else {
            panic!("still a pull request");
        };
        assert_eq!(fitted.title, "ä".repeat(256));
        assert_eq!(fitted.author_avatar_url, None);
        assert_eq!(fitted.author_login, None);
    }

    #[test]
    fn what_is_needed_and_does_not_fit_rejects_the_outcome() {
        for bad in [
            FoundPullRequest {
                url: "x".repeat(5000),
                ..found()
            },
            FoundPullRequest {
                url: String::new(),
                ..found()
            },
            FoundPullRequest {
                repository: "web".to_owned(),
                ..found()
            },
            FoundPullRequest {
                head_branch: "a\0b".to_owned(),
                ..found()
            },
            FoundPullRequest {
                head_branch: "b".repeat(256),
                ..found()
            },
        ] {
            assert!(outcome(bad).fitted().is_none());
        }
        assert!(outcome(found()).fitted().is_some());
    }
}
