//! What is due, in which order it is leased, and what is not.

use proto::chat::v1;
use tonic::Code;
use uuid::Uuid;

use super::fairness::{tenant, tenant_with};
use crate::{
    stack::{Caller, Stack, refused},
    worker::{
        Leased, Owner, Worker, end_pauses, failed, found, make_all_due, outcome, pause, report,
        request, run, seconds, value,
    },
};

#[tokio::test]
async fn refs_that_are_due_soon_fill_a_lease_but_make_none() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let soon = owner.chat("soon").await;
        let due = owner.chat("due").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let outcomes = lease
            .refs()
            .into_iter()
            .map(|git_ref| outcome(git_ref, found()))
            .collect();
        worker.finish(&lease, outcomes).await;
        assert!(worker.lease().await.is_empty(), "nothing is due");

        run(stack, "UPDATE git_ref_polls SET early_at = now()").await;
        assert!(
            worker.lease().await.is_empty(),
            "what is due soon makes no lease of its own"
        );
        owner.report(&due.id, "due").await;
        let lease = worker.lease_one().await;
        let leased: Vec<&str> = lease
            .refs()
            .iter()
            .map(|git_ref| git_ref.branch.as_str())
            .collect();
        assert_eq!(leased, ["due", "soon"]);
        assert_eq!(soon.diff_statuses.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_budget_with_many_refs_leaves_room_for_another() {
    Stack::run(async |stack| {
        let busy = Owner::linked(stack).await;
        for number in 0..12 {
            busy.chat(&format!("busy/{number}")).await;
        }
        let modest = Owner::linked(stack).await;
        modest.chat("modest").await;
        let worker = Worker::of(stack);
        let mut few = request();
        few.max_refs = 5;
        // A turn of the busy one, and then the other's, before it has another.
        for expected in [vec![5], vec![1, 5]] {
            few.request_id = Uuid::now_v7().to_string();
            let leases = worker.try_lease(few.clone()).await.unwrap();
            let mut sizes = Vec::new();
            for lease in leases.into_iter().map(Leased) {
                sizes.push(lease.refs().len());
                let outcomes = lease.refs().into_iter().map(|of| outcome(of, found()));
                worker.finish(&lease, outcomes.collect()).await;
            }
            sizes.sort_unstable();
            assert_eq!(sizes, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_paused_budget_is_not_leased_before_its_pause_ends() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut paused = report(&lease.0.lease_token, Vec::new());
        paused.budget = Some(v1::BudgetObservation {
            pause: Some(pause(3600, v1::ProblemClass::RateLimited)),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(paused).await.unwrap();
        assert!(worker.lease().await.is_empty());
        owner.report(&chat.id, "feat/y").await;
        assert!(worker.lease().await.is_empty(), "a report lifts no pause");
        let status = owner.status(&chat.id).await;
        assert_eq!(status.freshness(), v1::Freshness::Paused);
        let problem = status.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::RateLimited);
        end_pauses(stack).await;
        assert_eq!(owner.status(&chat.id).await.problem, None);
        assert_eq!(worker.lease().await.len(), 1);
    })
    .await;
}

/// They are one account's at the host.
#[tokio::test]
async fn a_second_chat_of_a_paused_owner_says_why_it_waits() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let first = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut paused = report(
            &lease.0.lease_token,
            vec![outcome(lease.git_ref(), found())],
        );
        paused.budget = Some(v1::BudgetObservation {
            pause: Some(pause(600, v1::ProblemClass::SecondaryLimited)),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(paused).await.unwrap();
        // What is due before the pause ends waits for it; the other one was just looked up, too.
        for chat in [first, owner.chat("feat/y").await] {
            let status = owner.status(&chat.id).await;
            assert_eq!(
                status.problem.clone().unwrap().class(),
                v1::ProblemClass::SecondaryLimited
            );
            let next = status.next_refresh_at.unwrap().seconds;
            let in_seconds = next - jiff::Timestamp::now().as_second();
            assert!((590..=601).contains(&in_seconds), "{in_seconds} s");
        }
        let stranger = Owner::linked(stack).await;
        let strange = stranger.chat("feat/z").await;
        assert_eq!(stranger.status(&strange.id).await.problem, None);
    })
    .await;
}

#[tokio::test]
async fn refs_of_archived_chats_are_never_leased() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
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
            .update_chat(archive)
            .await
            .unwrap();
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        owner.report(&chat.id, "feat/y").await;
        assert!(
            worker.lease().await.is_empty(),
            "a report makes nothing due"
        );
        assert_eq!(owner.status(&chat.id).await.git_branch, "feat/y");
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_is_ready_without_refs_finds_out_and_does_not_spin() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        run(
            stack,
            "UPDATE git_ref_polls SET due_at = NULL, early_at = NULL",
        )
        .await;
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        let planned: i64 = value(
            stack,
            "SELECT (SELECT count(*) FROM git_budgets WHERE queue_at IS NOT NULL)
                + (SELECT count(*) FROM git_accounts WHERE next_due_at IS NOT NULL)",
        )
        .await;
        assert_eq!(planned, 0);
    })
    .await;
}

