use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use proto::chat::v1::WatchEventKind;
use testkit::wait::PATIENCE;
use tonic::{Code, Status};
use uuid::Uuid;

use super::*;
use crate::{
    accounts::DerivedKeys,
    authz::{Authorizer, Principal, User},
    chat::View,
    events::{
        revision::{Revisions, Rights},
        watch::{
            Since, Watchers,
            tests::{chat, interest, user},
        },
    },
    grpc::viewer::Viewer,
    id::UserId,
    sync::metrics::SyncMetrics,
};

/// A stream of one who watches, and what its revisions say.
struct Watched {
    stream: WatchStream,
    revisions: Revisions,
    closing: CancellationToken,
}

impl Watched {
    /// With a heartbeat every `period`.
    fn new(watchers: &Watchers, user: UserId, since: Since, period: Duration) -> Self {
        let readable = interest(user);
        let rights = Rights::of([&readable.readable], &[]);
        let (watch, _) = watchers.watch(readable, since).unwrap();
        let principal = Principal::User(User {
            id: user,
            organizations: [].into(),
            groups: BTreeSet::new(),
            site_roles: BTreeSet::new(),
            suspended: false,
        });
        let revisions = Revisions::new(&DerivedKeys {
            active: [1; 32],
            others: Vec::new(),
        });
        let closing = CancellationToken::new();
        let parts = StreamParts {
            watch,
            renderer: Renderer {
                viewer: Viewer::of(&Authorizer::new(), &principal),
                view: View::Full,
                revisions: revisions.clone(),
                rights,
            },
            revision: "as it was given".to_owned(),
            viewing: None,
            expires_at: Timestamp::now() + Duration::from_secs(60),
            closing: closing.clone(),
        };
        Self {
            stream: parts.stream_with(tokio::time::interval(period)),
            revisions,
            closing,
        }
    }

    async fn next(&mut self) -> Result<v1::WatchChatsResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next());
        next.await
            .expect("no message came")
            .expect("the stream ended")
    }

    /// The kind of the next message, and the position that its revision says.
    async fn heard(&mut self) -> (WatchEventKind, i64) {
        let message = self.next().await.unwrap();
        let revision = self.revisions.decode(&message.revision).unwrap().unwrap();
        (message.kind(), revision.point.position)
    }

    async fn begins(&mut self) {
        let first = self.next().await.unwrap();
        assert_eq!(first.kind(), WatchEventKind::Heartbeat);
        assert_eq!(first.revision, "as it was given");
    }
}

#[tokio::test]
async fn heartbeats_come_however_much_or_little_is_heard_and_say_what_was_heard() {
    let watchers = Watchers::idle();
    let (owner, stranger) = (user(), user());
    let period = Duration::from_millis(5);
    let mut watched = Watched::new(&watchers, owner, Since::Now, period);
    watched.begins().await;
    for _ in 0..3 {
        assert_eq!(watched.heard().await, (WatchEventKind::Heartbeat, 0));
    }
    watchers.change(&[&chat(stranger)]).await;
    let moved_on = async { while watched.heard().await != (WatchEventKind::Heartbeat, 1) {} };
    tokio::time::timeout(PATIENCE, moved_on).await.unwrap();
    // Enough waits that some of it is heard before, and some after the next heartbeat.
    let chats: Vec<_> = (0..500).map(|_| chat(owner)).collect();
    watchers.change(&chats.iter().collect::<Vec<_>>()).await;
    let (mut reached, mut beats) = (1, 0);
    while reached < 501 || beats == 0 {
        let (kind, position) = watched.heard().await;
        if kind == WatchEventKind::Heartbeat {
            beats += 1;
            assert_eq!(position, reached, "what was not heard yet is not passed");
        } else {
            assert_eq!(position, reached + 1);
            reached = position;
        }
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
}

#[tokio::test]
async fn heartbeats_are_in_time() {
    assert!(heartbeats().period() + Duration::from_secs(1) < HEARTBEAT_INTERVAL);
}

#[tokio::test]
async fn a_resync_is_sent_before_any_heartbeat() {
    let watchers = Watchers::idle();
    let period = Duration::from_millis(1);
    let mut watched = Watched::new(&watchers, user(), Since::Unknown, period);
    // The first heartbeat is due.
    watched.begins().await;
    assert_eq!(watched.heard().await, (WatchEventKind::Resync, 0));
    assert_eq!(watched.heard().await, (WatchEventKind::Heartbeat, 0));
}

#[tokio::test]
async fn a_connection_that_ends_ends_its_streams_however_much_waits() {
    let watchers = Watchers::idle();
    let owner = user();
    let mut watched = Watched::new(&watchers, owner, Since::Now, HEARTBEAT_INTERVAL);
    watched.begins().await;
    let chats: Vec<_> = (0..10).map(|_| chat(owner)).collect();
    watchers.change(&chats.iter().collect::<Vec<_>>()).await;
    watched.closing.cancel();
    let ended = watched.next().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert!(ended.message().contains("resume"), "{ended}");
    assert!(watched.stream.next().await.is_none());
}

#[tokio::test]
async fn a_watcher_is_recorded_as_viewing_repeatedly_whatever_it_receives() {
    assert_eq!(samples().period(), SAMPLE_INTERVAL);
    let (views, sampler) = Views::new(SyncMetrics::default());
    let mut viewing = Some(ViewRecorder {
        views,
        watcher: WatchingUser {
            user: UserId(Uuid::new_v4()),
            groups: Vec::new(),
            owner: None,
            chats: Vec::new(),
        },
        samples: tokio::time::interval(Duration::from_millis(5)),
    });
    let four_times = async {
        while sampler.waiting() < 4 {
            // Cancels the wait for the next tick, as each notice does.
            let notice = Duration::from_millis(1);
            let _ = tokio::time::timeout(notice, ViewRecorder::sample(&mut viewing)).await;
        }
    };
    tokio::time::timeout(PATIENCE, four_times).await.unwrap();
}
