//! Whatever becomes of the relay, changes reach the watchers of the other replicas.

use std::time::Duration;

use e2e::{
    stack::{Replica, Stack},
    warnings,
};
use proto::chat::v1::{CreateChatRequest, WatchChatsRequest, WatchChatsResponse, WatchEventKind};
use testkit::{clients::Caller, http, postgres::PgBouncer, process::Signal, wait};
use tonic::Streaming;

/// A change reaches the watchers of other replicas within this, whatever is lost.
const PROMISED: Duration = Duration::from_secs(15);

async fn is_relay(replica: &Replica) -> bool {
    http::metric::<u64>(replica.ops_url(), "chat_relay").await == Some(1)
}

/// The relay, and the one that is not, once there is exactly one of two.
pub(crate) async fn relay_first([one, other]: [Replica; 2]) -> [Replica; 2] {
    let is_one = wait::until("one of two is the relay", || async {
        match (is_relay(&one).await, is_relay(&other).await) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            both => Err(both),
        }
    })
    .await;
    if is_one { [one, other] } else { [other, one] }
}

async fn watch(
    stack: &Stack,
    replica: &Replica,
    owner: &Caller,
    since: Option<String>,
) -> (Streaming<WatchChatsResponse>, WatchChatsResponse) {
    let request = WatchChatsRequest {
        since_revision: since,
        ..WatchChatsRequest::default()
    };
    let mut chats = stack.chats_at(replica, owner);
    let mut stream = chats.watch_chats(request).await.unwrap().into_inner();
    let first = any(&mut stream).await;
    assert_eq!(
        (first.kind(), &first.chat),
        (WatchEventKind::Heartbeat, &None)
    );
    (stream, first)
}

/// The next message that says anything, within what is promised.
async fn heard(stream: &mut Streaming<WatchChatsResponse>) -> WatchChatsResponse {
    loop {
        let message = any(stream).await;
        if message.kind() != WatchEventKind::Heartbeat {
            return message;
        }
    }
}

/// The next message, within what is promised.
async fn any(stream: &mut Streaming<WatchChatsResponse>) -> WatchChatsResponse {
    tokio::time::timeout(PROMISED, stream.message())
        .await
        .expect("no message came in time")
        .unwrap()
        .expect("the stream ended")
}

/// A change through `replica` reaches the watcher. A watcher at a replica that was cut off gets the
/// changes of that time first.
async fn hears_of_a_change(
    stack: &Stack,
    replica: &Replica,
    owner: &Caller,
    stream: &mut Streaming<WatchChatsResponse>,
) {
    let mut chats = stack.chats_at(replica, owner);
    let created = chats.create_chat(CreateChatRequest::default()).await;
    let chat = created.unwrap().into_inner().chat.unwrap();
    let hears = async {
        loop {
            let event = heard(stream).await;
            assert_eq!(event.kind(), WatchEventKind::Created, "no RESYNC");
            if event.chat.is_some_and(|heard| heard.id == chat.id) {
                return;
            }
        }
    };
    tokio::time::timeout(PROMISED, hears)
        .await
        .expect("the change did not come in time");
}

/// How the relay is lost.
#[derive(Clone, Copy)]
enum Fault {
    /// The network passes nothing on and closes nothing.
    Cut,
    /// The process stands still, and goes on later.
    Stop,
    /// The process is gone; another is started.
    Kill,
}

impl Fault {
    fn lose(self, relay: &Replica) {
        match self {
            Self::Cut => relay.database_proxy.stall(),
            Self::Stop => relay.process.signal(Signal::Stop).unwrap(),
            Self::Kill => relay.process.signal(Signal::Kill).unwrap(),
        }
    }

    async fn restore(self, mut lost: Replica, start: impl AsyncFn() -> Replica) -> Replica {
        match self {
            Self::Cut => lost.database_proxy.restore(),
            Self::Stop => lost.process.signal(Signal::Continue).unwrap(),
            Self::Kill => {
                lost.process.wait().await;
                return start().await;
            }
        }
        lost
    }
}

