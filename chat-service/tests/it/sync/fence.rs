//! Which outcomes count: no ref is marked for a lease, so what an outcome repeats decides.

use proto::chat::v1::{self, OutcomeResultStatus as Status};

use crate::{
    lock::{Holder, until_blocked},
    stack::Stack,
    worker::{
        Leased, Owner, Worker, failed, found, none, outcome, report, report_earlier, unchanged,
        value,
    },
};

/// How often the one ref was looked at, and how many answers `RefreshChat` had of it.
async fn looks(stack: &Stack) -> (i64, i64) {
    let looks = value(stack, "SELECT looks FROM git_ref_polls").await;
    let answers = value(stack, "SELECT outcome_seq FROM git_ref_polls").await;
    (looks, answers)
}

async fn is_due(stack: &Stack) -> bool {
    value(stack, "SELECT (due_at <= now()) IS TRUE FROM git_ref_polls").await
}

/// A report that keeps the lease.
fn keeping(lease: &Leased, result: v1::outcome::Result) -> v1::ReportOutcomesRequest {
    let outcomes = vec![outcome(lease.git_ref(), result)];
    let mut keeping = report(&lease.0.lease_token, outcomes);
    keeping.release_lease = false;
    keeping
}

#[tokio::test]
async fn one_outcome_reported_twice_under_one_lease_with_two_request_ids_counts_once() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let first = worker.try_report(keeping(&lease, none())).await;
        assert_eq!(first.unwrap(), [Status::Applied]);
        let second = worker.try_report(keeping(&lease, found())).await;
        assert_eq!(second.unwrap(), [Status::Rejected]);
        assert_eq!(looks(stack).await, (1, 1));
        assert_eq!(
            value::<i32>(stack, "SELECT misses FROM git_ref_polls").await,
            1
        );
        assert_eq!(owner.status(&chat.id).await.pr_number, None);
    })
    .await;
}

/// The ref's account has another token since the first lease: both leases live, and both have the
/// ref.
async fn leases_of_two_budgets<'a>(owner: &Owner<'a>, worker: &Worker) -> (Leased, Leased) {
    let former = worker.lease_one().await;
    owner.link("ghp_another").await;
    let current = worker.lease_one().await;
    assert_eq!(former.ids(), current.ids());
    assert_ne!(former.0.budget_key, current.0.budget_key);
    (former, current)
}

#[tokio::test]
async fn of_two_live_leases_with_one_ref_the_former_budgets_outcome_is_rejected_when_it_comes_first()
 {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let (former, current) = leases_of_two_budgets(&owner, &worker).await;
        let answer = worker.try_report(keeping(&former, none())).await;
        assert_eq!(answer.unwrap(), [Status::Rejected]);
        assert!(is_due(stack).await);
        let answer = worker.try_report(keeping(&current, found())).await;
        assert_eq!(answer.unwrap(), [Status::Applied]);
        assert_eq!(looks(stack).await, (1, 1));
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn of_two_live_leases_with_one_ref_the_former_budgets_outcome_is_rejected_when_it_comes_last()
{
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let (former, current) = leases_of_two_budgets(&owner, &worker).await;
        let answer = worker.try_report(keeping(&current, found())).await;
        assert_eq!(answer.unwrap(), [Status::Applied]);
        let answer = worker.try_report(keeping(&former, none())).await;
        assert_eq!(answer.unwrap(), [Status::Rejected]);
        assert_eq!(looks(stack).await, (1, 1));
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
    })
    .await;
}

#[tokio::test]
async fn an_outcome_of_a_token_that_was_linked_again_is_superseded_unless_it_found_something() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        owner.link("ghp_same").await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        // The budget and so the lease stay, the credential is a new one.
        owner.link("ghp_same").await;
        let denied = failed(v1::ProblemClass::AccessDenied);
        let answer = worker.try_report(keeping(&lease, denied)).await;
        assert_eq!(answer.unwrap(), [Status::Superseded]);
        assert_eq!(owner.status(&chat.id).await.problem, None);
        assert!(is_due(stack).await);
        worker.release(&lease.0.lease_token).await;

        let lease = Leased(worker.wait_for_lease().await.remove(0));
        owner.link("ghp_same").await;
        let answer = worker.try_report(keeping(&lease, found())).await;
        assert_eq!(answer.unwrap(), [Status::Superseded]);
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
        assert!(is_due(stack).await);
        assert_eq!(looks(stack).await, (2, 0), "RefreshChat still waits");
    })
    .await;
}

/// Promise 3.
#[tokio::test]
async fn a_report_that_commits_while_an_outcome_waits_for_the_poll_row_leaves_the_ref_due() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        report_earlier(stack).await;
        // The report has written the ref's poll, and waits for the budget, its last lock.
        let holder = Holder::of(stack, "SELECT FROM git_budgets FOR UPDATE").await;
        let pushing = owner.report(&chat.id, "feat/x");
        let answering = async {
            until_blocked(stack, 1).await;
            worker.try_report(keeping(&lease, none())).await.unwrap()
        };
        let meeting = async {
            until_blocked(stack, 2).await;
            holder.let_go().await;
        };
        let ((), answer, ()) = tokio::join!(pushing, answering, meeting);
        assert_eq!(answer, [Status::Superseded]);
        assert!(is_due(stack).await);
        assert_eq!(looks(stack).await, (1, 0));
        worker.release(&lease.0.lease_token).await;
        assert_eq!(worker.wait_for_lease().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_outcome_that_is_unchanged_where_nothing_is_known_is_rejected_and_shows_our_own_fault() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let answer = worker.try_report(keeping(&lease, unchanged())).await;
        assert_eq!(answer.unwrap(), [Status::Rejected]);
        let problem = owner.status(&chat.id).await.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::Internal);
        assert!(!is_due(stack).await, "it is not looked up again at once");
        assert_eq!(looks(stack).await, (1, 1), "who waits is answered");
    })
    .await;
}
