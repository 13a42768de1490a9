//! Pull requests found without looking through all of them, and the changes that keep it so.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{Model, Repository, RepositoryId};
use crate::github::check::ReviewThread;
use crate::github::pull_request::PullRequest;

/// The numbers of a repository's pull requests by the name of their head branch.
pub(crate) type Heads = HashMap<String, BTreeSet<u64>>;

/// Where a pull request is: the repository that it goes to, and its number there.
type Place = (RepositoryId, u64);

/// Where pull requests are.
#[derive(Default)]
pub(super) struct Places {
    by_id: HashMap<u64, Place>,
    /// By the repository and the branch that they come from.
    by_source: HashMap<RepositoryId, HashMap<String, BTreeSet<Place>>>,
    /// By the commits that their heads were at.
    by_commit: HashMap<String, BTreeSet<Place>>,
}

impl Places {
    fn hold(&mut self, place: Place, sha: &str) {
        self.by_commit
            .entry(sha.to_owned())
            .or_default()
            .insert(place);
    }

    fn insert(&mut self, place: Place, pull_request: &PullRequest) {
        self.hold(place, &pull_request.head.sha);
        self.by_id.insert(pull_request.id, place);
        self.by_source
            .entry(pull_request.head.repository)
            .or_default()
            .entry(pull_request.head.branch.clone())
            .or_default()
            .insert(place);
    }

    fn remove(&mut self, place: Place, id: u64, source: RepositoryId, branch: &str) {
        self.by_id.remove(&id);
        let branches = self.by_source.get_mut(&source);
        if let Some(places) = branches.and_then(|branches| branches.get_mut(branch)) {
            places.remove(&place);
        }
    }

    /// Takes out the pull requests of a repository that is gone.
    pub(super) fn forget(&mut self, repository: &Repository) {
        for (number, pull_request) in &repository.pull_requests {
            let head = &pull_request.head;
            self.remove(
                (repository.id, *number),
                pull_request.id,
                head.repository,
                &head.branch,
            );
        }
    }
}

impl Repository {
    /// The pull requests that come from a branch of that name, here or in a fork, by number.
    pub(crate) fn with_head<'a>(
        &'a self,
        branch: &str,
    ) -> impl Iterator<Item = &'a PullRequest> + use<'a> {
        let numbers = self.heads.get(branch).into_iter().flatten();
        numbers.filter_map(|number| self.pull_requests.get(number))
    }

    fn take_out(&mut self, number: u64, branch: &str, was_open: bool) {
        if let Some(numbers) = self.heads.get_mut(branch) {
            numbers.remove(&number);
        }
        self.open_count -= usize::from(was_open);
    }

    fn put_in(&mut self, number: u64, branch: &str, is_open: bool) {
        let numbers = self.heads.entry(branch.to_owned()).or_default();
        numbers.insert(number);
        self.open_count += usize::from(is_open);
    }
}

impl Model {
    /// The pull request of that id, with the repository that it goes to.
    pub(crate) fn pull_request(&self, id: u64) -> Option<(&Repository, &PullRequest)> {
        let (repository, number) = self.places.by_id.get(&id)?;
        let repository = self.repository(*repository)?;
        Some((repository, repository.pull_requests.get(number)?))
    }

    /// A review thread, and the repository of its pull request.
    pub(crate) fn review_thread(&self, id: u64) -> Option<(&Repository, &ReviewThread)> {
        self.repositories.values().find_map(|repository| {
            let pull_requests = repository.pull_requests.values();
            let mut threads = pull_requests.flat_map(|pull_request| &pull_request.threads);
            Some((repository, threads.find(|thread| thread.id == id)?))
        })
    }

    /// The pull requests whose heads were at a commit, wherever they go, oldest first: those that
    /// were merged and those that are open, as GitHub documents it.
    pub(crate) fn pull_requests_of_commit(&self, sha: &str) -> Vec<(&Repository, &PullRequest)> {
        let places = self.places.by_commit.get(sha).into_iter().flatten();
        let placed = places.filter_map(|(repository, number)| {
            let repository = self.repository(*repository)?;
            Some((repository, repository.pull_requests.get(number)?))
        });
        let mut found: Vec<_> = placed
            .filter(|(_, found)| found.is_open() || found.is_merged())
            .collect();
        found.sort_by_key(|(_, found)| (found.created_at, found.id));
        found
    }

    /// The pull requests that come from this branch of this repository, wherever they go.
    pub(crate) fn pull_requests_from(
        &self,
        source: RepositoryId,
        branch: &str,
    ) -> impl Iterator<Item = (&Repository, &PullRequest)> {
        let branches = self.places.by_source.get(&source);
        let places = branches.and_then(|branches| branches.get(branch));
        places
            .into_iter()
            .flatten()
            .filter_map(|(repository, number)| {
                let repository = self.repository(*repository)?;
                Some((repository, repository.pull_requests.get(number)?))
            })
    }

    pub(crate) fn insert_pull_request(&mut self, id: RepositoryId, pull_request: PullRequest) {
        let Some(repository) = self.repositories.get_mut(&id) else {
            return;
        };
        let number = pull_request.number;
        self.places.insert((id, number), &pull_request);
        repository.put_in(number, &pull_request.head.branch, pull_request.is_open());
        repository.pull_requests.insert(number, pull_request);
    }

