//! What the stand-in knows: accounts, tokens, repositories, pull requests and reviews.
//!
//! Nothing here knows of HTTP. REST and GraphQL render this one model.

mod index;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use self::index::{Heads, Places};
use super::check::CommitChecks;
use super::pull_request::PullRequest;
use crate::secrets;

/// The number that GitHub calls `id` of a user or an organization.
pub type AccountId = u64;
/// The number that GitHub calls `id` of a repository.
pub type RepositoryId = u64;

/// What sort of account it is, in GitHub's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountKind {
    /// A person.
    User,
    /// An organization.
    Organization,
    /// An app's account, as `dependabot[bot]` is.
    Bot,
}

impl AccountKind {
    /// The `type` of the account in GitHub's answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Organization => "Organization",
            Self::Bot => "Bot",
        }
    }
}

/// A user, an organization or a bot.
#[derive(Clone, Debug)]
pub struct Account {
    /// GitHub's number for it.
    pub id: AccountId,
    /// The name in URLs, as written by its owner; compared without regard to case.
    pub login: String,
    /// Where its picture is.
    pub avatar_url: String,
    /// Person, organization or bot.
    pub kind: AccountKind,
}

impl Account {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("U_kgDO{:08X}", self.id)
    }
}

/// A repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// GitHub's number for it; survives renames.
    pub id: RepositoryId,
    /// The account it belongs to.
    pub owner: AccountId,
    /// The name without the owner, as written by its owner.
    pub name: String,
    /// Whether only those with access may know of it.
    pub private: bool,
    /// Whether it is read-only.
    pub archived: bool,
    /// The branch that pull requests go to unless they say otherwise.
    pub default_branch: String,
    /// The repository that it was forked from.
    pub fork_of: Option<RepositoryId>,
    /// Who may read it when it is private; the owner may anyway.
    pub access: BTreeSet<AccountId>,
    /// Branches and the commit each is at.
    pub branches: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The pull requests into it, by number.
    pub pull_requests: BTreeMap<u64, PullRequest>,
    /// Whether pull requests need an approval; without, GitHub makes no review decision.
    pub reviews_required: bool,
    /// The checks that a ruleset requires.
    pub required_checks: Vec<String>,
    /// The contexts that the protection of the branches requires.
    pub protected_checks: Vec<String>,
    /// Bytes that diffs of these branches have.
    pub(crate) diff_lengths: HashMap<String, usize>,
    /// What hangs on commits.
    pub(crate) checks: HashMap<String, CommitChecks>,
    /// The numbers of the pull requests by the name of their head branch.
    pub(crate) heads: Heads,
    /// How many of them are open.
    pub(crate) open_count: usize,
}

impl Repository {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("R_kgDO{:08X}", self.id)
    }
}

/// All accounts, tokens and repositories of one stand-in.
#[derive(Default)]
pub(crate) struct Model {
    accounts: BTreeMap<AccountId, Account>,
    /// By lower-cased login.
    logins: HashMap<String, AccountId>,
    tokens: HashMap<String, AccountId>,
    /// The user that an app's installation shows itself as, by the installation's own account.
    installations: HashMap<AccountId, AccountId>,
    repositories: BTreeMap<RepositoryId, Repository>,
    /// By lower-cased full name.
    names: HashMap<String, RepositoryId>,
    /// By lower-cased former full name.
    renamed: HashMap<String, RepositoryId>,
    places: Places,
    /// Every commit.
    commits: HashSet<String>,
    last_id: u64,
    last_change: u64,
}

