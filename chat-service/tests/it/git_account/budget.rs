//! Whose rate limit is spent, when accounts come and go.

use proto::chat::v1;
use tonic::Code;

use crate::{
    lock::{Holder, until_blocked},
    stack::{Stack, refused},
    worker::{Owner, Worker, failed, found, make_all_due, outcome, report, seconds, value},
};

/// Leases the one budget that is due, and pauses it.
async fn pause(worker: &Worker) {
    let lease = worker.lease_one().await;
    let mut paused = report(&lease.0.lease_token, Vec::new());
    paused.budget = Some(v1::BudgetObservation {
        rest: Some(v1::BudgetWindow {
            limit: Some(5000),
            remaining: Some(0),
            reset_in: Some(seconds(600)),
            ..Default::default()
        }),
        pause_for: Some(seconds(600)),
        ..v1::BudgetObservation::default()
    });
    worker.try_report(paused).await.unwrap();
}

async fn try_unlink(owner: &Owner<'_>, provider_id: &str) -> Result<(), tonic::Status> {
    let request = v1::UnlinkGitAccountRequest {
        user_id: None,
        provider_id: provider_id.to_owned(),
    };
    owner
        .stack
        .accounts(&owner.caller)
        .unlink_git_account(request)
        .await
        .map(|_| ())
}

#[tokio::test]
async fn another_token_lifts_no_pause() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        pause(&worker).await;
        owner.link("ghp_other").await;
        make_all_due(stack).await;
        assert!(worker.lease().await.is_empty());
        let status = owner.status(&chat.id).await;
        assert_eq!(status.freshness(), v1::Freshness::Paused);
        let row = stack
            .database
            .client()
            .await
            .query_one(
                "SELECT b.rest_limit, b.rest_remaining, b.rest_reset_at > now()
                 FROM git_budgets b JOIN git_accounts a ON a.budget_id = b.id",
                &[],
            )
            .await
            .unwrap();
        let limits = [0, 1].map(|column| row.try_get::<_, i64>(column).unwrap());
        assert_eq!(limits, [5000, 0]);
        assert!(row.try_get::<_, bool>(2).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_token_that_others_use_keeps_its_pause_to_them() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        for owner in [&owner, &other] {
            owner.link("ghp_shared").await;
        }
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        pause(&worker).await;
        owner.link("ghp_own").await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghp_own"));
    })
    .await;
}

#[tokio::test]
async fn an_account_at_a_provider_that_was_removed_can_be_unlinked() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        stack
            .database
            .client()
            .await
            .batch_execute(
                "UPDATE git_accounts SET provider_id = 'former';
                 UPDATE chat_diff_statuses SET provider_id = 'former'",
            )
            .await
            .unwrap();
        try_unlink(&owner, "former").await.unwrap();
        let client = stack.database.client().await;
        let row = client
            .query_one("SELECT count(*) FROM git_accounts", &[])
            .await
            .unwrap();
        assert_eq!(row.try_get::<_, i64>(0).unwrap(), 0);
        let (code, reason, field) = refused(try_unlink(&owner, "former").await);
        assert_eq!(
            (code, reason.as_str(), field.as_deref()),
            (
                Code::InvalidArgument,
                "PROVIDER_NOT_CONFIGURED",
                Some("provider_id")
            )
        );
        assert_eq!(
            refused(try_unlink(&owner, "github").await).0,
            Code::NotFound
        );
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_goes_while_somebody_takes_it_is_made_again() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        owner.link("ghp_hush").await;
        let chat = stack.chat(&owner.caller).await;
        // Nobody has it any more, and it is about to go.
        try_unlink(&owner, "github").await.unwrap();
        for linking in [true, false] {
            let holder = Holder::of(stack, "DELETE FROM git_budgets").await;
            let taking = async {
                if linking {
                    owner.link("ghp_hush").await;
                    try_unlink(&owner, "github").await.unwrap();
                } else {
                    owner.report(&chat.id, "feat/x").await;
                }
            };
            let meeting = async {
                until_blocked(stack, 1).await;
                holder.let_go().await;
            };
            tokio::join!(taking, meeting);
        }
        assert_eq!(Worker::of(stack).lease_one().await.access_token(), None);
    })
    .await;
}

#[tokio::test]
async fn linking_the_same_token_again_writes_no_ref_that_it_changes_nothing_of() {
    for account in [None, Some("4711")] {
        links_again(account).await;
    }
}

/// With the key of the token, or with that of its account.
async fn links_again(account: Option<&str>) {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        owner.link("ghp_same").await;
        let worker = Worker::of(stack);
        let mut versions = Vec::new();
        let version = |chat: &v1::Chat| {
            format!(
                "SELECT ctid::text FROM chat_diff_statuses WHERE chat_id = '{}'",
                chat.id
            )
        };
        let known = owner.chat("feat/known").await;
        let failing = owner.chat("feat/failing").await;
        let validated = owner.chat("feat/validated").await;
        let lease = worker.lease_one().await;
        let mut outcomes = Vec::new();
        for git_ref in lease.refs() {
            let mut outcome = match git_ref.branch.as_str() {
                "feat/failing" => outcome(git_ref, failed(v1::ProblemClass::AccessDenied)),
                _ => outcome(git_ref, found()),
            };
            outcome.validator = (git_ref.branch == "feat/validated").then(|| "e1".to_owned());
            outcomes.push(outcome);
        }
        let mut learned = report(&lease.0.lease_token, outcomes);
        learned.budget = account.map(|account| v1::BudgetObservation {
            account_id: Some(account.to_owned()),
            ..v1::BudgetObservation::default()
        });
        worker.try_report(learned).await.unwrap();
        let chats = [&known, &failing, &validated];
        // Each was read once by its owner, which is noted in its own time.
        testkit::wait::until("views are noted", || async {
            let noted: i64 = value(
                stack,
                "SELECT count(*) FROM chat_diff_statuses WHERE viewed_until IS NOT NULL",
            )
            .await;
            if noted == 3 { Ok(()) } else { Err(noted) }
        })
        .await;
        for chat in chats {
            versions.push(value::<String>(stack, &version(chat)).await);
        }
        owner.link("ghp_same").await;
        let mut written = Vec::new();
        for (chat, before) in chats.into_iter().zip(versions) {
            written.push(value::<String>(stack, &version(chat)).await != before);
        }
        assert_eq!(written, [false, true, true]);
    })
    .await;
}
