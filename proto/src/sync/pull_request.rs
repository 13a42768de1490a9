//! A pull request, as it is found and as it is shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    checks::Checks,
    field::{FieldError, Wire, carried_by, words},
    merging::{MergeState, Progress, ReviewDecision, readable},
};
use crate::{
    bounds::{
        MAX_AVATAR_URL_BYTES, MAX_COMMIT_BYTES, MAX_HOST_ID_BYTES, MAX_LOGIN_BYTES, MAX_NAME_BYTES,
        MAX_PULL_REQUEST_TITLE_CHARS, MAX_REPOSITORY_BYTES, MAX_URL_BYTES,
    },
    chat::v1,
};

words! {
    /// Where a pull request stands. A draft is not a state: it has one beside.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    PullRequestState = PullRequestState, else Open {
        /// Neither merged nor closed.
        Open = "open",
        /// Merged.
        Merged = "merged",
        /// Closed without a merge.
        Closed = "closed",
    }
}

/// Exactly what is shown of a pull request: two equal values look the same to every reader.
///
/// The database stores it as one JSON value with these field names. A later release may add fields;
/// a field that this release does not know is preserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The number within its repository.
    pub number: i32,
    /// The address of its page.
    pub url: String,
    /// Where it stands.
    pub state: PullRequestState,
    /// Marked as not ready for review.
    pub draft: bool,
    /// The title, at most [`MAX_PULL_REQUEST_TITLE_CHARS`] characters.
    pub title: String,
    /// The base branch.
    pub base_branch: String,
    /// Who opened it. `None` when that account is gone.
    #[serde(default)]
    pub author_login: Option<String>,
    /// The author's picture.
    #[serde(default)]
    pub author_avatar_url: Option<String>,
    /// A reviewer's last word is a request for changes.
    pub changes_requested: bool,
    /// A reviewer approved, and no one asks for changes.
    pub approved: bool,
    /// Reviewers who said something.
    pub reviewer_count: i32,
    /// Of a merged one: whether what was pushed to its branch last is not in it. `None`: not known.
    #[serde(default)]
    pub pushed_after_merge: Option<bool>,
    /// How it is to be merged, and the state of its review.
    #[serde(flatten)]
    pub progress: Progress,
    /// The part that belongs to its current head, and is dropped when the head moves.
    pub head: Head,
}

/// The part of a pull request that belongs to its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The branch.
    pub branch: String,
    /// The commit.
    pub sha: String,
    /// Lines added.
    pub additions: i32,
    /// Lines deleted.
    pub deletions: i32,
    /// Files changed.
    pub changed_files: i32,
    /// Commits.
    pub commits: i32,
    /// Its checks. `None`: the host did not return them; the last known ones stay.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub checks: Option<Checks>,
    /// Whether the host would merge it. `None`: likewise.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub merge_state: Option<MergeState>,
}

/// A pull request from a host: what is shown, and what identifies and orders it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPullRequest {
    /// The part that is shown.
    pub shown: PullRequest,
    /// The path of the repository that it is in.
    pub repository: String,
    /// The host's own id, which survives renames.
    pub host_id: Option<String>,
    /// When it last changed, by the host's clock.
    pub updated_at: Option<Timestamp>,
}

impl FoundPullRequest {
    /// The pull request with its texts cut to what the database takes.
    ///
    /// Returns `None` when something that is needed does not fit: then the outcome is rejected and
    /// costs no other.
    #[must_use]
    pub fn fitted(mut self) -> Option<Self> {
        let shown = &mut self.shown;
        cut(&mut shown.title, MAX_PULL_REQUEST_TITLE_CHARS);
        shown.progress.fitted();
        if let Some(checks) = &mut shown.head.checks {
            checks.fitted();
        }
        drop_unfit(&mut shown.author_login, MAX_LOGIN_BYTES);
        drop_unfit(&mut shown.author_avatar_url, MAX_AVATAR_URL_BYTES);
        drop_unfit(&mut self.host_id, MAX_HOST_ID_BYTES);
        let fits = fits(&shown.url, MAX_URL_BYTES)
            && !shown.url.is_empty()
            && fits(&self.repository, MAX_REPOSITORY_BYTES)
            && self.repository.contains('/')
            && fits(&shown.head.branch, MAX_NAME_BYTES)
            && fits(&shown.base_branch, MAX_NAME_BYTES)
            && fits(&shown.head.sha, MAX_COMMIT_BYTES)
            && shown.number > 0
            && [
                shown.reviewer_count,
                shown.head.additions,
                shown.head.deletions,
                shown.head.changed_files,
                shown.head.commits,
            ]
            .iter()
            .all(|count| *count >= 0);
        fits.then_some(self)
    }

