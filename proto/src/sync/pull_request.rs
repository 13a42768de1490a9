//! A pull request, as it is found and as it is shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::field::{FieldError, at, message_timestamp, timestamp};
use crate::{
    bounds::{
        MAX_HOST_ID_BYTES, MAX_NAME_BYTES, MAX_PULL_REQUEST_TITLE_CHARS, MAX_REPOSITORY_BYTES,
        MAX_URL_BYTES,
    },
    chat::v1,
};

/// Where a pull request stands. A draft is not a state: it has one beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestState {
    /// Neither merged nor closed.
    Open,
    /// Merged.
    Merged,
    /// Closed without a merge.
    Closed,
}

impl PullRequestState {
    /// The name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }

    pub(super) fn message(self) -> v1::PullRequestState {
        match self {
            Self::Open => v1::PullRequestState::Open,
            Self::Merged => v1::PullRequestState::Merged,
            Self::Closed => v1::PullRequestState::Closed,
        }
    }

    /// State and draft of a message; `DRAFT` means an open draft.
    pub(super) fn read(state: v1::PullRequestState, draft: bool) -> Option<(Self, bool)> {
        match state {
            v1::PullRequestState::Open => Some((Self::Open, draft)),
            v1::PullRequestState::Draft => Some((Self::Open, true)),
            v1::PullRequestState::Merged => Some((Self::Merged, draft)),
            v1::PullRequestState::Closed => Some((Self::Closed, draft)),
            v1::PullRequestState::Unspecified => None,
        }
    }
}

/// Exactly what is shown of a pull request: two that are equal look the same to everybody.
///
/// The database keeps it as one JSON value, whose field names are these. A later release may add fields;
/// one that this release does not know is kept as it is.
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
    /// The branch that it is to be merged into.
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
    /// What belongs to its current head, and is dropped when the head moves.
    pub head: Head,
}

/// What belongs to the head of a pull request.
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
}

