//! Races between workers, reports and refreshes, with real processes held at chosen points.

use e2e::{
    lease::no_pull_request,
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{
    Freshness, GetSyncStateRequest, LeaseDiffStatusesRequest, PullRequestState,
    ReportOutcomesRequest,
};
use proto::gitsync::v1::GetWorkerStateRequest;
use testkit::{clients::Caller, github::Matching, process::Signal, wait};
use tonic::Code;
use uuid::Uuid;

/// Promise 3.
#[tokio::test]
async fn a_git_ref_reported_during_a_refresh_is_looked_up_again() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        stack.github.repository(REPOSITORY).push("feature");
        let chat = stack.chat(&owner).await;
        let hold = stack.github.hold(Matching::graphql());
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let worker = stack.worker().await;
        hold.waiting(1).await;
        assert_eq!(
            stack.status(&owner, &chat).await.freshness(),
            Freshness::Refreshing
        );
        // The answer that is being held says "none", and was true when the request was sent.
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        hold.release_one();
        // It is asked again at once, and not after the 15 s of a lookup that found nothing.
        hold.waiting(1).await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        hold.release();
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state() == PullRequestState::Open
            })
            .await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn three_refreshes_are_inside_the_provider_at_once() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        // Each ref has requests of its own.
        stack.github.set_graphql(false);
        let owner = stack.linked_user("ann").await;
        let hold = stack.github.hold("/pulls$");
        for branch in ["one", "two", "three"] {
            stack.github.pull_request(REPOSITORY).head(branch).open();
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, branch).await;
        }
        let worker = stack.worker().await;
        hold.waiting(3).await;
        hold.release();
        vec![worker]
    })
    .await;
}

/// Promise 4, for a worker that dies.
#[tokio::test]
async fn the_refs_of_a_killed_worker_are_refreshed_by_another_within_the_lease_time() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::LEASE_LOST);
        let owner = stack.linked_user("ann").await;
        let hold = stack.github.hold(Matching::graphql());
        let mut chats = Vec::new();
        for branch in ["one", "two", "three"] {
            stack.github.pull_request(REPOSITORY).head(branch).open();
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, branch).await;
            chats.push(chat);
        }
        let killed = stack.worker().await;
        // All of them in one request.
        hold.waiting(1).await;
        killed.process.kill();
        hold.release();
        let worker = stack.worker().await;
        for chat in &chats {
            stack
                .status_when(&owner, chat, "another worker refreshed it", |status| {
                    status.pull_request_state() == PullRequestState::Open
                })
                .await;
        }
        vec![worker]
    })
    .await;
}

/// Promise 4, for a worker that stalls: it wakes up with a result after its lease went to another.
#[tokio::test]
async fn a_worker_that_lost_its_lease_can_write_nothing() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        stack.expect_warnings(warnings::LEASE_LOST);
        // Each ref has requests of its own.
        stack.github.set_graphql(false);
        let owner = stack.linked_user("ann").await;
        let number = stack
            .github
            .pull_request(REPOSITORY)
            .head("feature")
            .title("Old")
            .open();
        let chat = stack.chat(&owner).await;
        let hold = stack.github.hold("/pulls/*/reviews");
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let mut stalled = stack.worker().await;
        // It has read the old title, and waits for the reviews.
        hold.waiting(1).await;
        stalled.process.signal(Signal::Stop).unwrap();
        stack
            .github
            .edit_pull_request(REPOSITORY, number, |pull_request| {
                "New".clone_into(&mut pull_request.title);
            });
        let worker = stack.worker().await;
        hold.waiting(2).await;
        hold.release();
        let status = stack
            .status_when(
                &owner,
                &chat,
                "the second worker wrote what it saw",
                |status| status.pull_request_state.is_some(),
            )
            .await;
        assert_eq!(status.pull_request_title, "New");
        stalled.process.signal(Signal::Continue).unwrap();
        stalled
            .process
            .wait_for_log("the stalled worker finds its lease lost", |line| {
                line.to_string().to_lowercase().contains("lost")
            })
            .await;
        let status = stack.status(&owner, &chat).await;
        assert_eq!(
            status.pull_request_title, "New",
            "a worker wrote without a lease"
        );
        vec![worker, stalled]
    })
    .await;
}

