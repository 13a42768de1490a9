use std::{collections::HashMap, time::Duration};

use testkit::{
    postgres::{Client, Database},
    wait::PATIENCE,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{super::tests::heard, *};
use crate::{
    events::{
        metrics::EventMetrics,
        notifier::{Notifier, Topic},
        watch::{Interest, Since, Watch, Watchers, What, tests::interest},
    },
    id::{ChatId, UserId},
    store::{PoolOptions, event::ChangeKind},
};

/// Watchers of a database whose events a test places itself.
struct World {
    _database: Database,
    client: Client,
    store: Store,
    metrics: EventMetrics,
    watchers: Watchers,
    owner: UserId,
}

impl World {
    async fn new() -> Self {
        let database = testkit::postgres::database().await;
        let client = database.client().await;
        let store = Store::new(database.url(), &PoolOptions::default()).unwrap();
        let metrics = EventMetrics::default();
        let watchers = Watchers::new(&store, metrics.clone()).await.unwrap();
        let owner = UserId(Uuid::now_v7());
        Self {
            _database: database,
            client,
            store,
            metrics,
            watchers,
            owner,
        }
    }

    /// Chats of the owner, whose creation is no event.
    async fn chats(&self, count: usize) -> Vec<ChatId> {
        let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
        let sql = "INSERT INTO chats (id, owner_id, title, status)
            SELECT id, $2, 'a', 'waiting' FROM unnest($1::uuid[]) AS id";
        self.client
            .execute(sql, &[&ids, &self.owner.0])
            .await
            .unwrap();
        ids.into_iter().map(ChatId).collect()
    }

    /// Places a change of each of `chats`; returns the last position.
    async fn place(&self, chats: &[ChatId]) -> i64 {
        let ids: Vec<_> = chats.iter().map(|id| id.0).collect();
        let kind = ChangeKind::StatusChanged.name();
        let sql = "WITH relay AS (
                UPDATE change_relay SET position = position + cardinality($1::uuid[])
                RETURNING position - cardinality($1::uuid[]) AS before, position
            ), placed AS (
                INSERT INTO change_events (position, chat_id, kind)
                SELECT r.before + c.place, c.id, $2
                FROM relay r, unnest($1::uuid[]) WITH ORDINALITY AS c (id, place)
            )
            SELECT position FROM relay";
        let row = self.client.query_one(sql, &[&ids, &kind]).await.unwrap();
        row.try_get(0).unwrap()
    }

    async fn forget(&self, position: i64) {
        let sql = "WITH gone AS (DELETE FROM change_events WHERE position <= $1)
            UPDATE change_relay SET forgotten_position = $1";
        self.client.execute(sql, &[&position]).await.unwrap();
    }

    async fn follow(&self) {
        self.watchers.0.follow(&self.store).await.unwrap();
    }

    async fn catch_up(&self) {
        for lane in CatchUpLane::ALL {
            self.watchers.0.catch_up(&self.store, lane).await.unwrap();
        }
    }

    fn watch(&self, since: Since) -> (Watch, Point) {
        self.watchers.watch(self.interest(), since).unwrap()
    }

    fn interest(&self) -> Interest {
        interest(self.owner)
    }

    fn resume(&self, begin: Point, position: i64) -> Watch {
        let since = Since::Point(Point { position, ..begin });
        self.watch(since).0
    }
}

#[tokio::test]
async fn a_resumed_watcher_receives_all_changes_since_in_order_and_then_what_follows() {
    let world = World::new().await;
    let chats = world.chats(3).await;
    let (live, begin) = world.watch(Since::Now);
    world.place(&[chats[0], chats[1], chats[0], chats[2]]).await;
    world.follow().await;
    let mut resumed = world.resume(begin, 1);
    // It joined the live stream, and receives none of its notices before it has caught up.
    world.place(&[chats[0]]).await;
    world.follow().await;
    assert_eq!(heard(&mut resumed), []);
    assert_eq!(resumed.reached().map(|point| point.position), Some(1));
    world.catch_up().await;
    let expected = [(2, chats[1]), (4, chats[2]), (5, chats[0])];
    let expected = expected.map(|(position, chat)| (position, "changed", Some(chat)));
    assert_eq!(heard(&mut resumed), expected);
    world.place(&[chats[2]]).await;
    world.follow().await;
    assert_eq!(heard(&mut resumed), [(6, "changed", Some(chats[2]))]);
    drop(live);
}

