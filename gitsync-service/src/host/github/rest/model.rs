//! REST's responses: the used fields, and no others. A missing field is an error, an unknown one is
//! not.

use std::sync::Arc;

use proto::sync::{
    Checks, FoundPullRequest, Head as ShownHead, Progress, PullRequest, PullRequestState,
    RepositoryPath,
};
use serde::{Deserialize, Deserializer};

use super::super::{
    NoAnswer, check,
    normalised::{self, count},
    review_summary::ReviewSummary,
};

/// `GET /repos/{owner}/{repo}/pulls/{number}`.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: i32,
    pub(super) node_id: Option<String>,
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
    pub(super) head: HeadBranch,
    base: Base,
    /// Null when the account is gone.
    #[serde(deserialize_with = "nullable")]
    user: Option<User>,
    /// Only to order two answers.
    updated_at: Option<String>,
    /// Null while the host has not worked it out.
    mergeable: Option<bool>,
    /// Its own word for that.
    mergeable_state: Option<String>,
    #[serde(default)]
    requested_reviewers: Vec<Login>,
    #[serde(default)]
    requested_teams: Vec<Team>,
    #[serde(default, deserialize_with = "optional_null")]
    auto_merge: Option<Option<AutoMerge>>,
}

#[derive(Debug, Deserialize)]
struct Team {
    slug: String,
}

#[derive(Debug, Deserialize)]
struct AutoMerge {}

/// One of `GET /repos/{owner}/{repo}/pulls`.
#[derive(Debug, Deserialize)]
pub(super) struct ListedPull {
    pub(super) number: i32,
    pub(super) node_id: Option<String>,
    pub(super) state: String,
    pub(super) closed_at: Option<String>,
    pub(super) head: HeadBranch,
    base: Base,
}

impl ListedPull {
    /// The repository that the pull request is in, by its present name.
    pub(super) fn repository(&self) -> Result<RepositoryPath, NoAnswer> {
        normalised::repository(&self.base.repo.full_name)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.eq_ignore_ascii_case("open")
    }
}

/// The branch that a pull request brings.
#[derive(Debug, Deserialize)]
pub(super) struct HeadBranch {
    #[serde(rename = "ref")]
    pub(super) branch: String,
    pub(super) sha: String,
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
    pub(super) default_branch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
    avatar_url: Option<String>,
}

/// `GET /user`.
#[derive(Debug, Deserialize)]
pub(super) struct CurrentUser {
    pub(super) id: u64,
}

/// One of `GET /repos/{owner}/{repo}/pulls/{number}/reviews`.
#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    pub(super) node_id: Option<String>,
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
    /// The root of its network, likewise.
    pub(super) source: Option<RepositoryName>,
    pub(super) default_branch: Option<String>,
}

/// `Option` alone would take a missing field for null.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// Distinguishes a field that is null (`Some(None)`) from one that is absent (`None`).
fn optional_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl HeadBranch {
    /// The repository that the branch is in, if that is still there.
    pub(super) fn repository(&self) -> Result<Option<RepositoryPath>, NoAnswer> {
        let name = self.repo.as_ref().map(|repo| repo.full_name.as_str());
        name.map(normalised::repository).transpose()
    }
}

impl Pull {
    /// The repository that the pull request is in, by its present name.
    pub(super) fn repository(&self) -> Result<RepositoryPath, NoAnswer> {
        normalised::repository(&self.base.repo.full_name)
    }

    /// The merged flag overrides the state, which says `closed` of a merged pull request.
    fn state(&self) -> Result<PullRequestState, NoAnswer> {
        if self.merged {
            Ok(PullRequestState::Merged)
        } else if self.state.eq_ignore_ascii_case("open") {
            Ok(PullRequestState::Open)
        } else if self.state.eq_ignore_ascii_case("closed") {
            Ok(PullRequestState::Closed)
        } else {
            Err(NoAnswer::invalid(
                "a pull request is neither open nor closed",
            ))
        }
    }

