//! Watchers hear once of what a pull request needs attention for, whatever restarts in between.

use std::time::{Duration, Instant};

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::chat::v1::{
    AttentionKind, Chat, ChatDiffStatus, CheckState, WatchChatsRequest, WatchChatsResponse,
    WatchEventKind,
};
use testkit::{clients::Caller, github::RunState, process::Signal, wait::PATIENCE};
use tonic::Streaming;

/// How often a worker looks here at what is active.
const ACTIVE: (&str, &str) = ("GITSYNC_DIFF_STATUS_TTL", "1s");
/// One interval with its jitter, the look, and the way to the watcher on a busy machine; without
/// the setting, the interval of what is viewed alone is longer.
const HEARD_WITHIN: Duration = Duration::from_secs(12);

/// What a watcher heard: the kinds of messages, and the last one's primary status.
struct Heard {
    kinds: Vec<WatchEventKind>,
    status: ChatDiffStatus,
    revision: String,
}

impl Heard {
    /// How often something was raised.
    fn raised(&self) -> usize {
        let raised = |kind: &&WatchEventKind| **kind == WatchEventKind::Attention;
        self.kinds.iter().filter(raised).count()
    }

    /// The id of the failed checks.
    fn id(&self) -> &str {
        id(&self.status)
    }
}

fn id(status: &ChatDiffStatus) -> &str {
    let mut all = status.attention.iter();
    let failed = all.find(|attention| attention.kind() == AttentionKind::ChecksFailed);
    &failed.expect("checks failed").id
}

fn has_failed(status: &ChatDiffStatus, checks: i32) -> bool {
    let failed = status.checks.as_ref();
    failed.is_some_and(|of| of.state() == CheckState::Failing && of.failed == checks)
}

/// A watch, whose first message has the revision.
async fn watch(
    stack: &Stack,
    owner: &Caller,
    since: Option<&str>,
) -> (String, Streaming<WatchChatsResponse>) {
    let request = WatchChatsRequest {
        since_revision: since.map(str::to_owned),
        ..WatchChatsRequest::default()
    };
    let stream = stack.chats(owner).watch_chats(request).await;
    let mut stream = stream.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    (first.revision, stream)
}

/// Listens until something is raised while the primary status is as `wanted` says. A message of an
/// earlier change may have a chat of a later one, and is not what is listened for.
async fn hear_raised(
    stream: &mut Streaming<WatchChatsResponse>,
    wanted: impl Fn(&ChatDiffStatus) -> bool,
) -> Heard {
    hear_when(stream, |kind, status| {
        kind == WatchEventKind::Attention && wanted(status)
    })
    .await
}

/// Listens until the primary status is as `wanted` says.
async fn hear(
    stream: &mut Streaming<WatchChatsResponse>,
    wanted: impl Fn(&ChatDiffStatus) -> bool,
) -> Heard {
    hear_when(stream, |_, status| wanted(status)).await
}

async fn hear_when(
    stream: &mut Streaming<WatchChatsResponse>,
    wanted: impl Fn(WatchEventKind, &ChatDiffStatus) -> bool,
) -> Heard {
    let mut kinds = Vec::new();
    let heard = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            let kind = message.kind();
            kinds.push(kind);
            if let Some(status) = message.chat.and_then(|chat| chat.diff_status)
                && wanted(kind, &status)
            {
                return (status, message.revision);
            }
        }
    };
    let (status, revision) = tokio::time::timeout(PATIENCE, heard)
        .await
        .expect("it is heard of");
    Heard {
        kinds,
        status,
        revision,
    }
}

/// A chat with an open pull request, one check of which has not ended.
async fn with_a_check(stack: &Stack, owner: &Caller) -> (Chat, u64, u64) {
    let number = stack.github.pull_request(REPOSITORY).head("feature").open();
    let run = queued(stack, number, "build");
    let chat = stack.chat(owner).await;
    stack.report(owner, &chat, REPOSITORY, "feature").await;
    (chat, number, run)
}

fn queued(stack: &Stack, number: u64, name: &str) -> u64 {
    let name = (Some("CI"), name);
    stack
        .github
        .check_run(REPOSITORY, number, name, RunState::Queued)
}

fn fail(stack: &Stack, number: u64, run: u64) {
    stack
        .github
        .end_check_run(REPOSITORY, number, run, "FAILURE");
}

async fn until_pending(stack: &Stack, owner: &Caller, chat: &Chat) {
    stack
        .status_when(owner, chat, "its check is seen", |status| {
            let checks = status.checks.as_ref();
            checks.is_some_and(|checks| checks.state() == CheckState::Pending)
        })
        .await;
}