#[tokio::test]
async fn a_thousand_that_resume_cost_one_read_of_each_chat_that_changed() {
    let world = World::new().await;
    let chats = world.chats(50).await;
    let (live, begin) = world.watch(Since::Now);
    world.place(&chats).await;
    world.follow().await;
    assert_eq!(world.metrics.chats_read.get(), 50);
    // This process had no watcher while these changed.
    drop(live);
    let changed = world.chats(50).await;
    let last = world.place(&changed).await;
    world.follow().await;
    assert_eq!(world.metrics.chats_read.get(), 50);
    for _ in 0..10 {
        let resumed = (0..100).map(|number| world.resume(begin, number % last));
        let mut resumed: Vec<_> = resumed.collect();
        world.catch_up().await;
        for (number, watch) in (0..).zip(&mut resumed) {
            let missed = usize::try_from(last - number % last).unwrap();
            assert_eq!(heard(watch).len(), missed);
        }
    }
    assert_eq!(world.metrics.chats_read.get(), 100);
    // What follows is read again.
    let watch = world.resume(begin, last);
    world.place(&chats[..1]).await;
    world.follow().await;
    assert_eq!(world.metrics.chats_read.get(), 101);
    drop(watch);
}

#[tokio::test]
async fn deleted_or_too_many_events_are_a_resync_and_known_ones_are_not() {
    let world = World::new().await;
    let chats = world.chats(1).await;
    let (_live, begin) = world.watch(Since::Now);
    let last = world.place(&[chats[0]; 5]).await;
    world.follow().await;
    world.forget(3).await;
    let (mut late, mut in_time) = (world.resume(begin, 2), world.resume(begin, 3));
    world.catch_up().await;
    assert_eq!(heard(&mut late), [(last, "resync", None)]);
    assert_eq!(heard(&mut in_time), [(last, "changed", Some(chats[0]))]);
    assert_eq!(world.metrics.resyncs(ResyncCause::TooOld), 1);
    let sql = "UPDATE change_relay SET position = position + $1";
    world.client.execute(sql, &[&MAX_BEHIND]).await.unwrap();
    let last = world.place(&[chats[0]]).await;
    world.follow().await;
    let mut far = world.resume(begin, last - MAX_BEHIND);
    let mut too_far = world.resume(begin, last - MAX_BEHIND - 1);
    world.catch_up().await;
    assert_eq!(heard(&mut far), [(last, "changed", Some(chats[0]))]);
    assert_eq!(heard(&mut too_far), [(last, "resync", None)]);
}

#[tokio::test]
async fn a_watcher_ahead_of_this_replica_goes_on_and_one_ahead_of_all_lists_again() {
    let world = World::new().await;
    let chats = world.chats(2).await;
    let (_live, begin) = world.watch(Since::Now);
    // Another replica has read this event, and this one has not.
    let first = world.place(&chats[..1]).await;
    let mut ahead = world.resume(begin, first);
    let mut beyond = world.resume(begin, first + 1);
    world.catch_up().await;
    assert_eq!(heard(&mut ahead), []);
    assert_eq!(heard(&mut beyond), [(0, "resync", None)]);
    assert_eq!(world.metrics.resyncs(ResyncCause::Ahead), 1);
    let second = world.place(&chats[1..]).await;
    world.follow().await;
    let next = (second, "changed", Some(chats[1]));
    assert_eq!(heard(&mut ahead), [next], "the first one is known");
    assert_eq!(
        heard(&mut beyond),
        [(first, "changed", Some(chats[0])), next]
    );
}

