use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{held::HeldChat, recent::ReadChats, *};
use crate::{
    authz::{Action, Authorizer, Level, Principal, Subject, User},
    chat::{Chat, ChatStatus},
    chat_filter::WatchFilter,
    id::{ChatId, UserId},
    store::{
        event::{ChangeEvent, ChangeKind},
        former::FormerChat,
    },
};

pub(crate) fn user() -> UserId {
    UserId(Uuid::now_v7())
}

/// The interest of `user` under the policies of this binary.
pub(crate) fn interest(user: UserId) -> Interest {
    let principal = Principal::User(User {
        id: user,
        organizations: BTreeMap::new(),
        groups: [].into(),
        site_roles: [].into(),
        suspended: false,
    });
    Interest {
        readable: Authorizer::new().chats(&principal, Action::ReadChat),
        filter: WatchFilter::default(),
    }
}

pub(crate) fn chat(owner: UserId) -> Chat {
    Chat {
        id: ChatId(Uuid::now_v7()),
        owner,
        organization: None,
        workspace: None,
        title: "a".to_owned(),
        status: ChatStatus::Waiting,
        labels: BTreeMap::new(),
        archived: false,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        diff_statuses: Vec::new(),
        shares: Vec::new(),
    }
}

/// The chat as it was, shared with `readers`.
fn former(chat: &Chat, readers: &[UserId]) -> FormerChat {
    let shares = readers.iter();
    let shares = shares.map(|id| json!({ "kind": "user", "id": id.0, "level": "reader" }));
    let former = json!({
        "owner_id": chat.owner.0, "organization_id": null, "workspace_id": null, "title": "a",
        "status": "waiting", "labels": {}, "archived": false,
        "shares": shares.collect::<Vec<_>>(),
    });
    FormerChat::read(former).unwrap()
}

