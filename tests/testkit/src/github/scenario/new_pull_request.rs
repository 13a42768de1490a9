//! A pull request in the making.

use std::sync::Arc;

use super::{find, split};
use crate::github::model::{AccountKind, RepositoryId};
use crate::github::pull_request::{Head, PullRequest, PullRequestState};
use crate::github::state::Shared;

/// A pull request in the making. Made by
/// [`GitHub::pull_request`](crate::github::GitHub::pull_request); nothing exists before
/// [`open`](Self::open), [`closed`](Self::closed) or [`merged`](Self::merged).
#[must_use = "nothing exists before open(), closed() or merged() is called"]
pub struct NewPullRequest {
    shared: Arc<Shared>,
    repository: RepositoryId,
    head_repository: RepositoryId,
    head: String,
    base: Option<String>,
    title: String,
    author: String,
    draft: bool,
    additions: u64,
    deletions: u64,
    changed_files: u64,
    commits: u64,
}

impl NewPullRequest {
    pub(super) fn new(shared: Arc<Shared>, repository: RepositoryId) -> Self {
        Self {
            shared,
            repository,
            head_repository: repository,
            head: "feature".to_owned(),
            base: None,
            title: "Amazing new feature".to_owned(),
            author: "octocat".to_owned(),
            draft: false,
            additions: 100,
            deletions: 3,
            changed_files: 5,
            commits: 3,
        }
    }

    /// The branch it comes from, `feature` by default. It is created if it does not exist.
    pub fn head(mut self, branch: &str) -> Self {
        branch.clone_into(&mut self.head);
        self
    }

    /// The fork it comes from, `owner/name`; the repository itself unless said.
    #[track_caller]
    pub fn from_fork(mut self, full_name: &str) -> Self {
        split(full_name);
        self.head_repository = find(&self.shared.lock(), full_name).id;
        self
    }

    /// The branch it goes to; the default branch unless said.
    pub fn base(mut self, branch: &str) -> Self {
        self.base = Some(branch.to_owned());
        self
    }

    /// The title.
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// Who opens it, `octocat` by default. The user is created if it does not exist.
    pub fn author(mut self, login: &str) -> Self {
        login.clone_into(&mut self.author);
        self
    }

    /// Makes it a draft.
    pub fn draft(mut self) -> Self {
        self.draft = true;
        self
    }

    /// Lines added and removed, and files touched.
    pub fn diff(mut self, additions: u64, deletions: u64, changed_files: u64) -> Self {
        (self.additions, self.deletions, self.changed_files) =
            (additions, deletions, changed_files);
        self
    }

    /// How many commits it has.
    pub fn commits(mut self, commits: u64) -> Self {
        self.commits = commits;
        self
    }

    /// Opens it and returns its number.
    #[track_caller]
    pub fn open(self) -> u64 {
        self.create(|_, _| PullRequestState::Open)
    }

    /// Opens and closes it, and returns its number.
    #[track_caller]
    pub fn closed(self) -> u64 {
        self.create(|_, _| PullRequestState::Closed)
    }

    /// Opens and merges it, and returns its number.
    #[track_caller]
    pub fn merged(self) -> u64 {
        self.create(|by, commit| PullRequestState::Merged { by, commit })
    }

    #[track_caller]
    fn create(self, state: impl FnOnce(u64, String) -> PullRequestState) -> u64 {
        let mut world = self.shared.lock();
        let now = world.now();
        let model = &mut world.model;
        let author = model.ensure_account(&self.author, AccountKind::User);
        let id = model.next_id();
        let changed = model.next_change();
        let (new_sha, merge_sha) = (model.next_sha(), model.next_sha());

        let Some(source) = model.repository_mut(self.head_repository) else {
            panic!("the repository of the pull request's head was deleted");
        };
        let sha = source
            .branches
            .entry(self.head.clone())
            .or_insert(new_sha)
            .clone();
        let owner = source.owner;
        let owner_login = model
            .account(owner)
            .map(|account| account.login.clone())
            .unwrap_or_default();
        let head = Head {
            repository: self.head_repository,
            owner,
            owner_login,
            branch: self.head,
            sha,
        };

        let Some(target) = model.repository_mut(self.repository) else {
            panic!("the pull request's repository was deleted");
        };
        let base_branch = self.base.unwrap_or_else(|| target.default_branch.clone());
        let base_sha = target
            .branches
            .get(&base_branch)
            .cloned()
            .unwrap_or_else(|| merge_sha.clone());
        let number = target
            .pull_requests
            .last_key_value()
            .map_or(1, |(last, _)| last + 1);
        let state = state(author, merge_sha);
        let closed_at = (state != PullRequestState::Open).then_some(now);
        let pull_request = PullRequest {
            id,
            number,
            title: self.title,
            author,
            head,
            base_branch,
            base_sha,
            state,
            draft: self.draft,
            additions: self.additions,
            deletions: self.deletions,
            changed_files: self.changed_files,
            commits: self.commits,
            created_at: now,
            updated_at: now,
            closed_at,
            queue_position: 1,
            changed,
            ..PullRequest::default()
        };
        model.insert_pull_request(self.repository, pull_request);
        number
    }
}
