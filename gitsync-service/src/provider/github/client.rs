//! The one place that sends to GitHub.
//!
//! A request goes to the origin of the configured base and nowhere else: redirects and next pages
//! are followed only there, since every request carries the token. The client never waits for a
//! limit to pass and never repeats a request; when to come back is the schedule's business.

use std::{fmt, time::Duration};

use reqwest::{
    Method, Response, StatusCode,
    header::{
        ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION,
        RETRY_AFTER,
    },
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::{outcome::Problem, provider::gate::Asker};

use super::rate_limit::LimitHeaders;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take with its answer's body. GitHub itself gives up after 10 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// The largest answer that is read: far above a page of 100 reviews with their texts.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How much of a refusal is read to tell a secondary limit from a missing permission.
const MAX_REFUSAL_BYTES: usize = 8 * 1024;
/// A renamed repository answers with one redirect; renamed twice and transferred, with three.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("gitsync-service/", env!("CARGO_PKG_VERSION"));
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
const API_VERSION: HeaderValue = HeaderValue::from_static("2022-11-28");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");

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
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::ListPulls => "list_pulls",
            Self::GetPull => "get_pull",
            Self::ListReviews => "list_reviews",
            Self::GetRepository => "get_repository",
        }
    }
}

/// An answer, and what its headers say about where more of it is.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) body: T,
    /// The next page, at the same origin.
    pub(super) next: Option<Url>,
    /// The resource was asked for by a name that it no longer has.
    pub(super) redirected: bool,
}

/// GitHub at one base, with one token.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
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
            base,
            authorization,
        })
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

    /// Asks for `url`. `None` when the host says that it does not exist for this token.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        asker: &Asker<'_>,
        endpoint: Endpoint,
        url: Url,
    ) -> Result<Option<Answer<T>>, Problem> {
        let _pass = asker.enter().await?;
        let mut url = url;
        for redirects in 0..=MAX_REDIRECTS {
            let response = self.send(asker, endpoint, url.clone()).await?;
            match response.status() {
                StatusCode::OK => {
                    let next = self.next_page(response.headers())?;
                    let bytes = read(response, MAX_BODY_BYTES).await?;
                    let body = serde_json::from_slice(&bytes).map_err(|_| {
                        Problem::HostAnswerInvalid("not the JSON that was asked for")
                    })?;
                    return Ok(Some(Answer {
                        body,
                        next,
                        redirected: redirects > 0,
                    }));
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    url = self.redirect(&url, response.headers())?;
                    asker.check()?;
                }
                StatusCode::NOT_FOUND => return Ok(None),
                status => return Err(refusal(asker, status, response).await),
            }
        }
        Err(Problem::HostAnswerInvalid("too many redirects"))
    }

    async fn send(
        &self,
        asker: &Asker<'_>,
        endpoint: Endpoint,
        url: Url,
    ) -> Result<Response, Problem> {
        let request = asker.metrics().start_host_request(endpoint.name());
        let sent = self
            .http
            .request(Method::GET, url)
            .header(ACCEPT, MEDIA_TYPE)
            .header(API_VERSION_HEADER, API_VERSION)
            .header(AUTHORIZATION, self.authorization.clone())
            .send()
            .await;
        match sent {
            Ok(response) => {
                request.answered(response.status().as_u16());
                let limits = limit_headers(response.headers());
                // Of a token that is nobody's, the headers are about the address that it came from.
                let known = response.status() != StatusCode::UNAUTHORIZED;
                asker.observe(limits.budget().filter(|_| known));
                // The last answer of a window: what would follow is a refusal. What is a refusal
                // itself, its body says too.
                if !is_refusal(response.status())
                    && let Some(pause) = limits.spent_for().filter(|pause| !pause.is_zero())
                {
                    asker.spend(pause);
                }
                Ok(response)
            }
            Err(error) => {
                request.failed();
                Err(unanswered(&error))
            }
        }
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

fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    )
}

async fn refusal(asker: &Asker<'_>, status: StatusCode, response: Response) -> Problem {
    match status {
        StatusCode::UNAUTHORIZED => asker.reject_credential(),
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            let limits = limit_headers(response.headers());
            let body = read_beginning(response, MAX_REFUSAL_BYTES).await;
            match limits.pause(status.as_u16(), &String::from_utf8_lossy(&body)) {
                Some(pause) => asker.spend(pause),
                None => Problem::AccessDenied,
            }
        }
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Problem::AccessDenied,
        StatusCode::REQUEST_TIMEOUT => Problem::HostUnavailable("it timed out"),
        status if status.is_server_error() => Problem::HostUnavailable("it answered with an error"),
        _ => Problem::HostAnswerInvalid("an unexpected status"),
    }
}

fn unanswered(error: &reqwest::Error) -> Problem {
    if error.is_timeout() {
        Problem::HostUnavailable("it timed out")
    } else if error.is_connect() {
        Problem::HostUnavailable("it cannot be reached")
    } else {
        Problem::HostUnavailable("the connection broke")
    }
}

/// Reads a body, and no more of it than `limit`: the rest is never received.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Problem> {
    const TOO_LARGE: Problem = Problem::HostAnswerInvalid("the answer is too large");
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(TOO_LARGE);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(TOO_LARGE),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(unanswered(&error)),
            Err(_) => return Err(Problem::HostAnswerInvalid("the answer is cut off")),
        }
    }
}

/// Reads what there is of a body, at most `limit`: a refusal whose text is cut off or goes on and on
/// is still a refusal.
async fn read_beginning(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < limit
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(limit);
    body
}

fn limit_headers(headers: &HeaderMap) -> LimitHeaders {
    let named = |name: &'static str| text(headers, &HeaderName::from_static(name));
    LimitHeaders {
        date: text(headers, &DATE),
        retry_after: text(headers, &RETRY_AFTER),
        limit: named("x-ratelimit-limit"),
        remaining: named("x-ratelimit-remaining"),
        reset: named("x-ratelimit-reset"),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
