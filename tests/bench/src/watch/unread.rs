//! What a tenant with very many watches, none of which it reads, does to others.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::{abuse::retitle, stack::Stack};
use proto::chat::v1::{
    WatchChatsRequest, WatchChatsResponse, chat_service_client::ChatServiceClient,
};
use testkit::{
    clients::{Authorized, Caller, Stalled},
    process::status_kib,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::Streaming;
use uuid::Uuid;

/// 500 chats of the owner $1 in the organization $2, with labels of 10 kB each.
const LARGE_CHATS: &str = "
INSERT INTO chats (id, owner_id, organization_id, title, status, labels)
SELECT gen_random_uuid(), $1, $2, 'x', 'running',
    (SELECT jsonb_object_agg('key' || i, repeat('v', 320)) FROM generate_series(1, 32) i)
FROM generate_series(1, 500) i
RETURNING id";

/// Administrators of the tenant's organization; each of them reads all its chats.
const USERS: usize = 200;
/// Watches of each, as many as one may have.
const WATCHES: usize = 20;
/// Users whose streams share a connection: a hundred streams.
const USERS_A_CONNECTION: usize = 5;
/// Changes a second of the tenant's chats.
const RATE: u32 = 100;
/// Between changes of the stranger's chat.
const STRANGERS_INTERVAL: Duration = Duration::from_millis(50);
/// How long the chats are changed.
const TIME: Duration = Duration::from_secs(20);

/// What it does.
#[derive(Debug)]
pub(super) struct Unread {
    /// The longest that an event of a stranger took, from the answer of the call that made it.
    pub(super) stranger_event: Duration,
    /// Most memory that chat-service ever had.
    pub(super) rss_mib: u64,
}

/// A `part`-th of the watches, of all of 4,000.
pub(super) async fn measure(part: usize) -> anyhow::Result<Unread> {
    let variables = [
        ("CHAT_LOG", "error,chat_service::server=info"),
        // One owner makes all changes of the tenant.
        ("CHAT_USER_CALLS", "10000"),
    ];
    let stack = Stack::start_with(&variables).await;
    let (owner, organization) = (Caller::user(), Uuid::now_v7());
    let client = stack.database.client().await;
    let parameters = (Uuid::parse_str(&owner.id())?, organization);
    let rows = client
        .query(LARGE_CHATS, &[&parameters.0, &parameters.1])
        .await?;
    let chats = rows.iter().map(|row| row.try_get::<_, Uuid>(0));
    let chats = chats.collect::<Result<Vec<_>, _>>()?;

    let mut unread = Vec::new();
    for _ in 0..USERS / USERS_A_CONNECTION / part {
        let connection = Stalled::connect(stack.grpc_url()).await;
        let mut streams = Vec::new();
        for _ in 0..USERS_A_CONNECTION {
            let user = Caller::user().member(organization, "admin");
            let token = stack.token(&user);
            for _ in 0..WATCHES {
                let request = WatchChatsRequest::default();
                let method = "chat.v1.ChatService/WatchChats";
                streams.push(connection.call(method, &token, &request).await?);
            }
        }
        unread.push((connection, streams));
    }
    let mut changing = JoinSet::new();
    changing.spawn(change(stack.chats(&owner), chats));
    let stranger_event = stranger(&stack).await?;
    if let Some(ended) = changing.try_join_next() {
        ended??;
    }
    let kib = status_kib(stack.chat_service.id(), "VmHWM:").context("chat-service is gone")?;
    drop(unread);
    Ok(Unread {
        stranger_event,
        rss_mib: kib / 1024,
    })
}

/// Changes the tenant's chats in turn, without an end.
async fn change(client: ChatServiceClient<Authorized>, chats: Vec<Uuid>) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let mut calls = JoinSet::new();
    for (number, chat) in chats.iter().cycle().enumerate() {
        ticks.tick().await;
        let mut client = client.clone();
        let request = retitle(&chat.to_string(), format!("title {number}"));
        calls.spawn(async move { client.update_chat(request).await.map(drop) });
        while let Some(changed) = calls.try_join_next() {
            changed??;
        }
    }
    Ok(())
}

/// The longest that an event takes of a user outside the tenant.
async fn stranger(stack: &Stack) -> anyhow::Result<Duration> {
    let stranger = Caller::user();
    let chat = stack.chat(&stranger).await.id;
    let mut client = stack.chats(&stranger);
    let watched = client.watch_chats(WatchChatsRequest::default()).await?;
    let mut stream = watched.into_inner();
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    let mut ticks = interval(STRANGERS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while begun.elapsed() < TIME {
        ticks.tick().await;
        number += 1;
        let title = format!("title {number}");
        let request = retitle(&chat, title.clone());
        client.update_chat(request).await?;
        let answered = Instant::now();
        until_titled(&mut stream, &title).await?;
        longest = longest.max(answered.elapsed());
    }
    Ok(longest)
}

async fn until_titled(
    stream: &mut Streaming<WatchChatsResponse>,
    title: &str,
) -> anyhow::Result<()> {
    loop {
        let message = stream.message().await?.context("the stream ended")?;
        if message.chat.is_some_and(|chat| chat.title == title) {
            return Ok(());
        }
    }
}
