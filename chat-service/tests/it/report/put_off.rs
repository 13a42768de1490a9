//! What waits with a repository that cannot be read, and what does not.

use proto::chat::v1::{self, ProblemClass};

use crate::{
    lock::Holder,
    stack::Stack,
    worker::{Owner, Worker, found, outcome, report, seconds},
};

/// The whole repository cannot be read, for an hour.
fn denied(git_ref: &v1::LeasedRef) -> v1::Outcome {
    let failed = v1::outcome::Result::Failed(v1::Failed {
        class: ProblemClass::AccessDenied.into(),
        repository_wide: true,
    });
    v1::Outcome {
        next_refresh_in: Some(seconds(3600)),
        ..outcome(git_ref, failed)
    }
}

#[tokio::test]
async fn a_ref_that_was_read_in_the_lease_is_not_put_off_by_a_later_failure() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let fails = owner.chat("feat/1").await;
        let read = owner.chat("feat/2").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let of = |branch: &str| {
            let refs = lease.refs();
            refs.into_iter().find(|of| of.branch == branch).unwrap()
        };
        let mut first = report(&lease.0.lease_token, vec![outcome(of("feat/2"), found())]);
        first.release_lease = false;
        worker.try_report(first).await.unwrap();
        worker.finish(&lease, vec![denied(of("feat/1"))]).await;
        assert!(owner.status(&fails.id).await.problem.is_some());
        assert_eq!(owner.status(&read.id).await.problem, None);
    })
    .await;
}

#[tokio::test]
async fn a_ref_that_is_locked_for_long_keeps_no_other_from_being_put_off() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let mut chats = Vec::new();
        for number in 0..6 {
            chats.push(owner.chat(&format!("feat/{number}")).await);
        }
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let refs = lease.refs();
        let fails = refs.iter().find(|of| of.branch == "feat/0").unwrap();
        let holder = Holder::of(
            stack,
            "SELECT FROM git_ref_polls p JOIN git_refs r ON r.id = p.ref_id
             WHERE r.git_branch = 'feat/3' FOR UPDATE OF p",
        )
        .await;
        worker.finish(&lease, vec![denied(fails)]).await;
        holder.let_go().await;
        for (number, chat) in chats.iter().enumerate() {
            let problem = owner.status(&chat.id).await.problem;
            assert_eq!(problem.is_some(), number != 3, "feat/{number}");
        }
    })
    .await;
}
