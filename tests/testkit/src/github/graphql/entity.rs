//! The things that a query walks over, and what their fields give.

use std::borrow::Cow;
use std::rc::Rc;

use jiff::Timestamp;

use super::problem::Problem;
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
}

/// What a field gives.
pub(crate) enum Resolved<'w> {
    Null,
    Text(Cow<'w, str>),
    Number(u64),
    Flag(bool),
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
            },
            Self::Edge(connection, _) => match connection.of {
                Of::PullRequests => "PullRequestEdge",
                Of::Reviews => "PullRequestReviewEdge",
            },
            Self::PageInfo(_) => "PageInfo",
            Self::Total(_) => "PullRequestCommitConnection",
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
