//! Many questions in one request, and what became of each.

use std::sync::Arc;

use crate::{
    lease::{RepositoryPath, Upstream},
    outcome::{FoundPullRequest, Problem},
};

/// What came of a query for many.
#[derive(Debug)]
pub(crate) enum Queried<T> {
    /// What became of each question.
    Parts {
        /// In the questions' order.
        parts: Vec<Part<T>>,
        /// What is unresolved is so because the host gave up, and not because it was too much.
        gave_up: bool,
    },
    /// It is more than the host gives at once; nothing is answered.
    TooHeavy,
    /// The host gave up: on this query or altogether.
    Overloaded(Problem),
    /// The host has no such interface.
    Missing,
    /// The interface is of another version.
    Skew,
}

/// What became of one question of many.
#[derive(Debug)]
pub(crate) enum Part<T> {
    /// The answer.
    Answered(T),
    /// None, for this reason.
    Failed(Problem),
    /// None yet: it is to be asked again, with fewer beside it.
    Unresolved,
}

impl<T> Part<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Answered(answer) => Part::Answered(change(answer)),
            Self::Failed(problem) => Part::Failed(problem),
            Self::Unresolved => Part::Unresolved,
        }
    }
}

/// One of two answers, as it was asked for. Nothing: it is missing.
#[derive(Clone, Debug)]
pub(crate) enum Looked {
    /// What tells whether it changed.
    Fingerprint(Option<String>),
    /// The whole.
    Whole(Option<Seen>),
}

/// A pull request, and what only the question after the next needs to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: Arc<FoundPullRequest>,
    /// Tells whether it changed.
    pub(crate) fingerprint: String,
    /// `owner/name` of the repository that its branch is in. Absent when that is gone, or hidden.
    pub(crate) head_repository: Option<String>,
}

/// Which pull request of a repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberQuestion<'a> {
    pub(crate) repository: &'a RepositoryPath,
    pub(crate) number: i32,
}

/// Which branch, and where its pull requests are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchQuestion<'a> {
    /// The repository that is asked: the branch's own, or the one that this is a fork of.
    pub(crate) at: &'a RepositoryPath,
    /// The branch's own.
    pub(crate) head: &'a RepositoryPath,
    pub(crate) branch: &'a str,
    /// A settled pull request is the branch's if it is at this commit.
    pub(crate) commit: Option<&'a str>,
}

/// What was found out about a branch.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    /// The repository that was asked, as it is called now.
    pub(crate) repository: RepositoryPath,
    /// What it is a fork of. Unknown when it may not be told.
    pub(crate) upstream: Upstream,
    /// The branch's open pull request in the repository that was asked, or else its id elsewhere, or
    /// else that of a settled one.
    pub(crate) found: Branched,
    /// The host still has the branch, so that what it leads to is all there is.
    pub(crate) branch_exists: bool,
}

/// The pull request of a branch.
#[derive(Clone, Debug)]
pub(crate) enum Branched {
    /// An open one.
    Open(Seen),
    /// The id of one, which is still to be asked for.
    Id(String),
    /// None.
    None,
}
