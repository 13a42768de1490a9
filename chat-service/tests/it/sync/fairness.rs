//! Budgets take turns by time: no backlog delays what another waits for.

use proto::chat::v1::{self, Lane};
use uuid::Uuid;

use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, outcome, request, run, settle_all, unchanged, value},
};

/// A user with an account and that many refs, each of a chat of its own, which have been due for
/// `overdue` seconds.
pub(crate) async fn tenant(stack: &Stack, refs: i32, lane: i16, overdue: i32) -> Uuid {
    tenant_with(stack, [refs, 1], lane, overdue).await
}

/// A tenant with `chats` chats of `refs` refs each. All refs have the same open pull request.
pub(crate) async fn tenant_with(
    stack: &Stack,
    [chats, refs]: [i32; 2],
    lane: i16,
    overdue: i32,
) -> Uuid {
    let mut owner = Owner::unlinked(stack);
    let user = Uuid::now_v7();
    owner.caller.claims.sub = user.to_string();
    run(
        stack,
        &format!(
            "WITH account AS (
                INSERT INTO git_accounts (id, user_id, provider_id)
                VALUES (gen_random_uuid(), '{user}', 'github')
                RETURNING id
             ), chat AS (
                INSERT INTO chats (
                    id, owner_id, title, status, primary_repository_key, primary_pr_number,
                    primary_pr_state, primary_pr_draft
                )
                SELECT gen_random_uuid(), '{user}', 'chat', 'waiting', 'acme/web', 7, 'open', FALSE
                FROM generate_series(1, {chats})
                RETURNING id
             ), ref AS (
                INSERT INTO git_refs (
                    id, chat_id, account_id, provider_id, git_remote_origin, repository,
                    git_branch, is_primary, reported_at, pull_request, pr_repository
                )
                SELECT gen_random_uuid(), c.id, a.id, 'github', 'https://github.com/acme/web',
                    'acme/web', 'feat/' || r.number, r.number = 1, now() - interval '1 day',
                    '{PULL_REQUEST}', 'acme/web'
                FROM chat c, account a, generate_series(1, {refs}) AS r (number)
                RETURNING id, account_id
             )
             INSERT INTO git_ref_polls (
                ref_id, account_id, due_at, early_at, lane, refreshed_at
             )
             SELECT r.id, r.account_id, now() - interval '{overdue} s',
                now() - interval '{overdue} s', {lane}, now() - interval '1 h'
             FROM ref r"
        ),
    )
    .await;
    owner.link(&format!("ghp_{}", user.simple())).await;
    run(
        stack,
        &format!(
            "UPDATE git_budgets b
             SET budget_key = 'test|{user}', queue_at = now() - interval '{overdue} s',
                lane = {lane}, demand_at = now()
             FROM git_accounts a
             WHERE a.budget_id = b.id AND a.user_id = '{user}'"
        ),
    )
    .await;
    user
}

/// What `pull_request` of `worker.rs` is stored as.
pub(crate) const PULL_REQUEST: &str = r#"{
    "number": 7, "url": "https://github.com/acme/web/pull/7", "state": "open", "draft": false,
    "title": "Add a thing", "base_branch": "main", "author_login": "ann",
    "author_avatar_url": "https://avatars.example/ann", "changes_requested": false,
    "approved": true, "reviewer_count": 2, "head": {
        "branch": "feat/x", "sha": "0123456789012345678901234567890123456789",
        "additions": 10, "deletions": 3, "changed_files": 2, "commits": 4
    }
}"#;

async fn lease(worker: &Worker, max_refs: i32) -> Vec<Leased> {
    let request = v1::LeaseDiffStatusesRequest {
        max_refs,
        ..request()
    };
    let leases = worker.try_lease(request).await.unwrap();
    leases.into_iter().map(Leased).collect()
}

/// Answers all refs of a lease: nothing changed.
async fn answer(worker: &Worker, lease: &Leased) {
    let outcomes = lease
        .refs()
        .into_iter()
        .map(|git_ref| outcome(git_ref, unchanged()))
        .collect();
    worker.finish(lease, outcomes).await;
}

/// Whose lease it is, of users of [`tenant`].
fn user(lease: &Leased) -> Uuid {
    let user = lease.0.budget_key.strip_prefix("test|").unwrap();
    user.parse().unwrap()
}

/// How many refs of a lane are in the leases.
fn of_lane(leases: &[Leased], lane: Lane) -> usize {
    leases
        .iter()
        .flat_map(Leased::refs)
        .filter(|git_ref| git_ref.lane() == lane)
        .count()
}

/// Promise 6.
#[tokio::test]
async fn one_tenant_with_many_due_refs_does_not_delay_anothers_single_ref() {
    Stack::run(async |stack| {
        // Due for an hour, and much of it.
        tenant(stack, 5_000, 3, 3600).await;
        for _ in 0..30 {
            tenant(stack, 5, 3, 1).await;
        }
        let worker = Worker::of(stack);
        let mut calls = 0;
        let left = || async {
            value::<i64>(
                stack,
                "SELECT count(*) FROM (
                    SELECT p.account_id FROM git_ref_polls p WHERE p.due_at <= now()
                    GROUP BY p.account_id HAVING count(*) <= 5
                 ) AS small",
            )
            .await
        };
        while left().await > 0 {
            for lease in lease(&worker, 100).await {
                answer(&worker, &lease).await;
            }
            calls += 1;
            assert!(calls <= 6, "the small ones wait for the large one");
        }
        // 150 refs of the small ones, and a batch of the large one before each of them at most.
        let done: i64 = value(
            stack,
            "SELECT count(*) FROM git_ref_polls WHERE due_at > now()",
        )
        .await;
        assert!((150..=600).contains(&done), "{done}");
    })
    .await;
}

