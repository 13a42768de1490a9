//! Git hosts: the questions that are asked of one, and its answers.
//!
//! A [`Host`] is one git host as one credential sees it, for as long as a lease lasts. Batching,
//! splitting, and which of a host's interfaces is used are its own business:
//! a question has the same answer whichever way it was asked. What may be sent at all is decided by
//! [`crate::budget`]; what is asked next, and which pull request is a branch's, by
//! [`crate::resolve`].

pub mod github;

use std::{future::Future, sync::Arc, time::Duration};

use proto::sync::{
    FoundPullRequest, KnownPullRequest, Lane, ProblemClass, RepositoryPath, Upstream,
};

use crate::budget::WithholdReason;

/// A question about one pull request or branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether a pull request changed since `fingerprint` was made.
    Changed {
        /// Which.
        known: KnownPullRequest,
        /// As an earlier [`HostPullRequest`] gave it.
        fingerprint: String,
        /// It is time to see the whole again: it is answered with the whole, unless that costs more
        /// than others beside it leave room for.
        overdue: bool,
    },
    /// The whole status of a known pull request: by the host's id where there is one, else by
    /// number.
    Status {
        /// Which.
        known: KnownPullRequest,
    },
    /// The pull request of a number in a repository.
    ByNumber {
        /// Where.
        repository: RepositoryPath,
        /// Its number there.
        number: i32,
    },
    /// The pull requests of a branch.
    OfBranch {
        /// The repository that is asked: the branch's own, or the one that this is a fork of.
        at: RepositoryPath,
        /// The branch's own repository.
        head: RepositoryPath,
        /// The branch, case-sensitive.
        branch: String,
        /// The pushed commit: a settled pull request is the branch's only if it holds this commit.
        commit: Option<String>,
        /// The upstream of `at`, as far as is known: a host need not look it up again.
        upstream: Upstream,
    },
}

/// A question, and how urgent its answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The question.
    pub question: Question,
    /// Which part of the budget it may spend.
    pub lane: Lane,
}

/// A host's answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Changed`]: the pull request is as it was.
    Unchanged,
    /// To [`Question::Changed`]: it is not.
    Changed,
    /// To [`Question::Status`] and [`Question::ByNumber`]: the whole. Also to
    /// [`Question::Changed`], where that is no dearer than to say that it changed.
    PullRequest(Box<HostPullRequest>),
    /// The pull request does not exist, although its repository does. A host that finds nothing
    /// under its own id asks by the number before it says so.
    Missing,
    /// To [`Question::OfBranch`].
    Branch(Box<BranchFacts>),
    /// The host was asked, and this is what is wrong.
    Failed {
        /// Which problem: one of the pull request, of its repository, or of the host. Limits and
        /// refused credentials are none of these, see [`Answer::Unsent`].
        class: ProblemClass,
        /// The asked repository as a whole has it. No more is asked of it in this lease.
        repository: bool,
    },
    /// The host was not asked, or refused to be: no word about the pull request.
    Unsent(WithholdReason),
}

/// What a diff is asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffTarget {
    /// A pull request.
    PullRequest {
        /// Where.
        repository: RepositoryPath,
        /// Its number there.
        number: i32,
    },
    /// A branch, against the default branch that a pull request from it would go to: that of what
    /// its repository is a fork of, or else of the repository itself.
    Branch {
        /// The branch's own repository.
        repository: RepositoryPath,
        /// The branch, case-sensitive.
        branch: String,
    },
}

/// A host's answer when it was asked for a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffAnswer {
    /// This is it.
    Diff {
        /// As the host made it; at most [`proto::bounds::MAX_DIFF_BYTES`].
        content: Vec<u8>,
        /// Of a branch: what it is compared with.
        base_branch: Option<String>,
    },
    /// It is larger than is read, or than the host makes any.
    TooLarge,
    /// The pull request or the branch does not exist.
    Missing,
    /// The host was asked, and this is what is wrong.
    Failed(ProblemClass),
    /// The host was not asked, or refused to be.
    Unsent {
        /// Why.
        withheld: WithholdReason,
        /// For how long, if that is known.
        retry_after: Option<Duration>,
    },
}

/// A pull request as a host describes it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPullRequest {
    /// The pull request, normalised as [`crate::host`] says.
    pub found: Arc<FoundPullRequest>,
    /// The repository that its branch is in. `None` when that is gone or hidden.
    pub head_repository: Option<RepositoryPath>,
    /// Tells whether it changed since, opaque.
    pub fingerprint: Option<String>,
}

