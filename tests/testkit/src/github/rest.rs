//! The REST endpoints: which there are, and what each answers.

mod check;
mod diff;
mod paging;
mod render;
mod template;

use axum::http::{Method, StatusCode};
use serde_json::json;

use self::paging::Page;
use self::render::Renderer;
use super::answer::{Answer, Incoming};
use super::barrier::{Barrier, Visitor};
use super::limit::Resource;
use super::model::{AccountId, Repository};
use super::pull_request::PullRequest;
use super::refusal;
use super::state::World;

/// Answers a request, or `None` if there is no such endpoint.
pub(crate) fn route(
    world: &mut World,
    incoming: &Incoming,
    viewer: Option<AccountId>,
) -> Option<Answer> {
    if incoming.recorded.method != Method::GET {
        return None;
    }
    let decoded: Vec<String> = incoming
        .recorded
        .path
        .split('/')
        .skip(1)
        .map(percent_decoded)
        .collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["user"] => Some(get_user(world, incoming, viewer)),
        ["rate_limit"] => Some(get_rate_limit(world, incoming, viewer)),
        ["repos", owner, name, rest @ ..] => {
            let endpoint = Endpoint::parse(rest, diff::is_wanted(incoming))?;
            Some(named(world, incoming, viewer, (owner, name), endpoint))
        }
        ["repositories", id, rest @ ..] => {
            let endpoint = Endpoint::parse(rest, diff::is_wanted(incoming))?;
            let found = id.parse().ok().and_then(|id| world.model.repository(id));
            Some(in_repository(world, incoming, viewer, found, endpoint))
        }
        _ => None,
    }
}

/// GitHub's answer for what does not exist, or not for this caller.
pub(crate) fn not_found() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "Not Found")
}

