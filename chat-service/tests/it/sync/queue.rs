//! The queue: whose turn it is, and what a turn hands out.

use chat_service::sync::QUANTUM;

use super::fairness::tenant;
use crate::{
    lock::{Holder, until_blocked},
    stack::Stack,
    worker::{Leased, Owner, Worker, request, settle_all, value},
};

pub(super) async fn lease(worker: &Worker, max_refs: i32) -> Vec<Leased> {
    let mut some = request();
    some.max_refs = max_refs;
    let leases = worker.try_lease(some).await.unwrap();
    leases.into_iter().map(Leased).collect()
}

pub(super) async fn run(stack: &Stack, sql: &str) {
    stack
        .database
        .client()
        .await
        .batch_execute(sql)
        .await
        .unwrap();
}

/// The branches of what is leased, lease by lease.
pub(super) fn branches(leases: &[Leased]) -> Vec<&str> {
    leases.iter().flat_map(Leased::branches).collect()
}

/// An owner with a budget of their own, of which these branches are due.
pub(super) async fn with_due<'a>(stack: &'a Stack, branches: &[String]) -> Owner<'a> {
    let owner = Owner::linked(stack).await;
    for branch in branches {
        owner.chat(branch).await;
    }
    owner
}

pub(super) fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name}/{number}"))
        .collect()
}

