//! Plays the faults.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderName, Response, StatusCode};
use futures_util::stream;
use serde_json::{Value, json};

use super::answer::{Answer, Incoming};
use super::exchange::ordinary;
use super::fault::Fault;
use super::front;
use super::record::Noted;
use super::refusal::{self, status_code};
use super::server::Line;
use super::state::{Shared, Visit};

pub(crate) async fn answer(
    shared: &Shared,
    incoming: &Incoming,
    line: &Line,
    visit: &Visit,
    fault: Fault,
) -> Response<Body> {
    let answer = match fault {
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            return ordinary(shared, incoming, visit).into_response();
        }
        Fault::TruncatedJson => {
            let mut answer = ordinary(shared, incoming, visit);
            answer.body.truncate(answer.body.len() / 2);
            return answer.into_response();
        }
        Fault::InPart {
            without,
            kind,
            message,
        } => {
            let answer = ordinary(shared, incoming, visit);
            return in_part(answer, &without, kind, message).into_response();
        }
        Fault::Lost(status) => {
            drop(ordinary(shared, incoming, visit));
            return refusal::unicorn(status_code(status)).into_response();
        }
        Fault::HalfBody => {
            let answer = ordinary(shared, incoming, visit);
            return half_of(answer);
        }
        Fault::LargeJson { bytes } => {
            return enlarged(ordinary(shared, incoming, visit), bytes).into_response();
        }
        Fault::Hang => match std::future::pending::<Infallible>().await {},
        Fault::Reset => {
            line.cut();
            return Response::new(Body::empty());
        }
        Fault::BadCredentials => return bad_credentials(shared, incoming, visit),
        Fault::Status(status) => {
            let status = status_code(status);
            Answer::error(status, status.canonical_reason().unwrap_or("Unknown"))
        }
        Fault::Answer {
            status,
            headers,
            body,
        } => custom(status, headers, body),
        Fault::Html => refusal::unicorn(StatusCode::OK),
        Fault::Redirect { status, location } => redirect(shared, incoming, status, &location),
        Fault::RedirectHost { status, base } => {
            let location = format!("{base}{}{}", incoming.prefix, incoming.path_and_query());
            Answer::redirect(status_code(status), &location)
        }
        Fault::SecondaryLimit {
            status,
            retry_after,
        } => refusal::secondary(status, retry_after),
        Fault::Forbidden => refusal::forbidden(),
        Fault::SsoRequired => refusal::single_sign_on("acme"),
        Fault::Overloaded(overload) => {
            let request_id = front::request_id(incoming);
            refusal::overloaded(overload, &request_id)
        }
        Fault::InsufficientScopes => refusal::insufficient_scopes(),
        Fault::LockedOut => refusal::locked_out(),
        Fault::Suspended => refusal::suspended(),
        Fault::AddressNotAllowed => {
            Answer::error(StatusCode::FORBIDDEN, &refusal::address_not_allowed("acme"))
        }
        Fault::Blocked { status } => refusal::access_blocked(status),
        Fault::UnsupportedVersion { status } => {
            let version = incoming.recorded.header("x-github-api-version");
            refusal::unsupported_version(status, version.unwrap_or("unknown"))
        }
        Fault::Unprocessable => refusal::unprocessable(),
    };
    finish(shared, incoming, visit, answer)
}

fn finish(
    shared: &Shared,
    incoming: &Incoming,
    visit: &Visit,
    mut answer: Answer,
) -> Response<Body> {
    front::stamp(&mut shared.lock(), incoming, &mut answer);
    visit.answered(answer.status.as_u16(), false, Noted::default());
    answer.into_response()
}

fn bad_credentials(shared: &Shared, incoming: &Incoming, visit: &Visit) -> Response<Body> {
    let mut answer = front::bad_credentials();
    front::stamp_as(&mut shared.lock(), None, incoming, &mut answer);
    visit.answered(answer.status.as_u16(), false, Noted::default());
    answer.into_response()
}

fn custom(status: u16, headers: Vec<(String, String)>, body: String) -> Answer {
    let mut answer = Answer::text(status_code(status), "application/json; charset=utf-8", body);
    for (name, value) in headers {
        if let Ok(name) = HeaderName::try_from(name) {
            answer.set(name, &value);
        }
    }
    answer
}

fn redirect(shared: &Shared, incoming: &Incoming, status: u16, location: &str) -> Answer {
    let location = if location.starts_with('/') {
        format!("{}{}{location}", shared.lock().api_base, incoming.prefix)
    } else {
        location.to_owned()
    };
    Answer::redirect(status_code(status), &location)
}

/// Announces the whole body, sends half of it and breaks off.
fn half_of(mut answer: Answer) -> Response<Body> {
    answer.set(CONTENT_LENGTH, &answer.body.len().to_string());
    answer.into_response_with(|body| {
        let half = body.slice(..body.len() / 2);
        Body::from_stream(stream::unfold(Some(half), break_off))
    })
}

async fn break_off(half: Option<Bytes>) -> Option<(io::Result<Bytes>, Option<Bytes>)> {
    match half {
        Some(half) => Some((Ok(half), None)),
        None => {
            // The server writes out what it has whenever the body is not ready, so the half
            // leaves before the error closes the connection.
            tokio::task::yield_now().await;
            Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
        }
    }
}

fn enlarged(mut answer: Answer, bytes: usize) -> Answer {
    let padding = Value::String("x".repeat(bytes));
    let enlarged = match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(mut object)) => {
            object.insert("body".to_owned(), padding);
            Value::Object(object)
        }
        Ok(Value::Array(mut items)) => {
            match items.first_mut() {
                Some(Value::Object(first)) => {
                    first.insert("body".to_owned(), padding);
                }
                Some(_) | None => items.push(json!({ "body": padding })),
            }
            Value::Array(items)
        }
        Ok(_) | Err(_) => json!({ "body": padding }),
    };
    answer.body = enlarged.to_string().into();
    answer
}

fn in_part(mut answer: Answer, without: &[&str], kind: Option<&str>, message: &str) -> Answer {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
        return answer;
    };
    for place in without {
        match body["data"].pointer_mut(place) {
            Some(Value::Array(items)) => items.clear(),
            Some(part) => *part = Value::Null,
            None => {}
        }
    }
    let mut error = json!({ "message": message });
    if let Some(kind) = kind {
        error["type"] = json!(kind);
    }
    match body["errors"].as_array_mut() {
        Some(errors) => errors.push(error),
        None => body["errors"] = json!([error]),
    }
    answer.body = body.to_string().into();
    answer
}