/// What is asked of a repository.
#[derive(Clone, Copy)]
enum Endpoint<'a> {
    Repository,
    PullRequests,
    PullRequestsOfCommit(&'a str),
    PullRequest(&'a str),
    Reviews(&'a str),
    CheckRuns(&'a str),
    CombinedStatus(&'a str),
    /// Of a pull request, or of two branches.
    PullRequestDiff(&'a str),
    ComparisonDiff(&'a str),
}

impl<'a> Endpoint<'a> {
    fn parse(segments: &[&'a str], wants_diff: bool) -> Option<Self> {
        match segments {
            ["pulls", number] if wants_diff => Some(Self::PullRequestDiff(number)),
            ["compare", compared] if wants_diff => Some(Self::ComparisonDiff(compared)),
            [] => Some(Self::Repository),
            ["pulls"] => Some(Self::PullRequests),
            ["commits", sha, "pulls"] => Some(Self::PullRequestsOfCommit(sha)),
            ["pulls", number] => Some(Self::PullRequest(number)),
            ["pulls", number, "reviews"] => Some(Self::Reviews(number)),
            ["commits", sha, "check-runs"] => Some(Self::CheckRuns(sha)),
            ["commits", sha, "status"] => Some(Self::CombinedStatus(sha)),
            _ => None,
        }
    }
}

/// A repository by its name, which may be a former one.
fn named(
    world: &World,
    incoming: &Incoming,
    viewer: Option<AccountId>,
    (owner, name): (&str, &str),
    endpoint: Endpoint<'_>,
) -> Answer {
    let found = world.model.find_repository(owner, name);
    if found.is_some() {
        return in_repository(world, incoming, viewer, found, endpoint);
    }
    let renamed = world
        .model
        .find_renamed(owner, name)
        .filter(|repository| world.model.may_read(viewer, repository));
    let Some(repository) = renamed else {
        return not_found();
    };
    // Everything after the name stays as it was sent.
    let rest: String = incoming
        .recorded
        .path
        .splitn(5, '/')
        .skip(4)
        .map(|rest| format!("/{rest}"))
        .collect();
    let query = incoming
        .raw_query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let base = &world.api_base;
    let location = format!(
        "{base}{}/repositories/{}{rest}{query}",
        incoming.prefix, repository.id
    );
    Answer::redirect(StatusCode::MOVED_PERMANENTLY, &location)
}

fn in_repository(
    world: &World,
    incoming: &Incoming,
    viewer: Option<AccountId>,
    found: Option<&Repository>,
    endpoint: Endpoint<'_>,
) -> Answer {
    let Some(repository) = found.filter(|found| world.model.may_read(viewer, found)) else {
        return not_found();
    };
    let visitor = Visitor {
        id: viewer,
        token: incoming.token.as_deref(),
    };
    if let Some(barrier) = world.barriers.at_repository(visitor, repository) {
        return stopped(world, repository, barrier);
    }
    if let Endpoint::PullRequest(number)
    | Endpoint::Reviews(number)
    | Endpoint::PullRequestDiff(number) = endpoint
    {
        let found = find(repository, number);
        let barrier = found.and_then(|found| world.barriers.at_pull_request(visitor, found));
        if let Some(barrier) = barrier {
            return stopped(world, repository, barrier);
        }
    }
    if let Endpoint::CheckRuns(_) | Endpoint::CombinedStatus(_) = endpoint
        && viewer.is_some_and(|viewer| world.graphql.without_checks.contains(&viewer))
    {
        return refusal::forbidden();
    }
    let renderer = Renderer::new(world, incoming, viewer);
    match endpoint {
        Endpoint::Repository => ok(renderer.full_repository(repository)),
        Endpoint::PullRequests => {
            let shown = |found: &PullRequest| !world.barriers.is_unlisted(visitor, found);
            list_pull_requests(&renderer, incoming, repository, shown)
        }
        Endpoint::PullRequestsOfCommit(sha)
        | Endpoint::CheckRuns(sha)
        | Endpoint::CombinedStatus(sha)
            if !world.model.is_commit(sha) =>
        {
            let message = format!("No commit found for SHA: {sha}");
            Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &message)
        }
        Endpoint::PullRequestsOfCommit(sha) => {
            let mut found = world.model.pull_requests_of_commit(sha);
            found.retain(|(target, found)| {
                world.model.may_read(viewer, target) && !world.barriers.is_unlisted(visitor, found)
            });
            let page = Page::of(incoming);
            let items = page.cut(&found).iter();
            let body: Vec<String> = items
                .map(|(target, found)| renderer.pull_request_item(target, found))
                .collect();
            let path = renderer.repository_api(repository, endpoint_path(incoming));
            page.answer(&path, &body, found.len())
        }
        Endpoint::PullRequest(number) => match find(repository, number) {
            Some(pull_request) => {
                let answer = ok(renderer.pull_request(repository, pull_request));
                pull_request.note_mergeability_read();
                answer
            }
            None => not_found(),
        },
        Endpoint::PullRequestDiff(number) => match find(repository, number) {
            Some(found) => diff::of_pull_request(&world.model, found),
            None => not_found(),
        },
        Endpoint::ComparisonDiff(compared) => {
            diff::of_comparison(&world.model, repository, compared)
        }
        Endpoint::CheckRuns(sha) => {
            let page = Page::of(incoming);
            let checks = repository.checks_of(sha);
            let runs = checks.map_or_else(Vec::new, |checks| checks.latest_runs());
            let items = page.cut(&runs).iter();
            let body: Vec<String> = items
                .map(|run| renderer.check_run(repository, sha, run))
                .collect();
            let path = renderer.repository_api(repository, endpoint_path(incoming));
            page.answer_object(&path, &[], ("check_runs", &body), runs.len())
        }
        Endpoint::CombinedStatus(sha) => {
            let page = Page::of(incoming);
            let checks = repository.checks_of(sha);
            let statuses = checks
                .into_iter()
                .flat_map(|checks| checks.statuses.values());
            let statuses: Vec<_> = statuses.collect();
            let items = page.cut(&statuses).iter();
            let body: Vec<String> = items
                .map(|status| renderer.commit_status(repository, sha, status))
                .collect();
            let path = renderer.repository_api(repository, endpoint_path(incoming));
            let members = renderer.combined_status(repository, sha, &statuses);
            page.answer_object(&path, &members, ("statuses", &body), statuses.len())
        }
        Endpoint::Reviews(number) => match find(repository, number) {
            Some(pull_request) => {
                let page = Page::of(incoming);
                let reviews = pull_request.visible_reviews(viewer);
                let body: Vec<String> = page
                    .cut(&reviews)
                    .iter()
                    .map(|review| renderer.review(repository, pull_request, review))
                    .collect();
                page.answer(
                    &renderer.repository_api(repository, endpoint_path(incoming)),
                    &body,
                    reviews.len(),
                )
            }
            None => not_found(),
        },
    }
}

/// The refusal at a barrier.
fn stopped(world: &World, repository: &Repository, barrier: Barrier) -> Answer {
    let owner = world.model.account(repository.owner);
    let owner = owner.map_or("", |owner| owner.login.as_str());
    match barrier {
        Barrier::SingleSignOn => refusal::single_sign_on(owner),
        Barrier::NoPermission => refusal::forbidden(),
        Barrier::AddressNotAllowed => {
            Answer::error(StatusCode::FORBIDDEN, &refusal::address_not_allowed(owner))
        }
        Barrier::Blocked { status } => refusal::access_blocked(status),
        Barrier::NotFound | Barrier::Null | Barrier::Unlisted => not_found(),
    }
}

fn list_pull_requests(
    renderer: &Renderer<'_>,
    incoming: &Incoming,
    repository: &Repository,
    shown: impl Fn(&PullRequest) -> bool,
) -> Answer {
    let request = &incoming.recorded;
    // GitHub ignores a head without an owner.
    let head = request
        .query_value("head")
        .and_then(|head| head.split_once(':'));
    let mut found: Vec<&PullRequest> = match head {
        Some((owner, branch)) => repository
            .with_head(branch)
            .filter(|found| renderer.head_owner(found).eq_ignore_ascii_case(owner))
            .collect(),
        None => repository.pull_requests.values().collect(),
    };
    match request.query_value("state").unwrap_or("open") {
        "open" => found.retain(|pull_request| pull_request.is_open()),
        "closed" => found.retain(|pull_request| !pull_request.is_open()),
        "all" => {}
        _ => return validation_failed("state"),
    }
    if let Some(base) = request.query_value("base") {
        found.retain(|pull_request| pull_request.base_branch == base);
    }
    found.retain(|pull_request| shown(pull_request));
    let sort = request.query_value("sort").unwrap_or("created");
    match sort {
        "created" => {
            found.sort_by_key(|pull_request| (pull_request.created_at, pull_request.number));
        }
        "updated" => {
            found.sort_by_key(|pull_request| (pull_request.updated_at, pull_request.changed));
        }
        _ => return validation_failed("sort"),
    }
    match request.query_value("direction") {
        Some("asc") => {}
        Some("desc") => found.reverse(),
        Some(_) => return validation_failed("direction"),
        None if sort == "created" => found.reverse(),
        None => {}
    }
    let page = Page::of(incoming);
    let body: Vec<String> = page
        .cut(&found)
        .iter()
        .map(|pull_request| renderer.pull_request_item(repository, pull_request))
        .collect();
    let path = renderer.repository_api(repository, endpoint_path(incoming));
    page.answer(&path, &body, found.len())
}

/// The part of the path after the repository, as it was sent.
fn endpoint_path(incoming: &Incoming) -> &str {
    let path = &incoming.recorded.path;
    let skipped = if path.starts_with("/repositories/") {
        3
    } else {
        4
    };
    path.splitn(skipped + 1, '/')
        .nth(skipped)
        .unwrap_or_default()
}

fn find<'a>(repository: &'a Repository, number: &str) -> Option<&'a PullRequest> {
    repository.pull_requests.get(&number.parse().ok()?)
}

fn get_user(world: &World, incoming: &Incoming, viewer: Option<AccountId>) -> Answer {
    if viewer.is_some_and(|id| world.model.app_of(id).is_some()) {
        let problem = "Resource not accessible by integration";
        return Answer::error(StatusCode::FORBIDDEN, problem);
    }
    match viewer.and_then(|id| world.model.account(id)) {
        Some(account) => ok(Renderer::new(world, incoming, viewer).private_user(account)),
        None => Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication"),
    }
}

fn get_rate_limit(world: &mut World, incoming: &Incoming, viewer: Option<AccountId>) -> Answer {
    if world.limits.is_disabled() {
        return Answer::error(StatusCode::NOT_FOUND, "Rate limiting is not enabled.");
    }
    let now = world.now();
    let core = *world.limits.bucket(viewer, Resource::Core, now);
    let graphql = *world.limits.bucket(viewer, Resource::Graphql, now);
    Answer::json(
        StatusCode::OK,
        &render::rate_limit(incoming, &core, &graphql),
    )
}

/// An answer of JSON.
fn ok(body: String) -> Answer {
    Answer::json_bytes(StatusCode::OK, body.into_bytes())
}

fn validation_failed(field: &str) -> Answer {
    let body = json!({
        "message": "Validation Failed",
        "errors": [{"resource": "PullRequest", "field": field, "code": "invalid"}],
        "documentation_url": "https://docs.github.com/rest/pulls/pulls#list-pull-requests",
        "status": "422",
    });
    Answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

/// Undoes percent-encoding in one path segment; what is not valid stays as it is.
fn percent_decoded(segment: &str) -> String {
    // Form decoding also turns a plus into a space; in a path a plus is a plus.
    let pair = format!("={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(|| segment.to_owned(), |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn path_segments_are_percent_decoded_only() {
        let cases = [
            ("web", "web"),
            ("a%2Eb", "a.b"),
            ("a+b", "a+b"),
            ("a&b=c", "a&b=c"),
            ("50%", "50%"),
        ];
        for (sent, expected) in cases {
            assert_eq!(percent_decoded(sent), expected);
        }
    }
}
