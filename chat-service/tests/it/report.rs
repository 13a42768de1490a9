//! Outcomes: what they write, what they leave alone, and when a ref is due again.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass, PullRequestState};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Stack, refused},
    worker::{
        Owner, Worker, events, failed, found, found_in, gone, make_all_due, none, outcome,
        pull_request, report, report_earlier, seconds,
    },
};

/// A number of the one ref there is.
async fn number(stack: &Stack, column: &str) -> i64 {
    stack
        .database
        .client()
        .await
        .query_one(
            &format!("SELECT {column}::bigint FROM chat_diff_statuses"),
            &[],
        )
        .await
        .unwrap()
        .try_get(0)
        .unwrap()
}

#[tokio::test]
async fn a_found_pull_request_is_stored_with_everything_it_says() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let before = events(&stack, &chat.id).await;
    assert_eq!(
        Worker::of(&stack).answer(found()).await,
        OutcomeResultStatus::Applied
    );
    let status = owner.status(&chat.id).await;
    let expected = pull_request();
    assert_eq!(status.url.as_ref(), Some(&expected.url));
    assert_eq!(status.pull_request_state(), PullRequestState::Open);
    assert_eq!(status.pull_request_title, expected.title);
    assert_eq!(status.pr_number, Some(7));
    assert_eq!(
        (status.additions, status.deletions, status.changed_files),
        (10, 3, 2)
    );
    assert_eq!((status.commits, status.approved), (Some(4), Some(true)));
    assert_eq!(status.reviewer_count, Some(2));
    assert_eq!(status.head_branch.as_deref(), Some("feat/x"));
    assert_eq!(status.base_branch.as_deref(), Some("main"));
    assert_eq!(status.head_sha, Some(expected.head_sha));
    assert_eq!(status.author_login.as_deref(), Some("ann"));
    assert_eq!(status.author_avatar_url, expected.author_avatar_url);
    assert!(status.refreshed_at.is_some());
    assert!(status.next_refresh_at.is_some());
    assert_eq!(status.problem, None);
    assert_eq!(status.freshness(), v1::Freshness::Fresh);
    assert_eq!(events(&stack, &chat.id).await, before + 1);
    stack.stop().await;
}

#[tokio::test]
async fn looking_again_without_a_change_records_no_event() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    worker.answer(found()).await;
    let (first, events_before) = (owner.status(&chat.id).await, events(&stack, &chat.id).await);
    make_all_due(&stack).await;
    worker.answer(found()).await;
    let second = owner.status(&chat.id).await;
    assert_ne!(second.refreshed_at, first.refreshed_at);
    assert_eq!(events(&stack, &chat.id).await, events_before);
    make_all_due(&stack).await;
    let retitled = v1::PullRequest {
        title: "Another".to_owned(),
        ..pull_request()
    };
    worker.answer(v1::outcome::Result::Found(retitled)).await;
    assert_eq!(events(&stack, &chat.id).await, events_before + 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_failure_never_changes_the_last_known_status() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    worker.answer(found()).await;
    let known = owner.status(&chat.id).await;
    let mut since = None;
    for class in [
        ProblemClass::NoAccount,
        ProblemClass::RateLimited,
        ProblemClass::CredentialRejected,
        ProblemClass::AccessDenied,
        ProblemClass::RepositoryNotFound,
        ProblemClass::PullRequestGone,
        ProblemClass::HostUnavailable,
        ProblemClass::HostAnswerInvalid,
        ProblemClass::ProviderUnsupported,
        ProblemClass::Internal,
    ] {
        make_all_due(&stack).await;
        let before = events(&stack, &chat.id).await;
        assert_eq!(
            worker.answer(failed(class)).await,
            OutcomeResultStatus::Applied
        );
        let mut status = owner.status(&chat.id).await;
        let problem = status.problem.take().unwrap();
        assert_eq!(problem.class(), class);
        assert!(!problem.message.is_empty());
        assert_ne!(
            problem.since, since,
            "another problem begins at its own time"
        );
        since = problem.since;
        assert_eq!(
            events(&stack, &chat.id).await,
            before + 1,
            "{class:?} is seen"
        );
        let v1::ChatDiffStatus {
            freshness,
            next_refresh_at,
            ..
        } = known.clone();
        status.freshness = freshness;
        status.next_refresh_at = next_refresh_at;
        assert_eq!(status, known, "{class:?}");
    }
    make_all_due(&stack).await;
    worker.answer(failed(ProblemClass::Internal)).await;
    assert_eq!(
        owner.status(&chat.id).await.problem.unwrap().since,
        since,
        "the same problem"
    );
    make_all_due(&stack).await;
    worker.answer(found()).await;
    assert_eq!(owner.status(&chat.id).await.problem, None);
    stack.stop().await;
}

