//! One request from arrival to answer: recorded, delayed, held, spoiled or answered.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use url::form_urlencoded;

use super::answer::{Answer, Incoming};
use super::front;
use super::graphql::Query;
use super::oauth::TOKEN_PATH;
use super::record::RecordedRequest;
use super::server::Line;
use super::spoil;
use super::state::{Shared, Visit};

/// The path under which an enterprise server has its REST API.
pub const ENTERPRISE_PREFIX: &str = "/api/v3";
/// The path of the GraphQL API.
pub const GRAPHQL_PATH: &str = "/graphql";
/// The path of an enterprise server's GraphQL API.
const ENTERPRISE_GRAPHQL_PATH: &str = "/api/graphql";
const MAX_REQUEST_BYTES: usize = 1 << 20;

pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let Ok(incoming) = read(&shared, request).await else {
        return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large").into_response();
    };
    let visit = Visit::begin(&shared, &incoming.recorded);
    wait(&shared, &incoming).await;

    let fault = shared.lock().faults.take(&incoming.recorded);
    match fault {
        Some(fault) => spoil::answer(&shared, &incoming, &line, &visit, fault).await,
        None => ordinary(&shared, &incoming, &visit).into_response(),
    }
}

/// The answer when nothing goes wrong on purpose.
pub(crate) fn ordinary(shared: &Shared, incoming: &Incoming, visit: &Visit) -> Answer {
    let reply = front::answer(&mut shared.lock(), incoming);
    visit.answered(reply.answer.status.as_u16(), reply.unexpected, reply.noted);
    reply.answer
}

async fn wait(shared: &Shared, incoming: &Incoming) {
    let (latency, gates) = {
        let mut world = shared.lock();
        world.holds.retain(|gate| !gate.is_open());
        let gates: Vec<_> = world
            .holds
            .iter()
            .filter(|gate| gate.stops(&incoming.recorded))
            .map(Arc::clone)
            .collect();
        (world.latency, gates)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    for gate in gates {
        gate.pass().await;
    }
}

async fn read(shared: &Shared, request: Request) -> Result<Incoming, axum::Error> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST_BYTES).await?;
    let full_path = parts.uri.path();
    let (prefix, path) = match full_path.strip_prefix(ENTERPRISE_PREFIX) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (ENTERPRISE_PREFIX, rest),
        Some(_) | None if full_path == ENTERPRISE_GRAPHQL_PATH => (ENTERPRISE_PREFIX, GRAPHQL_PATH),
        Some(_) | None => ("", full_path),
    };
    // An enterprise server's GraphQL API is beside its REST API, not below it.
    let is_query =
        parts.method == Method::POST && matches!(full_path, GRAPHQL_PATH | ENTERPRISE_GRAPHQL_PATH);
    let (query_read, recorded_query) = if is_query {
        let (query, recorded) = Query::read(&shared.documents, &body);
        (Some(query), Some(recorded))
    } else {
        (None, None)
    };
    let raw_query = parts.uri.query().map(str::to_owned);
    let query = form_urlencoded::parse(raw_query.as_deref().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let form: Vec<(String, String)> = if full_path == TOKEN_PATH {
        form_urlencoded::parse(&body).into_owned().collect()
    } else {
        Vec::new()
    };
    let recorded_body = if form.is_empty() {
        String::from_utf8_lossy(&body).into_owned()
    } else {
        "[redacted]".to_owned()
    };
    let token = bearer(&parts.headers);
    let mut headers = parts.headers;
    if let Some(value) = headers.get_mut(AUTHORIZATION) {
        *value = HeaderValue::from_static("[redacted]");
    }

    let world = shared.lock();
    let (caller, _) = world.caller(token.as_deref());
    let recorded = RecordedRequest {
        sequence: 0,
        method: parts.method,
        path: path.to_owned(),
        query,
        headers,
        body: recorded_body,
        caller,
        arrived_at: world.now(),
        status: None,
        unexpected: false,
        graphql: recorded_query,
    };
    Ok(Incoming {
        recorded,
        prefix,
        raw_query,
        token,
        form,
        query: query_read,
    })
}

/// The token of an `Authorization` header in either form that GitHub accepts. Any other form is an
/// invalid token.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let token = match value.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") =>
        {
            token.trim()
        }
        Some(_) | None => "",
    };
    Some(token.to_owned())
}