/// A worker's call for leases may wait for longer than a lease lasts: what it brings is good all
/// the same.
#[tokio::test]
async fn a_lease_that_came_after_a_long_wait_is_not_taken_for_lost() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        let worker = stack.worker_with(&[("GITSYNC_INTERVAL", "30s")]).await;
        let operator = Caller::user().site("admin");
        wait::until(
            "the worker has waited for longer than a lease lasts",
            || async {
                let mut client = stack.worker_service(&worker, &operator);
                let state = client
                    .get_worker_state(GetWorkerStateRequest {})
                    .await
                    .unwrap()
                    .into_inner();
                let uptime = state.uptime.unwrap();
                if uptime.seconds >= 3 {
                    Ok(())
                } else {
                    Err(uptime)
                }
            },
        )
        .await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        stack
            .status_when(&owner, &chat, "the pull request is found", |status| {
                status.pull_request_state.is_some()
            })
            .await;
        // The status is visible before the worker has the answer to its report.
        wait::until("the worker has reported, and lost no lease", || async {
            let mut client = stack.worker_service(&worker, &operator);
            let state = client
                .get_worker_state(GetWorkerStateRequest {})
                .await
                .unwrap()
                .into_inner();
            match (state.leases_lost, state.outcomes_reported) {
                (0, 1) => Ok(()),
                counts => Err(counts),
            }
        })
        .await;
        vec![worker]
    })
    .await;
}

/// At the wire, where each call can be repeated at will.
#[tokio::test]
async fn a_repeated_report_or_lease_changes_nothing_and_a_late_report_is_refused() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let mut sync = stack.sync(&Caller::service("gitsync"));
        let request = || LeaseDiffStatusesRequest {
            request_id: Uuid::now_v7().to_string(),
            worker_id: "by hand".to_owned(),
            ..LeaseDiffStatusesRequest::default()
        };
        let first = request();
        let leases = sync
            .lease_diff_statuses(first.clone())
            .await
            .unwrap()
            .into_inner()
            .leases;
        let [lease] = leases.try_into().ok().unwrap();
        let repeated = sync
            .lease_diff_statuses(first.clone())
            .await
            .unwrap()
            .into_inner()
            .leases;
        assert_eq!(repeated.len(), 1);
        assert_eq!(
            repeated[0].lease_token, lease.lease_token,
            "the same lease again"
        );
        let other = sync
            .lease_diff_statuses(request())
            .await
            .unwrap()
            .into_inner()
            .leases;
        assert_eq!(other.len(), 0, "a leased budget key was leased again");

        let report = no_pull_request(&lease);
        let answer = sync
            .report_outcomes(report.clone())
            .await
            .unwrap()
            .into_inner();
        // Reading the chat makes it due sooner, independently of the report.
        let read = || async {
            let mut status = stack.status(&owner, &chat).await;
            status.next_refresh_at = None;
            status
        };
        let after = read().await;
        let again = sync
            .report_outcomes(report.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer, again);
        assert_eq!(read().await, after);
        // A delayed duplicate of the first lease call takes nothing new.
        stack.report(&owner, &chat, REPOSITORY, "another").await;
        let late = sync
            .lease_diff_statuses(first)
            .await
            .unwrap()
            .into_inner()
            .leases;
        assert_eq!(late.len(), 0);
        let late = ReportOutcomesRequest {
            request_id: Uuid::now_v7().to_string(),
            ..report
        };
        let refused = sync.report_outcomes(late).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn a_graceful_stop_reports_what_it_finished_and_releases_the_rest() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        stack.expect_warnings(&["the drain took too long; the leases that are left run out"]);
        // Each ref has requests of its own.
        stack.github.set_graphql(false);
        let owner = stack.linked_user("ann").await;
        let held = stack.github.pull_request(REPOSITORY).head("held").open();
        stack.github.pull_request(REPOSITORY).head("free").open();
        let hold = stack.github.hold(format!("/pulls/{held}").as_str());
        let mut chats = Vec::new();
        for branch in ["held", "free"] {
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, branch).await;
            chats.push(chat);
        }
        let [held, free] = chats.try_into().unwrap();
        let worker = stack.worker_with(&[("GITSYNC_DRAIN_TIMEOUT", "1s")]).await;
        hold.waiting(1).await;
        stack
            .status_when(
                &owner,
                &free,
                "the free one is written before its lease ends",
                |status| status.pull_request_state.is_some(),
            )
            .await;
        // Ends with 0 although one request never came back.
        worker.process.stop().await;
        let operator = Caller::user().site("admin");
        let state = stack
            .sync_admin(&operator)
            .get_sync_state(GetSyncStateRequest {})
            .await
            .unwrap();
        assert_eq!(
            state.into_inner().leases.len(),
            0,
            "the lease was not released"
        );
        let held_still = stack.status(&owner, &held).await;
        assert_ne!(held_still.freshness(), Freshness::Refreshing);
        assert!(held_still.next_refresh_at.is_some(), "it is planned");
        hold.release();
        let worker = stack.worker().await;
        stack
            .status_when(
                &owner,
                &held,
                "another worker takes what was released",
                |status| status.pull_request_state.is_some(),
            )
            .await;
        vec![worker]
    })
    .await;
}

