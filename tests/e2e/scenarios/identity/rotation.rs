//! Keys and tokens that are replaced while calls are made: none of them fails.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use e2e::stack::{REPOSITORY, Stack, Worker};
use proto::chat::v1::{Chat, GetChatsRequest, RefreshChatRequest, ReleaseLeaseRequest};
use proto::gitsync::v1::GetWorkerStateRequest;
use testkit::{
    clients::{self, Caller, KeyPair, bearer, channel},
    file::TempFile,
    http,
    jwks::Provider,
    lock::lock,
    wait,
};
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use super::{claims, set};

/// Callers at once.
const CALLERS: usize = 4;
/// Calls of all of them after each step.
const CALLS: usize = 200;

/// Callers who call without a pause, each with a token of the key that is used now.
struct Load {
    key: Arc<Mutex<Arc<KeyPair>>>,
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    fn start(stack: &Stack, worker: &Worker, key: &Arc<KeyPair>) -> Self {
        let mut load = Self {
            key: Arc::new(Mutex::new(Arc::clone(key))),
            answered: Arc::default(),
            over: Arc::default(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let public = channel(stack.grpc_url());
            let state = channel(&worker.grpc);
            let operator = claims(&Caller::user().site("admin"));
            let key = Arc::clone(&load.key);
            let (answered, over) = (Arc::clone(&load.answered), Arc::clone(&load.over));
            load.callers.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let key = Arc::clone(&lock(&key));
                    let bearer = bearer(&key.issue(&operator));
                    let mut chats = clients::chats(public.clone(), bearer.clone());
                    chats.get_chats(GetChatsRequest::default()).await.unwrap();
                    let mut worker = clients::worker(state.clone(), bearer);
                    let asked = worker.get_worker_state(GetWorkerStateRequest {}).await;
                    asked.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    fn sign_with(&self, key: &Arc<KeyPair>) {
        *lock(&self.key) = Arc::clone(key);
    }

    /// Waits for more calls, all of which must succeed.
    async fn goes_on(&mut self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait::until("calls are answered", || {
            let answered = self.answered.load(Ordering::Relaxed) - before;
            let ended = self.callers.try_join_next();
            async move {
                if let Some(ended) = ended {
                    ended.unwrap();
                }
                if answered >= CALLS {
                    Ok(())
                } else {
                    Err(answered)
                }
            }
        })
        .await;
    }

    async fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

/// Where both services have their keys from.
enum Published {
    File(TempFile),
    Url(Provider),
}

impl Published {
    fn name(&self) -> String {
        match self {
            Self::File(file) => file.name(),
            Self::Url(provider) => provider.url(),
        }
    }

    fn publish(&self, keys: &[&KeyPair]) {
        match self {
            Self::File(file) => file.replace(&set(keys)),
            Self::Url(provider) => provider.publish(keys),
        }
    }
}

/// Publishes a new key beside the old one, signs with it, and takes the old one away, twice.
async fn rotated_under_load(published: Published, mut key: Arc<KeyPair>) {
    published.publish(&[&key]);
    let name = published.name();
    let worker_token = TempFile::new(&KeyPair::generate().token(&Caller::gitsync()));
    Stack::run_with(&[("CHAT_JWT_KEYS", &name)], async |stack| {
        stack.expect_warnings(&[
            "a call to chat-service failed: chat-service does not accept this worker's token",
        ]);
        let worker = stack
            .worker_with(&[
                ("GITSYNC_JWT_KEYS", &name),
                // It does no work here.
                ("GITSYNC_TOKEN_FILE", &worker_token.name()),
            ])
            .await;
        let mut load = Load::start(stack, &worker, &key);
        load.goes_on().await;
        for _ in 0..2 {
            let old = std::mem::replace(&mut key, Arc::new(KeyPair::p256()));
            published.publish(&[&old, &key]);
            load.goes_on().await;
            load.sign_with(&key);
            load.goes_on().await;
            published.publish(&[&key]);
            let of_old = bearer(&old.issue(&claims(&Caller::user())));
            wait::until("the old key is refused", || async {
                // A provider is asked again in minutes, or for a key that is not known.
                let unknown = KeyPair::generate().issue(&claims(&Caller::user()));
                let mut chats = clients::chats(channel(stack.grpc_url()), bearer(&unknown));
                let _ = chats.get_chats(GetChatsRequest::default()).await;
                let mut chats = clients::chats(channel(stack.grpc_url()), of_old.clone());
                let answer = chats.get_chats(GetChatsRequest::default()).await;
                match answer.map_err(|status| status.code()) {
                    Err(Code::Unauthenticated) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
            load.goes_on().await;
        }
        load.end().await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn no_call_fails_while_keys_in_a_file_are_rotated() {
    let key = Arc::new(KeyPair::generate());
    let file = TempFile::new(&set(&[&key]));
    rotated_under_load(Published::File(file), key).await;
}

#[tokio::test]
async fn no_call_fails_while_keys_at_a_url_are_rotated() {
    let key = Arc::new(KeyPair::rsa());
    let provider = Provider::start(&[&key]).await;
    rotated_under_load(Published::Url(provider), key).await;
}

/// Gives back a lease that there is not.
fn nothing() -> ReleaseLeaseRequest {
    ReleaseLeaseRequest {
        lease_token: Uuid::now_v7().to_string(),
    }
}

/// Chats of owners that the worker refreshes again and again.
async fn refreshed(stack: &Stack, owners: &[(Caller, Chat)], rounds: usize) {
    for _ in 0..rounds {
        for (owner, chat) in owners {
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            stack.chats(owner).refresh_chat(request).await.unwrap();
        }
    }
}

/// The hardest order: the old token is not good any more when the new one appears.
#[tokio::test]
async fn no_call_of_a_worker_fails_while_its_token_and_the_key_of_it_are_replaced() {
    let file = TempFile::new(&set(&[&KeyPair::generate()]));
    let issue = |key: &KeyPair| key.issue(&claims(&Caller::gitsync()));
    let mut key = KeyPair::generate();
    file.replace(&set(&[&key]));
    let token = TempFile::new(&issue(&key));
    let name = file.name();
    // Users' tokens are of another issuer, whose key stays.
    Stack::run_with(&[("CHAT_SYNC_JWT_KEYS", &name)], async |stack| {
        let worker = stack
            .worker_with(&[("GITSYNC_TOKEN_FILE", &token.name())])
            .await;
        let mut owners = Vec::new();
        for number in 0..3 {
            let owner = stack.linked_user(&format!("user-{number}")).await;
            stack.github.repository(REPOSITORY).push("feature");
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, "feature").await;
            owners.push((owner, chat));
        }
        refreshed(stack, &owners, 2).await;
        for _ in 0..3 {
            let refreshing = refreshed(stack, &owners, 5);
            let rotating = async {
                let old = std::mem::replace(&mut key, KeyPair::generate());
                file.replace(&set(&[&old, &key]));
                token.replace(&issue(&key));
                file.replace(&set(&[&key]));
                // The service reads its file by itself within seconds; the worker its own.
                wait::until("the old token is refused", || async {
                    let mut sync = clients::sync(channel(stack.sync_url()), bearer(&issue(&old)));
                    match sync
                        .release_lease(nothing())
                        .await
                        .map_err(|status| status.code())
                    {
                        Err(Code::Unauthenticated) => Ok(()),
                        other => Err(format!("{other:?}")),
                    }
                })
                .await;
            };
            tokio::join!(refreshing, rotating);
            refreshed(stack, &owners, 2).await;
        }
        let operator = Caller::user().site("admin");
        let mut state = stack.worker_service(&worker, &operator);
        let state = state.get_worker_state(GetWorkerStateRequest {}).await;
        let state = state.unwrap().into_inner();
        assert!(state.outcomes_reported > 0, "{state:?}");
        assert_eq!(state.last_errors, []);
        vec![worker]
    })
    .await;
}

/// As a node replaces projected tokens: long before the end of the old one.
#[tokio::test]
async fn a_worker_takes_a_new_token_while_the_old_one_is_still_good() {
    let keys = [KeyPair::generate(), KeyPair::generate()];
    let file = TempFile::new(&set(&[&keys[0], &keys[1]]));
    let issue = |key: &KeyPair| key.issue(&claims(&Caller::gitsync()));
    let token = TempFile::new(&issue(&keys[0]));
    let name = file.name();
    Stack::run_with(&[("CHAT_SYNC_JWT_KEYS", &name)], async |stack| {
        stack.expect_warnings(&[
            "the token file cannot be read; keeping the last token: the file holds no bearer token",
        ]);
        let mut worker = stack
            .worker_with(&[("GITSYNC_TOKEN_FILE", &token.name())])
            .await;
        let owner = stack.linked_user("ann").await;
        stack.github.repository(REPOSITORY).push("feature");
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        let owners = [(owner, chat)];
        refreshed(stack, &owners, 1).await;
        // What is there for a moment is no token, and costs nothing.
        token.replace("");
        let says = |what: &'static str| {
            move |line: &serde_json::Value| {
                line["message"].as_str().is_some_and(|m| m.contains(what))
            }
        };
        let worker_log = &mut worker.process;
        worker_log
            .wait_for_log("warns once", says("keeping the last token"))
            .await;
        refreshed(stack, &owners, 1).await;
        token.replace(&issue(&keys[1]));
        worker_log
            .wait_for_log("has it", says("holds another token"))
            .await;
        file.replace(&set(&[&keys[1]]));
        wait::until("the old token is refused", || async {
            let mut sync = clients::sync(channel(stack.sync_url()), bearer(&issue(&keys[0])));
            match sync
                .release_lease(nothing())
                .await
                .map_err(|status| status.code())
            {
                Err(Code::Unauthenticated) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        refreshed(stack, &owners, 2).await;
        let metrics = http::get(&worker.ops, "/metrics").await;
        let mut lines = metrics.lines();
        let refused = lines.find(|line| {
            line.starts_with("rpc_client_call_duration_seconds_count")
                && line.contains("UNAUTHENTICATED")
        });
        assert_eq!(refused, None, "no call was made with the old one");
        let warnings = worker.process.log();
        let warnings = warnings
            .iter()
            .filter(|line| line["level"] == "WARN")
            .count();
        assert_eq!(warnings, 1, "{}", worker.process.tail(20));
        vec![worker]
    })
    .await;
}
