//! Git hosts that slow down, lack something, or whose limits are spent, and workers that wait for
//! them.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{Chat, ChatDiffStatus, RefreshChatRequest};
use testkit::{
    clients::Caller,
    github::{Matching, Resource},
};
use tonic::Request;

use super::{nothing, prometheus, until_ready};
use crate::thrift::pass;

/// Leases at once: more than may be lost before that is news.
const LEASES: usize = 8;
/// Budgets: more than may be paused before that is news.
const PAUSED: usize = 22;
/// Budgets that have a fiftieth of their limit left, which are most of those that are asked.
const NEARLY_SPENT: usize = 12;
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// Linked users, each with a budget of its own and a chat.
async fn owners(stack: &Stack, count: usize) -> Vec<(Caller, Chat)> {
    let mut owners = Vec::new();
    for number in 0..count {
        let owner = stack.linked_user(&format!("user-{number}")).await;
        let chat = stack.chat(&owner).await;
        owners.push((owner, chat));
    }
    owners
}

/// What these owners may still ask the host for in the next half hour.
fn leave(stack: &Stack, owners: usize, remaining: u64) {
    for number in 0..owners {
        for resource in [Resource::Core, Resource::Graphql] {
            let budget = stack.github.budget_of(&format!("user-{number}"), resource);
            budget.remaining(remaining).resets_in(HALF_AN_HOUR);
        }
    }
}

async fn report(stack: &Stack, owners: &[(Caller, Chat)], repository: &str, branch: &str) {
    for (owner, chat) in owners {
        stack.report(owner, chat, repository, branch).await;
    }
}

#[tokio::test]
async fn of_busy_workers_that_lose_their_leases_and_of_lookups_that_fail_operators_hear() {
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::LEASE_LOST);
        let slots = LEASES.to_string();
        let worker = stack.worker_with(&[("GITSYNC_CONCURRENCY", &slots)]).await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let all = ["WorkersSaturated", "LeasesLost", "LookupsFail"];
        prometheus.until_quiet(&all, nothing).await;
        let owners = owners(stack, LEASES).await;
        let hold = stack.github.hold(Matching::any());
        report(stack, &owners, REPOSITORY, "feature").await;
        hold.waiting(LEASES).await;
        prometheus.until_firing(&all[..1], nothing).await;
        // As after a step of the database's clock: the worker knows nothing of it.
        let client = stack.database.client().await;
        let ended = "UPDATE git_budgets SET lease_expires_at = now() - interval '1 s'
                     WHERE lease_token IS NOT NULL";
        client.execute(ended, &[]).await.unwrap();
        prometheus.until_firing(&all[1..2], nothing).await;
        hold.release();
        prometheus.until_quiet(&all[..1], nothing).await;
        let branches = AtomicUsize::new(0);
        let failing = async || {
            let branch = format!("branch-{}", branches.fetch_add(1, Ordering::Relaxed));
            report(stack, &owners, "acme/nowhere", &branch).await;
        };
        prometheus.until_firing(&all[2..], failing).await;
        prometheus.until_quiet(&all, nothing).await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn of_a_host_without_graphql_or_with_secondary_limits_operators_hear() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        stack.expect_warnings(warnings::SLOWED_DOWN);
        stack.expect_warnings(&["a git host is in another state: slowed"]);
        let worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let all = ["HostWithoutGraphql", "HostSlowsDown"];
        prometheus.until_quiet(&all, nothing).await;
        let owners = owners(stack, 4).await;
        stack.github.set_graphql(false);
        report(stack, &owners, REPOSITORY, "first").await;
        prometheus.until_firing(&all[..1], nothing).await;
        for number in 0..owners.len() {
            stack.github.pause(&format!("user-{number}"), HALF_AN_HOUR);
        }
        report(stack, &owners, REPOSITORY, "second").await;
        prometheus.until_firing(&all[1..], nothing).await;
        until_ready(&worker.ops, true).await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn of_the_budgets_that_rest_operators_hear() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::LIMIT_SPENT);
        let worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let all = ["BudgetsPaused"];
        prometheus.until_quiet(&all, nothing).await;
        let owners = owners(stack, PAUSED).await;
        leave(stack, PAUSED, 0);
        report(stack, &owners, REPOSITORY, "feature").await;
        prometheus.until_firing(&all, nothing).await;
        for (owner, chat) in &owners {
            let paused = |status: &ChatDiffStatus| status.problem.is_some();
            stack.status_when(owner, chat, "it says why", paused).await;
        }
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn of_refs_that_wait_for_a_worker_and_then_come_late_operators_hear() {
    Stack::run(async |stack| {
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let all = ["RefsOverdue", "RefreshLate"];
        prometheus.until_quiet(&all, nothing).await;
        let owners = owners(stack, 1).await;
        report(stack, &owners, REPOSITORY, "feature").await;
        let (owner, chat) = &owners[0];
        let mut refresh = Request::new(RefreshChatRequest {
            chat_id: chat.id.clone(),
        });
        refresh.set_timeout(Duration::from_secs(1));
        let refreshed = stack.chats(owner).refresh_chat(refresh).await;
        assert!(refreshed.is_err(), "no worker is there: {refreshed:?}");
        stack.expect_warnings(&["call failed: no worker"]);
        let client = stack.database.client().await;
        pass(&client, 90.0).await;
        prometheus.until_firing(&all[..1], nothing).await;
        let worker = stack.worker().await;
        prometheus.until_firing(&all[1..], nothing).await;
        prometheus.until_quiet(&all, nothing).await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn of_outcomes_that_are_rejected_and_of_limits_that_are_spent_operators_hear() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        let all = ["OutcomesRejected", "RateLimitsSpent"];
        prometheus.until_quiet(&all, nothing).await;
        let ann = stack.linked_user("ann").await;
        let chat = stack.chat(&ann).await;
        let hold = stack.github.hold(Matching::graphql());
        stack.report(&ann, &chat, REPOSITORY, "feature").await;
        hold.waiting(1).await;
        // As another worker does when this one's lease is over by the database's clock.
        let client = stack.database.client().await;
        let looked_at = "UPDATE git_ref_polls SET looks = looks + 1";
        client.execute(looked_at, &[]).await.unwrap();
        stack.expect_warnings(&["chat-service cannot store outcomes"]);
        hold.release();
        prometheus.until_firing(&all[..1], nothing).await;
        prometheus.until_quiet(&all, nothing).await;

        let owners = owners(stack, NEARLY_SPENT).await;
        leave(stack, NEARLY_SPENT, 100);
        let next = AtomicUsize::new(0);
        let spending = async || {
            if let Some(owner) = owners.get(next.fetch_add(1, Ordering::Relaxed)) {
                report(stack, std::slice::from_ref(owner), REPOSITORY, "feature").await;
            }
        };
        prometheus.until_firing(&all[1..], spending).await;
        vec![worker]
    })
    .await;
}
