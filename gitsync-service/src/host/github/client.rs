//! The one place that sends to GitHub, REST and GraphQL alike.
//!
//! A request goes to the origin of the configured base and nowhere else: redirects and next pages
//! are followed only there, since every request carries the token. The client never waits for a
//! limit to pass and never repeats a request; when to come back is the schedule's business.

mod answer;
mod base;
mod body;
mod exchange;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use service_runtime::egress::{EgressProxy, http_client};
use url::Url;

use proto::{
    bounds::MAX_DIFF_BYTES,
    sync::{Lane, Pause, ProblemClass},
};

use crate::budget::Admission;

use super::{
    CORE, GRAPHQL, NoAnswer, OpenError,
    instance::{Instance, NO_GRAPHQL},
    rate_limit::LimitHeaders,
};

pub(super) use answer::{HttpAnswer, Redirect, Reply};

use base::ApiBase;
use body::{TransportError, read};
use exchange::{RequestExchange, RequestFailure, limit_headers};

/// One question's requests over REST. What was begun is brought to its end.
#[derive(Debug)]
pub(super) struct RestTurn {
    lane: Lane,
    begun: AtomicBool,
}

impl RestTurn {
    pub(super) fn new(lane: Lane) -> Self {
        Self {
            lane,
            begun: AtomicBool::new(false),
        }
    }
}

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request with its response body. GitHub's own timeout is 10 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// The largest answer that is read: far above a page of 100 reviews with their texts.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// A renamed repository answers with one redirect; renamed twice and transferred, with three.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("gitsync-service/", env!("CARGO_PKG_VERSION"));
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
/// In place of JSON: the diff of what is asked for.
const DIFF_MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.github.diff");
/// The version of the REST API that is asked for, where the host has it.
const API_VERSION: HeaderValue = HeaderValue::from_static("2026-03-10");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How GitHub begins the tokens of installations. What follows has any length.
const INSTALLATION_TOKEN: &str = "ghs_";
/// The cost of a REST request.
const REST_POINTS: i64 = 1;

/// HTTP connections, shared by all leases. Knows no token.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(reqwest::Client);

impl HttpClient {
    /// Builds the only HTTP client of the process.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, or the proxy's URL cannot be used.
    pub(super) fn new(
        request_timeout: Duration,
        proxy: Option<&EgressProxy>,
    ) -> Result<Self, reqwest::Error> {
        http_client(proxy)?
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT.min(request_timeout))
            .timeout(request_timeout)
            .build()
            .map(Self)
    }
}

/// The endpoint of a request, by its name in metrics.
#[derive(Clone, Copy, Debug)]
pub(super) enum Endpoint {
    ListPulls,
    ListPullsOfCommit,
    GetPull,
    GetPullDiff,
    CompareDiff,
    ListReviews,
    ListCheckRuns,
    GetCombinedStatus,
    GetRepository,
    GetUser,
    /// A GraphQL query, by its operation's name.
    Query(&'static str),
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::ListPulls => "list_pulls",
            Self::ListPullsOfCommit => "list_pulls_of_commit",
            Self::GetPull => "get_pull",
            Self::GetPullDiff => "get_pull_diff",
            Self::CompareDiff => "compare_diff",
            Self::ListReviews => "list_reviews",
            Self::ListCheckRuns => "list_check_runs",
            Self::GetCombinedStatus => "get_combined_status",
            Self::GetRepository => "get_repository",
            Self::GetUser => "get_user",
            Self::Query(name) => name,
        }
    }
}

/// In which form an answer is asked for.
#[derive(Clone, Copy, Debug)]
enum MediaForm {
    Json,
    Diff,
}

impl MediaForm {
    fn media_type(self) -> HeaderValue {
        match self {
            Self::Json => MEDIA_TYPE,
            Self::Diff => DIFF_MEDIA_TYPE,
        }
    }

    /// The largest answer that is read.
    fn most(self) -> usize {
        match self {
            Self::Json => MAX_BODY_BYTES,
            Self::Diff => MAX_DIFF_BYTES,
        }
    }

    /// What a broken answer means. A diff may well be too large, as the host says itself of others.
    fn broken(self, broken: TransportError) -> NoAnswer {
        match (self, broken) {
            (Self::Diff, TransportError::TooLarge) => NoAnswer::Failed(ProblemClass::QueryTooHeavy),
            (Self::Json | Self::Diff, broken) => broken.into(),
        }
    }
}

