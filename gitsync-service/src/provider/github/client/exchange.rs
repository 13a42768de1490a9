//! One request and the head of its answer: what it says about limits, and what a refusal closes.

use std::time::Duration;

use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{DATE, HeaderMap, HeaderName, RETRY_AFTER},
};
use url::Url;

use crate::{
    outcome::{Interface, Problem},
    provider::gate::Asker,
};

use super::{
    super::{
        rate_limit::LimitHeaders,
        refusal::{MAX_REFUSAL_BYTES, Refusal, refusal},
    },
    Endpoint,
    body::{read_beginning, unanswered},
};

/// Sends a request and notes what the head of its answer says.
pub(super) async fn send(
    asker: &Asker<'_>,
    interface: Interface,
    endpoint: Endpoint,
    request: RequestBuilder,
) -> Result<Response, Problem> {
    let counted = asker.metrics().start_host_request(endpoint.name());
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            counted.failed();
            asker.no_answer();
            return Err(unanswered(&error));
        }
    };
    let status = response.status();
    counted.answered(status.as_u16());
    let limits = limit_headers(response.headers());
    // Of a token that is nobody's, the headers are about the address that it came from.
    let known = status != StatusCode::UNAUTHORIZED;
    asker.observe(interface, limits.budget().filter(|_| known));
    if status.is_server_error() {
        asker.no_answer();
        return Ok(response);
    }
    asker.answered();
    if !is_refusal(status) {
        // That there is no such interface is told to anybody.
        if (interface, status) != (Interface::Graphql, StatusCode::NOT_FOUND) {
            asker.accepted();
            asker.note_limit(interface, limits.budget().as_ref());
        }
        // The last answer of a window: what would follow is a refusal. What is a refusal itself, its
        // body says too.
        let reset_in = limits.reset_in();
        if limits.is_spent() && reset_in != Some(Duration::ZERO) {
            asker.spend(interface, reset_in);
        }
    }
    Ok(response)
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    )
}

/// Reads a refusal, and closes what it closes. What is the trouble of one question and may be the
/// trouble of the whole host comes back as an error.
pub(super) async fn refused(
    asker: &Asker<'_>,
    interface: Interface,
    response: Response,
) -> Result<Problem, Problem> {
    const SSO: HeaderName = HeaderName::from_static("x-github-sso");
    let status = response.status().as_u16();
    let limits = limit_headers(response.headers());
    let sso = text(response.headers(), &SSO);
    let body = read_beginning(response, MAX_REFUSAL_BYTES).await;
    let body = String::from_utf8_lossy(&body);
    match refusal(status, &limits, sso.as_deref(), &body) {
        Refusal::Primary(reset_in) => Ok(asker.spend(interface, reset_in)),
        Refusal::Secondary(retry_after) => Ok(asker.leave_alone(retry_after)),
        Refusal::Credential => Ok(asker.refuse_credential()),
        Refusal::Locked => Ok(asker.lock_account()),
        Refusal::Overloaded(what) => Err(Problem::HostUnavailable(what)),
        Refusal::Problem(problem) => {
            // Only a token that the host takes is told why it may not.
            if status == StatusCode::FORBIDDEN.as_u16() {
                asker.accepted();
            }
            Ok(problem)
        }
    }
}

pub(super) fn either(problem: Result<Problem, Problem>) -> Problem {
    match problem {
        Ok(problem) | Err(problem) => problem,
    }
}

/// GraphQL is beside REST: below the origin, or on an Enterprise host below `/api`.
pub(super) fn graphql_url(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let above = path.strip_suffix("/v3").unwrap_or(path);
    let mut url = base.clone();
    url.set_path(&format!("{above}/graphql"));
    url
}

pub(super) fn limit_headers(headers: &HeaderMap) -> LimitHeaders {
    let named = |name: &'static str| text(headers, &HeaderName::from_static(name));
    LimitHeaders {
        date: text(headers, &DATE),
        retry_after: text(headers, &RETRY_AFTER),
        limit: named("x-ratelimit-limit"),
        remaining: named("x-ratelimit-remaining"),
        reset: named("x-ratelimit-reset"),
    }
}

pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
