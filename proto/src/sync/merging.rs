//! Whether a pull request can be merged, why not, and how far its review is.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{
    checks::CheckState,
    field::{FieldError, Wire, words},
    pull_request::{PullRequest, PullRequestState, fits},
};
use crate::bounds::{
    MAX_CHANGE_REQUESTS, MAX_LOGIN_BYTES, MAX_REQUESTED_REVIEWERS, MAX_REVIEW_ID_BYTES,
};

words! {
    /// Whether the host would merge it now.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    MergeState = MergeState {
        /// The host has not worked it out yet. It is no "no".
        Unknown = "unknown",
        /// It would.
        Clean = "clean",
        /// The branches conflict.
        Conflicting = "conflicting",
        /// The base branch has to be merged into it first.
        Behind = "behind",
        /// A rule of the base branch forbids it.
        Blocked = "blocked",
    }

    /// The sum of the reviews by the rules of the base branch.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    ReviewDecision = ReviewDecision {
        /// The rules ask for no review.
        NotRequired = "not_required",
        /// Enough approved.
        Approved = "approved",
        /// A reviewer asks for changes.
        ChangesRequested = "changes_requested",
        /// A review is still to come.
        ReviewRequired = "review_required",
    }

    /// Why a pull request is not merged now.
    MergeBlocker = MergeBlocker {
        /// It is a draft.
        Draft = "draft",
        /// The branches conflict.
        Conflicts = "conflicts",
        /// The base branch has to be merged into it first.
        Behind = "behind",
        /// A check that counts has not ended.
        ChecksPending = "checks_pending",
        /// A check that counts failed.
        ChecksFailing = "checks_failing",
        /// A review is still to come.
        ReviewRequired = "review_required",
        /// A reviewer asks for changes.
        ChangesRequested = "changes_requested",
        /// It waits in the merge queue.
        InQueue = "in_queue",
        /// A rule of the base branch, which the host does not name.
        Rules = "rules",
    }
}

/// How a pull request is to be merged, and how far its review is. `None` is a value that the host
/// did not report: the last known value stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The sum of the reviews by the rules of the base branch.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub review_decision: Option<ReviewDecision>,
    /// Who is asked for a review and has not answered: accounts and teams, by name, the first few.
    #[serde(default)]
    pub requested_reviewers: Vec<String>,
    /// One of them approved before, and is asked again.
    #[serde(default)]
    pub requested_again: bool,
    /// The host's ids of the reviews that ask for changes, of each reviewer the latest, the first
    /// few.
    #[serde(default)]
    pub change_requests: Vec<String>,
    /// Review threads that are not resolved, among the first hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved_threads: Option<u32>,
    /// How many of them a bot began; people began the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved_bot_threads: Option<u32>,
    /// Auto-merge is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<bool>,
    /// Its place in the merge queue, from 1 on; 0: it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u32>,
}

impl Progress {
    /// With its lists cut to what the database takes.
    pub(super) fn fitted(&mut self) {
        self.requested_reviewers
            .retain(|name| !name.is_empty() && fits(name, MAX_LOGIN_BYTES));
        self.requested_reviewers.truncate(MAX_REQUESTED_REVIEWERS);
        self.change_requests
            .retain(|id| !id.is_empty() && fits(id, MAX_REVIEW_ID_BYTES));
        self.change_requests.truncate(MAX_CHANGE_REQUESTS);
    }
}

impl PullRequest {
    /// Why it is not merged now, as far as that is known. None of one that is not open.
    #[must_use]
    pub fn merge_blockers(&self) -> Vec<MergeBlocker> {
        if self.state != PullRequestState::Open {
            return Vec::new();
        }
        let state = self.head.merge_state.unwrap_or(MergeState::Unknown);
        let decision = self.progress.review_decision;
        let is_blocked = state == MergeState::Blocked;
        let checks = self.head.checks.as_ref();
        let check_state = checks.map_or(CheckState::None, |checks| checks.state);
        // A check that no rule requires keeps nothing from being merged.
        let required_failed =
            checks.is_some_and(|checks| checks.failed_checks.iter().any(|check| check.required));
        // Where the rules decide, a review that asks for changes may be of no one who counts.
        let changes = match decision {
            Some(decision) => decision == ReviewDecision::ChangesRequested,
            None => self.changes_requested && is_blocked,
        };
        let by_facts = [
            (MergeBlocker::Draft, self.draft),
            (MergeBlocker::Conflicts, state == MergeState::Conflicting),
            (MergeBlocker::Behind, state == MergeState::Behind),
            (
                MergeBlocker::ChecksPending,
                check_state == CheckState::Pending && is_blocked,
            ),
            (
                MergeBlocker::ChecksFailing,
                check_state == CheckState::Failing && (is_blocked || required_failed),
            ),
            (
                MergeBlocker::ReviewRequired,
                decision == Some(ReviewDecision::ReviewRequired),
            ),
            (MergeBlocker::ChangesRequested, changes),
            (
                MergeBlocker::InQueue,
                self.progress.queue_position > Some(0),
            ),
        ];
        let mut blockers: Vec<MergeBlocker> = by_facts
            .into_iter()
            .filter_map(|(blocker, holds)| holds.then_some(blocker))
            .collect();
        if is_blocked && blockers.is_empty() {
            blockers.push(MergeBlocker::Rules);
        }
        blockers
    }

    /// Whether a person could merge it now, and no check speaks against it.
    #[must_use]
    pub fn is_ready_to_merge(&self) -> bool {
        let checks = self.head.checks.as_ref().map(|checks| checks.state);
        self.state == PullRequestState::Open
            && self.head.merge_state == Some(MergeState::Clean)
            && matches!(checks, Some(CheckState::None | CheckState::Passing))
            && !self.changes_requested
            && self.merge_blockers().is_empty()
    }
}

/// A value that a later release may write in a way that this one cannot read costs itself, and not
/// the pull request.
pub(super) fn readable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read<T> {
        Known(T),
        Other(IgnoredAny),
    }
    let read = Option::<Read<T>>::deserialize(deserializer)?;
    Ok(match read {
        Some(Read::Known(known)) => Some(known),
        Some(Read::Other(_)) | None => None,
    })
}

#[cfg(test)]
mod tests;
