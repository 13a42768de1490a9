//! What is due, in which order it is leased, and what is not.

use proto::chat::v1;
use tonic::Code;
use uuid::Uuid;

use super::fairness::{tenant, tenant_with};
use crate::{
    stack::{Caller, Stack, refused},
    worker::{
        Leased, Owner, Worker, failed, found, make_all_due, outcome, report, request, seconds,
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

        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE chat_diff_statuses SET early_at = now()")
            .await
            .unwrap();
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
        for expected in [vec![5], vec![1, 4]] {
            few.request_id = Uuid::now_v7().to_string();
            let leases = worker.try_lease(few.clone()).await.unwrap();
            let mut sizes = Vec::new();
            for lease in leases.into_iter().map(Leased) {
                sizes.push(lease.refs().len());
                worker.release(&lease.0.lease_token).await;
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
            rest: Some(v1::BudgetWindow {
                remaining: Some(0),
                ..Default::default()
            }),
            pause_for: Some(seconds(3600)),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(paused).await.unwrap();
        assert!(worker.lease().await.is_empty());
        owner.report(&chat.id, "feat/y").await;
        assert!(worker.lease().await.is_empty(), "a report lifts no pause");
        assert_eq!(
            owner.status(&chat.id).await.freshness(),
            v1::Freshness::Paused
        );

        // A shorter pause does not shorten it.
        let client = stack.database.client().await;
        let left = "SELECT paused_until > now() + interval '50 minutes' FROM git_budgets
                    WHERE paused_until IS NOT NULL";
        assert!(
            client
                .query_one(left, &[])
                .await
                .unwrap()
                .try_get::<_, bool>(0)
                .unwrap()
        );
        client
            .batch_execute(
                "UPDATE git_budgets SET paused_until = now() - interval '1 s'
                WHERE paused_until IS NOT NULL",
            )
            .await
            .unwrap();
        assert_eq!(worker.lease().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn refs_of_archived_chats_are_never_leased() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        // As a race with an outcome would leave it: archived, and due all the same.
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE chats SET archived = TRUE")
            .await
            .unwrap();
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        let planned = "SELECT count(*) FROM git_budgets WHERE next_due_at IS NOT NULL";
        let planned: i64 = client
            .query_one(planned, &[])
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        assert_eq!(planned, 0, "the budget has found out");
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
        let client = stack.database.client().await;
        client
            .batch_execute("UPDATE chat_diff_statuses SET due_at = NULL, early_at = NULL")
            .await
            .unwrap();
        let worker = Worker::of(stack);
        assert!(worker.lease().await.is_empty());
        let ready: i64 = client
            .query_one(
                "SELECT count(*) FROM git_budgets WHERE ready_at IS NOT NULL",
                &[],
            )
            .await
            .unwrap()
            .try_get(0)
            .unwrap();
        assert_eq!(ready, 0);
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
            rest: Some(v1::BudgetWindow {
                limit: Some(5000),
                remaining: Some(4999),
                reset_in: Some(seconds(600)),
                ..Default::default()
            }),
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
        let rest = budget.rest.unwrap();
        assert_eq!((rest.limit, rest.remaining), (Some(5000), Some(4999)));
        assert_eq!(budget.paused_for, None);
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
            ("rate_limited", 501),
            ("access_denied", 1),
            ("no_account", 2),
        ] {
            let user = tenant_with(stack, [chats, 20], 3, 60).await;
            stack
                .database
                .client()
                .await
                .batch_execute(&format!(
                    "UPDATE chat_diff_statuses SET problem_class = '{class}', problem_since = now()
                     WHERE owner_id = '{user}'"
                ))
                .await
                .unwrap();
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
                (v1::ProblemClass::NoAccount, 40),
                (v1::ProblemClass::RateLimited, 10_000),
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
