//! Callers who watch, in groups of ten, and chats of which each is watched by one group.
//!
//! Of each two groups, one watches all that its user may read, which is that user's own chats. The
//! other one is of the same user, whose token names a group: a colleague shares chats with that,
//! and the watches are of the colleague's chats. So a caller has twenty watches, as many as one may
//! have.

use std::{ops::Range, sync::Arc};

use anyhow::Context as _;
use e2e::stack::Stack;
use proto::chat::v1::{
    CreateChatRequest, Subject, UpdateChatSharingRequest, WatchChatsRequest,
    chat_service_client::ChatServiceClient, subject,
};
use testkit::clients::{self, Authorized, Bearer, Caller, bearer, channel};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tonic::transport::Channel;
use uuid::Uuid;

use super::receipts::{Receipt, Receipts};

/// Watchers of each chat.
const GROUP: usize = 10;
/// Chats at least, so that changes of one chat seldom wait for each other.
const CHATS: usize = 200;
/// Connections of those who change chats.
const WRITERS: usize = 8;
/// Streams of each connection of those who watch.
const STREAMS: usize = 100;
/// Calls at once while chats are made and watches opened.
const AT_ONCE: usize = 50;

/// The service, its chats and their watchers.
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) chats: Vec<WatchedChat>,
    groups: Vec<Group>,
    watchers: usize,
}

/// A chat that its owner changes.
pub(super) struct WatchedChat {
    pub(super) id: String,
    pub(super) client: ChatServiceClient<Authorized>,
    /// The number of its last change, held while the next one is made.
    pub(super) changes: Arc<Mutex<u32>>,
}

/// Those who watch the same.
struct Group {
    bearer: Bearer,
    request: WatchChatsRequest,
}

/// A chat that is to be made by its owner, and the group that it is shared with.
#[derive(Clone)]
struct Wanted {
    client: ChatServiceClient<Authorized>,
    shared: Option<Uuid>,
}

impl World {
    /// The chats of `watchers` watchers, which do not watch yet; with more variables for
    /// chat-service.
    pub(super) async fn new(watchers: usize, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = [
            ("CHAT_LOG", "error,chat_service::server=info"),
            // A single owner may be the one who makes all changes.
            ("CHAT_USER_CALLS", "10000"),
        ];
        let variables = [&own[..], variables].concat();
        let stack = Stack::start_with(&variables).await;
        let writers: Vec<Channel> = (0..WRITERS).map(|_| channel(stack.grpc_url())).collect();
        let mut groups = Vec::new();
        let mut wanted = Vec::new();
        let mut user = Caller::user();
        for number in 0..watchers.div_ceil(GROUP) {
            let (owner, watcher, shared) = if number.is_multiple_of(2) {
                user = Caller::user();
                (user.clone(), user.clone(), None)
            } else {
                let group = Uuid::now_v7();
                (Caller::user(), user.clone().group(group), Some(group))
            };
            groups.push(Group {
                bearer: bearer(&stack.token(&watcher)),
                request: WatchChatsRequest {
                    owner_id: shared.map(|_| owner.id()),
                    ..WatchChatsRequest::default()
                },
            });
            let writer = writers.get(number % WRITERS).context("a writer")?.clone();
            let client = clients::chats(writer, bearer(&stack.token(&owner)));
            wanted.push(Wanted { client, shared });
        }
        let chats = create(wanted).await?;
        Ok(Self {
            stack,
            chats,
            groups,
            watchers,
        })
    }

    /// The watchers of a chat.
    pub(super) fn watchers_of(&self, chat: usize) -> Range<usize> {
        let group = chat % self.groups.len();
        group * GROUP..((group + 1) * GROUP).min(self.watchers)
    }

    /// A new client for a watcher, and what it watches.
    pub(super) fn watcher(
        &self,
        number: usize,
        channel: Channel,
    ) -> anyhow::Result<(ChatServiceClient<Authorized>, WatchChatsRequest)> {
        let group = self.groups.get(number / GROUP).context("a group")?;
        let client = clients::chats(channel, group.bearer.clone());
        Ok((client, group.request.clone()))
    }

    /// Starts all watches, [`STREAMS`] to a connection; returns when all streams have begun.
    pub(super) async fn watch(
        &self,
        receipts: &Receipts,
    ) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
        let mut tasks = JoinSet::new();
        let (begun, mut begins) = mpsc::channel(AT_ONCE);
        let mut connection = channel(self.stack.grpc_url());
        for number in 0..self.watchers {
            if number.is_multiple_of(STREAMS) {
                connection = channel(self.stack.grpc_url());
            }
            let (client, request) = self.watcher(number, connection.clone())?;
            let (receipts, begun) = (receipts.sender(), begun.clone());
            tasks.spawn(watch(number, client, request, receipts, begun));
            if number >= AT_ONCE {
                tokio::select! {
                    _ = begins.recv() => {}
                    Some(ended) = tasks.join_next() => ended??,
                }
            }
        }
        drop(begun);
        while begins.recv().await.is_some() {}
        if let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        Ok(tasks)
    }
}

async fn watch(
    number: usize,
    mut client: ChatServiceClient<Authorized>,
    request: WatchChatsRequest,
    receipts: mpsc::UnboundedSender<Receipt>,
    begun: mpsc::Sender<()>,
) -> anyhow::Result<()> {
    let mut stream = client.watch_chats(request).await?.into_inner();
    stream.message().await?.context("the stream ended")?;
    begun.send(()).await?;
    drop(begun);
    while let Some(message) = stream.message().await? {
        if let Some(receipt) = Receipt::of(number, &message) {
            receipts.send(receipt)?;
        }
    }
    anyhow::bail!("the stream ended")
}

/// Makes chats, one of each wanted kind in turn.
async fn create(wanted: Vec<Wanted>) -> anyhow::Result<Vec<WatchedChat>> {
    let count = CHATS.div_ceil(wanted.len()) * wanted.len();
    let mut calls = JoinSet::new();
    let mut chats = Vec::new();
    for (place, wanted) in wanted.iter().cycle().take(count).cloned().enumerate() {
        if calls.len() >= AT_ONCE {
            chats.push(calls.join_next().await.context("a call")???);
        }
        calls.spawn(async move { anyhow::Ok((place, create_one(wanted).await?)) });
    }
    while let Some(created) = calls.join_next().await {
        chats.push(created??);
    }
    chats.sort_unstable_by_key(|(place, _)| *place);
    Ok(chats.into_iter().map(|(_, chat)| chat).collect())
}

async fn create_one(wanted: Wanted) -> anyhow::Result<WatchedChat> {
    let Wanted { mut client, shared } = wanted;
    let created = client.create_chat(CreateChatRequest::default()).await?;
    let id = created.into_inner().chat.context("a chat")?.id;
    if let Some(group) = shared {
        let request = UpdateChatSharingRequest {
            chat_id: id.clone(),
            add_readers: vec![Subject {
                subject: Some(subject::Subject::GroupId(group.to_string())),
            }],
            ..UpdateChatSharingRequest::default()
        };
        client.update_chat_sharing(request).await?;
    }
    Ok(WatchedChat {
        id,
        client,
        changes: Arc::default(),
    })
}