#[tokio::test]
async fn operators_see_what_is_due_who_leases_it_and_what_is_wrong() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        owner.chat("feat/y").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let mut failing = report(
            &lease.0.lease_token,
            vec![outcome(
                lease.refs()[0],
                failed(v1::ProblemClass::AccessDenied),
            )],
        );
        failing.release_lease = false;
        failing.budget = Some(v1::BudgetObservation {
            windows: vec![v1::Window {
                name: "core".to_owned(),
                limit: Some(5000),
                remaining: Some(4999),
                reset_in: Some(seconds(600)),
                ..v1::Window::default()
            }],
            ..v1::BudgetObservation::default()
        });
        worker.try_report(failing).await.unwrap();
        let state = stack
            .admin(&Caller::user().site("admin"))
            .get_sync_state(v1::GetSyncStateRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(state.lanes.iter().map(|lane| lane.due).sum::<i64>(), 1);
        let leases: Vec<_> = state
            .leases
            .iter()
            .map(|lease| (lease.worker_id.as_str(), lease.refs))
            .collect();
        assert_eq!(leases, [("worker", 1)]);
        let budget = state
            .budgets
            .iter()
            .find(|budget| budget.budget_key == lease.0.budget_key)
            .unwrap();
        let core = budget.windows.first().unwrap();
        assert_eq!((core.limit, core.remaining), (Some(5000), Some(4999)));
        assert_eq!(budget.pause, None);
        let problems: Vec<_> = state
            .problems
            .iter()
            .map(|problem| (problem.class(), problem.refs))
            .collect();
        assert_eq!(problems, [(v1::ProblemClass::AccessDenied, 1)]);

        for caller in [
            Caller::user(),
            Caller::gitsync(),
            Caller::user().site("auditor"),
        ] {
            let refusal = stack
                .admin(&caller)
                .get_sync_state(v1::GetSyncStateRequest {})
                .await;
            assert_eq!(refused(refusal).0, Code::PermissionDenied);
        }
    })
    .await;
}

#[tokio::test]
async fn operators_count_at_most_ten_thousand_due_refs_of_a_lane() {
    Stack::run(async |stack| {
        tenant(stack, 10_020, 3, 3600).await;
        tenant(stack, 7, 4, 30).await;
        let state = stack
            .admin(&Caller::user().site("admin"))
            .get_sync_state(v1::GetSyncStateRequest {})
            .await
            .unwrap()
            .into_inner();
        let lanes: Vec<_> = state
            .lanes
            .iter()
            .map(|lane| (lane.lane(), lane.due, lane.overdue))
            .collect();
        assert_eq!(
            lanes,
            [(v1::Lane::Active, 10_000, 10_000), (v1::Lane::Idle, 7, 0)]
        );
        assert!(state.lanes[0].oldest.unwrap().seconds >= 3600);
    })
    .await;
}

#[tokio::test]
async fn operators_count_at_most_ten_thousand_refs_of_a_problem() {
    Stack::run(async |stack| {
        for (class, chats) in [
            ("host_unavailable", 501),
            ("access_denied", 1),
            ("sso_required", 2),
        ] {
            let user = tenant_with(stack, [chats, 20], 3, 60).await;
            run(
                stack,
                &format!(
                    "UPDATE git_refs r SET problem_class = '{class}', problem_since = now()
                     FROM git_accounts a WHERE a.id = r.account_id AND a.user_id = '{user}'"
                ),
            )
            .await;
        }
        tenant(stack, 3, 3, 60).await;
        let state = stack
            .admin(&Caller::user().site("admin"))
            .get_sync_state(v1::GetSyncStateRequest {})
            .await
            .unwrap()
            .into_inner();
        let mut problems: Vec<_> = state
            .problems
            .iter()
            .map(|problem| (problem.class(), problem.refs))
            .collect();
        problems.sort_unstable_by_key(|(_, refs)| *refs);
        assert_eq!(
            problems,
            [
                (v1::ProblemClass::AccessDenied, 20),
                (v1::ProblemClass::SsoRequired, 40),
                (v1::ProblemClass::HostUnavailable, 10_000),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn everything_becomes_due_again_and_again() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for _ in 0..3 {
            worker.answer(found()).await;
            assert!(worker.lease().await.is_empty());
            let status = owner.status(&chat.id).await;
            assert_eq!(status.freshness(), v1::Freshness::Fresh);
            assert!(status.next_refresh_at.is_some());
            make_all_due(stack).await;
            assert_eq!(owner.status(&chat.id).await.freshness(), v1::Freshness::Due);
        }
    })
    .await;
}
