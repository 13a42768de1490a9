//! Deficit round robin over budget keys and lanes: nobody's backlog is somebody else's delay.

use proto::chat::v1::{self, Lane};
use uuid::Uuid;

use crate::{
    stack::Stack,
    worker::{Leased, Owner, Worker, outcome, report, request, unchanged, value},
};

/// A user with an account and that many refs, each of a chat of its own, which have been due for
/// `overdue` seconds.
pub(crate) async fn tenant(stack: &Stack, refs: i32, lane: i16, overdue: i32) -> Uuid {
    tenant_with(stack, [refs, 1], lane, overdue).await
}

/// The same with so many chats, and so many refs of each.
pub(crate) async fn tenant_with(
    stack: &Stack,
    [chats, refs]: [i32; 2],
    lane: i16,
    overdue: i32,
) -> Uuid {
    let user = Uuid::now_v7();
    stack
        .database
        .client()
        .await
        .batch_execute(&format!(
            "WITH budget AS (
                INSERT INTO git_budgets (id, budget_key, provider_id, next_due_at, lane, demand_at)
                VALUES (gen_random_uuid(), 'test|{user}', 'github', now() - interval '{overdue} s',
                    greatest({lane}, 2), now())
                RETURNING id
             ), chat AS (
                INSERT INTO chats (id, owner_id, title, status)
                SELECT gen_random_uuid(), '{user}', 'chat', 'waiting'
                FROM generate_series(1, {chats})
                RETURNING id
             )
             INSERT INTO chat_diff_statuses (
                id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner,
                repository_name, git_branch, is_primary, budget_id, due_at, early_at, lane,
                url, pull_request_state, pr_number, pr_repository
             )
             SELECT gen_random_uuid(), c.id, '{user}', 'github', 'https://github.com/acme/web',
                'acme', 'web', 'feat/' || r.number, r.number = 1, b.id,
                now() - interval '{overdue} s', now() - interval '{overdue} s', {lane},
                'https://github.com/acme/web/pull/7', 'open', 7, 'acme/web'
             FROM chat c, budget b, generate_series(1, {refs}) AS r (number)"
        ))
        .await
        .unwrap();
    user
}

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

/// How many refs of each lane, 2 to 4, are in the leases.
fn lanes(leases: &[Leased], count: &mut [usize; 3]) {
    for git_ref in leases.iter().flat_map(Leased::refs) {
        match git_ref.lane() {
            Lane::Viewed => count[0] += 1,
            Lane::Active => count[1] += 1,
            Lane::Idle => count[2] += 1,
            Lane::Unspecified | Lane::Interactive => panic!("in no such lane"),
        }
    }
}

