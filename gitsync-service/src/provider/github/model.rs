//! What is read of GitHub's answers: the fields that are used, and no others. A missing field is
//! an error, an unknown one is not.

pub(super) use proto::bounds::MAX_NAME_BYTES;
use serde::{Deserialize, Deserializer};

use crate::{
    lease::RepositoryPath,
    outcome::{self, FoundPullRequest, Problem, PullRequest, PullRequestState, ReviewSummary},
};

/// `GET /repos/{owner}/{repo}/pulls/{number}`.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    number: i32,
    node_id: Option<String>,
    html_url: String,
    state: String,
    merged: bool,
    // GitHub's schema does not require it; old Enterprise versions leave it out.
    #[serde(default)]
    draft: bool,
    title: String,
    additions: u64,
    deletions: u64,
    changed_files: u64,
    commits: u64,
    pub(super) head: Head,
    base: Base,
    /// Null when the account is gone.
    #[serde(deserialize_with = "nullable")]
    user: Option<User>,
    /// Only to tell which of two answers is older.
    updated_at: Option<String>,
}

/// One of `GET /repos/{owner}/{repo}/pulls`.
#[derive(Debug, Deserialize)]
pub(super) struct ListedPull {
    pub(super) number: i32,
    pub(super) head: Head,
}

/// The branch that a pull request brings.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "ref")]
    pub(super) branch: String,
    sha: String,
    /// Null when the fork is gone.
    #[serde(deserialize_with = "nullable")]
    pub(super) repo: Option<RepositoryName>,
}

/// The branch that a pull request goes to.
#[derive(Debug, Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: String,
    repo: RepositoryName,
}

/// A repository within another answer.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoryName {
    pub(super) full_name: String,
}

impl RepositoryName {
    pub(super) fn is(&self, repository: &RepositoryPath) -> bool {
        RepositoryPath::parse(&self.full_name).as_ref() == Some(repository)
    }
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
    avatar_url: Option<String>,
}

/// `GET /user`.
#[derive(Debug, Deserialize)]
pub(super) struct Viewer {
    pub(super) id: u64,
}

/// One of `GET /repos/{owner}/{repo}/pulls/{number}/reviews`.
#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    /// Null when the account is gone.
    #[serde(deserialize_with = "nullable")]
    pub(super) user: Option<Login>,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Login {
    pub(super) login: String,
}

/// `GET /repos/{owner}/{repo}`.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoryInfo {
    pub(super) full_name: String,
    pub(super) fork: bool,
    /// Absent unless the repository is a fork whose parent this token may see.
    pub(super) parent: Option<RepositoryName>,
}

/// `Option` alone would take a missing field for null.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

impl Pull {
    /// The repository that the pull request is in, by its present name.
    pub(super) fn repository(&self) -> Result<RepositoryPath, Problem> {
        RepositoryPath::parse(&self.base.repo.full_name)
            .ok_or(Problem::HostAnswerInvalid("a repository has no full name"))
    }

    pub(super) fn number(&self) -> i32 {
        self.number
    }

    /// The merged flag overrides the state, which says `closed` of a merged pull request.
    pub(super) fn state(&self) -> Result<PullRequestState, Problem> {
        if self.merged {
            return Ok(PullRequestState::Merged);
        }
        if self.state.eq_ignore_ascii_case("open") {
            Ok(PullRequestState::Open)
        } else if self.state.eq_ignore_ascii_case("closed") {
            Ok(PullRequestState::Closed)
        } else {
            Err(Problem::HostAnswerInvalid(
                "a pull request is neither open nor closed",
            ))
        }
    }

    /// The pull request in our words. Nothing in it is longer than chat-service takes: what nobody
    /// needs is cut or left out, and what is needed and too long is no answer.
    pub(super) fn status(&self, reviews: ReviewSummary) -> Result<FoundPullRequest, Problem> {
        let state = self.state()?;
        let repository = self.repository()?.to_string();
        let Self {
            number,
            node_id,
            html_url,
            state: _,
            merged: _,
            draft,
            title,
            additions,
            deletions,
            changed_files,
            commits,
            head,
            base,
            user,
            updated_at,
        } = self;
        bounded(FoundPullRequest {
            shown: PullRequest {
                number: *number,
                url: html_url.clone(),
                state,
                draft: *draft,
                title: title.clone(),
                base_branch: base.branch.clone(),
                author_login: user.as_ref().map(|user| user.login.clone()),
                author_avatar_url: user.as_ref().and_then(|user| user.avatar_url.clone()),
                changes_requested: reviews.changes_requested,
                approved: reviews.approved,
                reviewer_count: reviews.reviewer_count,
                head: outcome::Head {
                    branch: head.branch.clone(),
                    sha: head.sha.clone(),
                    additions: count(*additions),
                    deletions: count(*deletions),
                    changed_files: count(*changed_files),
                    commits: count(*commits),
                },
            },
            repository,
            host_id: node_id.clone(),
            updated_at: updated_at.as_deref().and_then(|at| at.parse().ok()),
        })
    }
}

