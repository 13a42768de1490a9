//! How tests and the launcher build a world and change it.
//!
//! All of it works while the server runs. Naming a repository, a pull request or a review that
//! does not exist is a mistake in the scenario, and panics at the caller's line.

mod check;
mod handle;
mod new_pull_request;
mod outage;

use std::sync::Arc;

pub use self::check::RunState;
pub use self::handle::{BudgetHandle, RepositoryHandle, UserHandle};
pub use self::new_pull_request::NewPullRequest;
pub use self::outage::BarrierHandle;
use super::GitHub;
use super::limit::Resource;
use super::model::{AccountId, AccountKind, Repository};
use super::pull_request::{PullRequest, PullRequestState, Review, ReviewState};
use super::state::World;

impl GitHub {
    /// The user of that login, created if it does not exist.
    pub fn user(&self, login: &str) -> UserHandle {
        self.account(login, AccountKind::User)
    }

    /// The organization of that login, created if it does not exist.
    pub fn organization(&self, login: &str) -> UserHandle {
        self.account(login, AccountKind::Organization)
    }

    /// The bot of that login, created if it does not exist.
    pub fn bot(&self, login: &str) -> UserHandle {
        self.account(login, AccountKind::Bot)
    }

    fn account(&self, login: &str, kind: AccountKind) -> UserHandle {
        let id = self.shared.lock().model.ensure_account(login, kind);
        UserHandle::new(Arc::clone(&self.shared), id)
    }

    /// Deletes an account with its repositories: its tokens die, and what it wrote elsewhere has no
    /// author any more.
    #[track_caller]
    pub fn delete_user(&self, login: &str) {
        let mut world = self.shared.lock();
        let Some(id) = world.model.find_account(login).map(|account| account.id) else {
            panic!("there is no account {login}");
        };
        world.model.delete_account(id);
    }

    /// Makes a token worthless. Returns whether it was worth anything.
    pub fn revoke(&self, token: &str) -> bool {
        self.shared.lock().model.revoke_token(token)
    }

    /// The repository `owner/name`, created if it does not exist: private, with the branch `main`,
    /// and with an organization as its owner unless the owner exists already.
    #[track_caller]
    pub fn repository(&self, full_name: &str) -> RepositoryHandle {
        let (owner, name) = split(full_name);
        let mut world = self.shared.lock();
        let found = world
            .model
            .find_repository(owner, name)
            .map(|found| found.id);
        let id = found.unwrap_or_else(|| {
            let now = world.now();
            let owner = world.model.ensure_account(owner, AccountKind::Organization);
            world.model.insert_repository(owner, name, now)
        });
        RepositoryHandle::new(Arc::clone(&self.shared), id)
    }

    /// Forks a repository into a user's account, under the same name.
    #[track_caller]
    pub fn fork(&self, full_name: &str, login: &str) -> RepositoryHandle {
        let mut world = self.shared.lock();
        let parent = find(&world, full_name).id;
        let now = world.now();
        let owner = world.model.ensure_account(login, AccountKind::User);
        let Some(id) = world.model.fork_repository(parent, owner, now) else {
            panic!("there is no repository {full_name}");
        };
        RepositoryHandle::new(Arc::clone(&self.shared), id)
    }

    /// Renames or transfers a repository; the old name redirects until it is taken again.
    #[track_caller]
    pub fn rename(&self, full_name: &str, new_full_name: &str) {
        let (owner, name) = split(new_full_name);
        let mut world = self.shared.lock();
        let id = find(&world, full_name).id;
        let owner = world.model.ensure_account(owner, AccountKind::Organization);
        world.model.rename_repository(id, owner, name);
    }

    /// Deletes a repository with its pull requests. Pull requests from it into others stay, with
    /// `null` in place of the repository.
    #[track_caller]
    pub fn delete_repository(&self, full_name: &str) {
        let mut world = self.shared.lock();
        let id = find(&world, full_name).id;
        world.model.delete_repository(id);
    }

    /// Begins a pull request into this repository; [`NewPullRequest::open`] and its like create
    /// it.
    #[track_caller]
    pub fn pull_request(&self, full_name: &str) -> NewPullRequest {
        let repository = find(&self.shared.lock(), full_name).id;
        NewPullRequest::new(Arc::clone(&self.shared), repository)
    }

    /// Merges a pull request, as its author.
    #[track_caller]
    pub fn merge(&self, full_name: &str, number: u64) {
        let mut world = self.shared.lock();
        let commit = world.model.next_sha();
        let now = world.now();
        edit(&mut world, full_name, number, |pull_request| {
            pull_request.state = PullRequestState::Merged {
                by: pull_request.author,
                commit,
            };
            pull_request.closed_at = Some(now);
        });
    }

    /// Closes a pull request without merging it.
    #[track_caller]
    pub fn close(&self, full_name: &str, number: u64) {
        let mut world = self.shared.lock();
        let now = world.now();
        edit(&mut world, full_name, number, |pull_request| {
            pull_request.state = PullRequestState::Closed;
            pull_request.closed_at = Some(now);
        });
    }