#[tokio::test]
async fn a_pass_that_fails_is_made_again_for_those_who_still_wait() {
    let world = World::new().await;
    let chats = world.chats(1).await;
    let (_live, begin) = world.watch(Since::Now);
    let last = world.place(&chats).await;
    world.follow().await;
    let (mut resumed, gone) = (world.resume(begin, 0), world.resume(begin, 0));
    world
        .client
        .batch_execute("ALTER TABLE change_events RENAME TO away")
        .await
        .unwrap();
    let inner = &world.watchers.0;
    assert!(
        inner
            .catch_up(&world.store, CatchUpLane::Near)
            .await
            .is_err()
    );
    drop(gone);
    assert_eq!(heard(&mut resumed), []);
    world
        .client
        .batch_execute("ALTER TABLE away RENAME TO change_events")
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(heard(&mut resumed), [(last, "changed", Some(chats[0]))]);
}

/// The chats that change, in the order of positions, from 1 on.
struct History {
    changes: Vec<ChatId>,
    /// Where each chat changes for the last time.
    last: HashMap<ChatId, i64>,
}

impl History {
    fn new(changes: Vec<ChatId>) -> Self {
        let last = changes.iter().copied().zip(1..).collect();
        Self { changes, last }
    }

    /// Checks that a watcher that resumes after `position` has received the last change of each
    /// chat up to that position; later changes follow.
    fn check(&self, heard: &HashMap<ChatId, i64>, position: i64) {
        for (chat, last) in self.last.iter().filter(|(_, last)| **last <= position) {
            let heard = heard.get(chat);
            assert_eq!(heard, Some(last), "of {chat} at {position}");
        }
    }

    /// Watches and resumes until it has heard of all; returns how often.
    async fn hear(&self, world: &World, begin: Point, mut random: u32) -> u32 {
        let mut heard = HashMap::new();
        let mut point = begin;
        let all = i64::try_from(self.changes.len()).unwrap();
        let mut resumed = 0;
        while point.position < all {
            let mut watch = world.resume(begin, point.position);
            resumed += 1;
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Some are cut while they catch up, the others when they have heard something.
            let cut_early = random >> 31 == 1;
            for step in 0..=random >> 29 {
                let patience = if cut_early || step > 0 {
                    Duration::from_millis(u64::from(random >> 27 & 3))
                } else {
                    PATIENCE
                };
                if let Ok(notice) = tokio::time::timeout(patience, watch.next()).await {
                    let What::Changed(_, chat) = &notice.what else {
                        panic!("{notice:?}")
                    };
                    heard.insert(chat.id, notice.point.position);
                    point = notice.point;
                } else {
                    point = watch.reached().unwrap();
                }
                self.check(&heard, point.position);
            }
        }
        resumed
    }
}

/// Promise 12, for watchers that are cut at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_is_cut_and_resumes_repeatedly_has_received_everything_up_to_there() {
    const CHANGES: usize = 2_000;
    const WATCHERS: u32 = 20;
    let world = World::new().await;
    let chats = world.chats(CHANGES / 10 + 10).await;
    let (_live, begin) = world.watch(Since::Now);
    // Each changes some times within a while, and then no more.
    let changes = (0..CHANGES).map(|number| chats[number / 10 + number * number / 7 % 10]);
    let history = Arc::new(History::new(changes.collect()));
    let world = Arc::new(world);
    let (notifier, stop) = (Notifier::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    {
        let (watchers, store) = (world.watchers.clone(), world.store.clone());
        let (notifier, stop) = (notifier.clone(), stop.clone());
        tasks.spawn(async move {
            watchers.run(store, notifier, stop).await;
            0
        });
    }
    for number in 0..WATCHERS {
        let (world, history) = (world.clone(), history.clone());
        tasks.spawn(async move { history.hear(&world, begin, number).await });
    }
    for changes in history.changes.chunks(7) {
        world.place(changes).await;
        notifier.notify(Topic::Placed);
    }
    let mut resumed = 0;
    for _ in 0..WATCHERS {
        resumed += tasks.join_next().await.unwrap().unwrap();
    }
    assert!(resumed > 10 * WATCHERS, "{resumed} times is little");
    stop.cancel();
    tasks.join_all().await;
}