/// The same, with nothing in it that is longer than chat-service takes.
///
/// # Errors
///
/// When something that is needed is missing or too long.
pub(super) fn bounded(found: FoundPullRequest) -> Result<FoundPullRequest, Problem> {
    let url = &found.shown.url;
    // People click on it: nothing but a web address is passed on.
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return Err(Problem::HostAnswerInvalid("a pull request has no page"));
    }
    found.fitted().ok_or(Problem::HostAnswerInvalid(
        "a pull request lacks something or is too long",
    ))
}

/// GitHub's paths have these two segments.
///
/// # Errors
///
/// Of a path with more: no such repository can be there.
pub(super) fn owner_and_name(repository: &RepositoryPath) -> Result<(&str, &str), Problem> {
    repository
        .owner_and_name()
        .ok_or(Problem::RepositoryNotFound)
}

/// Whether it is short enough, and something that a database can hold.
pub(super) fn fits(text: &str, bytes: usize) -> bool {
    text.len() <= bytes && !text.contains('\0')
}

/// The contract counts in 32 bits. More lines than that are shown as that many.
pub(super) fn count(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proto::bounds::{
        MAX_HOST_ID_BYTES, MAX_PULL_REQUEST_TITLE_CHARS as MAX_TITLE_CHARS, MAX_REPOSITORY_BYTES,
        MAX_URL_BYTES,
    };
    use serde_json::{Value, json};

    use super::*;

    fn status(path: &str, value: &str) -> Result<FoundPullRequest, Problem> {
        let mut answer = json!({
            "number": 7,
            "node_id": "PR_7",
            "html_url": "https://github.com/acme/web/pull/7",
            "state": "open",
            "merged": false,
            "title": "Title",
            "additions": 1, "deletions": 2, "changed_files": 3, "commits": 4,
            "head": {"ref": "feature", "sha": "abc", "repo": {"full_name": "acme/web"}},
            "base": {"ref": "main", "repo": {"full_name": "acme/web"}},
            "user": {"login": "ann", "avatar_url": "https://example.com/ann.png"},
        });
        *answer.pointer_mut(path).unwrap() = Value::from(value);
        let pull: Pull = serde_json::from_value(answer).unwrap();
        pull.status(ReviewSummary::default())
    }

    #[test]
    fn a_title_that_is_too_long_loses_its_end() {
        let title = status("/title", &"ä\0".repeat(3_000_000))
            .unwrap()
            .shown
            .title;
        assert_eq!(title, "ä".repeat(MAX_TITLE_CHARS));
    }

    #[test]
    fn what_is_needed_and_too_long_is_no_answer() {
        let long = format!("https://github.com/{}", "x".repeat(MAX_REPOSITORY_BYTES));
        for (path, value) in [
            ("/html_url", long.as_str()),
            ("/html_url", "https://github.com/\0"),
            ("/head/ref", &long),
            ("/head/sha", &long),
            ("/base/ref", &long),
            ("/base/ref", "a\0b"),
            ("/base/repo/full_name", &long["https://".len()..]),
        ] {
            let problem = status(path, value).unwrap_err();
            assert!(matches!(problem, Problem::HostAnswerInvalid(_)), "{path}");
        }
    }

    #[test]
    fn what_is_not_needed_and_too_long_is_left_out() {
        let long = "x".repeat(MAX_HOST_ID_BYTES.max(MAX_URL_BYTES) + 1);
        let shown = status("/user/avatar_url", &long).unwrap().shown;
        assert_eq!(shown.author_login.as_deref(), Some("ann"));
        assert_eq!(shown.author_avatar_url, None);
        assert_eq!(
            status("/user/login", &long).unwrap().shown.author_login,
            None
        );
        assert_eq!(status("/node_id", &long).unwrap().host_id, None);
    }
}
