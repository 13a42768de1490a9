//! What came of a request, as far as the client reads it.

use reqwest::StatusCode;
use url::Url;

use super::super::rate_limit::LimitHeaders;

/// An answer, and what its headers say about it.
#[derive(Debug)]
pub(in super::super) struct Answer<T> {
    pub(in super::super) body: T,
    /// What its headers say of limits, and its clock.
    pub(in super::super) limits: LimitHeaders,
    /// The next page, at the same origin.
    pub(in super::super) next: Option<Url>,
    /// Whether the resource was asked for by a name that it does not have.
    pub(in super::super) moved: Moved,
}

/// Whether an answer came from another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Moved {
    /// It came from where it was asked for.
    No,
    /// It is there this time, and the next time is to be asked for as before.
    ForNow,
    /// The resource has another name.
    ForGood,
}

impl Moved {
    pub(super) fn and_then(self, status: StatusCode) -> Self {
        let for_good = matches!(
            status,
            StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT
        );
        match self {
            Self::No | Self::ForGood if for_good => Self::ForGood,
            Self::No | Self::ForNow | Self::ForGood => Self::ForNow,
        }
    }
}

/// What came of a GraphQL query. A limit is noted by then, and so is a refused credential.
#[derive(Debug)]
pub(in super::super) enum Reply {
    /// The bytes of an answer with status 200, and its headers on limits.
    Body(Vec<u8>, LimitHeaders),
    /// There is no such interface.
    Missing,
    /// The request as a whole is refused to this token, whatever repositories it asks.
    Refused,
    /// The host gave up: on this query, or altogether.
    Overloaded,
}