impl Model {
    /// The next number for anything that has one. They start high, as real ones do, so that a pull
    /// request's id cannot be mistaken for its number.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        583_200 + self.last_id
    }

    /// A commit id that no other commit has.
    pub(crate) fn next_sha(&mut self) -> String {
        let id = self.next_id();
        // An odd multiplier only permutes the numbers, so the result stays unique.
        let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let sha = format!("{mixed:016x}{:016x}{:08x}", mixed.rotate_left(23), id);
        self.commits.insert(sha.clone());
        sha
    }

    /// Whether there is such a commit. Forks share theirs with what they are forks of.
    pub(crate) fn is_commit(&self, sha: &str) -> bool {
        self.commits.contains(sha)
    }

    /// The root of a repository's network. `None` for the root itself.
    pub(crate) fn root(&self, repository: &Repository) -> Option<&Repository> {
        let parent = self.repository(repository.fork_of?)?;
        Some(self.root(parent).unwrap_or(parent))
    }

    /// The repository of an account in the network of `repository`, of that name if it is said.
    pub(crate) fn of_network(
        &self,
        repository: &Repository,
        owner: &str,
        name: Option<&str>,
    ) -> Option<&Repository> {
        let root = |found: &Repository| self.root(found).map_or(found.id, |root| root.id);
        let owner = self.find_account(owner)?.id;
        self.repositories.values().find(|found| {
            found.owner == owner
                && root(found) == root(repository)
                && name.is_none_or(|name| found.name.eq_ignore_ascii_case(name))
        })
    }

    /// Orders changes that happen within the same second.
    pub(crate) fn next_change(&mut self) -> u64 {
        self.last_change += 1;
        self.last_change
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    pub(crate) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(&id)
    }

    pub(crate) fn find_account(&self, login: &str) -> Option<&Account> {
        self.account(*self.logins.get(&login.to_ascii_lowercase())?)
    }

    /// The account of that login, created if it does not exist.
    pub(crate) fn ensure_account(&mut self, login: &str, kind: AccountKind) -> AccountId {
        if let Some(account) = self.find_account(login) {
            return account.id;
        }
        let id = self.next_id();
        let account = Account {
            id,
            login: login.to_owned(),
            avatar_url: format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
            kind,
        };
        self.accounts.insert(id, account);
        self.logins.insert(login.to_ascii_lowercase(), id);
        id
    }

    /// The installation of an app at an owner, with access and limits of its own.
    pub(crate) fn ensure_installation(&mut self, app: &str, owner: &str) -> AccountId {
        // GitHub calls it a user where it is the viewer, and the name ends with its kind all the
        // same.
        let bot = self.ensure_account(&format!("{app}[bot]"), AccountKind::User);
        let installation = self.ensure_account(&format!("{app}[bot]@{owner}"), AccountKind::Bot);
        self.installations.insert(installation, bot);
        installation
    }

    /// The user that an installation is shown as. `None`: the account is no installation.
    pub(crate) fn app_of(&self, installation: AccountId) -> Option<&Account> {
        self.account(*self.installations.get(&installation)?)
    }

    /// Removes an account with its tokens, access and repositories; what it wrote elsewhere stays,
    /// without an author.
    pub(crate) fn delete_account(&mut self, id: AccountId) {
        self.accounts.remove(&id);
        self.logins.retain(|_, account| *account != id);
        self.tokens.retain(|_, owner| *owner != id);
        let owned: Vec<RepositoryId> = self
            .repositories
            .values()
            .filter(|found| found.owner == id)
            .map(|found| found.id)
            .collect();
        for repository in owned {
            self.delete_repository(repository);
        }
        for repository in self.repositories.values_mut() {
            repository.access.remove(&id);
        }
    }

    pub(crate) fn add_token(&mut self, token: &str, owner: AccountId) {
        secrets::note("a token of the git host", token);
        self.tokens.insert(token.to_owned(), owner);
    }

    pub(crate) fn revoke_token(&mut self, token: &str) -> bool {
        self.tokens.remove(token).is_some()
    }

    pub(crate) fn token_owner(&self, token: &str) -> Option<AccountId> {
        self.tokens.get(token).copied()
    }

    pub(crate) fn repository(&self, id: RepositoryId) -> Option<&Repository> {
        self.repositories.get(&id)
    }

    pub(crate) fn repository_mut(&mut self, id: RepositoryId) -> Option<&mut Repository> {
        self.repositories.get_mut(&id)
    }

    /// The repository of that name today; case does not matter.
    pub(crate) fn find_repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repository(*self.names.get(&key(owner, name))?)
    }

    /// The repository that once had that name, unless another took the name since.
    pub(crate) fn find_renamed(&self, owner: &str, name: &str) -> Option<&Repository> {
        let id = self.renamed.get(&key(owner, name))?;
        self.repository(*id)
    }

    pub(crate) fn full_name(&self, repository: &Repository) -> String {
        let owner = self
            .account(repository.owner)
            .map_or("ghost", |account| account.login.as_str());
        format!("{owner}/{}", repository.name)
    }

    pub(crate) fn insert_repository(
        &mut self,
        owner: AccountId,
        name: &str,
        now: Timestamp,
    ) -> RepositoryId {
        let id = self.next_id();
        let sha = self.next_sha();
        let repository = Repository {
            id,
            owner,
            name: name.to_owned(),
            private: true,
            default_branch: "main".to_owned(),
            branches: BTreeMap::from([("main".to_owned(), sha)]),
            created_at: now,
            ..Repository::default()
        };
        let full_name = self.full_name(&repository).to_ascii_lowercase();
        self.renamed.remove(&full_name);
        self.names.insert(full_name, id);
        self.repositories.insert(id, repository);
        id
    }

    /// Copies a repository without its pull requests, as forking does. Who may read the
    /// original may read the fork.
    pub(crate) fn fork_repository(
        &mut self,
        parent: RepositoryId,
        owner: AccountId,
        now: Timestamp,
    ) -> Option<RepositoryId> {
        let name = self.repository(parent)?.name.clone();
        let id = self.insert_repository(owner, &name, now);
        let parent = self.repository(parent)?;
        let (private, reviews_required) = (parent.private, parent.reviews_required);
        let default_branch = parent.default_branch.clone();
        let branches = parent.branches.clone();
        let mut access = parent.access.clone();
        access.insert(parent.owner);
        let fork_of = Some(parent.id);
        let fork = self.repositories.get_mut(&id)?;
        (fork.private, fork.reviews_required) = (private, reviews_required);
        (fork.default_branch, fork.branches) = (default_branch, branches);
        (fork.access, fork.fork_of) = (access, fork_of);
        Some(id)
    }

    /// Gives a repository another name or owner; the old name redirects from now on.
    pub(crate) fn rename_repository(&mut self, id: RepositoryId, owner: AccountId, name: &str) {
        let old_name = self.key_of(id);
        if let Some(repository) = self.repositories.get_mut(&id) {
            repository.owner = owner;
            name.clone_into(&mut repository.name);
        }
        let new_name = self.key_of(id);
        self.names.remove(&old_name);
        self.names.insert(new_name.clone(), id);
        self.renamed.insert(old_name, id);
        self.renamed.remove(&new_name);
    }

    pub(crate) fn delete_repository(&mut self, id: RepositoryId) {
        if let Some(repository) = self.repositories.remove(&id) {
            self.places.forget(&repository);
        }
        self.names.retain(|_, repository| *repository != id);
        self.renamed.retain(|_, repository| *repository != id);
    }

    fn key_of(&self, id: RepositoryId) -> String {
        let full_name = self
            .repository(id)
            .map(|repository| self.full_name(repository));
        full_name.unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether `viewer` may know that the repository exists.
    pub(crate) fn may_read(&self, viewer: Option<AccountId>, repository: &Repository) -> bool {
        !repository.private
            || viewer.is_some_and(|id| repository.owner == id || repository.access.contains(&id))
    }
}

