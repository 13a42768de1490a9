//! How long it takes from a report until watchers see the status.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::stack::{REPOSITORY, Stack};
use proto::chat::v1::{WatchChatsRequest, WatchChatsResponse};
use testkit::clients::Caller;
use tonic::Streaming;

/// Reports that are measured at each distance, each of another user: a key's burst is not the
/// matter here.
const REPORTS: usize = 20;

/// Half of the reports took no longer, and 95 of a hundred.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visible {
    pub(super) median: Duration,
    pub(super) p95: Duration,
}

/// Reports one branch after the other, of users whose accounts are known, with the host at
/// `latency`.
pub(super) async fn visible(latency: Duration) -> anyhow::Result<Visible> {
    let stack = Stack::start_with(&[("CHAT_LOG", "warn,chat_service::server=info")]).await;
    let quiet = ("GITSYNC_LOG", "warn,gitsync_service::server=info");
    let worker = stack.worker_with(&[quiet]).await;
    let mut users = Vec::new();
    for number in 0..REPORTS {
        let owner = stack.linked_user(&format!("user{number}")).await;
        let mut watch = stack
            .chats(&owner)
            .watch_chats(WatchChatsRequest::default())
            .await?
            .into_inner();
        // Whose the token is comes with the first.
        seen(&stack, &owner, &mut watch, &format!("first{number}")).await?;
        users.push((owner, watch));
    }
    stack.github.latency(latency);
    let mut took = Vec::new();
    for (number, (owner, watch)) in users.iter_mut().enumerate() {
        took.push(seen(&stack, owner, watch, &format!("second{number}")).await?);
    }
    took.sort_unstable();
    drop(worker);
    let at = |share: usize| took.get(REPORTS * share / 100).copied();
    Ok(Visible {
        median: at(50).context("no report")?,
        p95: at(95).context("no report")?,
    })
}

/// How long it takes from the report of a branch until the status is seen.
async fn seen(
    stack: &Stack,
    owner: &Caller,
    watch: &mut Streaming<WatchChatsResponse>,
    branch: &str,
) -> anyhow::Result<Duration> {
    stack.github.pull_request(REPOSITORY).head(branch).open();
    let chat = stack.chat(owner).await;
    let begun = Instant::now();
    stack.report(owner, &chat, REPOSITORY, branch).await;
    loop {
        let message = watch.message().await?.context("the stream ended")?;
        let status = message
            .chat
            .filter(|of| of.id == chat.id)
            .and_then(|chat| chat.diff_status);
        if status.is_some_and(|status| status.pull_request_state.is_some()) {
            return Ok(begun.elapsed());
        }
    }
}