/// A pull request as a host told it: what is shown, and what identifies and orders it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPullRequest {
    /// What is shown.
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
    /// Returns `None` when something that is needed does not fit: then the outcome is rejected and costs
    /// no other.
    #[must_use]
    pub fn fitted(mut self) -> Option<Self> {
        let shown = &mut self.shown;
        shown.title = shown
            .title
            .chars()
            .filter(|character| *character != '\0')
            .take(MAX_PULL_REQUEST_TITLE_CHARS)
            .collect();
        drop_unfit(&mut shown.author_login, MAX_NAME_BYTES);
        drop_unfit(&mut shown.author_avatar_url, MAX_URL_BYTES);
        drop_unfit(&mut self.host_id, MAX_HOST_ID_BYTES);
        let fits = fits(&shown.url, MAX_URL_BYTES)
            && !shown.url.is_empty()
            && fits(&self.repository, MAX_REPOSITORY_BYTES)
            && self.repository.contains('/')
            && fits(&shown.head.branch, MAX_NAME_BYTES)
            && fits(&shown.base_branch, MAX_NAME_BYTES)
            && fits(&shown.head.sha, MAX_NAME_BYTES)
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

    pub(super) fn read(path: &str, message: v1::PullRequest) -> Result<Self, FieldError> {
        let state = message.state();
        let v1::PullRequest {
            repository,
            number,
            url,
            state: _,
            draft,
            title,
            changes_requested,
            approved,
            reviewer_count,
            additions,
            deletions,
            changed_files,
            commits,
            head_branch,
            base_branch,
            head_sha,
            author_login,
            author_avatar_url,
            host_id,
            updated_at,
        } = message;
        let Some((state, draft)) =
            PullRequestState::read(state, draft).filter(|_| state != v1::PullRequestState::Draft)
        else {
            return Err(FieldError::new(
                at(path, "state"),
                "must be open, merged or closed",
            ));
        };
        Ok(Self {
            shown: PullRequest {
                number,
                url,
                state,
                draft,
                title,
                base_branch,
                author_login,
                author_avatar_url,
                changes_requested,
                approved,
                reviewer_count,
                head: Head {
                    branch: head_branch,
                    sha: head_sha,
                    additions,
                    deletions,
                    changed_files,
                    commits,
                },
            },
            repository,
            host_id,
            // An out-of-range timestamp orders nothing, and costs no status.
            updated_at: updated_at.and_then(timestamp),
        })
    }

    pub(super) fn message(&self) -> v1::PullRequest {
        let Self {
            shown,
            repository,
            host_id,
            updated_at,
        } = self;
        let PullRequest {
            number,
            url,
            state,
            draft,
            title,
            base_branch,
            author_login,
            author_avatar_url,
            changes_requested,
            approved,
            reviewer_count,
            head,
        } = shown;
        let Head {
            branch,
            sha,
            additions,
            deletions,
            changed_files,
            commits,
        } = head;
        v1::PullRequest {
            repository: repository.clone(),
            number: *number,
            url: url.clone(),
            state: state.message().into(),
            draft: *draft,
            title: title.clone(),
            changes_requested: *changes_requested,
            approved: *approved,
            reviewer_count: *reviewer_count,
            additions: *additions,
            deletions: *deletions,
            changed_files: *changed_files,
            commits: *commits,
            head_branch: branch.clone(),
            base_branch: base_branch.clone(),
            head_sha: sha.clone(),
            author_login: author_login.clone(),
            author_avatar_url: author_avatar_url.clone(),
            host_id: host_id.clone(),
            updated_at: updated_at.map(message_timestamp),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> FoundPullRequest {
        FoundPullRequest {
            shown: PullRequest {
                number: 1,
                url: "https://github.com/acme/web/pull/1".to_owned(),
                state: PullRequestState::Open,
                draft: false,
                title: "Fix".to_owned(),
                base_branch: "main".to_owned(),
                author_login: None,
                author_avatar_url: None,
                changes_requested: false,
                approved: false,
                reviewer_count: 0,
                head: Head {
                    branch: "fix".to_owned(),
                    sha: "1".repeat(40),
                    additions: 1,
                    deletions: 2,
                    changed_files: 3,
                    commits: 4,
                },
            },
            repository: "acme/web".to_owned(),
            host_id: Some("PR_1".to_owned()),
            updated_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_pull_request_survives_the_wire_and_the_database() {
        let found = found();
        assert_eq!(
            FoundPullRequest::read("found", found.message()),
            Ok(found.clone())
        );
        let stored = serde_json::to_value(&found.shown).unwrap();
        assert_eq!(
            serde_json::from_value::<PullRequest>(stored).unwrap(),
            found.shown
        );
    }

    #[test]
    fn a_field_of_a_later_release_does_not_hide_a_stored_pull_request() {
        let mut stored = serde_json::to_value(found().shown).unwrap();
        stored["checks"] = serde_json::json!("passing");
        stored["head"]["checks"] = serde_json::json!("passing");
        assert_eq!(
            serde_json::from_value::<PullRequest>(stored).unwrap(),
            found().shown
        );
    }

    #[test]
    fn a_long_title_loses_its_end_and_not_the_status() {
        let mut long = found();
        long.shown.title = format!("\0{}", "ä".repeat(5000));
        long.shown.author_avatar_url = Some("x".repeat(5000));
        long.shown.author_login = Some(String::new());
        let fitted = long.fitted().unwrap();
        assert_eq!(fitted.shown.title, "ä".repeat(256));
        assert_eq!(fitted.shown.author_avatar_url, None);
        assert_eq!(fitted.shown.author_login, None);
    }

    #[test]
    fn what_is_needed_and_does_not_fit_rejects_the_outcome() {
        let change: [fn(&mut FoundPullRequest); 7] = [
            |found| found.shown.url = "x".repeat(5000),
            |found| found.shown.url = String::new(),
            |found| found.repository = "web".to_owned(),
            |found| found.shown.head.branch = "a\0b".to_owned(),
            |found| found.shown.head.branch = "b".repeat(256),
            |found| found.shown.number = 0,
            |found| found.shown.head.commits = -1,
        ];
        for change in change {
            let mut bad = found();
            change(&mut bad);
            assert!(bad.clone().fitted().is_none(), "{bad:?}");
        }
        assert!(found().fitted().is_some());
    }
}
