//! Forks, renamed repositories, and repositories that are gone.

use super::*;

#[test]
fn the_branchs_own_repository_comes_first_then_its_upstream_and_nothing_else() {
    let mine = Some("ann/web");
    let all = [
        candidate("ann/web", mine, 3),
        candidate("ann/web", mine, 2),
        candidate("ann/web", Some("bob/web"), 9),
        candidate("acme/web", mine, 70),
        candidate("bob/web", mine, 800),
        candidate("acme/web", None, 900),
    ];
    for (taken, expected) in [
        (0, Some("status ann/web#3")),
        (1, Some("status ann/web#2")),
        (2, Some("status acme/web#70")),
        (4, None),
    ] {
        let mut seen = facts("ann/web", Some("acme/web"));
        seen.open = all[taken..].to_vec();
        let fork = [git_ref("ann/web", "feature", None)];
        let mut resolver = Resolver::new(&fork);
        assert_eq!(resolver.questions().len(), 1);
        resolver.answer(0, &branch(seen));
        let asks = resolver.questions();
        let asked = asks.first().map(|ask| name(&ask.question));
        assert_eq!(asked.as_deref(), expected);
    }
}

#[test]
fn a_repository_that_is_no_fork_adopts_nothing_from_elsewhere() {
    let mut seen = facts("acme/web", Some(""));
    seen.open = vec![candidate("bob/web", Some("acme/web"), 7)];
    let script = vec![("branch acme/web", branch(seen))];
    assert_eq!(finding(&feature(), script), Finding::NoPullRequest);
}

#[test]
fn a_settled_pull_request_outlives_its_repository() {
    let script = vec![
        (
            "status acme/web#7",
            Answer::PullRequest(pull("acme/web", None, 7, Merged)),
        ),
        ("branch acme/web", failed(NOT_FOUND)),
    ];
    assert_eq!(found(&linked(Open), script).1, 7);
    let script = vec![
        ("status acme/web#7", Answer::PullRequest(ours(7, Merged))),
        ("branch acme/web", failed(ProblemClass::AccessDenied)),
    ];
    let denied = problem(ProblemClass::AccessDenied, true);
    assert_eq!(finding(&linked(Open), script), denied);
}

#[test]
fn an_upstream_that_is_not_found_is_asked_for_once_more_and_never_no_pull_request_while_it_is_told()
{
    let own = |upstream| {
        branch(BranchFacts {
            covers_upstream: false,
            ..facts("ann/web", upstream)
        })
    };
    let fork = git_ref("ann/web", "feature", None);
    let script = vec![
        ("branch ann/web", own(Some("acme/web"))),
        ("branch acme/web of ann/web", failed(NOT_FOUND)),
    ];
    assert_eq!(finding(&fork, script), problem(NOT_FOUND, false));
    let remembered = LeasedRef {
        upstream: Upstream::Of(path("acme/old")),
        ..fork
    };
    let script = vec![
        ("branch ann/web, fork of acme/old", own(None)),
        ("branch acme/old of ann/web", failed(NOT_FOUND)),
        // The host hides it.
        ("branch ann/web", own(None)),
    ];
    assert_eq!(finding(&remembered, script), Finding::NoPullRequest);
}