/// Has the budget of the refs whose branch begins so be ready since some seconds ago, by refs of
/// `lane`.
pub(super) async fn ready_since(stack: &Stack, branch: &str, lane: i16, seconds: i32) {
    run(
        stack,
        &format!(
            "WITH refs AS (
                 UPDATE git_ref_polls p
                 SET lane = {lane}, due_at = now() - interval '{seconds} s',
                     early_at = now() - interval '{seconds} s'
                 FROM git_refs r
                 WHERE r.id = p.ref_id AND r.git_branch LIKE '{branch}%'
                 RETURNING p.account_id
             ), accounts AS (
                 UPDATE git_accounts a
                 SET lane = {lane}, next_due_at = now() - interval '{seconds} s'
                 WHERE a.id IN (SELECT account_id FROM refs)
                 RETURNING a.budget_id
             )
             UPDATE git_budgets b
             SET lane = {lane}, queue_at = now() - interval '{seconds} s'
             WHERE b.id IN (SELECT budget_id FROM accounts)"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_push_passes_idle_backlogs_and_nothing_waits_more_than_60_s_longer() {
    Stack::run(async |stack| {
        with_due(stack, &["idle".to_owned()]).await;
        with_due(stack, &["other".to_owned()]).await;
        let worker = Worker::of(stack);
        for (lane, idle_seconds, first) in [
            (3, 25, "other"),
            (3, 35, "idle"),
            (2, 55, "other"),
            (2, 65, "idle"),
        ] {
            ready_since(stack, "idle", 4, idle_seconds).await;
            ready_since(stack, "other", lane, 0).await;
            let leases = lease(&worker, 1).await;
            assert_eq!(branches(&leases), [first], "lane {lane}, {idle_seconds} s");
            for lease in leases {
                worker.release(&lease.0.lease_token).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_turn_is_never_cut() {
    Stack::run(async |stack| {
        with_due(stack, &numbered("a", 3)).await;
        with_due(stack, &numbered("b", 4)).await;
        with_due(stack, &numbered("c", 2)).await;
        for (branch, seconds) in [("a", 30), ("b", 20), ("c", 10)] {
            ready_since(stack, branch, 3, seconds).await;
        }
        let worker = Worker::of(stack);
        let leases = lease(&worker, 4).await;
        let sizes: Vec<usize> = leases.iter().map(|lease| lease.refs().len()).collect();
        assert_eq!(
            leases.len(),
            2,
            "the budget that fills the call is its last"
        );
        assert_eq!(sizes.iter().sum::<usize>(), 7, "{sizes:?}");
        assert_eq!(lease(&worker, 4).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_turn_hands_out_the_oldest_of_any_lane_beside_the_most_urgent() {
    Stack::run(async |stack| {
        with_due(stack, &numbered("idle", 3)).await;
        let owner = with_due(stack, &[]).await;
        for branch in numbered("busy", 12) {
            owner.chat(&branch).await;
        }
        owner.chat("old").await;
        ready_since(stack, "idle", 4, 0).await;
        ready_since(stack, "busy", 3, 5).await;
        run(
            stack,
            "UPDATE git_ref_polls p
             SET lane = 4, due_at = now() - interval '1 h', early_at = now() - interval '1 h'
             FROM git_refs r WHERE r.id = p.ref_id AND r.git_branch = 'old'",
        )
        .await;
        let worker = Worker::of(stack);
        let leases = lease(&worker, 10).await;
        let branches = branches(&leases);
        assert_eq!(branches.len(), 10, "{branches:?}");
        assert!(branches.contains(&"old"), "{branches:?}");
    })
    .await;
}

#[tokio::test]
async fn at_most_half_of_a_claim_is_for_what_a_person_waits_for_while_anything_else_is_ready() {
    Stack::run(async |stack| {
        with_due(stack, &numbered("asked", 8)).await;
        with_due(stack, &numbered("other", 5)).await;
        ready_since(stack, "asked", 1, 0).await;
        ready_since(stack, "other", 4, 0).await;
        let worker = Worker::of(stack);
        let leases = lease(&worker, 8).await;
        let of = |name: &str| {
            let branches = branches(&leases);
            branches.iter().filter(|of| of.starts_with(name)).count()
        };
        assert_eq!((of("asked"), of("other")), (4, 5));
    })
    .await;
}

#[tokio::test]
async fn what_a_person_waits_for_takes_all_of_a_claim_while_nothing_else_is_ready() {
    Stack::run(async |stack| {
        with_due(stack, &numbered("asked", 8)).await;
        ready_since(stack, "asked", 1, 0).await;
        let leases = lease(&Worker::of(stack), 8).await;
        assert_eq!(branches(&leases).len(), 8);
    })
    .await;
}

#[tokio::test]
async fn early_refs_are_leased_only_by_a_call_that_found_nothing_else_due() {
    Stack::run(async |stack| {
        let owner = with_due(stack, &["due".to_owned(), "early".to_owned()]).await;
        let early = "UPDATE git_ref_polls p
             SET due_at = now() + interval '10 s', early_at = now() - interval '1 s'
             FROM git_refs r WHERE r.id = p.ref_id AND r.git_branch = 'early'";
        run(stack, early).await;
        settle_all(stack).await;
        let worker = Worker::of(stack);
        let release = async |leases: Vec<Leased>| {
            for lease in leases {
                worker.release(&lease.0.lease_token).await;
            }
            ready_since(stack, "due", 3, 60).await;
        };

        let leases = lease(&worker, 1).await;
        assert_eq!(branches(&leases), ["due"], "the call is full");
        release(leases).await;

        let leases = lease(&worker, 10).await;
        assert_eq!(branches(&leases), ["due", "early"]);
        release(leases).await;

        // As many others are ready as a claim looks at: more may be.
        for number in 0..20 {
            with_due(stack, &[format!("other/{number}")]).await;
        }
        let leases = lease(&worker, 100).await;
        let branches = branches(&leases);
        assert!(branches.contains(&"due"), "{branches:?}");
        assert!(!branches.contains(&"early"), "{branches:?}");
        drop(owner);
    })
    .await;
}

/// In how many seconds the one budget can be leased.
async fn ready_in(stack: &Stack) -> f64 {
    let sql = "SELECT extract(epoch FROM queue_at - now())::float8 FROM git_budgets";
    value(stack, sql).await
}

/// A budget that rests for an hour from the idle lane on. An idle ref of it is due, and an active
/// one is due in `seconds`.
async fn resting_for_idle_refs<'a>(stack: &'a Stack, seconds: i32) -> Owner<'a> {
    let owner = with_due(stack, &["idle".to_owned(), "active".to_owned()]).await;
    run(
        stack,
        &format!(
            "UPDATE git_budgets
             SET rests_until = now() + interval '1 h', rest_class = 'limit_reserved', rest_lane = 4,
                 queue_at = NULL;
             UPDATE git_ref_polls p
             SET lane = CASE r.git_branch WHEN 'idle' THEN 4 ELSE 3 END,
                 due_at = now() + CASE r.git_branch
                     WHEN 'idle' THEN interval '0' ELSE interval '{seconds} s' END,
                 early_at = now() + CASE r.git_branch
                     WHEN 'idle' THEN interval '0' ELSE interval '{seconds} s' END
             FROM git_refs r WHERE r.id = p.ref_id"
        ),
    )
    .await;
    settle_all(stack).await;
    owner
}

#[tokio::test]
async fn a_rest_from_a_lane_on_hides_no_more_urgent_ref_that_becomes_due_during_it() {
    Stack::run(async |stack| {
        resting_for_idle_refs(stack, 60).await;
        let ready_in = ready_in(stack).await;
        assert!((0.0..=30.0).contains(&ready_in), "{ready_in} s");
        run(
            stack,
            "UPDATE git_ref_polls SET due_at = now(), early_at = now() WHERE lane = 3;
             UPDATE git_budgets SET queue_at = now()",
        )
        .await;
        let leases = lease(&Worker::of(stack), 10).await;
        assert_eq!(branches(&leases), ["active"]);
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_rests_until_something_more_urgent_is_due_is_looked_at_now_and_then() {
    Stack::run(async |stack| {
        resting_for_idle_refs(stack, 4).await;
        run(stack, "UPDATE git_budgets SET queue_at = now()").await;
        assert!(Worker::of(stack).lease().await.is_empty());
        let ready_in = ready_in(stack).await;
        assert!(ready_in > 3.0, "{ready_in} s: waiting calls would spin");
    })
    .await;
}

#[tokio::test]
async fn a_planned_budget_is_not_put_off_by_being_settled_again_and_again() {
    Stack::run(async |stack| {
        resting_for_idle_refs(stack, 60).await;
        run(
            stack,
            "UPDATE git_budgets SET queue_at = now() + interval '2 s'",
        )
        .await;
        for _ in 0..3 {
            settle_all(stack).await;
        }
        assert!(ready_in(stack).await <= 2.0);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_call_gets_a_budget_that_is_hardly_ever_free() {
    Stack::run(async |stack| {
        with_due(stack, &["feat/x".to_owned()]).await;
        let holder = Holder::of(stack, "SELECT FROM git_budgets FOR UPDATE").await;
        let worker = Worker::of(stack);
        let waiting = worker.wait_for_lease();
        let freeing = async {
            // It waits in line for the budget, and skips it no more.
            until_blocked(stack, 1).await;
            holder.let_go().await;
        };
        let (leases, ()) = tokio::join!(waiting, freeing);
        assert_eq!(leases.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_stays_locked_keeps_no_other_from_being_leased() {
    Stack::run(async |stack| {
        with_due(stack, &["locked".to_owned()]).await;
        let holder = Holder::of(stack, "SELECT FROM git_budgets FOR UPDATE").await;
        let worker = Worker::of(stack);
        let waiting = worker.wait_for_lease();
        let reporting = async {
            until_blocked(stack, 1).await;
            with_due(stack, &["free".to_owned()]).await;
        };
        let (leases, ()) = tokio::join!(waiting, reporting);
        let leases: Vec<Leased> = leases.into_iter().map(Leased).collect();
        assert_eq!(branches(&leases), ["free"]);
        holder.let_go().await;
    })
    .await;
}

#[tokio::test]
async fn a_budget_whose_due_refs_are_gone_leaves_the_queue() {
    Stack::run(async |stack| {
        let owner = with_due(stack, &["feat/x".to_owned()]).await;
        run(
            stack,
            "UPDATE git_ref_polls SET due_at = NULL, early_at = NULL",
        )
        .await;
        assert!(Worker::of(stack).lease().await.is_empty());
        let sql = "SELECT count(*) FROM git_budgets WHERE queue_at IS NOT NULL";
        assert_eq!(value::<i64>(stack, sql).await, 0);
        owner.chat("feat/y").await;
        assert_eq!(Worker::of(stack).lease_one().await.refs().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_turn_hands_out_a_quantum_over_all_accounts_of_a_budget() {
    Stack::run(async |stack| {
        // Two users of one token.
        let (one, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        one.link("ghp_shared").await;
        other.link("ghp_shared").await;
        for branch in numbered("one", 3) {
            one.chat(&branch).await;
        }
        for branch in numbered("other", 3) {
            other.chat(&branch).await;
        }
        let worker = Worker::of(stack);
        let leases = lease(&worker, 4).await;
        let lease = leases.first().unwrap();
        assert_eq!(leases.len(), 1);
        assert_eq!(lease.refs().len(), 4);
        assert_eq!(lease.0.groups.len(), 2, "one group for each account");
    })
    .await;
}

#[tokio::test]
async fn a_turn_hands_out_two_hundred_refs_of_which_a_hundred_at_most_were_never_found() {
    Stack::run(async |stack| {
        let all = i32::try_from(QUANTUM).unwrap();
        assert_eq!(all, 200);
        tenant(stack, all + 50, 3, 60).await;
        let worker = Worker::of(stack);
        let turn = async || {
            let leases = lease(&worker, all).await;
            let of_known = "SELECT count(*) FROM git_ref_polls WHERE found_at IS NOT NULL
                 AND ref_id = ANY($1::text[]::uuid[])";
            let ids: Vec<&str> = leases.iter().flat_map(Leased::ids).collect();
            let client = stack.database.client().await;
            let row = client.query_one(of_known, &[&ids]).await.unwrap();
            for lease in &leases {
                worker.release(&lease.0.lease_token).await;
            }
            run(stack, "UPDATE git_budgets SET queue_at = now()").await;
            (ids.len(), row.try_get::<_, i64>(0).unwrap())
        };
        assert_eq!(
            turn().await,
            (100, 0),
            "all are looked up for the first time"
        );

        // The ones that are known became due last.
        let find = |count: i32| {
            format!(
                "UPDATE git_ref_polls SET found_at = now(), due_at = now(), early_at = now()
                 WHERE ref_id IN (
                     SELECT ref_id FROM git_ref_polls WHERE found_at IS NULL LIMIT {count}
                 )"
            )
        };
        run(stack, &find(150)).await;
        assert_eq!(turn().await, (200, 100));
        run(stack, &find(100)).await;
        assert_eq!(turn().await, (200, 200));
    })
    .await;
}

#[tokio::test]
async fn accounts_of_which_nothing_is_due_hide_no_other_of_their_budget_for_long() {
    Stack::run(async |stack| {
        for branch in ["left/0", "left/1", "pushed", "idle/0", "idle/1"] {
            let owner = Owner::unlinked(stack);
            owner.link("ghp_shared").await;
            owner.chat(branch).await;
        }
        for (branch, lane, seconds) in [("left", 3, 60), ("pushed", 3, 30), ("idle", 4, 90)] {
            ready_since(stack, branch, lane, seconds).await;
        }
        run(
            stack,
            "UPDATE git_ref_polls p SET due_at = NULL, early_at = NULL
             FROM git_refs r WHERE r.id = p.ref_id AND r.git_branch LIKE 'left%'",
        )
        .await;
        let worker = Worker::of(stack);
        // A call looks at two accounts of each lane.
        let first = lease(&worker, 2).await;
        assert_eq!(branches(&first), ["idle/0", "idle/1"]);
        worker.release(&first[0].0.lease_token).await;
        run(stack, "UPDATE git_budgets SET queue_at = now()").await;
        let second = lease(&worker, 2).await;
        assert!(branches(&second).contains(&"pushed"));
    })
    .await;
}

#[tokio::test]
async fn budgets_of_which_nothing_is_due_leave_the_queue_although_each_call_is_full() {
    Stack::run(async |stack| {
        with_due(stack, &["empty".to_owned()]).await;
        with_due(stack, &["full".to_owned()]).await;
        ready_since(stack, "empty", 3, 60).await;
        ready_since(stack, "full", 3, 30).await;
        run(
            stack,
            "UPDATE git_ref_polls p SET due_at = NULL, early_at = NULL
             FROM git_refs r WHERE r.id = p.ref_id AND r.git_branch = 'empty'",
        )
        .await;
        assert_eq!(branches(&lease(&Worker::of(stack), 1).await), ["full"]);
        let sql = "SELECT count(*) FROM git_budgets WHERE queue_at <= now()";
        assert_eq!(value::<i64>(stack, sql).await, 0);
    })
    .await;
}
