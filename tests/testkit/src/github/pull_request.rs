//! A pull request of the model, its reviews, and what may happen to them.

use std::cell::Cell;

use jiff::Timestamp;

use super::check::{Requested, ReviewThread};
use super::model::{AccountId, RepositoryId};

/// A pull request.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// GitHub's number for it among everything.
    pub id: u64,
    /// Its number in its repository.
    pub number: u64,
    /// The title.
    pub title: String,
    /// Who opened it; an account that is gone is shown as none at all.
    pub author: AccountId,
    /// Where it comes from.
    pub head: Head,
    /// The branch it goes to.
    pub base_branch: String,
    /// The commit of the base branch it is compared with.
    pub base_sha: String,
    /// Open, merged or closed.
    pub state: PullRequestState,
    /// Whether it is a draft. GitHub keeps the flag when a draft is closed.
    pub draft: bool,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Files touched.
    pub changed_files: u64,
    /// Commits in it.
    pub commits: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When anything about it last changed.
    pub updated_at: Timestamp,
    /// When it was closed or merged.
    pub closed_at: Option<Timestamp>,
    /// Whether it can be merged without conflicts.
    pub mergeable: Mergeable,
    /// Whether it waits in a merge queue.
    pub in_merge_queue: bool,
    /// Whether it merges by itself once all is well.
    pub auto_merge: bool,
    /// Its place in the queue while it waits there, from 1 on.
    pub queue_position: u64,
    /// Whether the base branch has to be merged into it first.
    pub behind: bool,
    /// Whether a rule that the model has no name for keeps it from being merged.
    pub blocked: bool,
    /// How many more answers do not know whether it can be merged.
    pub unknown_reads: Cell<u32>,
    /// Its reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Its review threads, oldest first.
    pub threads: Vec<ReviewThread>,
    /// Who is asked for a review.
    pub requested: Vec<Requested>,
    /// Orders changes that happen within one second.
    pub(crate) changed: u64,
}

/// The branch that a pull request comes from.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The repository; it may be gone, and is then `null` in GitHub's answers.
    pub repository: RepositoryId,
    /// The account that owned that repository when the pull request was opened.
    pub owner: AccountId,
    /// That account's login at the time; `head.label` keeps it.
    pub owner_login: String,
    /// The branch; case matters.
    pub branch: String,
    /// The last commit.
    pub sha: String,
}

/// What has become of a pull request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum PullRequestState {
    /// Still open, perhaps as a draft.
    #[default]
    Open,
    /// Closed without being merged.
    Closed,
    /// Merged.
    Merged {
        /// Who merged it.
        by: AccountId,
        /// The commit that the merge made.
        commit: String,
    },
}

/// Whether a pull request can be merged without conflicts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mergeable {
    /// It can.
    #[default]
    Mergeable,
    /// There are conflicts.
    Conflicting,
    /// GitHub has not computed it yet.
    Unknown,
}

/// One review of a pull request.
#[derive(Clone, Debug)]
pub struct Review {
    /// GitHub's number for it; they grow with time.
    pub id: u64,
    /// Who wrote it; an account that is gone is shown as none at all.
    pub author: AccountId,
    /// The verdict.
    pub state: ReviewState,
    /// When it was submitted; a pending one was not.
    pub submitted_at: Option<Timestamp>,
    /// The commit that it looked at.
    pub commit: String,
}

/// The verdict of a review.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReviewState {
    /// The reviewer agrees.
    Approved,
    /// The reviewer wants changes first.
    ChangesRequested,
    /// A verdict that was dismissed.
    Dismissed,
    /// Remarks without a verdict.
    Commented,
    /// Not submitted yet; only its author sees it.
    Pending,
}

impl ReviewState {
    /// The `state` of the review in GitHub's answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::ChangesRequested => "CHANGES_REQUESTED",
            Self::Dismissed => "DISMISSED",
            Self::Commented => "COMMENTED",
            Self::Pending => "PENDING",
        }
    }
}

impl PullRequest {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("PR_kwDO{:08X}", self.id)
    }

    /// Whether it is open, draft or not.
    pub fn is_open(&self) -> bool {
        self.state == PullRequestState::Open
    }

    /// Whether it was merged.
    pub fn is_merged(&self) -> bool {
        matches!(self.state, PullRequestState::Merged { .. })
    }

    /// Notes that something about it changed.
    pub(crate) fn touch(&mut self, now: Timestamp, change: u64) {
        self.updated_at = now;
        self.changed = change;
    }

    /// The reviews that `viewer` may see, oldest first.
    pub(crate) fn visible_reviews(&self, viewer: Option<AccountId>) -> Vec<&Review> {
        self.reviews
            .iter()
            .filter(|review| review.state != ReviewState::Pending || Some(review.author) == viewer)
            .collect()
    }

    /// Notes that a response contained the mergeability, which starts its computation.
    pub(crate) fn note_mergeability_read(&self) {
        let reads = self.unknown_reads.get();
        self.unknown_reads.set(reads.saturating_sub(1));
    }

    /// What is known of merging it; GitHub forgets it when the pull request is closed.
    pub(crate) fn mergeable(&self) -> Mergeable {
        if self.is_open() && self.unknown_reads.get() == 0 {
            self.mergeable
        } else {
            Mergeable::Unknown
        }
    }

    /// The last review of each reviewer among those that `counts`, oldest first.
    pub(crate) fn latest_reviews(&self, counts: impl Fn(ReviewState) -> bool) -> Vec<&Review> {
        let mut latest: Vec<&Review> = Vec::new();
        for review in self.reviews.iter().rev() {
            let known = latest.iter().any(|found| found.author == review.author);
            if counts(review.state) && !known {
                latest.push(review);
            }
        }
        latest.reverse();
        latest
    }
}

impl Review {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("PRR_kwDO{:08X}", self.id)
    }
}

impl ReviewState {
    /// Whether it is a verdict, or was one before it was dismissed. A later comment does not
    /// replace it.
    pub(crate) fn is_opinion(self) -> bool {
        match self {
            Self::Approved | Self::ChangesRequested | Self::Dismissed => true,
            Self::Commented | Self::Pending => false,
        }
    }
}
