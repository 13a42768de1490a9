//! What GitHub does with every request, whatever it asks: user agent, version, credentials, rate
//! limit, entity tag, headers.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Bytes;
use axum::http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderName, Method, StatusCode};

use super::answer::{Answer, Incoming};
use super::graphql;
use super::limit::Resource;
use super::model::AccountId;
use super::oauth;
use super::record::{Caller, Noted};
use super::refusal;
use super::rest;
use super::state::World;

/// The API versions that GitHub takes today, the oldest first; without the header it is that.
pub const API_VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

const GRAPHQL_AUTHENTICATION: &str =
    "https://docs.github.com/graphql/guides/forming-calls-with-graphql#authenticating-with-graphql";
const NO_USER_AGENT: &str = "\r\nRequest forbidden by administrative rules. Please make sure your \
    request has a User-Agent header (https://docs.github.com/en/rest/overview/\
    resources-in-the-rest-api#user-agent-required). Check https://developer.github.com for other \
    possible causes.\r\n";

/// The answer, and whether the endpoint is one that the stand-in lacks.
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) unexpected: bool,
    /// What the record keeps of a GraphQL answer.
    pub(crate) noted: Noted,
}

/// Answers a request in full.
pub(crate) fn answer(world: &mut World, incoming: &Incoming) -> Reply {
    if let Some(mut answer) = oauth::answer(world, incoming) {
        stamp(world, incoming, &mut answer);
        return Reply {
            answer,
            unexpected: false,
            noted: Noted::default(),
        };
    }
    let (caller, viewer) = world.caller(incoming.token.as_deref());
    let mut unexpected = false;
    let mut noted = Noted::default();
    let refusal = refusal(world, incoming, &caller, viewer);
    let mut answer = match (refusal, &incoming.query) {
        (Some(refusal), _) => refusal,
        (None, Some(_)) if world.graphql.disabled => rest::not_found(),
        (None, Some(query)) => match viewer {
            Some(viewer) => {
                let reply = graphql::answer(world, viewer, incoming, query);
                (unexpected, noted) = (reply.unexpected, reply.noted);
                reply.answer
            }
            None => Answer::error_about(
                StatusCode::UNAUTHORIZED,
                "This endpoint requires you to be authenticated.",
                GRAPHQL_AUTHENTICATION,
            ),
        },
        (None, None) => {
            let routed = rest::route(world, incoming, viewer);
            unexpected = routed.is_none();
            let answer = routed.unwrap_or_else(rest::not_found);
            let answer = conditional(incoming, answer);
            // "Not modified" is free, but only with a token.
            let not_modified = answer.status == StatusCode::NOT_MODIFIED && viewer.is_some();
            if !not_modified && !is_free(incoming) {
                let now = world.now();
                world.limits.bucket(viewer, Resource::Core, now).spend(1);
            }
            answer
        }
    };
    stamp_as(world, viewer, incoming, &mut answer);
    Reply {
        answer,
        unexpected,
        noted,
    }
}

/// Sets the headers that every answer has.
pub(crate) fn stamp(world: &mut World, incoming: &Incoming, answer: &mut Answer) {
    let (_, viewer) = world.caller(incoming.token.as_deref());
    stamp_as(world, viewer, incoming, answer);
}

/// The same, with the rate limit of `viewer`.
pub(crate) fn stamp_as(
    world: &mut World,
    viewer: Option<AccountId>,
    incoming: &Incoming,
    answer: &mut Answer,
) {
    let now = world.now();
    let mut set = |name: &'static str, value: &str| {
        let name = HeaderName::from_static(name);
        if !answer.headers.contains_key(&name) {
            answer.set(name, value);
        }
    };
    set(
        "date",
        &now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    );
    set("server", "github.com");
    set("cache-control", "private, max-age=60, s-maxage=60");
    set("vary", "Accept, Authorization, Cookie, X-GitHub-OTP");
    set("x-github-request-id", &request_id(incoming));
    if let (Some(at), Some(_)) = (&world.token_expiry, viewer) {
        set("github-authentication-token-expiration", at);
    }
    let resource = incoming.resource();
    match resource {
        Resource::Core => {
            set("x-github-media-type", "github.v3; format=json");
            set("x-github-api-version-selected", selected_version(incoming));
        }
        Resource::Graphql => set("x-github-media-type", "github.v4; format=json"),
    }
    if !world.limits.has_headers() {
        return;
    }
    let bucket = *world.limits.bucket(viewer, resource, now);
    set("x-ratelimit-limit", &bucket.limit.to_string());
    set("x-ratelimit-remaining", &bucket.remaining.to_string());
    set("x-ratelimit-used", &bucket.used.to_string());
    set("x-ratelimit-reset", &bucket.reset.to_string());
    set("x-ratelimit-resource", resource.as_str());
}