/// The facts about a branch from a host: candidates, without a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchFacts {
    /// The asked repository, as the host calls it now.
    pub repository: RepositoryPath,
    /// It has another name than the asked one for good, which is worth remembering.
    pub moved: bool,
    /// Its upstream. `Unknown` is allowed only when the question named it already, when a candidate
    /// is in `repository`, or when the host hides it.
    pub upstream: Upstream,
    /// The root of its network, which is no fork, as far as that was found out. `None` for the root
    /// itself.
    pub root: Option<RepositoryPath>,
    /// The branch is the default one of its own repository. Known where `open` has one of the
    /// branch, and from the branch's own repository where that is a fork.
    pub is_default: bool,
    /// Open pull requests whose head has the branch's name, whosever it is.
    pub open: Vec<Candidate>,
    /// Merged and closed ones that hold the pushed commit; empty when the question has none.
    pub settled: Vec<Candidate>,
    /// The repository knows the pushed commit, and every pull request that holds it was listed.
    pub knows_commit: bool,
    /// `open` also holds those of the branch that are in other repositories of the network.
    pub covers_upstream: bool,
    /// No list was cut off by the host: what is not in `open` does not exist.
    pub complete: bool,
}

impl BranchFacts {
    /// The open ones in the asked repository whose branch is in `home`.
    pub(crate) fn open_from(&self, home: &RepositoryPath) -> impl Iterator<Item = &Candidate> {
        let here = move |open: &&Candidate| open.is_from(home, &self.repository);
        self.open.iter().filter(here)
    }

    /// Whether the asked repository itself has one that is adopted, so that nothing else matters.
    pub(crate) fn is_decided(&self, home: &RepositoryPath) -> bool {
        let mut open = self.open_from(home);
        open.any(|open| open.may_be_adopted(self.is_default))
    }
}

/// A pull request that may be the branch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number in `base_repository`.
    pub number: i32,
    /// The host's own id.
    pub host_id: Option<String>,
    /// The repository that its branch is in. `None` when that is gone or hidden.
    pub head_repository: Option<RepositoryPath>,
    /// The repository that it is in.
    pub base_repository: RepositoryPath,
    /// The pushed commit is known to be one of its commits.
    pub has_commit: bool,
    /// How long ago it was merged or closed, by the host's clock. `None` while it is open.
    pub settled_ago: Option<Duration>,
    /// All of it, where the answer holds that already.
    pub whole: Option<Box<HostPullRequest>>,
}

impl Candidate {
    /// Whether its branch is in `home`, and itself in `repository`.
    pub(crate) fn is_from(&self, home: &RepositoryPath, repository: &RepositoryPath) -> bool {
        self.head_repository.as_ref() == Some(home) && self.base_repository == *repository
    }

    /// Whether an open one is the branch's: of a default branch, from which everything is deployed,
    /// the name alone is no evidence.
    pub(crate) fn may_be_adopted(&self, is_default: bool) -> bool {
        self.has_commit || !is_default
    }
}

/// Whether a pull request of this id is another one than the known. A host may have two forms of id
/// for the same thing; ids of different forms are not comparable.
#[must_use]
pub fn is_other(known: &KnownPullRequest, host_id: Option<&str>) -> bool {
    let form = |id: &str| id.split_once('_').map(|(form, _)| form.to_owned());
    match (known.host_id.as_deref(), host_id) {
        (Some(known), Some(found)) => known != found && form(known) == form(found),
        (None, _) | (_, None) => false,
    }
}

/// One git host as one credential sees it.
///
/// An implementation remembers what it was answered for as long as it lives, so that two equal
/// questions cost one request.
pub trait Host: Send + Sync {
    /// Asks all questions, the most urgent first, and hands each answer on with the index of its
    /// question as soon as it is there, exactly one for each.
    ///
    /// Returns when all are answered. When the turn of the lease ends meanwhile, what is on the
    /// wire is finished, or fails at the deadline as [`ProblemClass::HostUnavailable`], and what
    /// was not sent is [`Answer::Unsent`]; so the call needs no timeout.
    fn ask(
        &self,
        asks: &[Ask],
        answer: &mut (dyn FnMut(usize, Answer) + Send),
    ) -> impl Future<Output = ()> + Send;

    /// Asks for a diff, which a person waits for, with what [`Host::ask`] was answered for before.
    fn diff(&self, of: &DiffTarget) -> impl Future<Output = DiffAnswer> + Send;
}
