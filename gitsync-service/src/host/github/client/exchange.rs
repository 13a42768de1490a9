//! One request and the head of its answer: what it says about limits, and what a refusal closes.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{DATE, HeaderMap, HeaderName, RETRY_AFTER},
};
use service_runtime::trace::Span;

use super::{
    super::{
        GRAPHQL, NoAnswer,
        rate_limit::LimitHeaders,
        refusal::{MAX_REFUSAL_BYTES, Refusal, refusal},
    },
    Client, Endpoint,
    body::{TransportError, read_beginning, unanswered},
};

/// The failure of a refused request, after the consequences of the refusal were noted.
pub(super) enum RequestFailure {
    NoAnswer(NoAnswer),
    /// It does not exist for this token.
    Missing,
    /// The query exceeded the host's time, or the host is overloaded: the response does not say
    /// which.
    Overloaded,
}

/// The requests of one question, which spend one window.
pub(super) struct RequestExchange<'a> {
    client: &'a Client,
    window: &'static str,
    endpoint: Endpoint,
}

impl<'a> RequestExchange<'a> {
    pub(super) fn new(client: &'a Client, window: &'static str, endpoint: Endpoint) -> Self {
        Self {
            client,
            window,
            endpoint,
        }
    }

    /// Sends a request and notes what the head of its answer says.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, TransportError> {
        let admission = &self.client.admission;
        let (host, endpoint) = (admission.api_base_url(), self.endpoint.name());
        let counted = admission.metrics().start_host_request(host, endpoint);
        let span = self.span();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                span.fail(if error.is_timeout() {
                    "timeout"
                } else {
                    "_OTHER"
                });
                counted.failed();
                let broken = unanswered(&error);
                if admission.unanswered(None, None) {
                    let error = error.without_url();
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a git host does not answer");
                }
                return Err(broken);
            }
        };
        let status = response.status();
        counted.answered(status.as_u16());
        let limits = limit_headers(response.headers());
        answered(&span, status, limits.request_id.as_deref());
        // Headers of an answer to a refused token are about the address that it came from.
        if let Some(seen) = limits.window(self.window)
            && status != StatusCode::UNAUTHORIZED
        {
            admission.observe(self.window, seen);
        }
        if status.is_server_error() {
            // Under maintenance, the host says when it is back.
            let is_maintenance = status == StatusCode::SERVICE_UNAVAILABLE;
            let back_in = limits.retry_after().filter(|_| is_maintenance);
            admission.unanswered(back_in, limits.request_id.as_deref());
        } else if !is_refusal(status) {
            self.taken(&limits, token_expiry(response.headers()));
        }
        Ok(response)
    }

    fn span(&self) -> Span {
        let method = if self.window == GRAPHQL {
            "POST"
        } else {
            "GET"
        };
        let query = self.endpoint.name();
        let span = Span::request(method, query, self.client.base.host());
        span.set("gitsync.query", query);
        span
    }

    /// The host itself took the request, and so its token.
    fn taken(&self, limits: &LimitHeaders, expires_at: Option<Timestamp>) {
        let admission = &self.client.admission;
        admission.answered();
        admission.accept_credential();
        if let Some(at) = expires_at {
            admission.credential_expires_at(at);
        }
        if limits.window(self.window).is_none() {
            admission.observe_unlimited(self.window);
        }
        // The last answer of a window: what would follow is a refusal. What is a refusal itself,
        // its body says too.
        let reset_in = limits.reset_in();
        if limits.is_spent() && reset_in != Some(Duration::ZERO) {
            self.client.spend(self.window, reset_in);
        }
    }

    /// Reads a refusal, and closes what it closes.
    pub(super) async fn refused(&self, response: Response) -> RequestFailure {
        const SSO: HeaderName = HeaderName::from_static("x-github-sso");
        let admission = &self.client.admission;
        let response_status = response.status();
        let status = response_status.as_u16();
        let limits = limit_headers(response.headers());
        let expires_at = token_expiry(response.headers());
        let sso = text(response.headers(), &SSO);
        let body = read_beginning(response, MAX_REFUSAL_BYTES).await;
        let body = String::from_utf8_lossy(&body);
        let refusal = refusal(status, &limits, sso.as_deref(), &body);
        self.client.log_refusal(status, &refusal, &limits);
        let request = limits.request_id.as_deref();
        // The body shows whether the host itself refuses; a refused credential is counted
        // separately.
        if refusal == Refusal::NotTheHost {
            admission.unanswered(None, request);
        } else if is_refusal(response_status) && response_status != StatusCode::UNAUTHORIZED {
            admission.answered();
        }
        let reason = match refusal {
            Refusal::Primary(reset_in) => self.client.spend(self.window, reset_in),
            Refusal::Secondary(retry_after) => {
                NoAnswer::Withheld(admission.secondary_limit(retry_after, request))
            }
            Refusal::Credential => NoAnswer::Withheld(admission.refuse_credential()),
            Refusal::Locked => NoAnswer::Withheld(admission.lock_account()),
            Refusal::Overloaded | Refusal::NotTheHost => return RequestFailure::Overloaded,
            Refusal::Missing => {
                // A missing interface answers the same to any token, good or not.
                if self.window != GRAPHQL {
                    self.taken(&limits, expires_at);
                }
                return RequestFailure::Missing;
            }
            Refusal::Failed(class) => {
                // The host explains a refusal only to a token that it accepts.
                if status == StatusCode::FORBIDDEN.as_u16() {
                    admission.accept_credential();
                }
                NoAnswer::Failed(class)
            }
        };
        RequestFailure::NoAnswer(reason)
    }
}

/// Records the response's head in the request's span.
fn answered(span: &Span, status: StatusCode, request_id: Option<&str>) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if let Some(id) = request_id {
        span.set("git_host.request_id", id.to_owned());
    }
    if status.is_client_error() || status.is_server_error() {
        span.fail(status.as_str().to_owned());
    }
}

/// When the token expires. GitHub sends it for expiring tokens only, as `2026-12-31 12:00:00 UTC`
/// or with an offset in place of the zone.
fn token_expiry(headers: &HeaderMap) -> Option<Timestamp> {
    const EXPIRY: HeaderName = HeaderName::from_static("github-authentication-token-expiration");
    let text = text(headers, &EXPIRY)?;
    let text = text.trim().replace("UTC", "+0000");
    Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::TOO_MANY_REQUESTS
    )
}

pub(super) fn limit_headers(headers: &HeaderMap) -> LimitHeaders {
    let named = |name: &'static str| text(headers, &HeaderName::from_static(name));
    LimitHeaders {
        date: text(headers, &DATE),
        retry_after: text(headers, &RETRY_AFTER),
        limit: named("x-ratelimit-limit"),
        remaining: named("x-ratelimit-remaining"),
        reset: named("x-ratelimit-reset"),
        limited_by: named("gh-limited-by"),
        request_id: named("x-github-request-id"),
    }
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