fn event(position: i64, kind: ChangeKind, chat: ChatId) -> ChangeEvent {
    ChangeEvent {
        position,
        chat,
        kind,
        former: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

impl Watchers {
    /// None yet, and none has heard of a position above 0.
    pub(crate) fn idle() -> Self {
        Self::bounded(MAX_PENDING_BYTES)
    }

    /// For which `most_pending` bytes wait at most.
    fn bounded(most_pending: i64) -> Self {
        let begin = Point {
            generation: Uuid::now_v7(),
            position: 0,
        };
        let metrics = EventMetrics::default();
        Self(Arc::new(Inner::new(begin, metrics, most_pending)))
    }

    /// Offers a status change of each of `chats`, after all before.
    pub(crate) async fn change(&self, chats: &[&Chat]) {
        let Point {
            generation,
            position,
        } = lock(&self.0.state).begin;
        let events = (position + 1..).zip(chats);
        let events: Vec<_> = events
            .map(|(position, chat)| event(position, ChangeKind::StatusChanged, chat.id))
            .collect();
        let read = chats.iter().map(|chat| {
            let held = HeldChat::new((*chat).clone(), &self.0.metrics.pending);
            (chat.id, Some(Arc::new(held)))
        });
        let read: ReadChats = read.collect();
        self.0.offer(generation, &events, &read).await;
    }

    fn resyncs(&self, cause: ResyncCause) -> u64 {
        self.0.metrics.resyncs(cause)
    }
}

/// The pending notices, by position, as text.
pub(super) fn heard(watch: &mut Watch) -> Vec<(i64, &'static str, Option<ChatId>)> {
    let mut heard = Vec::new();
    while let Some(notice) = watch.next().now_or_never() {
        let (what, chat) = match notice.what {
            What::Changed(_, chat) => ("changed", Some(chat.id)),
            What::NotMatching(id) => ("not matching", Some(id)),
            What::AccessLost(id) => ("access lost", Some(id)),
            What::Deleted(id) => ("deleted", Some(id)),
            What::Resync => ("resync", None),
        };
        heard.push((notice.point.position, what, chat));
    }
    heard
}

fn position(watch: &mut Watch) -> Option<i64> {
    watch.reached().map(|point| point.position)
}

#[tokio::test]
async fn the_point_that_was_reached_is_never_ahead_of_what_was_taken() {
    let watchers = Watchers::idle();
    let (owner, stranger) = (user(), user());
    let (own, strange) = (chat(owner), chat(stranger));
    let (mut watch, begin) = watchers.watch(interest(owner), Since::Now).unwrap();
    assert_eq!(begin.position, 0);
    assert_eq!(position(&mut watch), Some(0));
    // What concerns others moves it on.
    watchers.change(&[&strange, &strange]).await;
    assert_eq!(position(&mut watch), Some(2));
    watchers.change(&[&own, &strange]).await;
    assert_eq!(position(&mut watch), Some(2), "one waits");
    assert_eq!(heard(&mut watch), [(3, "changed", Some(own.id))]);
    assert_eq!(position(&mut watch), Some(4));
    // Between the reader's passing an event and its offering it.
    let next = event(5, ChangeKind::Updated, own.id);
    let held = Arc::new(HeldChat::new(own.clone(), &watchers.0.metrics.pending));
    let candidates = watchers.0.pass(&next, Some(&held));
    assert_eq!(position(&mut watch), Some(4));
    for candidate in candidates {
        candidate.offer(begin.generation, &next, Some(&held), &watchers.0.metrics);
    }
    watchers.0.passed();
    assert_eq!(position(&mut watch), Some(4));
    assert_eq!(heard(&mut watch), [(5, "changed", Some(own.id))]);
    assert_eq!(position(&mut watch), Some(5));
}

#[tokio::test]
async fn a_watcher_that_is_to_list_has_reached_no_point_before_it_knows() {
    let watchers = Watchers::idle();
    let owner = user();
    watchers.change(&[&chat(owner)]).await;
    let elsewhere = Point {
        generation: Uuid::now_v7(),
        position: 1,
    };
    for (since, cause) in [
        (Since::Unknown, ResyncCause::Rights),
        (Since::Point(elsewhere), ResyncCause::Generation),
    ] {
        let (mut watch, _) = watchers.watch(interest(owner), since).unwrap();
        assert_eq!(position(&mut watch), None);
        assert_eq!(heard(&mut watch), [(1, "resync", None)]);
        assert_eq!(position(&mut watch), Some(1));
        assert_eq!(watchers.resyncs(cause), 1);
    }
}

#[tokio::test]
async fn another_generation_resyncs_all_and_is_reached_by_none_before() {
    let watchers = Watchers::idle();
    let owner = user();
    let (mut watch, begin) = watchers.watch(interest(owner), Since::Now).unwrap();
    watchers.change(&[&chat(owner)]).await;
    let other = Point {
        generation: Uuid::now_v7(),
        position: 0,
    };
    watchers.0.start_over(other, ResyncCause::Generation);
    assert_eq!(watch.reached(), Some(begin), "the resync waits");
    assert_eq!(heard(&mut watch), [(0, "resync", None)]);
    assert_eq!(watch.reached(), Some(other));
    let own = chat(owner);
    watchers.change(&[&own]).await;
    assert_eq!(heard(&mut watch), [(1, "changed", Some(own.id))]);
}

#[tokio::test]
async fn a_watcher_with_too_many_chats_waiting_lists_again_and_hears_what_follows() {
    let watchers = Watchers::idle();
    let owner = user();
    let (mut watch, _) = watchers.watch(interest(owner), Since::Now).unwrap();
    let chats: Vec<_> = (0..=pending::MAX_PENDING).map(|_| chat(owner)).collect();
    for chats in chats.chunks(100) {
        watchers.change(&chats.iter().collect::<Vec<_>>()).await;
    }
    let all = i64::try_from(chats.len()).unwrap();
    assert_eq!(heard(&mut watch), [(all, "resync", None)]);
    assert_eq!(watchers.resyncs(ResyncCause::Slow), 1);
    assert_eq!(watchers.0.metrics.pending.get(), 0);
    watchers.change(&[&chats[0]]).await;
    assert_eq!(heard(&mut watch), [(all + 1, "changed", Some(chats[0].id))]);
}

/// Promise 10, for what waits for watchers.
#[tokio::test]
async fn what_waits_is_bounded_over_all_and_those_with_the_most_list_again() {
    const MOST: i64 = 1024 * 1024;
    let watchers = Watchers::bounded(MOST);
    let (greedy, modest) = (user(), user());
    let watch = |user| watchers.watch(interest(user), Since::Now).unwrap().0;
    let mut unread: Vec<_> = (0..50).map(|_| watch(greedy)).collect();
    let mut other = watch(modest);
    let own = chat(modest);
    watchers.change(&[&own]).await;
    let chats: Vec<_> = (0..500).map(|_| chat(greedy)).collect();
    for chats in chats.chunks(10) {
        watchers.change(&chats.iter().collect::<Vec<_>>()).await;
        let waits = watchers.0.metrics.pending.get();
        assert!(waits <= MOST, "{waits} bytes wait");
    }
    assert_eq!(heard(&mut other), [(1, "changed", Some(own.id))]);
    let mut listing = 0;
    for watch in &mut unread {
        match heard(watch)[..] {
            [(_, "resync", None)] => listing += 1,
            ref all => assert_eq!(all.len(), chats.len()),
        }
    }
    assert!(listing >= 40, "{listing} list again");
    assert_eq!(watchers.resyncs(ResyncCause::Memory), listing);
    drop(unread);
    assert_eq!(watchers.0.metrics.pending.get(), 0);
    assert_eq!(watchers.0.metrics.watchers.get(), 1);
}

/// A large chat waits for many, and is in memory once.
#[tokio::test]
async fn a_chat_that_waits_for_many_is_counted_once() {
    let watchers = Watchers::idle();
    let owner = user();
    let watch = || watchers.watch(interest(owner), Since::Now).unwrap().0;
    let mut waiting: Vec<_> = (0..10).map(|_| watch()).collect();
    let mut large = chat(owner);
    large.title = "a".repeat(100_000);
    watchers.change(&[&large]).await;
    let waits = watchers.0.metrics.pending.get();
    assert!((100_000..110_000).contains(&waits), "{waits}");
    for watch in &mut waiting {
        assert_eq!(heard(watch).len(), 1);
    }
    assert_eq!(watchers.0.metrics.pending.get(), 0);
}

#[test]
fn a_watcher_hears_of_what_it_may_read_or_could_and_of_nothing_else() {
    let (owner, reader) = (user(), user());
    let metrics = EventMetrics::default();
    let plain = chat(owner);
    let mut shared = plain.clone();
    shared.shares = vec![(Subject::User(reader), Level::Reader)];
    let held = |chat: &Chat| Arc::new(HeldChat::new(chat.clone(), &metrics.pending));
    let (plain, shared) = (held(&plain), held(&shared));
    let before = Some(former(&plain, &[reader]));
    let without = Some(former(&plain, &[]));
    let (updated, deleted) = (ChangeKind::Updated, ChangeKind::Deleted);
    for (kind, former, now, expected) in [
        (updated, &None, Some(&shared), "changed"),
        (updated, &before, Some(&shared), "changed"),
        (updated, &None, Some(&plain), "nothing"),
        (updated, &without, Some(&plain), "nothing"),
        (updated, &before, Some(&plain), "access lost"),
        // It is gone since, by a later event.
        (updated, &before, None, "access lost"),
        (updated, &without, None, "nothing"),
        (updated, &None, None, "nothing"),
        (deleted, &before, None, "deleted"),
        (deleted, &without, None, "nothing"),
        (deleted, &None, None, "nothing"),
    ] {
        let event = ChangeEvent {
            former: former.clone(),
            ..event(1, kind, plain.id)
        };
        let hears = |interest: &Interest| match interest.hears(&event, now) {
            None => "nothing",
            Some(What::Changed(..)) => "changed",
            Some(What::NotMatching(_)) => "not matching",
            Some(What::AccessLost(_)) => "access lost",
            Some(What::Deleted(_)) => "deleted",
            Some(What::Resync) => "resync",
        };
        let of = interest(reader);
        assert_eq!(hears(&of), expected, "{kind:?}, {former:?}");
        let mut listed = of.clone();
        listed.filter.filter.archived = Some(true);
        let filtered = match expected {
            "changed" => "not matching",
            other => other,
        };
        assert_eq!(hears(&listed), filtered, "{kind:?}, {former:?}");
        let mut elsewhere = of.clone();
        elsewhere.filter.filter.owner = Some(reader);
        assert_eq!(hears(&elsewhere), "nothing", "of another owner");
        let mut elsewhere = of.clone();
        elsewhere.filter.chats = [ChatId(Uuid::now_v7())].into();
        assert_eq!(hears(&elsewhere), "nothing", "of another chat");
        let mut here = of;
        here.filter.chats = [plain.id].into();
        here.filter.filter.owner = Some(owner);
        assert_eq!(hears(&here), expected, "of this owner and chat");
    }
}
