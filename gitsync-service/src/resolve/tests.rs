//! The procedure against made-up hosts.

mod elsewhere;

use std::sync::Arc;

use PullRequestState::{Merged, Open};
use proto::sync::{
    FoundPullRequest, GitRefId, Head, KnownPullRequest, Lane, ProblemClass, PullRequest,
};
use uuid::Uuid;

use super::*;
use crate::{
    budget::Withheld,
    host::{BranchFacts, Candidate, Question},
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
fn pull(base: &str, head: Option<&str>, number: i32, state: PullRequestState) -> Box<Observed> {
    Box::new(Observed {
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
                head: Head {
                    branch: "feature".to_owned(),
                    sha: "c0ffee".to_owned(),
                    additions: 0,
                    deletions: 0,
                    changed_files: 0,
                    commits: 1,
                },
            },
            repository: base.to_owned(),
            host_id: None,
            updated_at: None,
        }),
        head_repository: head.map(path),
        fingerprint: Some(format!("print-{number}")),
        validator: None,
    })
}

fn ours(number: i32, state: PullRequestState) -> Box<Observed> {
    pull("acme/web", Some("acme/web"), number, state)
}

fn candidate(base: &str, head: Option<&str>, number: i32) -> Candidate {
    Candidate {
        number,
        host_id: Some(format!("id-{number}")),
        head_repository: head.map(path),
        base_repository: path(base),
        head_sha: None,
        whole: None,
    }
}

/// What a repository without pull requests says.
fn facts(repository: &str, upstream: Option<&str>) -> BranchFacts {
    BranchFacts {
        repository: path(repository),
        moved: false,
        upstream: Upstream::from_text(upstream),
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

/// Resolves one ref by a script: each question by its name, and its answer.
#[track_caller]
fn resolve(git_ref: &LeasedRef, script: Vec<(&str, Answer)>) -> Option<(Finding, Learned)> {
    let refs = [git_ref.clone()];
    let mut resolver = Resolver::new(&refs);
    for (expected, answer) in script {
        let asks = resolver.questions();
        let names: Vec<_> = asks.iter().map(|ask| name(&ask.question)).collect();
        assert_eq!(names, [expected]);
        resolver.answer(0, &answer);
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
fn a_settled_pull_request_is_adopted_only_if_nothing_is_open_and_the_known_one_is_not_asked_twice()
{
    let at_commit = LeasedRef {
        commit: Some("c0ffee".to_owned()),
        ..feature()
    };
    let seen = |open: Vec<Candidate>| {
        let mut seen = facts("acme/web", Some(""));
        seen.open = open;
        seen.settled = vec![
            candidate("acme/web", Some("acme/web"), 5),
            candidate("acme/web", Some("bob/web"), 6),
        ];
        branch(seen)
    };
    let script = vec![
        ("branch acme/web", seen(Vec::new())),
        ("status acme/web#5", Answer::PullRequest(ours(5, Merged))),
    ];
    assert_eq!(found(&at_commit, script).1, 5);
    let script = vec![
        (
            "branch acme/web",
            seen(vec![candidate("acme/web", Some("acme/web"), 4)]),
        ),
        ("status acme/web#4", Answer::PullRequest(ours(4, Open))),
    ];
    assert_eq!(found(&at_commit, script).1, 4);
    let known = LeasedRef {
        known: Some(known("acme/web", 5)),
        ..at_commit
    };
    let script = vec![
        ("status acme/web#5", Answer::PullRequest(ours(5, Merged))),
        ("branch acme/web", seen(Vec::new())),
    ];
    assert_eq!(found(&known, script).1, 5);
}

#[test]
fn a_known_open_pull_request_is_one_question_or_two_if_it_changed() {
    let mut known = linked(Open);
    let whole = || Answer::PullRequest(ours(7, Open));
    assert_eq!(found(&known, vec![("status acme/web#7", whole())]).1, 7);
    known.fingerprint = Some("print".to_owned());
    let script = vec![("changed acme/web#7", Answer::Unchanged)];
    assert_eq!(finding(&known, script), Finding::Unchanged);
    let script = vec![
        ("changed acme/web#7", Answer::Changed),
        ("status acme/web#7", whole()),
    ];
    assert_eq!(found(&known, script).1, 7);
    assert_eq!(found(&known, vec![("changed acme/web#7", whole())]).1, 7);
    let script = vec![("changed acme/web#7", Answer::Missing)];
    assert_eq!(finding(&known, script), Finding::Gone);
    known.known.as_mut().unwrap().host_id = None;
    let script = vec![
        ("changed acme/web#7", Answer::Changed),
        ("number acme/web#7", whole()),
    ];
    assert_eq!(found(&known, script).1, 7);
}

#[test]
fn of_a_settled_pull_request_more_is_asked_than_whether_it_changed() {
    let known = LeasedRef {
        fingerprint: Some("print".to_owned()),
        validator: Some("tag".to_owned()),
        ..linked(Merged)
    };
    let script = vec![
        ("status acme/web#7", Answer::PullRequest(ours(7, Merged))),
        ("branch acme/web", branch(facts("acme/web", Some("")))),
    ];
    assert_eq!(found(&known, script).1, 7);
}

#[test]
fn a_list_that_was_cut_off_is_not_no_pull_request() {
    let cut = BranchFacts {
        complete: false,
        ..facts("acme/web", Some(""))
    };
    let script = vec![("branch acme/web", branch(cut))];
    let invalid = problem(ProblemClass::HostAnswerInvalid, false);
    assert_eq!(finding(&feature(), script), invalid);
}

#[test]
fn a_question_that_was_not_sent_leaves_the_ref_due_unless_a_change_was_seen() {
    let unsent = || Answer::Unsent(Withheld::Reserved);
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
        ..known("web", 7)
    });
    assert_eq!(finding(&pathless, Vec::new()), internal);
}
