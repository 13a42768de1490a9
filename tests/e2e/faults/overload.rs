//! Callers ask for more than there is, and callers who may not ask at all do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::{
    load::{Judged, Scene, Setting, under_load},
    stack::Stack,
};
use proto::chat::v1::{GetChatRequest, GetChatsRequest, chat_service_client::ChatServiceClient};
use testkit::{
    clients::{self, Authorized, Caller, bearer, channel},
    postgres,
};
use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, Status};

use super::OUTAGE;

/// Calls a second that a user may make, and how many the loud one makes.
const ALLOWED: &str = "40";
const TWICE: Duration = Duration::from_micros(12_500);
/// Clients of a flood, each with a connection of its own, and their calls at once.
const CLIENTS: usize = 4;
const AT_ONCE: usize = 8;

/// Answers by code.
#[derive(Debug, Default)]
struct Counts {
    good: AtomicUsize,
    refused: AtomicUsize,
}

impl Counts {
    /// Notes an answer, which is a good one or a refusal with this code.
    fn note<T>(&self, answer: Result<T, Status>, code: Code) {
        match answer {
            Ok(_) => self.good.fetch_add(1, Ordering::SeqCst),
            Err(status) => {
                assert_eq!(status.code(), code, "{status:?}");
                self.refused.fetch_add(1, Ordering::SeqCst)
            }
        };
    }

    fn get(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.good), of(&self.refused))
    }
}

async fn list(mut client: ChatServiceClient<Authorized>) -> Result<(), Status> {
    let request = GetChatsRequest::default();
    client.get_chats(request).await.map(drop)
}

/// Runs what is in `tasks` for the time of a fault.
async fn for_a_while(mut tasks: JoinSet<()>) {
    tokio::select! {
        () = sleep(OUTAGE) => {}
        ended = tasks.join_next() => panic!("a caller ended: {ended:?}"),
    }
    tasks.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_asks_for_twice_what_is_allowed_gets_half_and_costs_no_other_a_call() {
    let setting = Setting {
        chat_service: &[("CHAT_USER_CALLS_PER_SECOND", ALLOWED)],
        ..Setting::default()
    };
    let database = postgres::database().await;
    let name = "twice the load that is allowed";
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        let (client, counts) = (scene.stack.chats(&Caller::user()), Arc::<Counts>::default());
        let mut tasks = JoinSet::new();
        let counting = counts.clone();
        tasks.spawn(async move {
            let mut calls = JoinSet::new();
            let mut pace = tokio::time::interval(TWICE);
            loop {
                pace.tick().await;
                let (client, counts) = (client.clone(), counting.clone());
                calls.spawn(async move {
                    counts.note(list(client).await, Code::ResourceExhausted);
                });
                while calls.try_join_next().is_some() {}
            }
        });
        for_a_while(tasks).await;
        let (good, refused) = counts.get();
        assert!(
            good > 0 && refused > good / 4,
            "{good} answered, {refused} refused"
        );
    })
    .await;
}

/// Calls `flood` with a client again and again, at once, and requires that all are refused with
/// `code`.
async fn flooded<F>(
    scene: &Scene<'_>,
    clients: Vec<ChatServiceClient<Authorized>>,
    code: Code,
    flood: impl Fn(ChatServiceClient<Authorized>) -> F + Copy + Send + Sync + 'static,
) where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let counts = Arc::<Counts>::default();
    let mut tasks = JoinSet::new();
    for client in clients {
        for _ in 0..AT_ONCE {
            let (client, counts) = (client.clone(), counts.clone());
            tasks.spawn(async move {
                loop {
                    counts.note(flood(client.clone()).await, code);
                }
            });
        }
    }
    for_a_while(tasks).await;
    let (good, refused) = counts.get();
    assert_eq!(good, 0, "a bad call was answered");
    assert!(refused > 100, "only {refused} calls were made");
    scene.load.steady().await;
}

fn bad_tokens(stack: &Stack) -> Vec<String> {
    // Of our own form, and signed by a key that is not trusted; too old; and no tokens at all.
    let foreign = Caller::user().token();
    let expired = stack.token(&Caller::user().expires_in(-3600));
    let mut tokens = vec![foreign, expired];
    tokens.push("e30.e30.e30".to_owned());
    tokens.push("x".repeat(4096));
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_tokens_fails_no_call_of_others() {
    let database = postgres::database().await;
    let (name, setting) = ("a flood of bad tokens", Setting::default());
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        let url = scene.stack.grpc_url();
        let tokens = bad_tokens(scene.stack);
        assert_eq!(tokens.len(), CLIENTS);
        let clients = tokens
            .iter()
            .map(|token| clients::chats(channel(url), bearer(token)));
        let clients = clients.collect();
        flooded(scene, clients, Code::Unauthenticated, list).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_requests_fails_no_call_of_others() {
    let database = postgres::database().await;
    let (name, setting) = ("a flood of bad requests", Setting::default());
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        let clients = (0..CLIENTS).map(|_| scene.stack.chats(&Caller::user()));
        let clients = clients.collect();
        flooded(
            scene,
            clients,
            Code::InvalidArgument,
            |mut client| async move {
                let page = GetChatsRequest {
                    page_token: "AAAA".repeat(1000),
                    ..GetChatsRequest::default()
                };
                client.get_chats(page).await.map(drop)
            },
        )
        .await;
        let bad = GetChatRequest {
            chat_id: "no id".to_owned(),
            ..GetChatRequest::default()
        };
        let refused = scene
            .stack
            .chats(&Caller::user())
            .get_chat(bad)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    })
    .await;
}
