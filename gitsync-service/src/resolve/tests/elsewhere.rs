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
fn where_the_forks_answer_does_not_cover_its_upstream_that_is_asked() {
    let fork = git_ref("ann/web", "feature", None);
    let own = || BranchFacts {
        covers_upstream: false,
        ..facts("ann/web", Some("acme/web"))
    };
    let mut there = facts("acme/web", None);
    there.open = vec![
        candidate("acme/web", Some("bob/web"), 9),
        Candidate {
            whole: Some(pull("acme/web", Some("ann/web"), 8, Open)),
            ..candidate("acme/web", Some("ann/web"), 8)
        },
    ];
    let script = vec![
        ("branch ann/web", branch(own())),
        ("branch acme/web of ann/web", branch(there)),
    ];
    let (repository, number, learned) = found(&fork, script);
    assert_eq!((repository.as_str(), number), ("acme/web", 8));
    assert_eq!(learned.upstream, Upstream::Of(path("acme/web")));

    let script = vec![
        ("branch ann/web", branch(own())),
        (
            "branch acme/web of ann/web",
            branch(facts("acme/web", None)),
        ),
    ];
    assert_eq!(finding(&fork, script), Finding::NoPullRequest);
    let script = vec![
        ("branch ann/web", branch(own())),
        ("branch acme/web of ann/web", failed(NOT_FOUND)),
    ];
    assert_eq!(finding(&fork, script), problem(NOT_FOUND, false));
}

#[test]
fn an_upstream_of_an_earlier_lookup_is_used_and_asked_for_again_once_it_is_gone() {
    let fork = LeasedRef {
        upstream: Upstream::Of(path("acme/old")),
        ..git_ref("ann/web", "feature", None)
    };
    let own = |upstream| {
        branch(BranchFacts {
            covers_upstream: false,
            ..facts("ann/web", upstream)
        })
    };
    let script = vec![
        ("branch ann/web, fork of acme/old", own(None)),
        (
            "branch acme/old of ann/web",
            branch(facts("acme/old", None)),
        ),
    ];
    assert_eq!(finding(&fork, script), Finding::NoPullRequest);
    let script = vec![
        ("branch ann/web, fork of acme/old", own(None)),
        ("branch acme/old of ann/web", failed(NOT_FOUND)),
        ("branch ann/web", own(Some("acme/web"))),
        (
            "branch acme/web of ann/web",
            branch(facts("acme/web", None)),
        ),
    ];
    let (finding, learned) = resolve(&fork, script).unwrap();
    assert_eq!(finding, Finding::NoPullRequest);
    assert_eq!(learned.upstream, Upstream::Of(path("acme/web")));
    // The host hides it: asked once more, and not for ever.
    let script = vec![
        ("branch ann/web, fork of acme/old", own(None)),
        ("branch acme/old of ann/web", failed(NOT_FOUND)),
        ("branch ann/web", own(None)),
    ];
    assert_eq!(self::finding(&fork, script), Finding::NoPullRequest);
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
fn a_renamed_repository_is_learned_if_that_is_for_good_and_keeps_its_pull_request() {
    let fork = LeasedRef {
        known: Some(known("acme/web", 7)),
        ..git_ref("ann/web", "feature", None)
    };
    for moved in [true, false] {
        let seen = BranchFacts {
            moved,
            ..facts("ann/site", Some("acme/web"))
        };
        let head = pull("acme/web", Some("ann/site"), 7, Open);
        let script = vec![
            ("status acme/web#7", Answer::PullRequest(head)),
            ("branch ann/web", branch(seen)),
        ];
        let (repository, number, learned) = found(&fork, script);
        assert_eq!((repository.as_str(), number), ("acme/web", 7));
        assert_eq!(
            learned.canonical_repository,
            moved.then(|| path("ann/site"))
        );
    }
}

#[test]
fn a_name_that_leads_nowhere_gives_way_to_the_reported_one() {
    let called = LeasedRef {
        canonical_repository: Some(path("acme/gone")),
        ..feature()
    };
    let script = vec![
        ("branch acme/gone", failed(NOT_FOUND)),
        ("branch acme/web", branch(facts("acme/web", Some("")))),
    ];
    let (finding, learned) = resolve(&called, script).unwrap();
    assert_eq!(finding, Finding::NoPullRequest);
    assert_eq!(learned.canonical_repository, Some(path("acme/web")));
    let script = vec![
        ("branch acme/gone", failed(NOT_FOUND)),
        ("branch acme/web", failed(NOT_FOUND)),
    ];
    assert_eq!(self::finding(&called, script), problem(NOT_FOUND, false));
}

#[test]
fn a_problem_is_repository_wide_only_where_no_other_repository_can_have_it() {
    let denied = || failed(ProblemClass::AccessDenied);
    let wide = |git_ref: &LeasedRef, question| {
        finding(git_ref, vec![(question, denied())]) == problem(ProblemClass::AccessDenied, true)
    };
    assert!(wide(&feature(), "branch acme/web"));
    let fork = LeasedRef {
        upstream: Upstream::Of(path("acme/web")),
        ..git_ref("ann/web", "feature", None)
    };
    assert!(!wide(&fork, "branch ann/web, fork of acme/web"));
    let elsewhere = git_ref("ann/web", "feature", Some(7));
    assert!(!wide(&elsewhere, "status acme/web#7"));
    let called = LeasedRef {
        canonical_repository: Some(path("acme/site")),
        ..feature()
    };
    assert!(!wide(&called, "branch acme/site"));
}
