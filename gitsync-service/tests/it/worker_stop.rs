//! Stopping: what is in flight is finished, what is not is given back, and it takes no longer than
//! it may.

use std::time::Duration;

use gitsync_service::worker::Settings;
use testkit::wait::{PATIENCE, until};

use crate::{stack::Stack, sync_server::Failure};

#[tokio::test]
async fn a_stopping_worker_finishes_and_reports_what_it_holds_and_leases_no_more() {
    Stack::run_over_rest(async |stack| {
        let hold = stack.github.hold("/pulls$");
        stack.chat().queue(stack.lease("held", &["a"]));
        stack.start_worker();
        hold.waiting(1).await;
        stack.stop.cancel();
        stack.chat().queue(stack.lease("later", &["b"]));
        hold.release();
        stack.ended().await;
        assert!(stack.chat().outcomes().contains_key("a"));
        assert!(stack.chat().is_released("held"));
        assert!(!stack.chat().outcomes().contains_key("b"));
    })
    .await;
}

#[tokio::test]
async fn a_stopping_worker_gives_back_what_it_cannot_finish_in_time() {
    Stack::run_over_rest(async |stack| {
        stack.github.pull_request("acme/web").head("done").open();
        let hold = stack.github.hold("/pulls$");
        stack.chat().queue(stack.lease("stuck", &["done", "stuck"]));
        stack.start_worker_with(Settings {
            drain_timeout: Duration::from_secs(2),
            ..Settings::default()
        });
        hold.waiting(2).await;
        stack.stop.cancel();
        stack.ended().await;
        assert!(stack.chat().is_released("stuck"));
        // Nothing is said about refs whose lookup was cut short by us.
        assert!(stack.chat().outcomes().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_waits_for_leases_stops_at_once() {
    Stack::run(async |stack| {
        stack.start_worker_with(Settings {
            interval: 2 * PATIENCE,
            // The drain ends no call within the time that this test has.
            drain_timeout: 4 * PATIENCE,
            ..Settings::default()
        });
        until("the worker waits", || async {
            let calls = stack.chat().calls("lease");
            if calls.len() >= 2 { Ok(()) } else { Err(calls) }
        })
        .await;
        stack.stop.cancel();
        tokio::time::timeout(PATIENCE, stack.ended()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lease_whose_response_was_abandoned_is_released() {
    Stack::run(async |stack| {
        // The first answer is lost, and the worker is stopped while it waits for the second.
        stack
            .chat()
            .fail("lease", &[Failure::LoseAnswer, Failure::Hang]);
        stack.chat().queue(stack.lease("stranded", &["a"]));
        stack.start_worker();
        until("the call is repeated", || async {
            let calls = stack.chat().calls("lease");
            if calls.len() >= 2 { Ok(()) } else { Err(calls) }
        })
        .await;
        stack.stop.cancel();
        stack.ended().await;
        assert!(stack.chat().is_released("stranded"));
        assert!(stack.chat().outcomes().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_stop_does_not_hang_on_a_chat_service_that_is_silent() {
    Stack::run(async |stack| {
        stack.chat().fail("report", &[Failure::Hang; 20]);
        stack.chat().queue(stack.lease("lease", &["a"]));
        stack.start_worker_with(Settings {
            drain_timeout: Duration::from_secs(1),
            ..Settings::default()
        });
        until("the report is on its way", || async {
            (!stack.chat().calls("report").is_empty())
                .then_some(())
                .ok_or("not yet")
        })
        .await;
        stack.stop.cancel();
        tokio::time::timeout(PATIENCE, stack.ended()).await.unwrap();
    })
    .await;
}
