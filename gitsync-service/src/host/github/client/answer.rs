//! Responses as the client reads them.

use reqwest::StatusCode;
use url::Url;

use super::super::rate_limit::LimitHeaders;

/// An answer, and what its headers say about it.
#[derive(Debug)]
pub(in super::super) struct HttpAnswer<T> {
    pub(in super::super) body: T,
    /// Rate limits and the clock from its headers.
    pub(in super::super) limits: LimitHeaders,
    /// The next page, at the same origin.
    pub(in super::super) next: Option<Url>,
    /// Whether the resource was asked for by a name that it does not have.
    pub(in super::super) moved: Redirect,
}

/// Whether an answer came from another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Redirect {
    /// It came from where it was asked for.
    No,
    /// A temporary redirect: the next request uses the former name.
    ForNow,
    /// The resource has another name.
    ForGood,
}

impl Redirect {
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

/// The result of a GraphQL query. Limits and a refused credential have been noted.
#[derive(Debug)]
pub(in super::super) enum Reply {
    /// The bytes of an answer with status 200, and its headers on limits.
    Body(Vec<u8>, LimitHeaders),
    /// There is no such interface.
    Missing,
    /// The request as a whole is refused to this token, whatever repositories it asks.
    Refused,
    /// The query exceeded the host's time, or the host is overloaded.
    Overloaded,
}