#[tokio::test]
async fn no_pull_request_forgets_it_and_gone_keeps_it() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    worker.answer(found()).await;
    make_all_due(&stack).await;
    worker.answer(gone()).await;
    let status = owner.status(&chat.id).await;
    assert_eq!(status.pr_number, Some(7));
    assert_eq!(
        status.problem.unwrap().class(),
        ProblemClass::PullRequestGone
    );
    make_all_due(&stack).await;
    worker.answer(none()).await;
    let status = owner.status(&chat.id).await;
    assert_eq!(status.pull_request_state, None);
    assert_eq!(status.url, None);
    assert_eq!(status.pull_request_title, "");
    assert_eq!(
        (status.additions, status.approved, status.head_branch),
        (0, None, None)
    );
    assert_eq!(status.problem, None);
    assert!(status.refreshed_at.is_some());
    stack.stop().await;
}

#[tokio::test]
async fn a_git_ref_reported_during_a_refresh_is_looked_up_again() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    for (round, (older, effect)) in [
        (none(), None),
        (failed(ProblemClass::HostUnavailable), None),
        (found(), Some(7)),
        (gone(), Some(7)),
    ]
    .into_iter()
    .enumerate()
    {
        let lease = worker.lease_one().await;
        owner.report(&chat.id, "feat/x").await;
        let statuses = worker
            .finish(&lease, vec![outcome(lease.git_ref(), older)])
            .await;
        assert_eq!(statuses, [OutcomeResultStatus::Superseded], "round {round}");
        let status = owner.status(&chat.id).await;
        assert_eq!(
            status.pr_number, effect,
            "only what was found is applied; round {round}"
        );
        assert_eq!(status.problem, None, "round {round}");
        assert_eq!(status.freshness(), v1::Freshness::Due, "round {round}");
    }
    let lease = worker.lease_one().await;
    assert_eq!(lease.git_ref().report_seq, 5);
    let statuses = worker
        .finish(&lease, vec![outcome(lease.git_ref(), none())])
        .await;
    assert_eq!(statuses, [OutcomeResultStatus::Applied]);
    assert_eq!(owner.status(&chat.id).await.pr_number, None);
    stack.stop().await;
}

#[tokio::test]
async fn another_branch_reported_during_a_refresh_is_looked_up_and_the_older_one_is_left() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/old").await;
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    owner.report(&chat.id, "feat/new").await;
    worker
        .finish(&lease, vec![outcome(lease.git_ref(), none())])
        .await;
    let next = worker.lease_one().await;
    assert_eq!(next.git_ref().branch, "feat/new");
    assert_eq!(next.git_ref().known, None, "a new ref copies nothing");
    stack.stop().await;
}

#[tokio::test]
async fn a_repeated_report_returns_the_first_answer() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    let unknown = v1::Outcome {
        git_ref_id: Uuid::now_v7().to_string(),
        ..outcome(lease.git_ref(), found())
    };
    let once = report(
        &lease.0.lease_token,
        vec![unknown, outcome(lease.git_ref(), found())],
    );
    let answer = [OutcomeResultStatus::Rejected, OutcomeResultStatus::Applied];
    assert_eq!(worker.try_report(once.clone()).await.unwrap(), answer);
    let (first, events_before) = (owner.status(&chat.id).await, events(&stack, &chat.id).await);
    assert_eq!(worker.try_report(once.clone()).await.unwrap(), answer);
    assert_eq!(owner.status(&chat.id).await, first);
    assert_eq!(events(&stack, &chat.id).await, events_before);

    // After an hour nobody repeats it any more, and it is forgotten.
    let client = stack.database.client().await;
    client
        .batch_execute("UPDATE sync_requests SET created_at = now() - interval '61 minutes'")
        .await
        .unwrap();
    let store = chat_service::store::Store::new(
        stack.database.url(),
        &chat_service::store::PoolOptions::default(),
    )
    .unwrap();
    store.prune_sync_requests().await.unwrap();
    assert_eq!(refused(worker.try_report(once).await).1, "LEASE_LOST");
    stack.stop().await;
}

