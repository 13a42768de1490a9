//! The things that a query walks over, and what their fields give.

use std::borrow::Cow;
use std::rc::Rc;

use jiff::Timestamp;

use super::problem::Problem;
use crate::github::check::{CheckRun, CommitStatus, Requested, ReviewThread};
use crate::github::model::{Account, AccountKind, Repository};
use crate::github::pull_request::{PullRequest, Review};

/// An object of the answer.
#[derive(Clone)]
pub(crate) enum Entity<'w> {
    Query,
    RateLimit,
    Account(&'w Account),
    Repository(&'w Repository),
    PullRequest(Placed<'w>),
    Review(Placed<'w>, &'w Review),
    Branch(&'w Repository, &'w str),
    Commit(&'w Repository, Cow<'w, str>),
    AutoMerge(Placed<'w>),
    Connection(Rc<Connection<'w>>),
    /// The item at this place of the connection's page.
    Edge(Rc<Connection<'w>>, usize),
    PageInfo(Rc<Connection<'w>>),
    /// A connection of which only the total is known.
    Total(u64),
    Rollup(Placed<'w>),
    /// A page of what a rollup sums up.
    Contexts(Placed<'w>, Rc<Connection<'w>>),
    /// How many are in a state, and the type that says so.
    StateCount(&'static str, &'w str, u64),
    CheckRun(Placed<'w>, &'w CheckRun),
    CheckSuite(Placed<'w>, &'w CheckRun),
    WorkflowRun(Placed<'w>, &'w CheckRun),
    Workflow(Placed<'w>, &'w CheckRun),
    StatusContext(&'w CommitStatus),
    /// A required context that nothing has reported.
    Expected(Placed<'w>, &'w str),
    QueueEntry(Placed<'w>),
    Thread(&'w ReviewThread),
    ThreadComment(&'w ReviewThread),
    ReviewRequest(Placed<'w>, usize, &'w Requested),
    Team(&'w str),
    RefUpdateRule(&'w Repository),
}

/// A pull request and the repository that it goes to.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'w> {
    pub(crate) repository: &'w Repository,
    pub(crate) pull_request: &'w PullRequest,
}

/// One page of a list.
pub(crate) struct Connection<'w> {
    pub(crate) of: Of,
    pub(crate) items: Vec<Entity<'w>>,
    /// How many come before this page.
    pub(crate) before: usize,
    /// How many there are on all pages.
    pub(crate) total: usize,
}

/// What a connection holds.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    PullRequests,
    Reviews,
    Contexts,
    Threads,
    ThreadComments,
    ReviewRequests,
}

/// What a field gives.
pub(crate) enum Resolved<'w> {
    Null,
    Text(Cow<'w, str>),
    Number(u64),
    Flag(bool),
    Texts(&'w [String]),
    Object(Entity<'w>),
    List(Vec<Result<Option<Entity<'w>>, Box<Problem>>>),
}

pub(crate) type Outcome<'w> = Result<Resolved<'w>, Box<Problem>>;

impl Entity<'_> {
    /// The name of the object's type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::RateLimit => "RateLimit",
            Self::Account(account) => match account.kind {
                AccountKind::User => "User",
                AccountKind::Organization => "Organization",
                AccountKind::Bot => "Bot",
            },
            Self::Repository(_) => "Repository",
            Self::PullRequest(_) => "PullRequest",
            Self::Review(..) => "PullRequestReview",
            Self::Branch(..) => "Ref",
            Self::Commit(..) => "Commit",
            Self::AutoMerge(_) => "AutoMergeRequest",
            Self::Connection(connection) => match connection.of {
                Of::PullRequests => "PullRequestConnection",
                Of::Reviews => "PullRequestReviewConnection",
                Of::Contexts => "StatusCheckRollupContextConnection",
                Of::Threads => "PullRequestReviewThreadConnection",
                Of::ThreadComments => "PullRequestReviewCommentConnection",
                Of::ReviewRequests => "ReviewRequestConnection",
            },
            Self::Edge(connection, _) => match connection.of {
                Of::PullRequests => "PullRequestEdge",
                Of::Reviews => "PullRequestReviewEdge",
                // Their edges are not served.
                Of::Contexts | Of::Threads | Of::ThreadComments | Of::ReviewRequests => "Edge",
            },
            Self::PageInfo(_) => "PageInfo",
            Self::Total(_) => "PullRequestCommitConnection",
            Self::Rollup(_) => "StatusCheckRollup",
            Self::Contexts(..) => "StatusCheckRollupContextConnection",
            Self::StateCount(name, ..) => name,
            Self::CheckRun(..) => "CheckRun",
            Self::CheckSuite(..) => "CheckSuite",
            Self::WorkflowRun(..) => "WorkflowRun",
            Self::Workflow(..) => "Workflow",
            Self::StatusContext(_) | Self::Expected(..) => "StatusContext",
            Self::QueueEntry(_) => "MergeQueueEntry",
            Self::Thread(_) => "PullRequestReviewThread",
            Self::ThreadComment(_) => "PullRequestReviewComment",
            Self::ReviewRequest(..) => "ReviewRequest",
            Self::Team(_) => "Team",
            Self::RefUpdateRule(_) => "RefUpdateRule",
        }
    }

    /// Whether it makes a query heavier. What hangs on a pull request or a branch comes with it.
    pub(crate) fn is_weighed(&self) -> bool {
        match self {
            Self::Query
            | Self::RateLimit
            | Self::Account(_)
            | Self::Repository(_)
            | Self::PullRequest(_)
            | Self::Review(..)
            | Self::Branch(..)
            | Self::Commit(..)
            | Self::AutoMerge(_)
            | Self::Edge(..)
            | Self::PageInfo(_)
            | Self::Total(_) => true,
            Self::Connection(connection) => {
                matches!(connection.of, Of::PullRequests | Of::Reviews)
            }
            Self::Rollup(_)
            | Self::Contexts(..)
            | Self::StateCount(..)
            | Self::CheckRun(..)
            | Self::CheckSuite(..)
            | Self::WorkflowRun(..)
            | Self::Workflow(..)
            | Self::StatusContext(_)
            | Self::Expected(..)
            | Self::QueueEntry(_)
            | Self::Thread(_)
            | Self::ThreadComment(_)
            | Self::ReviewRequest(..)
            | Self::Team(_)
            | Self::RefUpdateRule(_) => false,
        }
    }
}

impl<'w> Resolved<'w> {
    pub(crate) fn object(entity: Option<Entity<'w>>) -> Self {
        entity.map_or(Self::Null, Self::Object)
    }

    /// A text that is not the model's own.
    pub(crate) fn owned(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    pub(crate) fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Null, |at| Self::owned(at.to_string()))
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Number(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl<'w> From<&'w str> for Resolved<'w> {
    fn from(text: &'w str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
