//! The procedure against made-up hosts.

use std::{sync::Arc, time::Duration};

use PullRequestState::{Merged, Open};
use proto::sync::{
    FoundPullRequest, GitRefId, Head, KnownPullRequest, Lane, ProblemClass, Progress, PullRequest,
    PullRequestState,
};
use uuid::Uuid;

use super::*;
use crate::{
    budget::WithholdReason,
    host::{BranchFacts, Candidate, HostPullRequest, Question},
};

pub(super) fn path(text: &str) -> RepositoryPath {
    RepositoryPath::parse(text).unwrap()
}

fn known(repository: &str, number: i32) -> KnownPullRequest {
    KnownPullRequest {
        repository: repository.to_owned(),
        number,
        state: Open,
        draft: false,
        host_id: Some(format!("id-{number}")),
        checks_pending: false,
        merge_unknown: false,
    }
}

pub(super) fn git_ref(repository: &str, branch: &str, pull: Option<i32>) -> LeasedRef {
    LeasedRef {
        known: pull.map(|number| known("acme/web", number)),
        ..LeasedRef::new(GitRefId(Uuid::new_v4()), path(repository), branch)
    }
}

fn feature() -> LeasedRef {
    git_ref("acme/web", "feature", None)
}

fn linked(state: PullRequestState) -> LeasedRef {
    let mut linked = git_ref("acme/web", "feature", Some(7));
    linked.known.as_mut().unwrap().state = state;
    linked
}

/// A pull request whose head is `head`, or in a repository that is gone.
fn pull(
    base: &str,
    head: Option<&str>,
    number: i32,
    state: PullRequestState,
) -> Box<HostPullRequest> {
    Box::new(HostPullRequest {
        found: Arc::new(FoundPullRequest {
            shown: PullRequest {
                number,
                url: String::new(),
                state,
                draft: false,
                title: String::new(),
                base_branch: "main".to_owned(),
                author_login: None,
                author_avatar_url: None,
                changes_requested: false,
                approved: false,
                reviewer_count: 0,
                pushed_after_merge: None,
                progress: Progress::default(),
                head: Head {
                    branch: "feature".to_owned(),
                    sha: "c0ffee".to_owned(),
                    additions: 0,
                    deletions: 0,
                    changed_files: 0,
                    commits: 1,
                    checks: None,
                    merge_state: None,
                },
            },
            repository: base.to_owned(),
            host_id: None,
            updated_at: None,
        }),
        head_repository: head.map(path),
        fingerprint: Some(format!("print-{number}")),
    })
}

fn ours(number: i32, state: PullRequestState) -> Box<HostPullRequest> {
    pull("acme/web", Some("acme/web"), number, state)
}

fn candidate(base: &str, head: Option<&str>, number: i32) -> Candidate {
    Candidate {
        number,
        host_id: Some(format!("id-{number}")),
        head_repository: head.map(path),
        base_repository: path(base),
        has_commit: false,
        settled_ago: None,
        whole: None,
    }
}

/// The facts of a repository without pull requests.
fn facts(repository: &str, upstream: Option<&str>) -> BranchFacts {
    BranchFacts {
        repository: path(repository),
        moved: false,
        upstream: Upstream::from_text(upstream),
        root: None,
        is_default: false,
        knows_commit: false,
        open: Vec::new(),
        settled: Vec::new(),
        covers_upstream: true,
        complete: true,
    }
}

fn branch(facts: BranchFacts) -> Answer {
    Answer::Branch(Box::new(facts))
}

fn failed(class: ProblemClass) -> Answer {
    let repository = true;
    Answer::Failed { class, repository }
}

const NOT_FOUND: ProblemClass = ProblemClass::RepositoryNotFound;

/// A short name of a question.
fn name(question: &Question) -> String {
    match question {
        Question::Changed { known, .. } => format!("changed {}#{}", known.repository, known.number),
        Question::Status { known } => format!("status {}#{}", known.repository, known.number),
        Question::ByNumber { repository, number } => format!("number {repository}#{number}"),
        Question::OfBranch {
            at, head, upstream, ..
        } => match upstream {
            _ if at != head => format!("branch {at} of {head}"),
            Upstream::Unknown => format!("branch {at}"),
            Upstream::NoFork => format!("branch {at}, no fork"),
            Upstream::Of(upstream) => format!("branch {at}, fork of {upstream}"),
        },
    }
}

/// Resolves one ref by a script: each question by its name, and its answer; those that are asked
/// together follow one another.
#[track_caller]
fn resolve(git_ref: &LeasedRef, script: Vec<(&str, Answer)>) -> Option<(Finding, Learned)> {
    let refs = [git_ref.clone()];
    let mut resolver = Resolver::new(&refs);
    let mut script = script.into_iter().peekable();
    while script.peek().is_some() {
        let asks = resolver.questions();
        let names: Vec<_> = asks.iter().map(|ask| name(&ask.question)).collect();
        let answers: Vec<_> = script.by_ref().take(asks.len().max(1)).collect();
        let expected: Vec<_> = answers.iter().map(|(expected, _)| *expected).collect();
        assert_eq!(names, expected);
        // In whatever order they come.
        for (place, (_, answer)) in answers.iter().enumerate().rev() {
            resolver.answer(place, answer);
        }
    }
    assert!(
        resolver.questions().is_empty(),
        "{:?}",
        resolver.questions()
    );
    let resolved = resolver.take_resolved().pop();
    resolved.map(|resolved| (resolved.finding, resolved.learned))
}

