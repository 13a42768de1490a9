//! What a report may not do: write over a newer one, twice, at the cost of another row, or
//! nonsense.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass, PullRequestState};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Stack, refused},
    worker::{
        Owner, Worker, events, failed, found, found_in, gone, none, outcome, pull_request, report,
        run,
    },
};

/// Promise 3.
#[tokio::test]
async fn a_git_ref_reported_during_a_refresh_is_looked_up_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
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
            let freshness = match effect {
                None => v1::Freshness::Unspecified,
                Some(_) => v1::Freshness::Due,
            };
            assert_eq!(status.freshness(), freshness, "round {round}");
        }
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().fence.unwrap().report_seq, 5);
        let statuses = worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        assert_eq!(statuses, [OutcomeResultStatus::Applied]);
        assert_eq!(owner.status(&chat.id).await.pr_number, None);
    })
    .await;
}

/// Promise 3.
#[tokio::test]
async fn another_branch_reported_during_a_refresh_is_looked_up_and_the_older_one_is_left() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/old").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        owner.report(&chat.id, "feat/new").await;
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        let next = worker.lease_one().await;
        assert_eq!(next.git_ref().branch, "feat/new");
        assert_eq!(next.git_ref().known, None, "a new ref copies nothing");
    })
    .await;
}

#[tokio::test]
async fn a_repeated_report_returns_the_first_answer() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let unknown = v1::Outcome {
            git_ref_id: Uuid::now_v7().to_string(),
            ..outcome(lease.git_ref(), found())
        };
        let once = report(
            &lease.0.lease_token,
            vec![unknown, outcome(lease.git_ref(), found())],
        );
        let answer = [
            OutcomeResultStatus::Superseded,
            OutcomeResultStatus::Applied,
        ];
        assert_eq!(worker.try_report(once.clone()).await.unwrap(), answer);
        let (first, events_before) = (owner.status(&chat.id).await, events(stack, &chat.id).await);
        assert_eq!(worker.try_report(once.clone()).await.unwrap(), answer);
        assert_eq!(owner.status(&chat.id).await, first);
        assert_eq!(events(stack, &chat.id).await, events_before);

        // An idempotency key is kept for an hour; no retry comes later.
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
    })
    .await;
}

#[tokio::test]
async fn one_bad_row_never_costs_another() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let mut chats = Vec::new();
        for number in 0..4 {
            chats.push(owner.chat(&format!("feat/{number}")).await.id);
        }
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        // The database refuses the first; the second never gets so far.
        run(
            stack,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation';
             END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON git_refs FOR EACH ROW
             WHEN (NEW.git_branch = 'feat/1' AND NEW.pull_request IS NOT NULL)
             EXECUTE FUNCTION refuse()",
        )
        .await;
        let bad = |branch: &str| match branch {
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
    })
    .await;
}

#[tokio::test]
async fn a_long_title_is_cut_and_odd_text_is_kept_out() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let odd = v1::PullRequest {
            title: format!("\0{}", "😀".repeat(3000)),
            author_avatar_url: Some("x".repeat(10_000)),
            host_id: Some("a\0b".to_owned()),
            ..pull_request()
        };
        let answer = Worker::of(stack)
            .answer(v1::outcome::Result::Found(odd))
            .await;
        assert_eq!(answer, OutcomeResultStatus::Applied);
        let status = owner.status(&chat.id).await;
        assert_eq!(status.pull_request_title, "😀".repeat(256));
        assert_eq!(status.author_avatar_url, None);
    })
    .await;
}

#[tokio::test]
async fn a_ref_of_another_lease_is_rejected_and_nothing_of_it_is_written() {
    Stack::run(async |stack| {
        let (ann, ben) = (Owner::linked(stack).await, Owner::linked(stack).await);
        let chat = ann.chat("feat/x").await;
        ben.chat("feat/y").await;
        let worker = Worker::of(stack);
        let leases = worker.lease().await;
        assert_eq!(leases.len(), 2);
        let of = |branch: &str| {
            leases
                .iter()
                .flat_map(|lease| {
                    lease.groups.iter().flat_map(move |group| {
                        group.refs.iter().map(move |git_ref| (lease, git_ref))
                    })
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
        ahead.fence.as_mut().unwrap().report_seq = 99;
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
    })
    .await;
}

#[tokio::test]
async fn a_report_that_makes_no_sense_names_its_field_and_writes_nothing() {
    type Change = fn(&mut v1::ReportOutcomesRequest);
    type OutcomeChange = fn(&mut v1::Outcome);
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
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
                        windows: vec![v1::Window {
                            name: "core".to_owned(),
                            remaining: Some(-1),
                            ..Default::default()
                        }],
                        ..Default::default()
                    });
                },
                "budget.windows[0].remaining",
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
        let outcome_cases: [(OutcomeChange, &str); 7] = [
            (
                |outcome| outcome.git_ref_id = "x".to_owned(),
                "outcomes[0].git_ref_id",
            ),
            (|outcome| outcome.fence = None, "outcomes[0].fence"),
            (
                |outcome| outcome.fence.as_mut().unwrap().report_seq = 0,
                "outcomes[0].fence",
            ),
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
    })
    .await;
}
