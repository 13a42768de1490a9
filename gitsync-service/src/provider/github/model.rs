//! What is read of GitHub's answers: the fields that are used, and no others. A missing field is
//! an error, an unknown one is not.

use serde::{Deserialize, Deserializer};

use crate::{
    lease::Repository,
    outcome::{Author, Problem, PullRequest, PullRequestState, ReviewSummary},
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
    pub(super) fn is(&self, repository: &Repository) -> bool {
        Repository::parse(&self.full_name).as_ref() == Some(repository)
    }
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
    avatar_url: Option<String>,
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
    pub(super) fn repository(&self) -> Result<Repository, Problem> {
        Repository::parse(&self.base.repo.full_name)
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

    /// The pull request in our words.
    pub(super) fn status(&self, reviews: ReviewSummary) -> Result<PullRequest, Problem> {
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
        } = self;
        if *number <= 0 {
            return Err(Problem::HostAnswerInvalid("a pull request has no number"));
        }
        // People click on it: nothing but a web address is passed on.
        if !(html_url.starts_with("https://") || html_url.starts_with("http://")) {
            return Err(Problem::HostAnswerInvalid("a pull request has no page"));
        }
        Ok(PullRequest {
            repository,
            number: *number,
            url: html_url.clone(),
            state,
            draft: *draft,
            title: title.clone(),
            reviews,
            additions: count(*additions),
            deletions: count(*deletions),
            changed_files: count(*changed_files),
            commits: count(*commits),
            head_branch: head.branch.clone(),
            base_branch: base.branch.clone(),
            head_sha: head.sha.clone(),
            author: user.as_ref().map(|user| Author {
                login: user.login.clone(),
                avatar_url: user.avatar_url.clone().filter(|url| !url.is_empty()),
            }),
            node_id: node_id.clone().filter(|id| !id.is_empty()),
        })
    }
}

/// The contract counts in 32 bits. More lines than that are shown as that many.
fn count(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