    fn read(message: v1::PullRequest) -> Result<Self, FieldError> {
        let Some(state) = PullRequestState::known(message.state) else {
            return Err(FieldError::new("state", "must be open, merged or closed"));
        };
        // An out-of-range timestamp orders nothing, and costs no status.
        let updated_at = message.updated_at.and_then(|at| Wire::read(at).ok());
        let count = |value: Option<i32>| value.and_then(|count| u32::try_from(count).ok());
        Ok(Self {
            shown: PullRequest {
                number: message.number,
                url: message.url,
                state,
                draft: message.draft,
                title: message.title,
                base_branch: message.base_branch,
                author_login: message.author_login,
                author_avatar_url: message.author_avatar_url,
                changes_requested: message.changes_requested,
                approved: message.approved,
                reviewer_count: message.reviewer_count,
                pushed_after_merge: message.pushed_after_merge,
                progress: Progress {
                    review_decision: ReviewDecision::known(message.review_decision),
                    requested_reviewers: message.requested_reviewers,
                    requested_again: message.requested_again,
                    change_requests: message.change_requests,
                    unresolved_threads: count(message.unresolved_threads),
                    unresolved_bot_threads: count(message.unresolved_bot_threads),
                    auto_merge: message.auto_merge,
                    queue_position: count(message.queue_position),
                },
                head: Head {
                    branch: message.head_branch,
                    sha: message.head_sha,
                    additions: message.additions,
                    deletions: message.deletions,
                    changed_files: message.changed_files,
                    commits: message.commits,
                    // Checks that cannot be read cost no status.
                    checks: message.checks.and_then(|value| Checks::read(value).ok()),
                    merge_state: MergeState::known(message.merge_state),
                },
            },
            repository: message.repository,
            host_id: message.host_id,
            updated_at,
        })
    }

    pub(super) fn message(&self) -> v1::PullRequest {
        let shown = self.shown.clone();
        v1::PullRequest {
            repository: self.repository.clone(),
            number: shown.number,
            url: shown.url,
            state: shown.state.message().into(),
            draft: shown.draft,
            title: shown.title,
            changes_requested: shown.changes_requested,
            approved: shown.approved,
            reviewer_count: shown.reviewer_count,
            pushed_after_merge: shown.pushed_after_merge,
            review_decision: word(shown.progress.review_decision),
            requested_reviewers: shown.progress.requested_reviewers,
            requested_again: shown.progress.requested_again,
            change_requests: shown.progress.change_requests,
            unresolved_threads: shown.progress.unresolved_threads.message(),
            unresolved_bot_threads: shown.progress.unresolved_bot_threads.message(),
            auto_merge: shown.progress.auto_merge,
            queue_position: shown.progress.queue_position.message(),
            checks: shown.head.checks.message(),
            merge_state: word(shown.head.merge_state),
            additions: shown.head.additions,
            deletions: shown.head.deletions,
            changed_files: shown.head.changed_files,
            commits: shown.head.commits,
            head_branch: shown.head.branch,
            base_branch: shown.base_branch,
            head_sha: shown.head.sha,
            author_login: shown.author_login,
            author_avatar_url: shown.author_avatar_url,
            host_id: self.host_id.clone(),
            updated_at: self.updated_at.message(),
        }
    }
}

carried_by!(FoundPullRequest, v1::PullRequest);

/// A word that may be missing, as a message has it.
fn word<T: Wire<i32>>(value: Option<T>) -> i32 {
    value.map_or(0, |word| word.message())
}

/// Cuts a text to `most` characters, without those that the database rejects.
pub(super) fn cut(text: &mut String, most: usize) {
    *text = text
        .chars()
        .filter(|character| *character != '\0')
        .take(most)
        .collect();
}

/// Whether the database takes the text.
pub(super) fn fits(text: &str, bytes: usize) -> bool {
    text.len() <= bytes && !text.contains('\0')
}

/// Drops an optional text that is empty or that the database does not take.
pub(super) fn drop_unfit(text: &mut Option<String>, bytes: usize) {
    if text
        .as_deref()
        .is_some_and(|text| text.is_empty() || !fits(text, bytes))
    {
        *text = None;
    }
}