/// GitHub at one base, with one token.
pub(super) struct Client {
    http: reqwest::Client,
    pub(super) base: ApiBase,
    graphql: Url,
    authorization: HeaderValue,
    /// Whether the token is an app installation's: its rate limit is not that of the user the host
    /// names.
    pub(super) is_installation: bool,
    pub(super) admission: Admission,
    instance: Arc<Instance>,
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
        admission: Admission,
        instance: Arc<Instance>,
    ) -> Result<Self, OpenError> {
        let base = ApiBase::parse(base).ok_or(OpenError::Failed(ProblemClass::Internal))?;
        Ok(Self {
            http: http.0.clone(),
            graphql: base.graphql(),
            base,
            authorization: authorization(token)?,
            is_installation: token.expose_secret().starts_with(INSTALLATION_TOKEN),
            admission,
            instance,
        })
    }

    /// The limit of a window is spent. The budget as a whole is paused once both windows are, or
    /// the only one where there is no GraphQL.
    pub(super) fn spend(&self, window: &'static str, reset_in: Option<Duration>) -> NoAnswer {
        let withheld = self.admission.pause_window(window, reset_in);
        let core = self.admission.window_pause(CORE);
        let whole = if self.instance.has_graphql() {
            let graphql = self.admission.window_pause(GRAPHQL);
            core.zip(graphql).map(|(core, graphql)| core.min(graphql))
        } else {
            core
        };
        NoAnswer::Withheld(match whole {
            Some(duration) => self.admission.pause(Pause {
                duration,
                class: ProblemClass::RateLimited,
                from_lane: Lane::Interactive,
            }),
            None => withheld,
        })
    }

    /// Logs a refusal with what the host's support asks for. No part of the answer's body is in it.
    pub(super) fn log_refusal(&self, status: u16, means: &dyn fmt::Debug, headers: &LimitHeaders) {
        tracing::info!(
            git_host.name = self.base.host(),
            http.response.status_code = status,
            ?means,
            git_host.request_id = headers.request_id,
            limited_by = headers.limited_by,
            "the host refused a request"
        );
    }

    /// The host has no GraphQL, or another version of it; `own` if it says so itself.
    pub(super) fn lack_graphql(&self, own: bool, request: Option<&str>) {
        let key = self.admission.key();
        if self.instance.note_no_graphql(key, own) {
            self.admission.note_host(NO_GRAPHQL, true, request);
        }
    }

    /// The host's GraphQL lacks this field. Returns whether the query is worth sending without it.
    pub(super) fn lack_field(&self, field: Option<&'static str>, request: Option<&str>) -> bool {
        let Some(field) = field else {
            self.lack_graphql(true, request);
            return false;
        };
        if self.instance.drop_field(field) {
            self.admission.note_host(field, true, request);
        }
        true
    }

    /// The host understood a query that was sent without the `dropped` fields.
    pub(super) fn understood(&self, dropped: &[&str]) {
        for state in self.instance.note_graphql(self.admission.key(), dropped) {
            self.admission.note_host(state, false, None);
        }
    }

    /// Asks for `url`. `None`: it does not exist for this token.
    pub(super) async fn get<T: DeserializeOwned + Send>(
        &self,
        turn: &RestTurn,
        endpoint: Endpoint,
        url: Url,
    ) -> Result<Option<HttpAnswer<T>>, NoAnswer> {
        let Some(answer) = self.fetch(turn, endpoint, MediaForm::Json, url).await? else {
            return Ok(None);
        };
        Ok(Some(HttpAnswer {
            body: serde_json::from_slice(&answer.body)
                .map_err(|_| NoAnswer::invalid("not the JSON that was asked for"))?,
            limits: answer.limits,
            next: answer.next,
            moved: answer.moved,
        }))
    }

    /// Asks for the diff at `url`, which need not be UTF-8. `None`: it does not exist for this
    /// token. One that is too large is [`ProblemClass::QueryTooHeavy`]: no more than
    /// [`MAX_DIFF_BYTES`] are read.
    pub(super) async fn diff(
        &self,
        turn: &RestTurn,
        endpoint: Endpoint,
        url: Url,
    ) -> Result<Option<Vec<u8>>, NoAnswer> {
        let answer = self.fetch(turn, endpoint, MediaForm::Diff, url).await?;
        Ok(answer.map(|answer| answer.body))
    }

    async fn fetch(
        &self,
        turn: &RestTurn,
        endpoint: Endpoint,
        form: MediaForm,
        url: Url,
    ) -> Result<Option<HttpAnswer<Vec<u8>>>, NoAnswer> {
        let lane = turn.lane;
        let permit = if turn.begun.load(Ordering::Relaxed) {
            self.admission.permit_begun(CORE, lane, REST_POINTS).await
        } else {
            self.admission.permit(CORE, lane, REST_POINTS).await
        };
        let permit = permit.map_err(NoAnswer::Withheld)?;
        turn.begun.store(true, Ordering::Relaxed);
        permit
            .run(self.fetch_admitted(lane, endpoint, form, url))
            .await
            .unwrap_or_else(|| Err(NoAnswer::unavailable("it did not answer within the turn")))
    }

    async fn fetch_admitted(
        &self,
        lane: Lane,
        endpoint: Endpoint,
        form: MediaForm,
        mut url: Url,
    ) -> Result<Option<HttpAnswer<Vec<u8>>>, NoAnswer> {
        let exchange = RequestExchange::new(self, CORE, endpoint);
        let mut moved = Redirect::No;
        for _ in 0..=MAX_REDIRECTS {
            let versioned = self.instance.has_api_version();
            let mut request = self.request(Method::GET, url.clone(), form);
            if versioned {
                request = request.header(API_VERSION_HEADER, API_VERSION);
            }
            let response = exchange.send(request).await?;
            match response.status() {
                StatusCode::OK => {
                    let next = match form {
                        MediaForm::Json => self.base.next_page(response.headers())?,
                        // Its pages are of commits, and each has all of the diff.
                        MediaForm::Diff => None,
                    };
                    let limits = limit_headers(response.headers());
                    let body = read(response, form.most()).await;
                    let body = body.map_err(|broken| form.broken(broken))?;
                    return Ok(Some(HttpAnswer {
                        body,
                        limits,
                        next,
                        moved,
                    }));
                }
                status @ (StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT) => {
                    moved = moved.and_then(status);
                    url = self.base.redirect(&url, response.headers())?;
                    self.admission
                        .check(CORE, lane, REST_POINTS)
                        .map_err(NoAnswer::Withheld)?;
                }
                // An Enterprise host may be older than the version: it is asked for its own.
                StatusCode::BAD_REQUEST | StatusCode::GONE
                    if versioned && !self.instance.is_public() =>
                {
                    self.instance.note_no_api_version();
                    self.admission
                        .check(CORE, lane, REST_POINTS)
                        .map_err(NoAnswer::Withheld)?;
                }
                _ => {
                    return match exchange.refused(response).await {
                        RequestFailure::NoAnswer(reason) => Err(reason),
                        RequestFailure::Missing => Ok(None),
                        RequestFailure::Overloaded => Err(NoAnswer::unavailable("it timed out")),
                    };
                }
            }
        }
        Err(NoAnswer::invalid("too many redirects"))
    }

    /// Sends a GraphQL query. The caller holds the permit.
    pub(super) async fn query(
        &self,
        name: &'static str,
        query: &(impl Serialize + Sync),
    ) -> Result<Reply, NoAnswer> {
        let exchange = RequestExchange::new(self, GRAPHQL, Endpoint::Query(name));
        let body =
            serde_json::to_vec(query).map_err(|_| NoAnswer::Failed(ProblemClass::Internal))?;
        let request = self
            .request(Method::POST, self.graphql.clone(), MediaForm::Json)
            .header(CONTENT_TYPE, JSON)
            .body(body);
        let response = match exchange.send(request).await {
            Ok(response) => response,
            // Neither the query nor the host is known to be at fault.
            Err(TransportError::TimedOut) => return Ok(Reply::Overloaded),
            Err(broken) => return Err(broken.into()),
        };
        match response.status() {
            StatusCode::OK => {
                let limits = limit_headers(response.headers());
                match read(response, MAX_BODY_BYTES).await {
                    Ok(bytes) => Ok(Reply::Body(bytes, limits)),
                    Err(TransportError::TimedOut) => Ok(Reply::Overloaded),
                    Err(broken) => Err(broken.into()),
                }
            }
            status => {
                let request = limit_headers(response.headers()).request_id;
                let refused = exchange.refused(response).await;
                if status == StatusCode::NOT_FOUND {
                    // What something else says in the host's place is not believed at once.
                    let own = matches!(refused, RequestFailure::Missing);
                    self.lack_graphql(own, request.as_deref());
                }
                match refused {
                    RequestFailure::NoAnswer(reason) if reason.is_of_repository() => {
                        Ok(Reply::Refused)
                    }
                    RequestFailure::NoAnswer(reason) => Err(reason),
                    RequestFailure::Missing => Ok(Reply::Missing),
                    RequestFailure::Overloaded => Ok(Reply::Overloaded),
                }
            }
        }
    }

    fn request(&self, method: Method, url: Url, form: MediaForm) -> RequestBuilder {
        self.http
            .request(method, url)
            .header(ACCEPT, form.media_type())
            .header(AUTHORIZATION, self.authorization.clone())
    }
}

/// No host could accept a token that fits no header.
fn authorization(token: &SecretString) -> Result<HeaderValue, OpenError> {
    let value = format!("Bearer {}", token.expose_secret().trim());
    let mut value = HeaderValue::from_str(&value).map_err(|_| OpenError::Credential)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_fits_no_header_is_refused_and_one_that_does_is_shown_nowhere() {
        let refused = authorization(&SecretString::from("host\nsecret"));
        assert_eq!(refused, Err(OpenError::Credential));
        let value = authorization(&SecretString::from("host-secret")).unwrap();
        assert!(!format!("{value:?}").contains("secret"));
    }
}