/// Promise 4, for a worker that is partitioned: its lease goes to another, and its results do not
/// count.
#[tokio::test]
async fn a_partitioned_worker_loses_its_lease_and_the_refs_are_refreshed_by_another() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        stack.expect_warnings(warnings::LEASE_LOST);
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = stack.chat(&owner).await;
        let hold = stack.github.hold(Matching::graphql());
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let partitioned = stack.worker().await;
        hold.waiting(1).await;
        partitioned.proxy.cut();
        // It cannot renew, so it gives up a lease that is still its own.
        hold.empty().await;
        let worker = stack.worker().await;
        hold.waiting(1).await;
        hold.release();
        stack
            .status_when(&owner, &chat, "the other worker refreshed it", |status| {
                status.pull_request_state.is_some()
            })
            .await;
        partitioned.proxy.restore();
        vec![worker, partitioned]
    })
    .await;
}

/// Two workers share the budget keys between them, and no key is with both.
#[tokio::test]
async fn two_workers_share_the_work_without_overlap() {
    // Longer than a test waits: a lease that is not released is still there.
    Stack::run_with(&[("CHAT_LEASE_DURATION", "10m")], async |stack| {
        let mut chats = Vec::new();
        for index in 0..10 {
            let login = format!("user-{index}");
            let owner = stack.linked_user(&login).await;
            let branch = format!("branch-{index}");
            stack.github.pull_request(REPOSITORY).head(&branch).open();
            let chat = stack.chat(&owner).await;
            chats.push((owner, chat, branch));
        }
        let workers = vec![stack.worker().await, stack.worker().await];
        for (owner, chat, branch) in &chats {
            stack.report(owner, chat, REPOSITORY, branch).await;
        }
        for (owner, chat, _) in &chats {
            stack
                .status_when(owner, chat, "every ref is refreshed", |status| {
                    status.pull_request_state.is_some()
                })
                .await;
        }
        let lookups = stack.github.count(Matching::graphql());
        assert_eq!(lookups, 10, "a branch was looked up by both workers");
        wait::until("no lease is left", || async {
            let operator = Caller::user().site("admin");
            let state = stack
                .sync_admin(&operator)
                .get_sync_state(GetSyncStateRequest {})
                .await;
            let leases = state.unwrap().into_inner().leases.len();
            if leases == 0 { Ok(()) } else { Err(leases) }
        })
        .await;
        workers
    })
    .await;
}