#[tokio::test]
async fn a_check_that_fails_is_heard_of_once_within_an_active_interval_and_again_after_a_push() {
    Stack::run(async |stack| {
        let worker = stack.worker_with(&[ACTIVE]).await;
        let owner = stack.linked_user("ann").await;
        let (chat, number, run) = with_a_check(stack, &owner).await;
        until_pending(stack, &owner, &chat).await;
        let (_, mut stream) = watch(stack, &owner, None).await;

        let began = Instant::now();
        fail(stack, number, run);
        let first = hear_raised(&mut stream, |status| has_failed(status, 1)).await;
        assert!(began.elapsed() < HEARD_WITHIN, "{:?}", began.elapsed());
        assert_eq!(first.raised(), 1, "{:?}", first.kinds);
        let attention = &first.status.attention[0];
        assert_eq!(Some(&attention.head_sha), first.status.head_sha.as_ref());
        assert_eq!(attention.failed_checks[0].name, "build");
        assert!(attention.failed_checks[0].url.is_some() && attention.raised_at.is_some());

        let run = queued(stack, number, "test");
        fail(stack, number, run);
        let second = hear(&mut stream, |status| has_failed(status, 2)).await;
        assert_eq!(second.raised(), 0, "{:?}", second.kinds);
        assert_eq!(second.id(), first.id());

        let pushed = stack.github.repository(REPOSITORY).push("feature");
        let run = queued(stack, number, "build");
        fail(stack, number, run);
        let third = hear_raised(&mut stream, |status| {
            status.head_sha.as_ref() == Some(&pushed) && has_failed(status, 1)
        })
        .await;
        assert_eq!(third.raised(), 1, "{:?}", third.kinds);
        assert_ne!(third.id(), first.id());
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn what_was_raised_is_heard_of_once_with_one_id_when_all_was_killed_in_between() {
    // What a killed worker had leased is soon another's.
    Stack::run_with(&[("CHAT_LEASE_DURATION", "2s")], async |stack| {
        stack.expect_warnings(warnings::CHAT_SERVICE_AWAY);
        stack.expect_warnings(warnings::LEASE_LOST);
        let owner = stack.linked_user("ann").await;
        let worker = stack.worker_with(&[ACTIVE]).await;
        let (chat, number, run) = with_a_check(stack, &owner).await;
        until_pending(stack, &owner, &chat).await;
        let (before, stream) = watch(stack, &owner, None).await;
        drop(stream);

        worker.process.kill();
        fail(stack, number, run);
        kill_and_restart(stack).await;
        let worker = stack.worker_with(&[ACTIVE]).await;
        let listed = stack
            .status_when(&owner, &chat, "the failure is seen", |status| {
                has_failed(status, 1)
            })
            .await;
        worker.process.kill();
        kill_and_restart(stack).await;

        // A client that did not get to it hears of it again, as of the same.
        let mut after = String::new();
        for _ in 0..2 {
            let (_, mut stream) = watch(stack, &owner, Some(&before)).await;
            let heard = hear_raised(&mut stream, |status| has_failed(status, 1)).await;
            assert_eq!(heard.raised(), 1, "{:?}", heard.kinds);
            assert_eq!(heard.status.attention, listed.attention);
            after = heard.revision;
        }

        // What was raised is remembered by no process.
        let worker = stack.worker_with(&[ACTIVE]).await;
        let (_, mut stream) = watch(stack, &owner, Some(&after)).await;
        let run = queued(stack, number, "test");
        fail(stack, number, run);
        let heard = hear(&mut stream, |status| has_failed(status, 2)).await;
        assert_eq!(heard.raised(), 0, "{:?}", heard.kinds);
        assert_eq!(heard.id(), id(&listed));
        let pushed = stack.github.repository(REPOSITORY).push("feature");
        let run = queued(stack, number, "build");
        fail(stack, number, run);
        let heard = hear_raised(&mut stream, |status| {
            status.head_sha.as_ref() == Some(&pushed) && has_failed(status, 1)
        })
        .await;
        assert_eq!(heard.raised(), 1, "{:?}", heard.kinds);
        assert_ne!(heard.id(), id(&listed));
        vec![worker]
    })
    .await;
}

async fn kill_and_restart(stack: &mut Stack) {
    stack.chat_service.signal(Signal::Kill).unwrap();
    stack.chat_service.wait().await;
    stack.restart_chat_service().await;
}