#[track_caller]
fn found(git_ref: &LeasedRef, script: Vec<(&str, Answer)>) -> (String, i32, Learned) {
    match resolve(git_ref, script) {
        Some((Finding::PullRequest(found), learned)) => {
            (found.repository.clone(), found.shown.number, learned)
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn finding(git_ref: &LeasedRef, script: Vec<(&str, Answer)>) -> Finding {
    resolve(git_ref, script).unwrap().0
}

fn problem(class: ProblemClass, repository_wide: bool) -> Finding {
    Finding::Failed {
        class,
        repository_wide,
    }
}

#[test]
fn what_was_not_seen_as_a_whole_is_not_no_pull_request() {
    let fork = git_ref("ann/web", "feature", None);
    let own = |complete, upstream| {
        branch(BranchFacts {
            complete,
            covers_upstream: false,
            ..facts("ann/web", upstream)
        })
    };
    let there = |complete| {
        branch(BranchFacts {
            complete,
            ..facts("acme/web", Some(""))
        })
    };
    let invalid = problem(ProblemClass::HostAnswerInvalid, false);
    for (home, base, expected) in [
        (true, true, Finding::NoPullRequest),
        (false, true, invalid.clone()),
        (true, false, invalid),
    ] {
        let script = vec![
            ("branch ann/web", own(home, Some("acme/web"))),
            ("branch acme/web of ann/web", there(base)),
        ];
        assert_eq!(finding(&fork, script), expected);
    }
    let script = vec![
        ("branch ann/web", own(true, Some("acme/web"))),
        ("branch acme/web of ann/web", failed(NOT_FOUND)),
    ];
    assert_eq!(finding(&fork, script), problem(NOT_FOUND, false));
    // The host hides what it is a fork of.
    let script = vec![("branch ann/web", own(true, None))];
    assert_eq!(finding(&fork, script), problem(NOT_FOUND, false));
}

#[test]
fn a_settled_pull_request_is_of_those_that_were_reported_before_it_was_settled() {
    let at_commit = |minutes: u64| LeasedRef {
        commit: Some("c0ffee".to_owned()),
        since_first_reported: Duration::from_secs(minutes * 60),
        ..feature()
    };
    let refs = [at_commit(60), at_commit(1)];
    let mut seen = facts("acme/web", Some(""));
    seen.settled = vec![Candidate {
        has_commit: true,
        settled_ago: Some(Duration::from_secs(30 * 60)),
        ..candidate("acme/web", Some("acme/web"), 5)
    }];
    let mut resolver = Resolver::new(&refs);
    resolver.questions();
    resolver.answer(0, &branch(seen));
    let asks = resolver.questions();
    assert_eq!(name(&asks[0].question), "status acme/web#5");
    resolver.answer(0, &Answer::PullRequest(ours(5, Merged)));
    let findings: Vec<_> = resolver
        .take_resolved()
        .into_iter()
        .map(|resolved| resolved.finding)
        .collect();
    assert!(matches!(findings[0], Finding::PullRequest(_)));
    assert_eq!(findings[1], Finding::NoPullRequest);
}

#[test]
fn a_question_that_was_not_sent_leaves_the_ref_due_unless_a_change_was_seen() {
    let unsent = || Answer::Unsent(WithholdReason::Reserved);
    assert!(resolve(&feature(), vec![("branch acme/web", unsent())]).is_none());
    let settled = |state| {
        let whole = Answer::PullRequest(ours(7, Merged));
        vec![("status acme/web#7", whole), ("branch acme/web", state)]
    };
    assert_eq!(found(&linked(Open), settled(unsent())).1, 7);
    assert!(resolve(&linked(Merged), settled(unsent())).is_none());
}

#[test]
fn equal_questions_of_different_branches_are_asked_once_for_the_most_urgent() {
    let urgent = LeasedRef {
        lane: Lane::Interactive,
        ..git_ref("acme/web", "other", Some(7))
    };
    let refs = [linked(Open), urgent];
    let mut resolver = Resolver::new(&refs);
    let asks = resolver.questions();
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].lane, Lane::Interactive);
    resolver.answer(0, &Answer::PullRequest(ours(7, Open)));
    assert_eq!(resolver.take_resolved().len(), 1);
    // It is not that of the other branch.
    assert_eq!(name(&resolver.questions()[0].question), "branch acme/web");
}

#[test]
fn a_ref_without_a_branch_is_our_own_fault_and_asks_nothing() {
    let internal = problem(ProblemClass::Internal, false);
    let nameless = git_ref("acme/web", "", None);
    assert_eq!(finding(&nameless, Vec::new()), internal);
    let mut pathless = linked(Open);
    pathless.known = Some(KnownPullRequest {
        host_id: None,
        checks_pending: false,
        merge_unknown: false,
        ..known("web", 7)
    });
    assert_eq!(finding(&pathless, Vec::new()), internal);
}

#[test]
fn a_merge_that_was_seen_is_found_though_its_branch_is_not_answered() {
    let script = || {
        vec![
            ("status acme/web#7", Answer::PullRequest(ours(7, Merged))),
            ("branch acme/web", failed(ProblemClass::HostUnavailable)),
        ]
    };
    assert_eq!(found(&linked(Open), script()).1, 7);
    // It is no change where it was known.
    let down = problem(ProblemClass::HostUnavailable, true);
    assert_eq!(finding(&linked(Merged), script()), down);
}

#[test]
fn a_branch_that_was_reported_since_stays_an_open_question_while_its_host_is_down() {
    let reported = LeasedRef {
        since_found: Some(Duration::from_secs(60)),
        ..linked(Open)
    };
    let script = vec![("branch acme/web", failed(ProblemClass::HostUnavailable))];
    let down = problem(ProblemClass::HostUnavailable, true);
    assert_eq!(finding(&reported, script), down);
}
