//! A report whose connection to the database breaks: it may have been applied or not, and repeating
//! it is right either way.

use chat_service::config::Settings;
use proto::chat::v1::OutcomeResultStatus;
use testkit::proxy::Proxy;

use crate::{
    lock::{Holder, until_blocked},
    prune::until_none,
    stack::{Stack, refused},
    worker::{Owner, Worker, found, outcome, report, run, value},
};

/// Cuts the connection of a report that waits for what `lock` holds, looks whether it was `applied`
/// when the server has noticed, and repeats it.
async fn cut_and_repeat(prepare: &str, lock: &str, applied: bool) {
    let database = testkit::postgres::database().await;
    let proxy = Proxy::start(database.address()).await;
    let url = database.url_through(proxy.address());
    let behind_proxy = |settings: &mut Settings, _: &mut _| {
        settings.database.database_url = Some(url.into());
    };
    Stack::run_on(database, behind_proxy, async |stack| {
        let outcomes = || value::<i64>(stack, "SELECT outcome_seq FROM git_ref_polls");
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let request = report(
            &lease.0.lease_token,
            vec![outcome(lease.git_ref(), found())],
        );
        run(stack, prepare).await;
        let holder = Holder::of(stack, lock).await;
        let cutting = async {
            until_blocked(stack, 1).await;
            proxy.cut();
        };
        let (first, ()) = tokio::join!(worker.try_report(request.clone()), cutting);
        let (code, reason, _) = refused(first);
        assert_eq!(
            (code, reason.as_str()),
            (tonic::Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
        );
        holder.let_go().await;
        let connections = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'chat-service'";
        until_none(stack, connections).await;
        assert_eq!(outcomes().await, i64::from(applied));

        proxy.restore();
        for _ in 0..2 {
            let statuses = testkit::wait::until("the database is back", || async {
                worker.try_report(request.clone()).await
            })
            .await;
            assert_eq!(statuses, [OutcomeResultStatus::Applied]);
            assert_eq!(outcomes().await, 1);
        }
        assert_eq!(owner.status(&chat.id).await.pr_number, Some(7));
    })
    .await;
}

/// Promise 5.
#[tokio::test]
async fn a_report_whose_connection_breaks_during_the_commit_is_answered_by_the_same_request() {
    // The commit waits for what the test holds, and happens when its caller is gone.
    let prepare = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock_shared(1);
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON git_ref_polls
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()";
    cut_and_repeat(prepare, "SELECT pg_advisory_xact_lock(1)", true).await;
}

/// Promise 5.
#[tokio::test]
async fn a_report_whose_connection_breaks_before_the_commit_is_applied_when_it_is_repeated() {
    cut_and_repeat("", "SELECT FROM git_budgets FOR UPDATE", false).await;
}
