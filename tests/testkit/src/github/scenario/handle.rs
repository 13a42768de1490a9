//! Handles on things of the stand-in that already exist.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::github::limit::{RateLimit, Resource};
use crate::github::model::{AccountId, Repository, RepositoryId};
use crate::github::state::Shared;

/// A user, an organization or a bot of the stand-in.
#[derive(Clone)]
pub struct UserHandle {
    shared: Arc<Shared>,
    id: AccountId,
}

impl UserHandle {
    pub(super) fn new(shared: Arc<Shared>, id: AccountId) -> Self {
        Self { shared, id }
    }

    /// A new token of theirs; there may be any number.
    pub fn token(&self) -> String {
        let is_installation = self.shared.lock().model.app_of(self.id).is_some();
        let token = if is_installation {
            // Longer than others, and of other characters.
            let part = || Uuid::new_v4().simple();
            format!("ghs_{}_{}.{}-{}", self.id, part(), part(), part())
        } else {
            format!("gho_{}{:04x}", Uuid::new_v4().simple(), self.id & 0xffff)
        };
        self.add_token(&token);
        token
    }

    /// Makes this text a token of theirs.
    pub fn add_token(&self, token: &str) {
        self.shared.lock().model.add_token(token, self.id);
    }

    /// The number that GitHub knows them by.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// The login, as its owner writes it.
    pub fn login(&self) -> String {
        let world = self.shared.lock();
        world
            .model
            .account(self.id)
            .map(|account| account.login.clone())
            .unwrap_or_default()
    }

    /// Where their picture is.
    pub fn avatar_url(&self) -> String {
        let world = self.shared.lock();
        world
            .model
            .account(self.id)
            .map(|account| account.avatar_url.clone())
            .unwrap_or_default()
    }

    /// Sets where their picture is.
    pub fn set_avatar_url(&self, url: &str) {
        if let Some(account) = self.shared.lock().model.account_mut(self.id) {
            url.clone_into(&mut account.avatar_url);
        }
    }
}

/// A repository of the stand-in. The setters return the handle, to be chained.
#[derive(Clone)]
pub struct RepositoryHandle {
    shared: Arc<Shared>,
    id: RepositoryId,
}

impl RepositoryHandle {
    pub(super) fn new(shared: Arc<Shared>, id: RepositoryId) -> Self {
        Self { shared, id }
    }

    /// The number that GitHub knows it by.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// `owner/name` as of now.
    pub fn full_name(&self) -> String {
        let world = self.shared.lock();
        world
            .model
            .repository(self.id)
            .map(|found| world.model.full_name(found))
            .unwrap_or_default()
    }

    /// Gives a user access.
    pub fn grant(&self, user: &UserHandle) -> &Self {
        self.edit(|repository| {
            repository.access.insert(user.id);
        })
    }

    /// Takes a user's access away.
    pub fn withdraw(&self, user: &UserHandle) -> &Self {
        self.edit(|repository| {
            repository.access.remove(&user.id);
        })
    }

    /// Makes it readable for all users.
    pub fn public(&self) -> &Self {
        self.edit(|repository| repository.private = false)
    }

    /// Lets only those with access read it, as it is from the start.
    pub fn private(&self) -> &Self {
        self.edit(|repository| repository.private = true)
    }

    /// Makes it read-only.
    pub fn archived(&self) -> &Self {
        self.edit(|repository| repository.archived = true)
    }

    /// Makes an approval necessary for a merge; without that GitHub makes no review decision,
    /// whatever reviewers say.
    pub fn require_reviews(&self) -> &Self {
        self.edit(|repository| repository.reviews_required = true)
    }

    /// Has a ruleset require a check of this name for a merge.
    pub fn require_check(&self, name: &str) -> &Self {
        self.edit(|repository| repository.required_checks.push(name.to_owned()))
    }

    /// Has the protection of the branches require a check of this name for a merge.
    pub fn protect_with(&self, context: &str) -> &Self {
        self.edit(|repository| repository.protected_checks.push(context.to_owned()))
    }

    /// Names the branch that pull requests go to.
    pub fn default_branch(&self, branch: &str) -> &Self {
        self.push(branch);
        self.edit(|repository| branch.clone_into(&mut repository.default_branch))
    }

    /// Pushes a new commit to a branch, which is created if it does not exist; open pull requests
    /// from it move along. Returns the commit.
    pub fn push(&self, branch: &str) -> String {
        let mut world = self.shared.lock();
        let sha = world.model.next_sha();
        let now = world.now();
        world.model.push(self.id, branch, &sha, now);
        sha
    }

    /// Gives the diffs of a branch this length, which is at least that of one line.
    pub fn diff_length(&self, branch: &str, bytes: usize) -> &Self {
        self.edit(|repository| {
            repository.diff_lengths.insert(branch.to_owned(), bytes);
        })
    }

    /// Deletes a branch; pull requests from it stay as they are.
    pub fn delete_branch(&self, branch: &str) -> &Self {
        self.edit(|repository| {
            repository.branches.remove(branch);
        })
    }

    fn edit(&self, change: impl FnOnce(&mut Repository)) -> &Self {
        if let Some(repository) = self.shared.lock().model.repository_mut(self.id) {
            change(repository);
        }
        self
    }
}

/// The rate limit of a user. The setters return the handle, to be chained.
#[derive(Clone)]
pub struct BudgetHandle {
    shared: Arc<Shared>,
    account: Option<AccountId>,
    resource: Resource,
}

impl BudgetHandle {
    pub(super) fn new(shared: Arc<Shared>, account: Option<AccountId>, resource: Resource) -> Self {
        Self {
            shared,
            account,
            resource,
        }
    }

    /// The limit as it stands.
    pub fn get(&self) -> RateLimit {
        let mut world = self.shared.lock();
        let now = world.now();
        *world.limits.bucket(self.account, self.resource, now)
    }

    /// Sets how many requests a window allows.
    pub fn limit(&self, limit: u64) -> &Self {
        self.edit(|bucket| bucket.set_limit(limit))
    }

    /// Sets how many requests are left in this window.
    pub fn remaining(&self, remaining: u64) -> &Self {
        self.edit(|bucket| bucket.set_remaining(remaining))
    }

    /// Leaves no request in this window.
    pub fn spend_all(&self) -> &Self {
        self.remaining(0)
    }

    /// Sets when the next window begins, by the stand-in's clock.
    pub fn resets_in(&self, after: Duration) -> &Self {
        let now = self.shared.lock().now();
        self.edit(|bucket| bucket.set_reset(now, after))
    }

    fn edit(&self, change: impl FnOnce(&mut RateLimit)) -> &Self {
        let mut world = self.shared.lock();
        let now = world.now();
        change(world.limits.bucket(self.account, self.resource, now));
        self
    }
}
