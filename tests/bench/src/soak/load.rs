//! The same calls again and again, in a world that does not grow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use e2e::{
    abuse::retitle,
    stack::{HOST, REPOSITORY, Stack},
};
use proto::chat::v1::{
    Chat, ChatView, GetChatsRequest, RefreshChatRequest, ReportGitRefRequest, WatchChatsRequest,
    chat_service_client::ChatServiceClient, report_git_ref_request::Target,
};
use testkit::clients::{Authorized, Caller};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// Users, chats of each, and branches of each chat.
const USERS: usize = 20;
const CHATS: usize = 5;
const BRANCHES: usize = 3;
/// Between two calls of a kind of each user.
const LIST_EVERY: Duration = Duration::from_secs(1);
const UPDATE_EVERY: Duration = Duration::from_secs(4);
const REPORT_EVERY: Duration = Duration::from_secs(4);
const REFRESH_EVERY: Duration = Duration::from_secs(20);
/// A watch goes on for so long, and is then resumed over another connection.
const WATCH_FOR: Duration = Duration::from_secs(20);
/// Of a hundred calls, as many may fail: a refresh may have to wait for longer than it can.
const MOST_FAILED_PERCENT: u64 = 1;

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    failed: AtomicU64,
}

/// The load; ended by [`Load::end`].
pub(super) struct Load {
    counts: Arc<Counts>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// One user, with chats.
struct User {
    caller: Caller,
    chats: Vec<Chat>,
}

impl Load {
    pub(super) async fn start(stack: &Stack) -> anyhow::Result<Self> {
        let mut load = Self {
            counts: Arc::default(),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        for number in 0..USERS {
            let caller = stack.linked_user(&format!("user{number}")).await;
            let mut chats = Vec::new();
            for chat in 0..CHATS {
                for branch in 0..BRANCHES {
                    let head = branch_name(number, chat, branch);
                    stack.github.pull_request(REPOSITORY).head(&head).open();
                }
                chats.push(stack.chat(&caller).await);
            }
            load.add(stack, number, &User { caller, chats });
        }
        Ok(load)
    }

    /// Calls so far, and those of them that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.counts.calls), of(&self.counts.failed))
    }

    /// Ends it; fails if more calls failed than may.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let (calls, failed) = self.counts();
        let fits = failed * 100 <= calls * MOST_FAILED_PERCENT;
        anyhow::ensure!(calls > 0 && fits, "{failed} of {calls} calls failed");
        Ok(())
    }

    fn add(&mut self, stack: &Stack, number: usize, user: &User) {
        let client = stack.chats(&user.caller);
        self.repeat(LIST_EVERY, client.clone(), |mut client, _| async move {
            let request = GetChatsRequest {
                view: ChatView::Full.into(),
                ..GetChatsRequest::default()
            };
            client.get_chats(request).await.map(drop)
        });
        let ids: Arc<[String]> = user.chats.iter().map(|chat| chat.id.clone()).collect();
        let chats = ids.clone();
        self.repeat(UPDATE_EVERY, client.clone(), move |mut client, turn| {
            let request = retitle(&chats[turn % CHATS], format!("title {turn}"));
            async move { client.update_chat(request).await.map(drop) }
        });
        let chats = ids.clone();
        self.repeat(REPORT_EVERY, client.clone(), move |mut client, turn| {
            let (chat, branch) = (turn % CHATS, turn / CHATS % BRANCHES);
            let request = ReportGitRefRequest {
                target: Some(Target::ChatId(chats[chat].clone())),
                git_remote_origin: format!("https://{HOST}/{REPOSITORY}.git"),
                git_branch: branch_name(number, chat, branch),
                commit: None,
            };
            async move { client.report_git_ref(request).await.map(drop) }
        });
        self.repeat(REFRESH_EVERY, client, move |mut client, turn| {
            let request = RefreshChatRequest {
                chat_id: ids[turn % CHATS].clone(),
            };
            async move {
                match client.refresh_chat(request).await {
                    // A chat without a ref yet.
                    Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
                    answer => answer.map(drop),
                }
            }
        });
        self.watch(stack, &user.caller);
    }

    /// Calls every `period`, with the number of the turn.
    fn repeat<F>(
        &mut self,
        period: Duration,
        client: ChatServiceClient<Authorized>,
        call: impl Fn(ChatServiceClient<Authorized>, usize) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), Status>> + Send,
    {
        let (counts, stop) = (self.counts.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut pace = interval(period);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for turn in 0.. {
                tokio::select! {
                    _ = pace.tick() => {}
                    () = stop.cancelled() => return,
                }
                let answer = call(client.clone(), turn).await;
                counts.note(&answer);
            }
        });
    }

    /// Watches, and resumes over a new connection now and then.
    fn watch(&mut self, stack: &Stack, caller: &Caller) {
        let url = stack.grpc_url().to_owned();
        let bearer = testkit::clients::bearer(&stack.token(caller));
        let (counts, stop) = (self.counts.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut since_revision = None;
            while !stop.is_cancelled() {
                let channel = testkit::clients::channel(&url);
                let client = testkit::clients::chats(channel, bearer.clone());
                let watching = watch(client, &mut since_revision);
                tokio::select! {
                    ended = timeout(WATCH_FOR, watching) => {
                        counts.note(&ended.unwrap_or(Ok(())));
                    }
                    () = stop.cancelled() => return,
                }
            }
        });
    }
}

async fn watch(
    mut client: ChatServiceClient<Authorized>,
    since_revision: &mut Option<String>,
) -> Result<(), Status> {
    let request = WatchChatsRequest {
        since_revision: since_revision.clone(),
        ..WatchChatsRequest::default()
    };
    let mut stream = client.watch_chats(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        *since_revision = Some(message.revision);
    }
    Ok(())
}

impl Counts {
    fn note(&self, answer: &Result<(), Status>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if answer.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn branch_name(user: usize, chat: usize, branch: usize) -> String {
    format!("branch-{user}-{chat}-{branch}")
}
