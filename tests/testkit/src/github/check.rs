//! Checks of a commit: check runs with their suites and workflows, and commit statuses; and what
//! they, reviews and rules amount to for a merge.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::model::{AccountId, Repository};
use super::pull_request::{Mergeable, PullRequest, ReviewState};

/// A check run. A run that is started again is another one, in a suite of its own.
#[derive(Clone, Debug)]
pub struct CheckRun {
    /// GitHub's number for it; they grow with time.
    pub id: u64,
    /// GitHub's number for its suite, which is a run of its workflow.
    pub suite: u64,
    /// Its name.
    pub name: String,
    /// The name of its workflow. A run of another app than GitHub's own has none.
    pub workflow: Option<String>,
    /// How far it is, in the words of the GraphQL API.
    pub status: &'static str,
    /// How it ended, in the same words. `None` until then.
    pub conclusion: Option<&'static str>,
    /// When it began. A queued one has not.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// What a service said of a commit last, in a context of its own.
#[derive(Clone, Debug)]
pub struct CommitStatus {
    /// GitHub's number for it.
    pub id: u64,
    /// The context.
    pub context: String,
    /// What it said, in the words of the GraphQL API.
    pub state: &'static str,
    /// When.
    pub at: Timestamp,
}

/// What hangs on one commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommitChecks {
    /// Oldest first, those that were superseded included.
    pub(crate) runs: Vec<CheckRun>,
    /// The last one of each context.
    pub(crate) statuses: BTreeMap<String, CommitStatus>,
}

/// A review thread.
#[derive(Clone, Debug)]
pub struct ReviewThread {
    /// GitHub's number for it.
    pub id: u64,
    /// Who began it.
    pub author: AccountId,
    /// Whether it was resolved.
    pub resolved: bool,
}

/// Who is asked for a review.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Requested {
    /// An account.
    Account(AccountId),
    /// A team, by its slug.
    Team(String),
}

/// Whether GitHub would merge, in the words of the GraphQL API.
pub(crate) type MergeStateStatus = &'static str;

impl CheckRun {
    /// The word that is counted by state: how it ended, or else how far it is.
    pub(crate) fn state(&self) -> &'static str {
        self.conclusion.unwrap_or(match self.status {
            "REQUESTED" => "PENDING",
            status => status,
        })
    }

    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("CR_kwDO{:08X}", self.id)
    }
}

impl CommitStatus {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("SC_kwDO{:08X}", self.id)
    }
}

impl ReviewThread {
    /// GitHub's opaque id for the GraphQL API.
    pub fn node_id(&self) -> String {
        format!("PRRT_kwDO{:08X}", self.id)
    }

    /// The same of its first comment.
    pub fn comment_node_id(&self) -> String {
        format!("PRRC_kwDO{:08X}", self.id)
    }
}

impl CommitChecks {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.statuses.is_empty()
    }

    /// GitHub's own sum, which counts what was superseded.
    pub(crate) fn state(&self) -> &'static str {
        let runs = self.runs.iter().map(CheckRun::state);
        let statuses = self.statuses.values().map(|status| status.state);
        let all: Vec<&str> = runs.chain(statuses).collect();
        let any = |words: &[&str]| all.iter().any(|word| words.contains(word));
        if any(&[
            "FAILURE",
            "TIMED_OUT",
            "CANCELLED",
            "ACTION_REQUIRED",
            "STARTUP_FAILURE",
        ]) {
            "FAILURE"
        } else if any(&["ERROR"]) {
            "ERROR"
        } else if all
            .iter()
            .all(|word| ["SUCCESS", "NEUTRAL", "SKIPPED"].contains(word))
        {
            "SUCCESS"
        } else {
            "PENDING"
        }
    }

    /// The latest runs, as REST lists them: one for each name.
    pub(crate) fn latest_runs(&self) -> Vec<&CheckRun> {
        let mut latest: Vec<&CheckRun> = Vec::new();
        for run in self.runs.iter().rev() {
            if !latest.iter().any(|found| found.name == run.name) {
                latest.push(run);
            }
        }
        latest
    }

    fn passed(&self, name: &str) -> bool {
        let run = self.runs.iter().rev().find(|run| run.name == name);
        let status = self.statuses.get(name);
        let word = run.map(CheckRun::state).or(status.map(|found| found.state));
        word.is_some_and(|word| ["SUCCESS", "NEUTRAL", "SKIPPED"].contains(&word))
    }
}

impl Repository {
    /// What hangs on a commit.
    pub(crate) fn checks_of(&self, sha: &str) -> Option<&CommitChecks> {
        self.checks.get(sha)
    }

    /// The required contexts that no check has reported, which GitHub shows as expected.
    pub(crate) fn expected(&self, sha: &str) -> Vec<&str> {
        let checks = self.checks_of(sha);
        let is_there = |name: &str| {
            checks.is_some_and(|checks| {
                checks.statuses.contains_key(name) || checks.runs.iter().any(|run| run.name == name)
            })
        };
        let required = self.required_checks.iter().chain(&self.protected_checks);
        let required = required.map(String::as_str);
        required.filter(|name| !is_there(name)).collect()
    }

    /// What a review decision amounts to; nothing is decided where no review is required.
    pub(crate) fn review_decision(&self, pull_request: &PullRequest) -> Option<&'static str> {
        if !self.reviews_required {
            return None;
        }
        let opinions = pull_request.latest_reviews(ReviewState::is_opinion);
        let has = |state: ReviewState| opinions.iter().any(|review| review.state == state);
        Some(if has(ReviewState::ChangesRequested) {
            "CHANGES_REQUESTED"
        } else if has(ReviewState::Approved) {
            "APPROVED"
        } else {
            "REVIEW_REQUIRED"
        })
    }

    /// Whether GitHub would merge it, as far as it has worked out.
    pub(crate) fn merge_state(&self, pull_request: &PullRequest) -> MergeStateStatus {
        match pull_request.mergeable() {
            Mergeable::Unknown => return "UNKNOWN",
            Mergeable::Conflicting => return "DIRTY",
            Mergeable::Mergeable => {}
        }
        let checks = self.checks_of(&pull_request.head.sha);
        let passed = |name: &String| checks.is_some_and(|checks| checks.passed(name));
        let is_reviewed = !matches!(
            self.review_decision(pull_request),
            Some("CHANGES_REQUESTED" | "REVIEW_REQUIRED")
        );
        let mut required = self.required_checks.iter().chain(&self.protected_checks);
        if pull_request.draft {
            "DRAFT"
        } else if pull_request.blocked || !is_reviewed || !required.all(passed) {
            "BLOCKED"
        } else if pull_request.behind {
            "BEHIND"
        } else if checks.is_some_and(|checks| !checks.is_empty() && checks.state() != "SUCCESS") {
            "UNSTABLE"
        } else {
            "CLEAN"
        }
    }
}
