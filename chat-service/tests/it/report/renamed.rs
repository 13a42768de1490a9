//! The host's present name of a repository: for queries, and never shown.

use proto::chat::v1::{LeasedRef, Outcome, OutcomeResultStatus};

use crate::{
    stack::Stack,
    worker::{
        Leased, Owner, Worker, found, make_all_due, none, outcome, report_earlier, unchanged,
    },
};

fn called(git_ref: &LeasedRef, name: &str) -> Outcome {
    Outcome {
        canonical_repository: Some(name.to_owned()),
        ..outcome(git_ref, found())
    }
}

async fn leased_again(stack: &Stack, worker: &Worker) -> Leased {
    make_all_due(stack).await;
    worker.lease_one().await
}

#[tokio::test]
async fn a_canonical_name_is_leased_until_the_next_one_and_never_shown() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let reported = owner.status(&chat.id).await.git_remote_origin;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().canonical_repository, None);
        worker
            .finish(&lease, vec![called(lease.git_ref(), "acme/site")])
            .await;
        for result in [unchanged(), none(), found()] {
            let lease = leased_again(stack, &worker).await;
            let git_ref = lease.git_ref();
            assert_eq!(git_ref.canonical_repository.as_deref(), Some("acme/site"));
            assert_eq!(git_ref.repository, "acme/web");
            worker.finish(&lease, vec![outcome(git_ref, result)]).await;
        }
        let status = owner.status(&chat.id).await;
        assert_eq!(status.git_remote_origin, reported);

        // What cannot be kept leaves what is known, and costs no status.
        let lease = leased_again(stack, &worker).await;
        let long = called(lease.git_ref(), &format!("acme/{}", "x".repeat(1024)));
        assert_eq!(
            worker.finish(&lease, vec![long]).await,
            [OutcomeResultStatus::Applied]
        );
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.canonical_repository.as_deref(), Some("acme/site"));

        // It is called as it was reported again.
        worker
            .finish(&lease, vec![called(git_ref, "acme/web")])
            .await;
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.canonical_repository.as_deref(), Some("acme/web"));
    })
    .await;
}

/// Another repository may have taken the old name, and be the one that was pushed to.
#[tokio::test]
async fn a_report_forgets_what_the_repository_was_called_and_no_older_outcome_tells_it() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        worker
            .finish(&lease, vec![called(lease.git_ref(), "acme/site")])
            .await;
        let lease = leased_again(stack, &worker).await;
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        let older = called(lease.git_ref(), "acme/site");
        assert_eq!(
            worker.finish(&lease, vec![older]).await,
            [OutcomeResultStatus::Superseded]
        );
        let lease = worker.lease_one().await;
        assert_eq!(lease.git_ref().canonical_repository, None);
    })
    .await;
}
