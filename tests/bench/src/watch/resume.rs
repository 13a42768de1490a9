//! How long it takes until all clients have what they missed, when all were cut off at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::chat::v1::{WatchChatsRequest, WatchEventKind, chat_service_client::ChatServiceClient};
use testkit::{
    clients::{Authorized, channel},
    proxy::Proxy,
};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::JoinSet,
    time::sleep,
};
use tonic::Status;

use super::{
    changes,
    receipts::{Receipt, Receipts},
    world::World,
};

/// Clients, each with a connection of its own.
const CLIENTS: usize = 1_000;
/// Changes a second before and while they are cut off.
const RATE: u32 = 250;
/// How long they are cut off.
const CUT: Duration = Duration::from_secs(4);
/// Before a client connects again.
const PAUSE: Duration = Duration::from_millis(50);

/// What it took.
#[derive(Debug)]
pub(super) struct Resumed {
    /// From when the network was there again until the last client had all.
    pub(super) took: Duration,
    /// Changes that they missed.
    pub(super) changes: usize,
    /// Clients that had to list again.
    pub(super) resyncs: usize,
}

/// Cuts off all clients, a `part`-th of a thousand, and has them resume.
pub(super) async fn measure(part: usize) -> anyhow::Result<Resumed> {
    let clients = CLIENTS / part;
    let world = World::new(clients, &[("CHAT_MAX_CONNECTIONS", "3000")]).await?;
    let proxy = Proxy::start(world.stack.grpc_url().trim_start_matches("http://")).await;
    let url = format!("http://{}", proxy.address());
    let mut receipts = Receipts::default();
    let resyncs = Arc::new(AtomicUsize::new(0));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let (client, request) = world.watcher(number, channel(&url))?;
        let client = Client {
            number,
            client,
            request,
            receipts: receipts.sender(),
            begun: Some(begun.clone()),
            resyncs: Arc::clone(&resyncs),
        };
        tasks.spawn(client.follow());
    }
    for _ in 0..clients {
        begins.recv().await.context("a client")?;
    }
    let before = changes::make(&world, RATE, Duration::from_secs(1)).await?;
    receipts.wait_for(&world, &before).await?;
    proxy.cut();
    let missed = changes::make(&world, RATE, CUT).await?;
    proxy.restore();
    let restored = Instant::now();
    let last = receipts.wait_for(&world, &missed).await?;
    Ok(Resumed {
        took: last.saturating_duration_since(restored),
        changes: missed.len(),
        resyncs: resyncs.load(Ordering::Relaxed),
    })
}

struct Client {
    number: usize,
    client: ChatServiceClient<Authorized>,
    request: WatchChatsRequest,
    receipts: UnboundedSender<Receipt>,
    begun: Option<UnboundedSender<()>>,
    resyncs: Arc<AtomicUsize>,
}

impl Client {
    /// Watches, and resumes with the last message whenever the stream has ended.
    async fn follow(mut self) {
        loop {
            // However it ended.
            let _ended = self.stream().await;
            sleep(PAUSE).await;
        }
    }

    async fn stream(&mut self) -> Result<(), Status> {
        let opened = self.client.watch_chats(self.request.clone()).await?;
        let mut stream = opened.into_inner();
        while let Some(message) = stream.message().await? {
            if message.kind() == WatchEventKind::Resync {
                self.resyncs.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(receipt) = Receipt::of(self.number, &message) {
                // Fails only at the end.
                let _ = self.receipts.send(receipt);
            }
            self.request.since_revision = Some(message.revision);
            if let Some(begun) = self.begun.take() {
                let _ = begun.send(());
            }
        }
        Ok(())
    }
}
