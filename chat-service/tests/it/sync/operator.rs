//! What an operator does to leases, budgets and refs.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass, PullRequestState};
use tonic::Code;
use uuid::Uuid;

use super::budget::{next_view, observe};
use crate::{
    stack::{Caller, Stack, refused},
    worker::{Owner, Worker, found, found_in, make_all_due, none, outcome, pause, report, value},
};

fn operator() -> Caller {
    Caller::user().site("admin")
}

async fn budget_key(stack: &Stack) -> String {
    value(stack, "SELECT budget_key FROM git_budgets").await
}

async fn release(stack: &Stack, budget_key: &str) -> Result<String, tonic::Status> {
    let request = v1::ReleaseLeaseOfRequest {
        budget_key: budget_key.to_owned(),
    };
    let response = stack.admin(&operator()).release_lease_of(request).await?;
    Ok(response.into_inner().worker_id)
}

async fn requeue(stack: &Stack, git_ref_ids: Vec<String>) -> Result<Vec<String>, tonic::Status> {
    let request = v1::RequeueGitRefsRequest { git_ref_ids };
    let response = stack.admin(&operator()).requeue_git_refs(request).await?;
    Ok(response.into_inner().git_ref_ids)
}

#[tokio::test]
async fn a_lease_that_an_operator_ended_proves_nothing_and_what_it_had_is_leased_anew() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let key = budget_key(stack).await;
        assert_eq!(release(stack, &key).await.unwrap(), "worker");
        let token = &lease.0.lease_token;
        assert_eq!(refused(worker.renew(token).await).1, "LEASE_LOST");
        let late = report(token, vec![outcome(lease.git_ref(), found())]);
        assert_eq!(refused(worker.try_report(late).await).1, "LEASE_LOST");
        assert_eq!(owner.status(&chat.id).await.pr_number, None);
        let anew = worker.wait_for_lease().await;
        assert_eq!(anew.len(), 1);
        worker.release(&anew[0].lease_token).await;
        for unleased in [key.as_str(), "none"] {
            let refusal = refused(release(stack, unleased).await);
            assert_eq!(refusal.0, Code::NotFound, "{unleased}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_an_operator_resumed_is_leased_at_once_as_one_of_which_little_is_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let spent = v1::BudgetObservation {
            windows: vec![v1::Window {
                name: "core".to_owned(),
                limit: Some(5000),
                remaining: Some(0),
                reset_in: Some(crate::worker::seconds(1800)),
                pause_for: Some(crate::worker::seconds(1800)),
                ..v1::Window::default()
            }],
            pause: Some(pause(1800, ProblemClass::RateLimited)),
            ..v1::BudgetObservation::default()
        };
        observe(stack, &worker, spent).await;
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty(), "paused");
        let request = |budget_key| v1::ResumeBudgetRequest { budget_key };
        let mut admin = stack.admin(&operator());
        let key = budget_key(stack).await;
        admin.resume_budget(request(key.clone())).await.unwrap();
        let view = next_view(stack, &worker).await;
        let window = v1::Window {
            name: "core".to_owned(),
            limit: Some(5000),
            ..v1::Window::default()
        };
        assert_eq!(view.windows, [window]);
        admin.resume_budget(request(key)).await.unwrap();
        let unknown = admin.resume_budget(request("none".to_owned())).await;
        assert_eq!(refused(unknown).0, Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn what_was_met_before_an_operator_resumed_a_budget_pauses_it_no_more_and_later_pauses_do() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let met = |lease: &v1::Lease| v1::BudgetObservation {
            windows: vec![v1::Window {
                name: "core".to_owned(),
                limit: Some(5000),
                remaining: Some(0),
                reset_in: Some(crate::worker::seconds(1800)),
                pause_for: Some(crate::worker::seconds(1800)),
                ..v1::Window::default()
            }],
            pause: Some(pause(1800, ProblemClass::SecondaryLimited)),
            rest: Some(pause(1800, ProblemClass::LimitReserved)),
            secondary_refusals: 1,
            resumes: lease.budget.as_ref().unwrap().resumes,
            ..v1::BudgetObservation::default()
        };
        let ends_with = async |lease: &v1::Lease| {
            let mut last = report(&lease.lease_token, Vec::new());
            last.budget = Some(met(lease));
            last.release_lease = true;
            worker.try_report(last).await.unwrap();
            make_all_due(stack).await;
        };
        let before = worker.lease_one().await.0;
        let budget_key = budget_key(stack).await;
        let request = v1::ResumeBudgetRequest { budget_key };
        let mut admin = stack.admin(&operator());
        admin.resume_budget(request).await.unwrap();
        ends_with(&before).await;

        let after = worker.lease_one().await.0;
        let budget = after.budget.clone().unwrap();
        assert_eq!((budget.windows.len(), budget.resumes), (0, 1));
        assert_eq!(budget.secondary_strikes, 1, "it was met all the same");
        ends_with(&after).await;
        assert!(worker.lease().await.is_empty(), "paused");
    })
    .await;
}

#[tokio::test]
async fn refs_that_an_operator_made_due_are_looked_up_whatever_was_planned() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        // Settled, and no longer the primary: nothing is planned for it.
        worker.answer(found_in(PullRequestState::Merged)).await;
        owner.report(&chat.id, "feat/y").await;
        worker.answer(none()).await;
        assert!(worker.lease().await.is_empty());
        let git_ref: Uuid = value(stack, "SELECT id FROM git_refs WHERE NOT is_primary").await;
        let id = git_ref.to_string();
        let named = vec![Uuid::now_v7().to_string(), id.clone()];
        assert_eq!(
            requeue(stack, named).await.unwrap(),
            std::slice::from_ref(&id)
        );
        let leases = worker.wait_for_lease().await;
        let lease = crate::worker::Leased(leases.into_iter().next().unwrap());
        assert_eq!(lease.ids(), [id.as_str()]);
        // Asked again while it is looked up: that lookup is not the last one.
        requeue(stack, vec![id.clone()]).await.unwrap();
        let statuses = worker
            .finish(&lease, vec![outcome(lease.git_ref(), none())])
            .await;
        assert_eq!(statuses, [OutcomeResultStatus::Superseded]);
        let leases = worker.wait_for_lease().await;
        assert_eq!(leases.len(), 1, "it is due as before");
    })
    .await;
}

#[tokio::test]
async fn an_operator_names_one_to_a_hundred_refs() {
    Stack::run(async |stack| {
        let some = |count: usize| -> Vec<String> {
            (0..count).map(|_| Uuid::now_v7().to_string()).collect()
        };
        assert_eq!(
            requeue(stack, some(100)).await.unwrap(),
            Vec::<String>::new()
        );
        for ids in [some(0), some(101), vec!["x".to_owned()]] {
            let refusal = refused(requeue(stack, ids).await);
            assert_eq!(refusal.0, Code::InvalidArgument);
        }
    })
    .await;
}