#[tokio::test]
async fn one_bad_row_never_costs_another() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let mut chats = Vec::new();
    for number in 0..4 {
        chats.push(owner.chat(&format!("feat/{number}")).await.id);
    }
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    let bad = |branch: &str| match branch {
        // A CHECK refuses the first; the second never gets so far.
        "feat/1" => v1::PullRequest {
            additions: -1,
            ..pull_request()
        },
        "feat/2" => v1::PullRequest {
            url: "x".repeat(5000),
            ..pull_request()
        },
        _ => pull_request(),
    };
    let outcomes: Vec<v1::Outcome> = lease
        .refs()
        .into_iter()
        .map(|git_ref| outcome(git_ref, v1::outcome::Result::Found(bad(&git_ref.branch))))
        .collect();
    let expected: Vec<OutcomeResultStatus> = lease
        .refs()
        .into_iter()
        .map(|git_ref| match git_ref.branch.as_str() {
            "feat/1" | "feat/2" => OutcomeResultStatus::Rejected,
            _ => OutcomeResultStatus::Applied,
        })
        .collect();
    assert_eq!(worker.finish(&lease, outcomes).await, expected);
    for (number, chat) in chats.iter().enumerate() {
        let status = owner.status(chat).await;
        let is_bad = number == 1 || number == 2;
        assert_eq!(status.pr_number.is_none(), is_bad, "{number}");
        assert_eq!(
            status.problem.map(|problem| problem.class()),
            is_bad.then_some(ProblemClass::Internal),
            "{number}"
        );
    }
    assert!(
        worker.lease().await.is_empty(),
        "a rejected one is not due at once"
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_long_title_is_cut_and_odd_text_is_kept_out() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let odd = v1::PullRequest {
        title: format!("\0{}", "😀".repeat(3000)),
        author_avatar_url: Some("x".repeat(10_000)),
        node_id: Some("a\0b".to_owned()),
        ..pull_request()
    };
    let answer = Worker::of(&stack)
        .answer(v1::outcome::Result::Found(odd))
        .await;
    assert_eq!(answer, OutcomeResultStatus::Applied);
    let status = owner.status(&chat.id).await;
    assert_eq!(status.pull_request_title, "😀".repeat(1024));
    assert_eq!(status.author_avatar_url, None);
    stack.stop().await;
}

#[tokio::test]
async fn refreshes_in_a_row_are_counted() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    // (outcome, failures, misses, settled) after it
    for (index, (result, failures, misses, settled)) in [
        (none(), 0, 1, 0),
        (none(), 0, 2, 0),
        (failed(ProblemClass::HostUnavailable), 1, 2, 0),
        (failed(ProblemClass::RateLimited), 1, 2, 0),
        (failed(ProblemClass::HostUnavailable), 2, 2, 0),
        (found(), 0, 0, 0),
        (found_in(PullRequestState::Closed), 0, 0, 1),
        (found_in(PullRequestState::Closed), 0, 0, 2),
        (found_in(PullRequestState::Open), 0, 0, 0),
        (found_in(PullRequestState::Merged), 0, 0, 1),
        (found_in(PullRequestState::Merged), 0, 0, 2),
        (gone(), 0, 1, 2),
    ]
    .into_iter()
    .enumerate()
    {
        worker.answer(result).await;
        make_all_due(&stack).await;
        let counted = (
            number(&stack, "failures").await,
            number(&stack, "misses").await,
            number(&stack, "settled_count").await,
        );
        assert_eq!(
            counted,
            (failures, misses, settled),
            "after outcome {index}"
        );
    }
    report_earlier(&stack).await;
    owner.report(&chat.id, "feat/x").await;
    let lease = worker.lease_one().await;
    let git_ref = lease.git_ref();
    assert_eq!(
        (git_ref.misses, git_ref.settled_count),
        (0, 0),
        "since the last report"
    );
    let known = git_ref.known.clone().unwrap();
    assert_eq!((known.repository.as_str(), known.number), ("acme/web", 7));
    assert_eq!(known.state(), PullRequestState::Merged);
    assert_eq!(known.node_id.as_deref(), Some("PR_7"));
    stack.stop().await;
}