    /// Neither merged nor closed.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state(), Ok(PullRequestState::Open))
    }

    /// The pull request in the one spelling, with the checks of its head.
    pub(super) fn found(
        &self,
        reviews: &ReviewSummary,
        checks: Option<Checks>,
    ) -> Result<Arc<FoundPullRequest>, NoAnswer> {
        let state = self.state()?;
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
            mergeable,
            mergeable_state,
            requested_reviewers,
            requested_teams,
            auto_merge,
        } = self;
        let logins = requested_reviewers.iter();
        let logins = logins.filter_map(|reviewer| normalised::login(&reviewer.login));
        let teams = requested_teams.iter().map(|team| team.slug.clone());
        let merge_state = mergeable_state.as_deref();
        let merge_state = merge_state.filter(|_| state == PullRequestState::Open);
        normalised::found(FoundPullRequest {
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
                pushed_after_merge: None,
                progress: Progress {
                    auto_merge: auto_merge.as_ref().map(Option::is_some),
                    ..normalised::requested(logins.chain(teams), reviews)
                },
                head: ShownHead {
                    branch: head.branch.clone(),
                    sha: head.sha.clone(),
                    additions: count(*additions),
                    deletions: count(*deletions),
                    changed_files: count(*changed_files),
                    commits: count(*commits),
                    checks,
                    merge_state: merge_state.map(|state| check::merge_state(*mergeable, state)),
                },
            },
            repository: base.repo.full_name.clone(),
            host_id: node_id.clone(),
            updated_at: updated_at.as_deref().and_then(|at| at.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        bounds::{
            MAX_HOST_ID_BYTES, MAX_PULL_REQUEST_TITLE_CHARS, MAX_REPOSITORY_BYTES, MAX_URL_BYTES,
        },
        sync::ProblemClass,
    };
    use serde_json::{Value, json};
    use testkit::github::fixtures;

    use super::*;

    fn found(path: &str, value: &str) -> Result<Arc<FoundPullRequest>, NoAnswer> {
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
        pull.found(&ReviewSummary::default(), None)
    }

    #[test]
    fn a_title_that_is_too_long_loses_its_end() {
        let found = found("/title", &"ä\0".repeat(3_000_000)).unwrap();
        assert_eq!(found.shown.title, "ä".repeat(MAX_PULL_REQUEST_TITLE_CHARS));
    }

    #[test]
    fn what_is_needed_and_too_long_is_no_answer() {
        let long = format!("https://github.com/{}", "x".repeat(MAX_URL_BYTES));
        let name = "x".repeat(MAX_REPOSITORY_BYTES + 1);
        for (path, value) in [
            ("/html_url", long.as_str()),
            ("/html_url", "https://github.com/\0"),
            ("/html_url", "javascript:alert(1)"),
            ("/head/ref", &long),
            ("/head/sha", &long),
            ("/base/ref", &long),
            ("/base/ref", "a\0b"),
            ("/base/repo/full_name", &name),
        ] {
            let invalid = Err(NoAnswer::Failed(ProblemClass::HostAnswerInvalid));
            assert_eq!(found(path, value), invalid, "{path}");
        }
    }

    #[test]
    fn what_is_not_needed_and_too_long_is_left_out() {
        let long = "x".repeat(MAX_URL_BYTES + 1);
        let avatar = format!("https://example.com/{long}");
        let shown = found("/user/avatar_url", &avatar).unwrap().shown.clone();
        assert_eq!(
            (shown.author_login.as_deref(), shown.author_avatar_url),
            (Some("ann"), None)
        );
        let shown = found("/user/login", &long).unwrap().shown.clone();
        assert_eq!(shown.author_login, None);
        let id = "x".repeat(MAX_HOST_ID_BYTES + 1);
        assert_eq!(found("/node_id", &id).unwrap().host_id, None);
    }

    #[test]
    fn githubs_published_examples_are_read_as_they_are() {
        let pull: Pull = serde_json::from_str(fixtures::PULL_REQUEST).unwrap();
        let found = pull.found(&ReviewSummary::default(), None).unwrap();
        assert!(found.shown.number > 0 && !found.shown.head.sha.is_empty());
        assert!(found.shown.author_login.is_some());
        let listed: Vec<ListedPull> = serde_json::from_str(fixtures::PULL_REQUESTS).unwrap();
        assert!(!listed.is_empty());
        let reviews: Vec<Review> = serde_json::from_str(fixtures::REVIEWS).unwrap();
        assert!(!reviews.is_empty());
        let repository: RepositoryInfo = serde_json::from_str(fixtures::REPOSITORY).unwrap();
        assert!(repository.full_name.contains('/'));
    }

    #[test]
    fn a_field_that_is_missing_is_an_error_and_not_null() {
        let whole: Value = serde_json::from_str(fixtures::PULL_REQUEST).unwrap();
        for (path, field) in [
            ("", "merged"),
            ("", "state"),
            ("", "user"),
            ("", "commits"),
            ("/head", "repo"),
            ("/head", "ref"),
            ("/base", "repo"),
        ] {
            let mut partial = whole.clone();
            let object = partial.pointer_mut(path).unwrap().as_object_mut().unwrap();
            assert!(object.remove(field).is_some(), "{path}/{field}");
            assert!(
                serde_json::from_value::<Pull>(partial).is_err(),
                "{path}/{field}"
            );
        }
    }
}