/// How many claims of a full batch it takes until this branch's ref is leased; every lease is
/// answered.
async fn claims_until(worker: &Worker, branch: &str) -> usize {
    for claims in 1..=50 {
        let mut found = false;
        for lease in lease(worker, 100).await {
            found |= lease.refs().iter().any(|of| of.branch == branch);
            answer(worker, &lease).await;
        }
        if found {
            return claims;
        }
    }
    panic!("{branch} is not leased in 50 claims");
}

/// Promise 6, at its full size: in claims, since a claim costs the same whatever waits (`cost.rs`).
#[tokio::test]
async fn a_hundred_thousand_due_refs_of_one_tenant_are_a_claim_before_anothers_single_ref() {
    Stack::run(async |stack| {
        let large = tenant_with(stack, [5_000, 20], 3, 3600).await;
        let worker = Worker::of(stack);
        for number in 0..5 {
            let small = Owner::linked(stack).await;
            let branch = format!("small/{number}");
            small.chat(&branch).await;
            let claims = claims_until(&worker, &branch).await;
            assert!(claims <= 2, "{branch} waited for {claims} claims");
        }
        let backlog: i64 = value(
            stack,
            &format!(
                "SELECT count(*) FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
                 WHERE a.user_id = '{large}' AND p.due_at <= now()"
            ),
        )
        .await;
        assert!(backlog > 90_000, "{backlog}");
    })
    .await;
}

#[tokio::test]
async fn a_more_urgent_lane_has_a_head_start_of_a_minute_at_most() {
    Stack::run(async |stack| {
        let worker = Worker::of(stack);
        for (urgent, other, overdue, first) in [
            // Viewed: a minute before idle, half of one before active.
            (2, 4, 50, true),
            (2, 4, 70, false),
            (2, 3, 20, true),
            (2, 3, 40, false),
            // Active: half a minute before idle.
            (3, 4, 20, true),
            (3, 4, 40, false),
        ] {
            let ahead = tenant(stack, 1, urgent, 0).await;
            let behind = tenant(stack, 1, other, overdue).await;
            let expected = if first { ahead } else { behind };
            for number in 0..2 {
                let leases = lease(&worker, 1).await;
                assert_eq!(leases.len(), 1);
                assert!(
                    number == 1 || user(&leases[0]) == expected,
                    "lane {urgent} and lane {other} of {overdue} s ago"
                );
                answer(&worker, &leases[0]).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_turn_hands_out_a_full_batch_and_then_it_is_the_next_ones() {
    Stack::run(async |stack| {
        let first = tenant(stack, 250, 3, 60).await;
        let second = tenant(stack, 250, 3, 30).await;
        let worker = Worker::of(stack);
        let mut turns = Vec::new();
        for _ in 0..4 {
            let leases = lease(&worker, 100).await;
            assert_eq!(leases.len(), 1, "one full batch");
            turns.push((user(&leases[0]), leases[0].refs().len()));
            answer(&worker, &leases[0]).await;
        }
        assert_eq!(
            turns,
            [(first, 100), (second, 100), (first, 100), (second, 100)]
        );
        let mut rest: Vec<usize> = Vec::new();
        for lease in lease(&worker, 100).await {
            rest.push(lease.refs().len());
        }
        assert_eq!(rest, [50, 50], "what is left of both is one batch");
    })
    .await;
}

/// Ready budgets that a claim has no room for keep their place, and nothing of them is written.
#[tokio::test]
async fn a_budget_whose_turn_does_not_come_keeps_its_place() {
    Stack::run(async |stack| {
        let first = tenant(stack, 100, 3, 60).await;
        let second = tenant(stack, 300, 3, 40).await;
        let third = tenant(stack, 10, 3, 20).await;
        let worker = Worker::of(stack);
        for expected in [first, second, third] {
            let leases = lease(&worker, 100).await;
            assert!(leases.iter().any(|lease| user(lease) == expected));
            for lease in leases {
                answer(&worker, &lease).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_lane_does_not_use_goes_to_the_others() {
    Stack::run(async |stack| {
        tenant(stack, 200, 4, 60).await;
        run(
            stack,
            "UPDATE git_ref_polls SET lane = 2 WHERE ref_id IN (
                SELECT ref_id FROM git_ref_polls LIMIT 10
             )",
        )
        .await;
        settle_all(stack).await;
        let leases = lease(&Worker::of(stack), 100).await;
        assert_eq!(
            [Lane::Viewed, Lane::Idle].map(|lane| of_lane(&leases, lane)),
            [10, 90]
        );
    })
    .await;
}
