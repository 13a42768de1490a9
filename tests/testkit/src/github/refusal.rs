//! The host's own words when it refuses: one function for each, used by faults, barriers and rules
//! alike.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::fault::Overload;
use super::model::AccountId;

const SECONDARY_LIMIT: &str = "You have exceeded a secondary rate limit. Please wait a few \
    minutes before you try again. If you reach out to GitHub Support for help, please include the \
    request ID.";
const SECONDARY_LIMIT_DOCUMENTATION: &str = "https://docs.github.com/free-pro-team@latest/rest/\
    overview/rate-limits-for-the-rest-api#about-secondary-rate-limits";
pub(crate) const NO_PERMISSION: &str = "Resource not accessible by personal access token";
pub(crate) const SINGLE_SIGN_ON: &str = "Resource protected by organization SAML enforcement. You \
    must grant your Personal Access token access to this organization.";
pub(crate) const ACCESS_BLOCKED: &str = "Repository access blocked";
const NO_TIME: &str = "We couldn't respond to your request in time. Sorry about that. Please try \
    resubmitting your request and contact us if the problem persists.";
pub(crate) const RESOURCE_LIMITS: &str = "Resource limits for this query exceeded.";
const SCOPES: &str = "Your token has not been granted the required scopes to execute this query. \
    The 'pullRequest' field requires one of the following scopes: ['repo'], but your token has \
    only been granted the: ['read:user'] scopes. Please modify your token's scopes at: \
    https://github.com/settings/tokens.";
const UNICORN: &str = "<!DOCTYPE html>\n<html>\n<head><title>Unicorn! &middot; GitHub</title>\
    </head>\n<body><p>We had issues producing the response to your request.</p></body>\n</html>\n";
const HTML: &str = "text/html; charset=utf-8";

/// A status that HTTP does not know is a mistake in the test; 500 shows it.
pub(crate) fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The page that GitHub shows instead of an answer.
pub(crate) fn unicorn(status: StatusCode) -> Answer {
    Answer::text(status, HTML, UNICORN.to_owned())
}

/// The secondary rate limit. With status 200, which only the GraphQL API uses, it is an error in
/// the body.
pub(crate) fn secondary(status: u16, retry_after: Option<u64>) -> Answer {
    let status = status_code(status);
    let answer = if status == StatusCode::OK {
        errors_only(&json!({ "message": SECONDARY_LIMIT }))
    } else {
        Answer::error_about(status, SECONDARY_LIMIT, SECONDARY_LIMIT_DOCUMENTATION)
    };
    match retry_after {
        Some(seconds) => answer.with("retry-after", &seconds.to_string()),
        None => answer,
    }
}

pub(crate) fn forbidden() -> Answer {
    Answer::error(StatusCode::FORBIDDEN, NO_PERMISSION)
        .with("x-accepted-github-permissions", "pull_requests=read")
}

pub(crate) fn single_sign_on(organization: &str) -> Answer {
    let header = format!(
        "required; url=https://github.com/orgs/{organization}/sso?authorization_request=A1B2C3"
    );
    Answer::error(StatusCode::FORBIDDEN, SINGLE_SIGN_ON).with("x-github-sso", &header)
}

/// After too many bad credentials GitHub takes none of that user's, good or bad.
pub(crate) fn locked_out() -> Answer {
    let message = "Maximum number of login attempts exceeded. Please try again later.";
    Answer::error(StatusCode::FORBIDDEN, message)
}

pub(crate) fn suspended() -> Answer {
    Answer::error(StatusCode::FORBIDDEN, "Sorry. Your account was suspended.")
}

pub(crate) fn address_not_allowed(organization: &str) -> String {
    format!(
        "Although you appear to have the correct authorization credentials, the `{organization}` \
         organization has an IP allow list enabled, and your IP address is not permitted to access \
         this resource."
    )
}

/// 451, or 403 with the same words.
pub(crate) fn access_blocked(status: u16) -> Answer {
    let status = status_code(status);
    let body = json!({
        "message": ACCESS_BLOCKED,
        "block": {
            "reason": "dmca",
            "created_at": "2026-01-01T00:00:00Z",
            "html_url": "https://github.com/github/dmca",
        },
    });
    Answer::json(status, &body)
}

pub(crate) fn unsupported_version(status: u16, version: &str) -> Answer {
    let status = status_code(status);
    let message = if status == StatusCode::GONE {
        format!("The API version '{version}' is no longer supported.")
    } else {
        format!("The API version '{version}' is not supported.")
    };
    Answer::error(status, &message)
}

/// What GitHub answers about a pull request whose diff it cannot make.
pub(crate) fn unprocessable() -> Answer {
    let body = json!({
        "message": "Validation Failed: too many files changed",
        "errors": [{"resource": "PullRequest", "field": "diff", "code": "too_large"}],
        "documentation_url": "https://docs.github.com/rest/pulls/pulls#get-a-pull-request",
        "status": "422",
    });
    Answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

/// A token without the scope that a field needs; the query is not run at all.
pub(crate) fn insufficient_scopes() -> Answer {
    let error = json!({
        "type": "INSUFFICIENT_SCOPES",
        "locations": [{"line": 1, "column": 1}],
        "message": SCOPES,
    });
    Answer::json(StatusCode::OK, &json!({ "errors": [error] }))
}

/// A query that took too long, or more than it may.
pub(crate) fn overloaded(overload: Overload, request_id: &str) -> Answer {
    let something = || {
        let message = format!(
            "Something went wrong while executing your query. This may be the result of a \
             timeout, or it could be a GitHub bug. Please include `{request_id}` when reporting \
             this issue."
        );
        json!({ "message": message })
    };
    match overload {
        Overload::BadGateway => {
            let body = json!({"data": null, "errors": [something()]});
            Answer::json(StatusCode::BAD_GATEWAY, &body)
        }
        Overload::GatewayTimeout => unicorn(StatusCode::GATEWAY_TIMEOUT),
        Overload::NoTime => {
            let body = json!({"message": NO_TIME});
            Answer::json(StatusCode::OK, &body)
        }
        Overload::SomethingWrong => errors_only(&something()),
        Overload::ResourceLimits => {
            let kind = "RESOURCE_LIMITS_EXCEEDED";
            errors_only(&json!({"type": kind, "message": RESOURCE_LIMITS}))
        }
    }
}

/// The primary limit in the REST API.
pub(crate) fn limit_exceeded(viewer: Option<AccountId>, request_id: &str) -> Answer {
    let message = match viewer {
        Some(id) => format!(
            "API rate limit exceeded for user ID {id}. If you reach out to GitHub Support for \
             help, please include the request ID {request_id}."
        ),
        None => "API rate limit exceeded for 127.0.0.1. (But here's the good news: Authenticated \
                 requests get a higher rate limit. Check out the documentation for more details.)"
            .to_owned(),
    };
    let documentation = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api";
    Answer::error_about(StatusCode::FORBIDDEN, &message, documentation)
}

fn errors_only(error: &Value) -> Answer {
    Answer::json(StatusCode::OK, &json!({"data": null, "errors": [error]}))
}
