//! A client that resumes has seen every final state, whatever was lost meanwhile.

use std::time::Duration;

use e2e::{
    follower::Follower,
    picture::list,
    stack::{Replica, Stack},
    warnings,
};
use prost_types::FieldMask;
use proto::chat::v1::{
    ChatStatus, CreateChatRequest, DeleteChatRequest, UpdateChatRequest, WatchChatsRequest,
};
use testkit::{
    clients::{Caller, facts},
    postgres::{self, Options, Server},
    process::Signal,
    proxy::Proxy,
    wait,
};
use tonic::Status;

use crate::relay::relay_first;

/// A change reaches every connected watcher within this.
const PROMISED: Duration = Duration::from_secs(15);
/// The same of a client whose network is silent: it first misses two heartbeats, of 10 s each.
const SILENT: Duration = Duration::from_secs(21 + 15);
/// Chats that change.
const CHATS: usize = 20;
/// How often each fault happens.
const ROUNDS: usize = 3;

/// The owner of some chats, who changes them and follows them.
struct Owner<'a> {
    stack: &'a Stack,
    caller: Caller,
    chats: Vec<String>,
    number: usize,
}

impl<'a> Owner<'a> {
    async fn new(stack: &'a Stack, url: &str) -> Self {
        let mut owner = Self {
            stack,
            caller: Caller::user(),
            chats: Vec::new(),
            number: 0,
        };
        for _ in 0..CHATS {
            owner.create(url).await;
        }
        owner
    }

    /// Follows all of them, at these addresses in turn.
    fn follow(&self, urls: &[&str]) -> Follower {
        let client = |url: &&str| self.stack.chats_through(url, &self.caller);
        Follower::start(
            urls.iter().map(client).collect(),
            WatchChatsRequest::default(),
        )
    }

    async fn create(&mut self, url: &str) {
        let mut client = self.stack.chats_through(url, &self.caller);
        let request = CreateChatRequest::default();
        let created = client.create_chat(request).await.unwrap().into_inner();
        self.chats.push(created.chat.unwrap().id);
    }

    /// Changes every chat, deletes one and makes one, through the replica at `url`.
    async fn change(&mut self, url: &str) {
        let mut client = self.stack.chats_through(url, &self.caller);
        for id in &self.chats {
            self.number += 1;
            let request = UpdateChatRequest {
                chat_id: id.clone(),
                title: Some(format!("title {}", self.number)),
                status: Some(ChatStatus::Running.into()),
                update_mask: Some(FieldMask {
                    paths: vec!["title".to_owned(), "status".to_owned()],
                }),
                ..UpdateChatRequest::default()
            };
            client.update_chat(request).await.unwrap();
        }
        let request = DeleteChatRequest {
            chat_id: self.chats.remove(0),
            etag: None,
        };
        client.delete_chat(request).await.unwrap();
        self.create(url).await;
    }

    /// Waits until the follower shows what a list at `url` does, and has never listed again.
    async fn sees_all(&self, follower: &Follower, url: &str, limit: Duration) {
        let mut client = self.stack.chats_through(url, &self.caller);
        let listed = list(&mut client, &WatchChatsRequest::default()).await;
        let listed = listed.unwrap();
        assert_eq!(listed.len(), CHATS);
        let what = "it shows every final state";
        let picture = follower
            .until(limit, what, |picture| {
                picture.listed && picture.shows(&listed)
            })
            .await;
        assert_eq!(picture.resyncs, 0);
    }
}

/// Stops replicas in order, so that a panic at their end fails the test.
async fn stop(replicas: impl IntoIterator<Item = Replica>) {
    for replica in replicas {
        replica.process.stop().await;
    }
}

#[tokio::test]
async fn a_change_through_one_replica_reaches_the_watchers_of_all() {
    Stack::run(async |stack| {
        let replicas = [stack.replica().await, stack.replica().await];
        let urls = [
            stack.grpc_url(),
            replicas[0].grpc_url(),
            replicas[1].grpc_url(),
        ];
        let mut owner = Owner::new(stack, urls[0]).await;
        let followers = urls.map(|url| owner.follow(&[url]));
        for url in urls {
            owner.change(url).await;
            for follower in &followers {
                owner.sees_all(follower, url, PROMISED).await;
            }
        }
        drop(followers);
        stop(replicas).await;
        Vec::new()
    })
    .await;
}