    /// Opens a closed pull request again.
    #[track_caller]
    pub fn reopen(&self, full_name: &str, number: u64) {
        edit(&mut self.shared.lock(), full_name, number, |pull_request| {
            pull_request.state = PullRequestState::Open;
            pull_request.closed_at = None;
        });
    }

    /// Turns a pull request into a draft, or a draft into one that is ready for review.
    #[track_caller]
    pub fn set_draft(&self, full_name: &str, number: u64, draft: bool) {
        edit(&mut self.shared.lock(), full_name, number, |pull_request| {
            pull_request.draft = draft;
        });
    }

    /// Changes anything about a pull request; it counts as updated now.
    #[track_caller]
    pub fn edit_pull_request(
        &self,
        full_name: &str,
        number: u64,
        change: impl FnOnce(&mut PullRequest),
    ) {
        edit(&mut self.shared.lock(), full_name, number, change);
    }

    /// The pull request as the model has it.
    pub fn find_pull_request(&self, full_name: &str, number: u64) -> Option<PullRequest> {
        let (owner, name) = full_name.split_once('/')?;
        let world = self.shared.lock();
        world
            .model
            .find_repository(owner, name)?
            .pull_requests
            .get(&number)
            .cloned()
    }

    /// Submits a review now, of the commit that the pull request is at. Returns the review's id.
    #[track_caller]
    pub fn review(&self, full_name: &str, number: u64, login: &str, state: ReviewState) -> u64 {
        let mut world = self.shared.lock();
        let author = world.model.ensure_account(login, AccountKind::User);
        let id = world.model.next_id();
        let now = world.now();
        let submitted_at = (state != ReviewState::Pending).then_some(now);
        edit(&mut world, full_name, number, |pull_request| {
            let commit = pull_request.head.sha.clone();
            pull_request.reviews.push(Review {
                id,
                author,
                state,
                submitted_at,
                commit,
            });
        });
        id
    }

    /// Sets a verdict aside; the review stays, with another state.
    #[track_caller]
    pub fn dismiss_review(&self, full_name: &str, number: u64, review: u64) {
        edit(
            &mut self.shared.lock(),
            full_name,
            number,
            |pull_request| match pull_request
                .reviews
                .iter_mut()
                .find(|found| found.id == review)
            {
                Some(found) => found.state = ReviewState::Dismissed,
                None => panic!("pull request {number} has no review {review}"),
            },
        );
    }

    /// The installation of an app at an owner: its tokens have limits of their own, and all of the
    /// app show themselves as the app's one user.
    pub fn installation(&self, app: &str, owner: &str) -> UserHandle {
        let id = self.shared.lock().model.ensure_installation(app, owner);
        UserHandle::new(Arc::clone(&self.shared), id)
    }

    /// The rate limit of a user, all tokens together, for REST requests.
    #[track_caller]
    pub fn budget(&self, login: &str) -> BudgetHandle {
        self.budget_of(login, Resource::Core)
    }

    /// The rate limit of a user for REST or GraphQL.
    #[track_caller]
    pub fn budget_of(&self, login: &str, resource: Resource) -> BudgetHandle {
        match self.shared.lock().model.find_account(login) {
            Some(account) => self.budget_handle(Some(account.id), resource),
            None => panic!("there is no account {login}"),
        }
    }

    fn budget_handle(&self, account: Option<AccountId>, resource: Resource) -> BudgetHandle {
        BudgetHandle::new(Arc::clone(&self.shared), account, resource)
    }

    /// Turns rate limits and their headers off, as on an enterprise server by default, or on again.
    pub fn set_rate_limits(&self, enabled: bool) {
        self.shared.lock().limits.set_disabled(!enabled);
    }

    /// Leaves the headers on rate limits out, as a proxy in between may, or puts them back. The
    /// limits hold, and GraphQL's `rateLimit` tells of them.
    pub fn set_limit_headers(&self, shown: bool) {
        self.shared.lock().limits.set_headers(shown);
    }
}

#[track_caller]
fn split(full_name: &str) -> (&str, &str) {
    match full_name.split_once('/') {
        Some(parts) => parts,
        None => panic!("{full_name} is not of the form owner/name"),
    }
}

#[track_caller]
fn find<'a>(world: &'a World, full_name: &str) -> &'a Repository {
    let (owner, name) = split(full_name);
    match world.model.find_repository(owner, name) {
        Some(repository) => repository,
        None => panic!("there is no repository {full_name}"),
    }
}

#[track_caller]
fn edit(world: &mut World, full_name: &str, number: u64, change: impl FnOnce(&mut PullRequest)) {
    let id = find(world, full_name).id;
    let now = world.now();
    let found = world.model.edit_pull_request(id, number, now, change);
    assert!(found, "{full_name} has no pull request {number}");
}