fn key(owner: &str, name: &str) -> String {
    format!("{owner}/{name}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_epoch() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let mut model = Model::default();
        let acme = model.ensure_account("Acme", AccountKind::Organization);
        let id = model.insert_repository(acme, "Web", at_epoch());

        assert_eq!(model.ensure_account("ACME", AccountKind::User), acme);
        assert_eq!(
            model.find_repository("acme", "web").map(|found| found.id),
            Some(id)
        );
    }

    #[test]
    fn a_new_repository_takes_over_the_former_name_of_another() {
        let mut model = Model::default();
        let acme = model.ensure_account("acme", AccountKind::Organization);
        let first = model.insert_repository(acme, "web", at_epoch());
        model.rename_repository(first, acme, "site");
        assert_eq!(
            model.find_renamed("acme", "WEB").map(|found| found.id),
            Some(first)
        );

        let second = model.insert_repository(acme, "web", at_epoch());

        assert!(model.find_renamed("acme", "web").is_none());
        assert_eq!(
            model.find_repository("acme", "web").map(|found| found.id),
            Some(second)
        );
    }

    #[test]
    fn an_account_goes_with_its_tokens_and_repositories() {
        let mut model = Model::default();
        let ann = model.ensure_account("ann", AccountKind::User);
        model.add_token("secret", ann);
        let id = model.insert_repository(ann, "web", at_epoch());
        model.rename_repository(id, ann, "site");

        model.delete_account(ann);

        assert!(model.find_account("ANN").is_none());
        assert_eq!(model.token_owner("secret"), None);
        assert!(model.find_repository("ann", "site").is_none());
        assert!(model.find_renamed("ann", "web").is_none());
    }

    #[test]
    fn commit_ids_are_unique_and_of_full_length() {
        let mut model = Model::default();
        let shas: BTreeSet<String> = (0..1000).map(|_| model.next_sha()).collect();
        assert_eq!(shas.len(), 1000);
        assert!(shas.iter().all(|sha| sha.len() == 40));
    }
}
