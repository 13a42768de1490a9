//! The one place that sends to GitHub, REST and GraphQL alike.
//!
//! A request goes to the origin of the configured base and nowhere else: redirects and next pages
//! are followed only there, since every request carries the token. The client never waits for a
//! limit to pass and never repeats a request; when to come back is the schedule's business.

mod body;
mod exchange;

use std::{fmt, time::Duration};

use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{
        ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
        IF_NONE_MATCH, LINK, LOCATION,
    },
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    outcome::{Interface, Problem},
    provider::gate::Asker,
};

use super::{
    rate_limit::LimitHeaders,
    validator::{Validator, token_tag},
};

use body::{TIMED_OUT, read};
use exchange::{either, graphql_url, limit_headers, refused, send, text};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take with its answer's body. GitHub itself gives up after 10 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// The largest answer that is read: far above a page of 100 reviews with their texts.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// A renamed repository answers with one redirect; renamed twice and transferred, with three.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("gitsync-service/", env!("CARGO_PKG_VERSION"));
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a REST request costs; one that is answered "not modified" costs nothing.
const REST_POINTS: i64 = 1;

/// Connections to git hosts, shared by all sessions. Knows no token.
#[derive(Clone)]
pub(crate) struct HttpClient(reqwest::Client);

impl HttpClient {
    /// Builds the only HTTP client of the process.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub(crate) fn new(request_timeout: Duration) -> Result<Self, HttpClientError> {
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT.min(request_timeout))
            .timeout(request_timeout)
            .redirect(redirect::Policy::none())
            // An ambient HTTP_PROXY must not decide where tokens go.
            .no_proxy()
            .build()
            .map(Self)
            .map_err(|source| HttpClientError { source })
    }
}

/// The HTTP client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub(crate) struct HttpClientError {
    source: reqwest::Error,
}

/// What is asked for, as it is named in metrics.
#[derive(Clone, Copy, Debug)]
pub(super) enum Endpoint {
    ListPulls,
    GetPull,
    ListReviews,
    GetRepository,
    GetUser,
    /// A GraphQL query, by its operation's name.
    Query(&'static str),
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::ListPulls => "list_pulls",
            Self::GetPull => "get_pull",
            Self::ListReviews => "list_reviews",
            Self::GetRepository => "get_repository",
            Self::GetUser => "get_user",
            Self::Query(name) => name,
        }
    }
}

/// An answer, and what its headers say about it.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) body: T,
    /// The next page, at the same origin.
    pub(super) next: Option<Url>,
    /// Whether the resource was asked for by a name that it does not have.
    pub(super) moved: Moved,
    /// Sent with the next question, it lets the host answer that nothing changed.
    pub(super) validator: Option<String>,
}

/// Whether an answer came from another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It came from where it was asked for.
    No,
    /// It is there this time, and the next time is to be asked for as before.
    ForNow,
    /// The resource has another name.
    ForGood,
}