#[tokio::test]
async fn what_is_not_planned_is_left_alone_until_something_happens() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    let mut settled = outcome(lease.git_ref(), found_in(PullRequestState::Merged));
    settled.next_refresh_in = None;
    worker.finish(&lease, vec![settled]).await;
    assert_eq!(owner.status(&chat.id).await.next_refresh_at, None);
    make_all_due(&stack).await;
    assert!(worker.lease().await.is_empty());
    owner.report(&chat.id, "feat/x").await;
    assert_eq!(worker.lease().await.len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn only_the_primary_and_refs_with_an_open_pull_request_stay_due() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/open").await;
    let worker = Worker::of(&stack);
    worker.answer(found()).await;
    owner.report(&chat.id, "feat/none").await;
    worker.answer(none()).await;
    owner.report(&chat.id, "feat/last").await;
    make_all_due(&stack).await;
    let lease = worker.lease_one().await;
    let mut branches: Vec<&str> = lease
        .refs()
        .iter()
        .map(|git_ref| git_ref.branch.as_str())
        .collect();
    branches.sort_unstable();
    assert_eq!(branches, ["feat/last", "feat/open"]);
    let outcomes = lease
        .refs()
        .into_iter()
        .map(|git_ref| outcome(git_ref, found_in(PullRequestState::Merged)))
        .collect();
    worker.finish(&lease, outcomes).await;
    make_all_due(&stack).await;
    let lease = worker.lease_one().await;
    assert_eq!(lease.git_ref().branch, "feat/last");
    stack.stop().await;
}