/// Promise 12, for a database that crashes and recovers.
#[tokio::test]
async fn who_resumes_has_seen_every_final_state_when_postgresql_was_killed() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let database = postgres::database_on(&server).await;
    Stack::run_on(database, &[], async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        let replica = stack.replica().await;
        let urls = [stack.grpc_url(), replica.grpc_url()];
        let mut owner = Owner::new(stack, urls[0]).await;
        let followers = urls.map(|url| owner.follow(&[url]));
        for round in 0..ROUNDS {
            owner.change(urls[round % 2]).await;
            server.crash().await.unwrap();
            server.resume().await.unwrap();
            for url in urls {
                until_it_answers(stack, &owner, url).await;
            }
            owner.change(urls[1 - round % 2]).await;
            for follower in &followers {
                owner.sees_all(follower, urls[0], PROMISED).await;
            }
        }
        drop(followers);
        stop([replica]).await;
        Vec::new()
    })
    .await;
    server.stop().await.unwrap();
}

async fn until_it_answers(stack: &Stack, owner: &Owner<'_>, url: &str) {
    wait::until("calls are answered again", || async {
        let mut client = stack.chats_through(url, &owner.caller);
        let listed = list(&mut client, &WatchChatsRequest::default()).await;
        listed.map_err(|status: Status| facts(&status))
    })
    .await;
}

/// Promise 12, for a replica that is killed while it streams.
#[tokio::test]
async fn who_resumes_has_seen_every_final_state_when_its_replica_was_killed() {
    Stack::run(async |stack| {
        let mut replicas = [stack.replica().await, stack.replica().await];
        let mut owner = Owner::new(stack, stack.grpc_url()).await;
        for _ in 0..ROUNDS {
            let [mut lost, other] = replicas;
            let url = other.grpc_url();
            let follower = owner.follow(&[lost.grpc_url(), url]);
            owner.sees_all(&follower, url, PROMISED).await;
            owner.change(url).await;
            lost.process.signal(Signal::Kill).unwrap();
            owner.change(url).await;
            owner.sees_all(&follower, url, PROMISED).await;
            lost.process.wait().await;
            replicas = [other, stack.replica().await];
        }
        stop(replicas).await;
        Vec::new()
    })
    .await;
}

/// Promise 12, for a network that closes connections while they stream.
#[tokio::test]
async fn who_resumes_has_seen_every_final_state_when_the_network_was_cut() {
    Stack::run(async |stack| {
        let direct = stack.grpc_url();
        let proxy = Proxy::start(authority(direct)).await;
        let mut owner = Owner::new(stack, direct).await;
        let follower = owner.follow(&[&url_of(&proxy)]);
        for _ in 0..ROUNDS {
            owner.sees_all(&follower, direct, PROMISED).await;
            owner.change(direct).await;
            proxy.cut();
            owner.change(direct).await;
            proxy.restore();
            owner.change(direct).await;
            owner.sees_all(&follower, direct, PROMISED).await;
        }
        Vec::new()
    })
    .await;
}

/// Promise 11, for the watchers of a replica of which nothing is heard any more: two heartbeats are
/// missed.
#[tokio::test]
async fn a_watcher_that_misses_two_heartbeats_receives_all_changes_at_another_replica() {
    Stack::run(async |stack| {
        let replica = stack.replica().await;
        let proxy = Proxy::start(authority(replica.grpc_url())).await;
        let direct = stack.grpc_url();
        let mut owner = Owner::new(stack, direct).await;
        let follower = owner.follow(&[&url_of(&proxy), direct]);
        owner.sees_all(&follower, direct, PROMISED).await;
        proxy.stall();
        owner.change(direct).await;
        owner.sees_all(&follower, direct, SILENT).await;
        drop((follower, proxy));
        stop([replica]).await;
        Vec::new()
    })
    .await;
}

/// Promise 12, for a relay that is killed: its watchers resume at another replica.
#[tokio::test]
async fn who_resumes_has_seen_every_final_state_when_the_relay_was_killed() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::DATABASE_AWAY);
        // The stack's own is out of the way, so that one of the others is the relay.
        stack.chat_service.signal(Signal::Stop).unwrap();
        let mut replicas = [stack.replica().await, stack.replica().await];
        let url = replicas[0].grpc_url().to_owned();
        let mut owner = Owner::new(stack, &url).await;
        for _ in 0..ROUNDS {
            let [mut relay, other] = relay_first(replicas).await;
            let followers = [
                owner.follow(&[relay.grpc_url(), other.grpc_url()]),
                owner.follow(&[other.grpc_url()]),
            ];
            for follower in &followers {
                owner.sees_all(follower, other.grpc_url(), PROMISED).await;
            }
            owner.change(relay.grpc_url()).await;
            relay.process.signal(Signal::Kill).unwrap();
            owner.change(other.grpc_url()).await;
            for follower in &followers {
                owner.sees_all(follower, other.grpc_url(), PROMISED).await;
            }
            relay.process.wait().await;
            replicas = [other, stack.replica().await];
        }
        stack.chat_service.signal(Signal::Continue).unwrap();
        stop(replicas).await;
        Vec::new()
    })
    .await;
}

/// Host and port, for a proxy to dial.
fn authority(url: &str) -> &str {
    url.trim_start_matches("http://")
}

fn url_of(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}