/// The answer to a token that is not known.
pub(crate) fn bad_credentials() -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials")
}

/// What keeps a request from its endpoint, if anything does.
fn refusal(
    world: &mut World,
    incoming: &Incoming,
    caller: &Caller,
    viewer: Option<AccountId>,
) -> Option<Answer> {
    let request = &incoming.recorded;
    if request.header("user-agent").is_none_or(str::is_empty) {
        let body = NO_USER_AGENT.to_owned();
        return Some(Answer::text(
            StatusCode::FORBIDDEN,
            "text/html; charset=utf-8",
            body,
        ));
    }
    if let Some(version) = request.header("x-github-api-version")
        && incoming.query.is_none()
        && !world.api_versions.contains(&version)
    {
        return Some(refusal::unsupported_version(400, version));
    }
    if *caller == Caller::Unknown {
        return Some(bad_credentials());
    }
    let now = world.now();
    if let Some(left) = viewer.and_then(|viewer| world.pauses.left(viewer, now)) {
        return Some(refusal::secondary(403, Some(left)));
    }
    if !world.limits.is_disabled()
        && !is_free(incoming)
        && incoming.query.is_none()
        && world.limits.bucket(viewer, Resource::Core, now).is_spent()
    {
        return Some(refusal::limit_exceeded(viewer, &request_id(incoming)));
    }
    None
}

/// Asking for the state of the limits costs nothing.
fn is_free(incoming: &Incoming) -> bool {
    incoming.recorded.path == "/rate_limit"
}

/// Adds the entity tag, and leaves the body out if the client has it already.
fn conditional(incoming: &Incoming, mut answer: Answer) -> Answer {
    let request = &incoming.recorded;
    if answer.status != StatusCode::OK || request.method != Method::GET {
        return answer;
    }
    let strong = entity_tag(incoming, &answer.body);
    let tag = if incoming.token.is_some() {
        strong.clone()
    } else {
        format!("W/{strong}")
    };
    answer.set(ETAG, &tag);
    let known = request.header(IF_NONE_MATCH.as_str()).unwrap_or_default();
    let is_known = known.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == strong
    });
    if is_known {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body = Bytes::new();
        answer.headers.remove("content-type");
    }
    answer
}

/// Validators are bound to the token and to `Accept`: another token's do not fit.
fn entity_tag(incoming: &Incoming, body: &[u8]) -> String {
    let accept: Vec<&[u8]> = incoming
        .recorded
        .headers
        .get_all(ACCEPT)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    let mut hasher = DefaultHasher::new();
    (&accept, &incoming.token, body).hash(&mut hasher);
    let hash = hasher.finish();
    // An odd multiplier only permutes: the second half looks like GitHub's and adds nothing.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("\"{hash:016x}{mixed:016x}\"")
}

/// The version that a request is answered in.
pub(crate) fn selected_version(incoming: &Incoming) -> &'static str {
    let asked = incoming.recorded.header("x-github-api-version");
    let known = API_VERSIONS
        .into_iter()
        .find(|version| Some(*version) == asked);
    known.unwrap_or(API_VERSIONS[0])
}

/// Not random, so that the same scenario gives the same answers.
pub(crate) fn request_id(incoming: &Incoming) -> String {
    let mut hasher = DefaultHasher::new();
    (
        incoming.path_and_query(),
        incoming.recorded.arrived_at.as_second(),
    )
        .hash(&mut hasher);
    let hash = hasher.finish();
    format!("{:04X}:{:08X}", hash >> 48, hash & 0xffff_ffff)
}
