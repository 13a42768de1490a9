//! Whose rate limit is spent, when accounts come and go.

use proto::chat::v1;
use tonic::Code;

use crate::{
    lock::{Holder, until_blocked},
    sql::statement,
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

async fn link_installation(owner: &Owner<'_>, token: &str, installation: &str) {
    let request = v1::LinkGitAccountRequest {
        provider_id: "github".to_owned(),
        access_token: token.to_owned(),
        installation_id: Some(installation.to_owned()),
        ..v1::LinkGitAccountRequest::default()
    };
    let mut accounts = owner.stack.accounts(&owner.caller);
    accounts.link_git_account(request).await.unwrap();
}

async fn budget_key(owner: &Owner<'_>) -> String {
    let sql = format!(
        "SELECT b.budget_key FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id
         WHERE a.user_id = '{}'",
        owner.caller.id()
    );
    value(owner.stack, &sql).await
}

#[tokio::test]
async fn tokens_of_one_installation_spend_one_budget_and_others_one_of_their_own() {
    Stack::run(async |stack| {
        let owners: Vec<Owner<'_>> = (0..4).map(|_| Owner::unlinked(stack)).collect();
        for (owner, token, installation) in [
            (&owners[0], "ghs_a.b_c-d", "1"),
            (&owners[1], "ghs_other", "1"),
            (&owners[2], "ghs_third", "2"),
        ] {
            link_installation(owner, token, installation).await;
        }
        owners[3].link("ghs_fourth").await;
        for (owner, key) in owners.iter().zip(["1", "1", "2"]) {
            let key = format!("|installation:{key}");
            assert!(budget_key(owner).await.ends_with(&key));
        }
        assert!(budget_key(&owners[3]).await.contains("|token:"));
        // Once it is said whose it is, also of a token that is known, and for good.
        link_installation(&owners[3], "ghs_fourth", "2").await;
        owners[3].link("ghs_fourth").await;
        assert!(budget_key(&owners[3]).await.ends_with("|installation:2"));
    })
    .await;
}

#[tokio::test]
async fn the_next_token_of_an_installation_meets_its_pause_and_other_installations_do_not() {
    Stack::run(async |stack| {
        let (owner, other) = (Owner::unlinked(stack), Owner::unlinked(stack));
        link_installation(&owner, "ghs_first", "1").await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        pause(&worker).await;
        link_installation(&owner, "ghs_next", "1").await;
        assert!(worker.lease().await.is_empty());
        link_installation(&other, "ghs_other", "2").await;
        other.chat("feat/y").await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghs_other"));
        link_installation(&owner, "ghs_last", "3").await;
        assert_eq!(worker.lease_one().await.access_token(), Some("ghs_last"));
    })
    .await;
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
        let rejected = "UPDATE git_accounts SET credential_state = 'rejected', refusals = 4,
            retry_at = now() + interval '1 day' WHERE user_id = $1";
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
        // As the retry of an unlink that was done hears it.
        for provider in ["former", "github"] {
            let refusal = refused(try_unlink(&owner, provider).await);
            assert_eq!(refusal.0, Code::NotFound, "{provider}");
        }
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
        let holder = Holder::of(stack, "DELETE FROM git_tokens; DELETE FROM git_budgets").await;
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

/// An account may have a hundred thousand refs, and a statement that reads all delays the next
/// link.
#[tokio::test]
async fn what_a_new_token_makes_due_is_found_without_the_refs_that_have_no_problem() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let account = uuid::Uuid::now_v7();
    let fill = format!(
        "INSERT INTO git_accounts (id, user_id, provider_id)
         VALUES ('{account}', '{account}', 'github');
         INSERT INTO chats (id, owner_id, title, status)
         SELECT gen_random_uuid(), '{account}', 'c', 'waiting' FROM generate_series(1, 3000);
         INSERT INTO git_refs (
             id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch,
             problem_class, problem_since
         )
         SELECT
             gen_random_uuid(), c.id, '{account}', 'github', 'o', 'acme/web', 'b',
             CASE WHEN c.number < 4 THEN 'access_denied' END, CASE WHEN c.number < 4 THEN now() END
         FROM (SELECT id, row_number() OVER () AS number FROM chats) AS c"
    );
    client.batch_execute(&fill).await.unwrap();
    client
        .batch_execute("VACUUM ANALYZE git_refs")
        .await
        .unwrap();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let explain = format!(
            "SET plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE denied (uuid) AS {}",
            statement("list_denied_refs")
        );
        client.batch_execute(&explain).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE denied ('{account}')");
        let plan = client.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get(0).unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("git_refs_failed_idx"), "{mode}: {plan}");
    }
}
