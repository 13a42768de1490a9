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
        windows: vec![v1::Window {
            name: "core".to_owned(),
            limit: Some(5000),
            remaining: Some(0),
            reset_in: Some(seconds(600)),
            pause_for: Some(seconds(600)),
            ..v1::Window::default()
        }],
        pause: Some(v1::Pause {
            duration: Some(seconds(600)),
            class: v1::ProblemClass::RateLimited.into(),
            ..v1::Pause::default()
        }),
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
        let problem = status.problem.unwrap();
        assert_eq!(problem.class(), v1::ProblemClass::RateLimited);
        let windows = "SELECT count(*)
            FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id
            CROSS JOIN jsonb_to_recordset(b.windows) AS w (name text, paused_until timestamptz)
            WHERE w.name = 'core' AND w.paused_until > now()";
        assert_eq!(value::<i64>(stack, windows).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_begins_with_the_pauses_of_the_former_one_however_that_went() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        for owner in [&owner, &other] {
            owner.link("ghp_shared").await;
        }
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        pause(&worker).await;
        // Another account spends it, too.
        owner.link("ghp_own").await;
        assert!(worker.lease().await.is_empty());
        owner.unlink().await;
        owner.link("ghp_next").await;
        assert!(worker.lease().await.is_empty());
        let rejected = "UPDATE git_accounts SET credential_state = 'rejected', budget_id = NULL,
            former_budget_id = budget_id WHERE user_id = $1";
        let id: uuid::Uuid = owner.caller.id().parse().unwrap();
        let client = stack.database.client().await;
        client.execute(rejected, &[&id]).await.unwrap();
        owner.link("ghp_last").await;
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_others_spend_is_not_paused_for_an_account_that_joins_them() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::linked(stack).await, Owner::unlinked(stack));
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        pause(&worker).await;
        other.link("ghp_others").await;
        owner.link("ghp_others").await;
        let lease = worker.lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_others"));
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
                 UPDATE git_refs SET provider_id = 'former'",
            )
            .await
            .unwrap();
        try_unlink(&owner, "former").await.unwrap();
        let client = stack.database.client().await;
        let row = client
            .query_one("SELECT count(*) FROM git_credentials", &[])
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
async fn a_budget_that_goes_while_a_link_takes_it_is_made_again() {
    Stack::run(async |stack| {
        let owner = Owner::unlinked(stack);
        owner.link("ghp_hush").await;
        owner.chat("feat/x").await;
        // No account has it any more, and it is about to go, with its token.
        try_unlink(&owner, "github").await.unwrap();
        let holder = Holder::of(stack, "DELETE FROM git_budgets").await;
        let meeting = async {
            until_blocked(stack, 1).await;
            holder.let_go().await;
        };
        tokio::join!(owner.link("ghp_hush"), meeting);
        let lease = Worker::of(stack).lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_hush"));
    })
    .await;
}

#[tokio::test]
async fn linking_writes_no_ref_but_those_that_the_former_credential_could_not_look_up() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let worker = Worker::of(stack);
        let known = owner.chat("feat/known").await;
        let failing = owner.chat("feat/failing").await;
        let lease = worker.lease_one().await;
        let outcomes = lease.refs().into_iter().map(|git_ref| {
            let result = match git_ref.branch.as_str() {
                "feat/failing" => failed(v1::ProblemClass::AccessDenied),
                _ => found(),
            };
            outcome(git_ref, result)
        });
        worker.finish(&lease, outcomes.collect()).await;
        // Each was read once by its owner, which is noted in its own time.
        testkit::wait::until("views are noted", || async {
            let noted: i64 = value(
                stack,
                "SELECT count(*) FROM git_ref_polls WHERE viewed_until IS NOT NULL",
            )
            .await;
            if noted == 2 { Ok(()) } else { Err(noted) }
        })
        .await;
        let versions = async |chat: &v1::Chat| -> [String; 2] {
            let of_chat = format!("r.chat_id = '{}'", chat.id);
            let polls = format!(
                "SELECT p.ctid::text FROM git_ref_polls p JOIN git_refs r ON r.id = p.ref_id
                 WHERE {of_chat}"
            );
            let refs = format!("SELECT r.ctid::text FROM git_refs r WHERE {of_chat}");
            [value(stack, &polls).await, value(stack, &refs).await]
        };
        let [before_known, before_failing] = [versions(&known).await, versions(&failing).await];
        owner.link("ghp_other").await;
        worker.wait_for_lease().await;
        assert_eq!(versions(&known).await, before_known);
        let [polls, refs] = versions(&failing).await;
        let [before_polls, before_refs] = before_failing;
        assert_ne!(polls, before_polls);
        assert_eq!(refs, before_refs);
    })
    .await;
}