impl Moved {
    fn and_then(self, status: StatusCode) -> Self {
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

/// What became of a question.
#[derive(Debug)]
pub(super) enum Fetched<T> {
    /// It does not exist for this token.
    Missing,
    /// It is as it was when the validator was given.
    Unchanged,
    /// The answer.
    Answer(Answer<T>),
}

impl<T> Fetched<T> {
    /// The answer to a question without a validator. `None`: it does not exist for this token.
    pub(super) fn answer(self) -> Result<Option<Answer<T>>, Problem> {
        match self {
            Self::Missing => Ok(None),
            Self::Answer(answer) => Ok(Some(answer)),
            Self::Unchanged => Err(Problem::HostAnswerInvalid("not modified since never")),
        }
    }
}

/// What came of a GraphQL query. A limit is noted by then, and so is a refused credential.
#[derive(Debug)]
pub(super) enum Reply {
    /// The bytes of an answer with status 200, and its headers on limits.
    Body(Vec<u8>, LimitHeaders),
    /// There is no such interface.
    Missing,
    /// The host gave up: on this query, or altogether.
    Overloaded(Problem),
}

/// GitHub at one base, with one token.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    graphql: Url,
    authorization: HeaderValue,
    /// Tells the token from others, where something holds for one only.
    token_tag: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        http: &HttpClient,
        base: &str,
        token: &SecretString,
    ) -> Result<Self, Problem> {
        const BAD_BASE: Problem = Problem::Internal("the provider's API base is not a web address");
        let base = Url::parse(base).map_err(|_| BAD_BASE)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(BAD_BASE);
        }
        // A token that fits no header is none that the host could accept.
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
                .map_err(|_| Problem::CredentialRejected)?;
        authorization.set_sensitive(true);
        Ok(Self {
            http: http.0.clone(),
            graphql: graphql_url(&base),
            base,
            authorization,
            token_tag: token_tag(token.expose_secret()),
        })
    }

    /// Reads what was given for this token.
    pub(super) fn validator(&self, text: &str) -> Option<Validator> {
        Validator::parse(text, &self.token_tag)
    }

    /// Puts entity tags together, to be used with this token.
    pub(super) fn validate(
        &self,
        pull: &Option<String>,
        reviews: &Option<String>,
    ) -> Option<String> {
        let validator = Validator {
            pull: pull.clone()?,
            reviews: reviews.clone()?,
        };
        validator.text(&self.token_tag)
    }

    /// Builds an address below the base; each segment and value is escaped by itself.
    pub(super) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Problem> {
        let mut url = self.base.clone();
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| Problem::Internal("the provider's API base has no path"))?;
            path.pop_if_empty();
            for segment in segments {
                // These would change which resource is asked for, and none of them is a name.
                if segment.is_empty()
                    || matches!(*segment, "." | "..")
                    || segment.chars().any(char::is_control)
                {
                    return Err(Problem::RepositoryNotFound);
                }
                path.push(segment);
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Asks for `url`, or whether it changed since `validator` was given.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        asker: &Asker<'_>,
        endpoint: Endpoint,
        url: Url,
        validator: Option<&str>,
    ) -> Result<Fetched<T>, Problem> {
        let _pass = asker.enter(Interface::Rest, REST_POINTS).await?;
        let mut url = url;
        let mut moved = Moved::No;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self
                .request(Method::GET, url.clone())
                .header(API_VERSION_HEADER, API_VERSION);
            if let Some(validator) = validator {
                request = request.header(IF_NONE_MATCH, validator);
            }
            let response = send(asker, Interface::Rest, endpoint, request).await?;
            match response.status() {
                StatusCode::OK => {
                    let next = self.next_page(response.headers())?;
                    let validator = text(response.headers(), &ETAG);
                    let bytes = read(response, MAX_BODY_BYTES).await?;
                    let body = serde_json::from_slice(&bytes).map_err(|_| {
                        Problem::HostAnswerInvalid("not the JSON that was asked for")
                    })?;
                    return Ok(Fetched::Answer(Answer {
                        body,
                        next,
                        moved,
                        validator,
                    }));
                }
                StatusCode::NOT_MODIFIED if validator.is_some() => return Ok(Fetched::Unchanged),
                status @ (StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT) => {
                    moved = moved.and_then(status);
                    url = self.redirect(&url, response.headers())?;
                    asker.check(Interface::Rest)?;
                }
                StatusCode::NOT_FOUND => return Ok(Fetched::Missing),
                _ => return Err(either(refused(asker, Interface::Rest, response).await)),
            }
        }
        Err(Problem::HostAnswerInvalid("too many redirects"))
    }

    /// Sends a GraphQL query. The caller holds the pass, since one is in flight at a time.
    pub(super) async fn query(
        &self,
        asker: &Asker<'_>,
        name: &'static str,
        query: &impl Serialize,
    ) -> Result<Reply, Problem> {
        let body = serde_json::to_vec(query)
            .map_err(|_| Problem::Internal("a query cannot be written"))?;
        let request = self
            .request(Method::POST, self.graphql.clone())
            .header(CONTENT_TYPE, JSON)
            .body(body);
        let response = match send(asker, Interface::Graphql, Endpoint::Query(name), request).await {
            Ok(response) => response,
            // Neither the query nor the host is known to be at fault.
            Err(problem @ TIMED_OUT) => return Ok(Reply::Overloaded(problem)),
            Err(problem) => return Err(problem),
        };
        match response.status() {
            StatusCode::OK => {
                let limits = limit_headers(response.headers());
                match read(response, MAX_BODY_BYTES).await {
                    Ok(bytes) => Ok(Reply::Body(bytes, limits)),
                    Err(problem @ TIMED_OUT) => Ok(Reply::Overloaded(problem)),
                    Err(problem) => Err(problem),
                }
            }
            StatusCode::NOT_FOUND => Ok(Reply::Missing),
            _ => match refused(asker, Interface::Graphql, response).await {
                Ok(problem) => Err(problem),
                Err(overloaded) => Ok(Reply::Overloaded(overloaded)),
            },
        }
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http
            .request(method, url)
            .header(ACCEPT, MEDIA_TYPE)
            .header(AUTHORIZATION, self.authorization.clone())
    }

    fn redirect(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Problem> {
        text(headers, &LOCATION)
            .and_then(|location| from.join(&location).ok())
            .filter(|to| to.origin() == self.base.origin())
            .ok_or(Problem::HostAnswerInvalid("a redirect elsewhere"))
    }

    fn next_page(&self, headers: &HeaderMap) -> Result<Option<Url>, Problem> {
        let Some(link) = text(headers, &LINK).as_deref().and_then(next_link) else {
            return Ok(None);
        };
        self.base
            .join(&link)
            .ok()
            .filter(|next| next.origin() == self.base.origin())
            .map(Some)
            .ok_or(Problem::HostAnswerInvalid("a next page elsewhere"))
    }
}

/// The target of `rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<String> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
            .then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests;