    /// Changes anything about a pull request but its number; it counts as updated now. Returns
    /// whether there is one.
    pub(crate) fn edit_pull_request(
        &mut self,
        id: RepositoryId,
        number: u64,
        now: Timestamp,
        change: impl FnOnce(&mut PullRequest),
    ) -> bool {
        let order = self.next_change();
        let Some(repository) = self.repositories.get_mut(&id) else {
            return false;
        };
        let Some(pull_request) = repository.pull_requests.get_mut(&number) else {
            return false;
        };
        let old_sha = pull_request.head.sha.clone();
        let (old_id, was_open) = (pull_request.id, pull_request.is_open());
        let (old_source, old_branch) = (
            pull_request.head.repository,
            pull_request.head.branch.clone(),
        );
        pull_request.touch(now, order);
        change(pull_request);
        let is_open = pull_request.is_open();
        let head = &pull_request.head;
        if head.sha != old_sha {
            self.places.hold((id, number), &head.sha);
        }
        let moved =
            head.repository != old_source || head.branch != old_branch || pull_request.id != old_id;
        if moved || is_open != was_open {
            self.places
                .remove((id, number), old_id, old_source, &old_branch);
            self.places.insert((id, number), pull_request);
            let branch = head.branch.clone();
            repository.take_out(number, &old_branch, was_open);
            repository.put_in(number, &branch, is_open);
        }
        true
    }

    /// Moves a branch to a new commit, and with it the open pull requests that come from it.
    pub(crate) fn push(&mut self, id: RepositoryId, branch: &str, sha: &str, now: Timestamp) {
        let change = self.next_change();
        if let Some(repository) = self.repositories.get_mut(&id) {
            repository
                .branches
                .insert(branch.to_owned(), sha.to_owned());
        }
        let branches = self.places.by_source.get(&id);
        let places = branches.and_then(|branches| branches.get(branch));
        let places = places.cloned().unwrap_or_default();
        for (repository, number) in &places {
            let found = self
                .repositories
                .get_mut(repository)
                .and_then(|found| found.pull_requests.get_mut(number));
            if let Some(pull_request) = found.filter(|found| found.is_open()) {
                sha.clone_into(&mut pull_request.head.sha);
                pull_request.touch(now, change);
                self.places.hold((*repository, *number), sha);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::model::AccountKind;
    use crate::github::pull_request::{Head, PullRequestState};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const ID: u64 = 77;

    /// A model with `acme/web` and `acme/fork`, and a pull request from the second into the first.
    fn model() -> (Model, RepositoryId, RepositoryId) {
        let mut model = Model::default();
        let acme = model.ensure_account("acme", AccountKind::Organization);
        let web = model.insert_repository(acme, "web", NOW);
        let fork = model.insert_repository(acme, "fork", NOW);
        let head = Head {
            repository: fork,
            branch: "fix".to_owned(),
            sha: "old".to_owned(),
            ..Head::default()
        };
        let pull_request = PullRequest {
            id: ID,
            number: 7,
            head,
            ..PullRequest::default()
        };
        model.insert_pull_request(web, pull_request);
        (model, web, fork)
    }

    /// What all indexes say: found by id, in the target by branch, from the source by branch.
    fn found(model: &Model, target: RepositoryId, source: RepositoryId, branch: &str) -> [bool; 3] {
        let target = model.repository(target);
        [
            model.pull_request(ID).is_some(),
            target.is_some_and(|target| target.with_head(branch).count() == 1),
            model.pull_requests_from(source, branch).count() == 1,
        ]
    }

    #[test]
    fn the_indexes_find_a_pull_request_and_follow_edits() {
        let (mut model, web, fork) = model();
        let open_count = |model: &Model| model.repository(web).map(|web| web.open_count);
        assert_eq!(found(&model, web, fork, "fix"), [true; 3]);
        assert_eq!(found(&model, web, web, "main"), [true, false, false]);
        assert_eq!(open_count(&model), Some(1));
        let edited = model.edit_pull_request(web, 7, NOW, |found| {
            "other".clone_into(&mut found.head.branch);
            found.head.repository = web;
            found.state = PullRequestState::Closed;
        });
        assert!(edited && !model.edit_pull_request(web, 8, NOW, |_| {}));
        assert_eq!(found(&model, web, web, "other"), [true; 3]);
        assert_eq!(found(&model, web, fork, "fix"), [true, false, false]);
        assert_eq!(open_count(&model), Some(0));
    }

    #[test]
    fn a_push_moves_what_is_open_and_comes_from_there() {
        let (mut model, web, fork) = model();
        let sha = |model: &Model| model.pull_request(ID).unwrap().1.head.sha.clone();
        model.push(web, "fix", "elsewhere", NOW);
        assert_eq!(sha(&model), "old");
        model.push(fork, "fix", "new", NOW);
        assert_eq!(sha(&model), "new");
        model.edit_pull_request(web, 7, NOW, |found| found.state = PullRequestState::Closed);
        model.push(fork, "fix", "late", NOW);
        assert_eq!(sha(&model), "new");
    }

    #[test]
    fn a_repository_takes_its_pull_requests_along() {
        let (mut model, web, fork) = model();
        model.delete_repository(fork);
        assert_eq!(
            found(&model, web, fork, "fix"),
            [true; 3],
            "its base is there"
        );
        model.delete_repository(web);
        assert_eq!(found(&model, web, fork, "fix"), [false; 3]);
    }
}