#[tokio::test]
async fn an_outcome_for_an_archived_chat_plans_nothing() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    let archive = v1::UpdateChatRequest {
        chat_id: chat.id.clone(),
        archived: Some(true),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["archived".to_owned()],
        }),
        ..v1::UpdateChatRequest::default()
    };
    stack
        .chats(&owner.caller)
        .update_chat(archive.clone())
        .await
        .unwrap();
    worker
        .finish(&lease, vec![outcome(lease.git_ref(), found())])
        .await;
    let status = owner.status(&chat.id).await;
    assert_eq!((status.pr_number, status.next_refresh_at), (Some(7), None));
    let unarchive = v1::UpdateChatRequest {
        archived: Some(false),
        ..archive
    };
    stack
        .chats(&owner.caller)
        .update_chat(unarchive)
        .await
        .unwrap();
    assert_eq!(worker.lease().await.len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn a_ref_of_another_lease_is_rejected_and_nothing_of_it_is_written() {
    let stack = Stack::start().await;
    let (ann, ben) = (Owner::linked(&stack).await, Owner::linked(&stack).await);
    let chat = ann.chat("feat/x").await;
    ben.chat("feat/y").await;
    let worker = Worker::of(&stack);
    let leases = worker.lease().await;
    assert_eq!(leases.len(), 2);
    let of = |branch: &str| {
        leases
            .iter()
            .flat_map(|lease| {
                lease
                    .groups
                    .iter()
                    .flat_map(move |group| group.refs.iter().map(move |git_ref| (lease, git_ref)))
            })
            .find(|(_, git_ref)| git_ref.branch == branch)
            .unwrap()
    };
    let ((_, anns), (bens_lease, bens)) = (of("feat/x"), of("feat/y"));
    let foreign = report(
        &bens_lease.lease_token,
        vec![outcome(anns, found()), outcome(bens, found())],
    );
    assert_eq!(
        worker.try_report(foreign).await.unwrap(),
        [OutcomeResultStatus::Rejected, OutcomeResultStatus::Applied]
    );
    let status = ann.status(&chat.id).await;
    assert_eq!((status.pr_number, status.problem), (None, None));

    // A second outcome, and one of a report that never was.
    let anns_lease = of("feat/x").0;
    let mut ahead = outcome(anns, found());
    ahead.report_seq = 99;
    let mut request = report(&anns_lease.lease_token, vec![ahead]);
    request.release_lease = false;
    assert_eq!(
        worker.try_report(request).await.unwrap(),
        [OutcomeResultStatus::Rejected]
    );
    for expected in [OutcomeResultStatus::Applied, OutcomeResultStatus::Rejected] {
        let mut request = report(&anns_lease.lease_token, vec![outcome(anns, found())]);
        request.release_lease = false;
        assert_eq!(worker.try_report(request).await.unwrap(), [expected]);
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_rate_limit_tells_until_when() {
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let limited = v1::outcome::Result::Failed(v1::Failed {
        class: ProblemClass::RateLimited.into(),
        retry_after: Some(seconds(1800)),
    });
    Worker::of(&stack).answer(limited).await;
    let problem = owner.status(&chat.id).await.problem.unwrap();
    assert!(
        problem.message.starts_with("rate limited until "),
        "{}",
        problem.message
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_report_that_makes_no_sense_names_its_field_and_writes_nothing() {
    type Change = fn(&mut v1::ReportOutcomesRequest);
    type OutcomeChange = fn(&mut v1::Outcome);
    let stack = Stack::start().await;
    let owner = Owner::linked(&stack).await;
    let chat = owner.chat("feat/x").await;
    let worker = Worker::of(&stack);
    let lease = worker.lease_one().await;
    let good = report(
        &lease.0.lease_token,
        vec![outcome(lease.git_ref(), found())],
    );
    let negative = Some(prost_types::Duration {
        seconds: -1,
        nanos: 0,
    });
    let first = |request: &mut v1::ReportOutcomesRequest, change: OutcomeChange| {
        change(request.outcomes.first_mut().unwrap());
    };
    let cases: [(Change, &str); 5] = [
        (|request| request.request_id = String::new(), "request_id"),
        (
            |request| request.lease_token = "x".to_owned(),
            "lease_token",
        ),
        (
            |request| {
                let twice = request.outcomes.clone();
                request.outcomes.extend(twice);
            },
            "outcomes[1].git_ref_id",
        ),
        (
            |request| {
                let one = request.outcomes.remove(0);
                request.outcomes = vec![one; 501];
            },
            "outcomes",
        ),
        (
            |request| {
                request.budget = Some(v1::BudgetObservation {
                    remaining: Some(-1),
                    ..Default::default()
                });
            },
            "budget.remaining",
        ),
    ];
    let mut requests: Vec<(v1::ReportOutcomesRequest, &str)> = cases
        .into_iter()
        .map(|(change, field)| {
            let mut request = good.clone();
            change(&mut request);
            (request, field)
        })
        .collect();
    let outcome_cases: [(OutcomeChange, &str); 6] = [
        (
            |outcome| outcome.git_ref_id = "x".to_owned(),
            "outcomes[0].git_ref_id",
        ),
        (|outcome| outcome.report_seq = 0, "outcomes[0].report_seq"),
        (|outcome| outcome.result = None, "outcomes[0].result"),
        (|outcome| outcome.next_lane = 9, "outcomes[0].next_lane"),
        (
            |outcome| outcome.result = Some(failed(ProblemClass::Unspecified)),
            "outcomes[0].failed.class",
        ),
        (
            |outcome| outcome.result = Some(found_in(PullRequestState::Draft)),
            "outcomes[0].found.state",
        ),
    ];
    for (change, field) in outcome_cases {
        let mut request = good.clone();
        first(&mut request, change);
        requests.push((request, field));
    }
    let mut request = good.clone();
    request.outcomes.first_mut().unwrap().next_refresh_in = negative;
    requests.push((request, "outcomes[0].next_refresh_in"));
    for (request, field) in requests {
        let (code, reason, named) = refused(worker.try_report(request).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "FIELD_INVALID"),
            "{field}"
        );
        assert_eq!(named.as_deref(), Some(field));
    }
    assert_eq!(owner.status(&chat.id).await.pr_number, None);
    assert_eq!(
        worker.try_report(good).await.unwrap(),
        [OutcomeResultStatus::Applied]
    );
    stack.stop().await;
}