/// Loses the relay three times in a row. Replicas reach their database at `database`, a host and
/// port.
async fn whenever_the_relay_is_lost(
    stack: &Stack,
    faults: [Fault; 3],
    database: &str,
    variables: &[(&str, &str)],
) {
    // The stack's own is out of the way, and its place is free within the relay's time.
    stack.chat_service.signal(Signal::Stop).unwrap();
    let start = async || stack.replica_of(database.to_owned(), variables).await;
    let owner = Caller::user();
    let mut replicas = [start().await, start().await];
    for fault in faults {
        let [relay, other] = relay_first(replicas).await;
        let (mut stream, _) = watch(stack, &other, &owner, None).await;
        hears_of_a_change(stack, &other, &owner, &mut stream).await;
        fault.lose(&relay);
        hears_of_a_change(stack, &other, &owner, &mut stream).await;
        // The one that was lost finds out that it is not the relay any more.
        replicas = [fault.restore(relay, &start).await, other];
    }
    let [relay, other] = relay_first(replicas).await;
    let (mut stream, _) = watch(stack, &other, &owner, None).await;
    hears_of_a_change(stack, &relay, &owner, &mut stream).await;
    stack.chat_service.signal(Signal::Continue).unwrap();
    drop(stream);
    for replica in [relay, other] {
        replica.process.stop().await;
    }
}

async fn whenever_it_is_lost_so(fault: Fault) {
    Box::pin(Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let database = stack.database.address();
        whenever_the_relay_is_lost(stack, [fault; 3], &database, &[]).await;
        Vec::new()
    }))
    .await;
}

/// Promise 11, for a network that passes nothing on and closes nothing.
#[tokio::test]
async fn changes_reach_the_watchers_of_other_replicas_whenever_the_network_cuts_the_relay_off() {
    whenever_it_is_lost_so(Fault::Cut).await;
}

/// Promise 11, for a process that stands still and goes on later.
#[tokio::test]
async fn changes_reach_the_watchers_of_other_replicas_whenever_the_relay_is_stopped() {
    whenever_it_is_lost_so(Fault::Stop).await;
}

/// Promise 11, for a process that is gone.
#[tokio::test]
async fn changes_reach_the_watchers_of_other_replicas_whenever_the_relay_is_killed() {
    whenever_it_is_lost_so(Fault::Kill).await;
}

/// Promise 11, through `PgBouncer` in transaction mode: no session is the relay's.
#[tokio::test]
async fn changes_reach_the_watchers_of_other_replicas_whenever_a_relay_behind_a_pooler_is_lost() {
    Box::pin(Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let pooler = PgBouncer::start(&stack.database).await;
        // Settings of a session do not reach PostgreSQL behind a pooler.
        stack.database.take_documented_settings().await;
        let direct = ("CHAT_DATABASE_DIRECT_URL", stack.database.url());
        let faults = [Fault::Cut, Fault::Stop, Fault::Kill];
        let address = pooler.address().to_string();
        whenever_the_relay_is_lost(stack, faults, &address, &[direct]).await;
        Vec::new()
    }))
    .await;
}

/// A database that was restored from a snapshot looks as it did: only the operator knows.
#[tokio::test]
async fn a_new_generation_has_all_watchers_list_again() {
    Stack::run(async |stack| {
        let replica = stack.replica().await;
        let owner = Caller::user();
        let (mut stream, first) = watch(stack, &replica, &owner, None).await;
        let printed = stack.chat_service_command(&["new-generation"]);
        assert_eq!(printed, "all watchers will list again\n");
        let resync = heard(&mut stream).await;
        assert_eq!(resync.kind(), WatchEventKind::Resync);
        let (mut late, _) = watch(stack, &replica, &owner, Some(first.revision)).await;
        assert_eq!(heard(&mut late).await.kind(), WatchEventKind::Resync);
        hears_of_a_change(stack, &replica, &owner, &mut stream).await;
        drop((stream, late));
        replica.process.stop().await;
        Vec::new()
    })
    .await;
}