/// Promise 6.
#[tokio::test]
async fn one_tenant_with_many_due_refs_does_not_delay_anothers_single_ref() {
    Stack::run(async |stack| {
        // Due for an hour, and much of it.
        tenant(stack, 5_000, 3, 3600).await;
        let mut small = Vec::new();
        for _ in 0..30 {
            small.push(tenant(stack, 5, 3, 1).await);
        }
        let worker = Worker::of(stack);
        let mut calls = 0;
        let left = || async {
            value::<i64>(
                stack,
                "SELECT count(*) FROM (
                    SELECT s.owner_id FROM chat_diff_statuses s WHERE s.due_at <= now()
                    GROUP BY s.owner_id HAVING count(*) <= 5
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
            "SELECT count(*) FROM chat_diff_statuses WHERE due_at > now()",
        )
        .await;
        assert!((150..=600).contains(&done), "{done}");
        assert_eq!(small.len(), 30);
    })
    .await;
}

/// How many claims of a full batch it takes until this branch's ref is leased; every lease is answered.
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
        let client = stack.database.client().await;
        let worker = Worker::of(stack);
        for number in 0..5 {
            let small = Owner::linked(stack).await;
            let branch = format!("small/{number}");
            small.chat(&branch).await;
            let claims = claims_until(&worker, &branch).await;
            assert!(claims <= 2, "{branch} waited for {claims} claims");
        }
        // However urgent the backlog is: of ten turns one is the idle lane's.
        client
            .batch_execute(&format!(
                "UPDATE chat_diff_statuses SET lane = 2 WHERE id IN (
                    SELECT id FROM chat_diff_statuses
                    WHERE owner_id = '{large}' AND due_at <= now() LIMIT 5000
                 );
                 UPDATE git_budgets SET lane = 2 WHERE budget_key = 'test|{large}'"
            ))
            .await
            .unwrap();
        for (lane, most) in [(3, 4), (4, 10)] {
            let small = Owner::linked(stack).await;
            let branch = format!("lane/{lane}");
            let chat = small.chat(&branch).await;
            client
                .batch_execute(&format!(
                    "UPDATE chat_diff_statuses SET lane = {lane} WHERE chat_id = '{0}';
                     UPDATE git_budgets SET lane = {lane} WHERE id = (
                        SELECT budget_id FROM chat_diff_statuses WHERE chat_id = '{0}'
                     )",
                    chat.id
                ))
                .await
                .unwrap();
            let claims = claims_until(&worker, &branch).await;
            assert!(claims <= most, "{branch} waited for {claims} claims");
        }
        let backlog: i64 = value(
            stack,
            &format!(
                "SELECT count(*) FROM chat_diff_statuses
                 WHERE owner_id = '{large}' AND due_at <= now()"
            ),
        )
        .await;
        assert!(backlog > 90_000, "{backlog}");
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
            let owner = leases[0].0.budget_key.strip_prefix("test|").unwrap();
            turns.push((owner.parse::<Uuid>().unwrap(), leases[0].refs().len()));
            answer(&worker, &leases[0]).await;
        }
        assert_eq!(
            turns,
            [(first, 100), (second, 100), (first, 100), (second, 100),]
        );
        let mut rest: Vec<usize> = Vec::new();
        for lease in lease(&worker, 100).await {
            rest.push(lease.refs().len());
        }
        assert_eq!(rest, [50, 50], "what is left of both is one batch");
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_was_cut_short_is_continued_and_not_repeated() {
    Stack::run(async |stack| {
        let first = tenant(stack, 60, 3, 60).await;
        let second = tenant(stack, 300, 3, 40).await;
        let third = tenant(stack, 300, 3, 20).await;
        let worker = Worker::of(stack);
        let mut turns = Vec::new();
        for _ in 0..4 {
            let mut of_call = Vec::new();
            for lease in lease(&worker, 100).await {
                let owner = lease.0.budget_key.strip_prefix("test|").unwrap();
                of_call.push((owner.parse::<Uuid>().unwrap(), lease.refs().len()));
                answer(&worker, &lease).await;
            }
            of_call.sort_by_key(|(owner, _)| *owner);
            turns.push(of_call);
        }
        assert_eq!(
            turns,
            [
                vec![(first, 60), (second, 40)],
                vec![(second, 60), (third, 40)],
                vec![(second, 40), (third, 60)],
                vec![(second, 60), (third, 40)],
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn lanes_share_six_to_three_to_one_and_none_starves() {
    Stack::run(async |stack| {
        for lane in 2..=4 {
            for _ in 0..5 {
                tenant(stack, 40, lane, 60).await;
            }
        }
        // One key with refs of all lanes counts the same.
        let worker = Worker::of(stack);
        let mut count = [0; 3];
        for _ in 0..40 {
            let leases = lease(&worker, 1).await;
            lanes(&leases, &mut count);
            for lease in leases {
                worker.release(&lease.0.lease_token).await;
            }
        }
        assert_eq!(count, [24, 12, 4]);
    })
    .await;
}

#[tokio::test]
async fn the_lanes_of_one_key_share_its_turn_and_none_starves() {
    Stack::run(async |stack| {
        let user = tenant(stack, 300, 4, 60).await;
        stack
            .database
            .client()
            .await
            .batch_execute(&format!(
                "UPDATE chat_diff_statuses s SET lane = 2 + n.number % 3
                 FROM (SELECT id, row_number() OVER () AS number FROM chat_diff_statuses) AS n
                 WHERE n.id = s.id AND s.owner_id = '{user}'"
            ))
            .await
            .unwrap();
        let worker = Worker::of(stack);
        let leases = lease(&worker, 50).await;
        let mut count = [0; 3];
        lanes(&leases, &mut count);
        assert_eq!(count, [30, 15, 5]);
        for lease in leases {
            worker.release(&lease.0.lease_token).await;
        }
        // However little a claim takes.
        let mut count = [0; 3];
        for _ in 0..20 {
            let leases = lease(&worker, 1).await;
            lanes(&leases, &mut count);
            for lease in leases {
                worker.release(&lease.0.lease_token).await;
            }
        }
        assert_eq!(count, [12, 6, 2]);
    })
    .await;
}

#[tokio::test]
async fn what_a_lane_does_not_use_goes_to_the_others() {
    Stack::run(async |stack| {
        tenant(stack, 10, 2, 60).await;
        tenant(stack, 200, 4, 60).await;
        let worker = Worker::of(stack);
        let leases = lease(&worker, 100).await;
        let mut count = [0; 3];
        lanes(&leases, &mut count);
        assert_eq!(count.iter().sum::<usize>(), 100);
        assert!(count[2] >= 90);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_gives_nothing_back_keeps_the_keys_place() {
    Stack::run(async |stack| {
        tenant(stack, 150, 3, 60).await;
        let worker = Worker::of(stack);
        let lease = lease(&worker, 100).await.remove(0);
        let mut partial = report(&lease.0.lease_token, Vec::new());
        partial.release_lease = false;
        worker.try_report(partial).await.unwrap();
        let before: bool = value(
            stack,
            "SELECT next_due_at < now() - interval '50 s' FROM git_budgets",
        )
        .await;
        assert!(before);
        answer(&worker, &lease).await;
        let tail: bool = value(
            stack,
            "SELECT next_due_at > now() - interval '10 s' FROM git_budgets",
        )
        .await;
        assert!(tail, "after its turn it goes to the tail");
    })
    .await;
}
