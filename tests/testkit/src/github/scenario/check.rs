//! Checks, rules, threads and the merge queue: what happens to a pull request without a change of
//! it.

use jiff::Timestamp;

use super::{edit, find};
use crate::github::GitHub;
use crate::github::check::{CheckRun, CommitChecks, CommitStatus, Requested, ReviewThread};
use crate::github::model::AccountKind;
use crate::github::state::World;

/// How far a new check run is.
#[derive(Clone, Copy, Debug)]
pub enum RunState {
    /// It waits, and has no time of its own.
    Queued,
    /// It began at this time.
    Running(Timestamp),
    /// It began then, and ended like this, in the words of the GraphQL API.
    Ended(Timestamp, &'static str),
}

impl GitHub {
    /// A new check run of the pull request's head commit, of a workflow if that has a name. The
    /// pull request itself does not count as updated. Returns the run's id.
    #[track_caller]
    pub fn check_run(
        &self,
        full_name: &str,
        number: u64,
        (workflow, name): (Option<&str>, &str),
        state: RunState,
    ) -> u64 {
        let mut world = self.shared.lock();
        let (id, suite) = (world.model.next_id(), world.model.next_id());
        let (status, conclusion, started_at) = match state {
            RunState::Queued => ("QUEUED", None, None),
            RunState::Running(at) => ("IN_PROGRESS", None, Some(at)),
            RunState::Ended(at, conclusion) => ("COMPLETED", Some(conclusion), Some(at)),
        };
        let run = CheckRun {
            id,
            suite,
            name: name.to_owned(),
            workflow: workflow.map(str::to_owned),
            status,
            conclusion,
            started_at,
            completed_at: started_at.filter(|_| conclusion.is_some()),
        };
        on_head(&mut world, full_name, number, |checks| {
            checks.runs.push(run);
        });
        id
    }

    /// Ends a check run.
    #[track_caller]
    pub fn end_check_run(&self, full_name: &str, number: u64, run: u64, conclusion: &'static str) {
        let mut world = self.shared.lock();
        let now = world.now();
        on_head(&mut world, full_name, number, |checks| {
            match checks.runs.iter_mut().find(|found| found.id == run) {
                Some(found) => {
                    found.status = "COMPLETED";
                    found.conclusion = Some(conclusion);
                    found.started_at.get_or_insert(now);
                    found.completed_at = Some(now);
                }
                None => panic!("the head of pull request {number} has no check run {run}"),
            }
        });
    }

    /// Sets a commit status of the pull request's head commit, in the words of the GraphQL API.
    #[track_caller]
    pub fn commit_status(&self, full_name: &str, number: u64, context: &str, state: &'static str) {
        let mut world = self.shared.lock();
        let status = CommitStatus {
            id: world.model.next_id(),
            context: context.to_owned(),
            state,
            at: world.now(),
        };
        on_head(&mut world, full_name, number, |checks| {
            checks.statuses.insert(context.to_owned(), status);
        });
    }

    /// Has a person begin a review thread, resolved or not.
    #[track_caller]
    pub fn review_thread(&self, full_name: &str, number: u64, resolved: bool) {
        self.begin_thread(full_name, number, ("reviewer", AccountKind::User), resolved);
    }

    /// Has a bot begin a review thread, resolved or not.
    #[track_caller]
    pub fn bot_thread(&self, full_name: &str, number: u64, resolved: bool) {
        let bot = ("reviewer[bot]", AccountKind::Bot);
        self.begin_thread(full_name, number, bot, resolved);
    }

    #[track_caller]
    fn begin_thread(
        &self,
        full_name: &str,
        number: u64,
        (login, kind): (&str, AccountKind),
        resolved: bool,
    ) {
        let mut world = self.shared.lock();
        let author = world.model.ensure_account(login, kind);
        let thread = ReviewThread {
            id: world.model.next_id(),
            author,
            resolved,
        };
        edit(&mut world, full_name, number, |pull_request| {
            pull_request.threads.push(thread);
        });
    }

    /// Asks an account for a review.
    #[track_caller]
    pub fn request_review(&self, full_name: &str, number: u64, login: &str) {
        let mut world = self.shared.lock();
        let id = world.model.ensure_account(login, AccountKind::User);
        edit(&mut world, full_name, number, |pull_request| {
            pull_request.requested.push(Requested::Account(id));
        });
    }

    /// Asks a team for a review.
    #[track_caller]
    pub fn request_team_review(&self, full_name: &str, number: u64, slug: &str) {
        edit(&mut self.shared.lock(), full_name, number, |pull_request| {
            pull_request
                .requested
                .push(Requested::Team(slug.to_owned()));
        });
    }

    /// Has the host forget whether it can be merged: the next `reads` answers do not know, and have
    /// it worked out.
    #[track_caller]
    pub fn forget_mergeability(&self, full_name: &str, number: u64, reads: u32) {
        edit(&mut self.shared.lock(), full_name, number, |pull_request| {
            pull_request.unknown_reads.set(reads);
        });
    }

    /// Keeps checks from the tokens of an account, as from a token without that permission.
    #[track_caller]
    pub fn keep_checks_from(&self, login: &str) {
        let mut world = self.shared.lock();
        let Some(id) = world.model.find_account(login).map(|account| account.id) else {
            panic!("there is no account {login}");
        };
        world.graphql.without_checks.insert(id);
    }

    /// Makes the checks of a repository so expensive that a query for their sum times out.
    #[track_caller]
    pub fn set_heavy_checks(&self, full_name: &str, heavy: bool) {
        let mut world = self.shared.lock();
        let id = find(&world, full_name).id;
        if heavy {
            world.graphql.heavy_checks.insert(id);
        } else {
            world.graphql.heavy_checks.remove(&id);
        }
    }
}

/// Changes the checks of a pull request's head commit.
#[track_caller]
fn on_head(
    world: &mut World,
    full_name: &str,
    number: u64,
    change: impl FnOnce(&mut CommitChecks),
) {
    let found = find(world, full_name);
    let (id, pull_request) = (found.id, found.pull_requests.get(&number));
    let Some(sha) = pull_request.map(|found| found.head.sha.clone()) else {
        panic!("{full_name} has no pull request {number}");
    };
    if let Some(repository) = world.model.repository_mut(id) {
        change(repository.checks.entry(sha).or_default());
    }
}
