//! The pending notices of one watcher: one for each chat, in the order of the chats' last changes.

use std::collections::BTreeMap;

use prometheus_client::metrics::gauge::Gauge;

use super::held::{ByteReservation, NOTICE_BYTES, Notice, What};
use crate::{id::ChatId, store::event::Point};

/// Pending notices of one watcher at most.
pub(super) const MAX_PENDING: usize = 1000;

/// The pending notices of one watcher, coalesced per chat.
#[derive(Debug)]
pub(super) struct NoticeQueue {
    /// The watcher needs nothing up to here.
    after: Point,
    /// Where the watcher joined the live stream, while it catches up with earlier events. Until it
    /// has, no notice is taken.
    catching_up_to: Option<Point>,
    /// The watcher missed something before `after`.
    resync: bool,
    /// By position, so that a watcher that resumes after the last one taken misses none.
    notices: BTreeMap<i64, (ChatId, Notice, ByteReservation)>,
    positions: BTreeMap<ChatId, i64>,
}

/// The outcome of adding a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddResult {
    /// The notice is pending.
    Waits,
    /// The notice is from before the watcher began, or the watcher lists again anyway.
    Needless,
    /// The watcher had too many pending notices, and lists again.
    TooMany,
}

impl NoticeQueue {
    /// The queue of a watcher that receives everything after `point`.
    pub(super) fn after(point: Point) -> Self {
        Self {
            after: point,
            catching_up_to: None,
            resync: false,
            notices: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Of a watcher that resumes after `point`, and joined the others at `joined`.
    pub(super) fn catching_up(point: Point, joined: Point) -> Self {
        Self {
            catching_up_to: Some(joined),
            ..Self::after(point)
        }
    }

    /// The queue of a watcher that lists, and then receives everything after `point`.
    pub(super) fn resync(point: Point) -> Self {
        Self {
            resync: true,
            ..Self::after(point)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.notices.len()
    }

    /// Whether the watcher has caught up and has taken all notices.
    pub(super) fn is_idle(&self) -> bool {
        self.catching_up_to.is_none() && !self.resync && self.notices.is_empty()
    }

    /// The point that it resumes after, while it catches up.
    pub(super) fn resumes_after(&self) -> Option<Point> {
        self.catching_up_to.map(|_| self.after)
    }

    /// Ends catching up: all events from before the watcher joined have been offered.
    pub(super) fn caught_up(&mut self) {
        self.catching_up_to = None;
    }

    /// Coalesces notices per chat: keeps the latest, under the greatest kind. Notices come in
    /// order, except while the watcher catches up.
    pub(super) fn add(&mut self, chat: ChatId, notice: Notice, memory: &Gauge) -> AddResult {
        let point = notice.point;
        if point.generation != self.after.generation || point.position <= self.after.position {
            return AddResult::Needless;
        }
        if self.resync {
            self.after = point;
            return AddResult::Needless;
        }
        let other = self.positions.get(&chat);
        let other = other.and_then(|position| self.notices.remove(position));
        let (notice, held) = match other {
            Some((_, other, held)) => (coalesced(other, notice), held),
            None => (notice, ByteReservation::new(memory, NOTICE_BYTES)),
        };
        let position = notice.point.position;
        self.positions.insert(chat, position);
        self.notices.insert(position, (chat, notice, held));
        if self.notices.len() <= MAX_PENDING {
            return AddResult::Waits;
        }
        self.start_over(point);
        AddResult::TooMany
    }

    /// Drops all notices and has the watcher list again. It then goes on at `point`, or at its own
    /// point if that is later.
    pub(super) fn start_over(&mut self, mut point: Point) {
        if point.generation == self.after.generation {
            let last = self.notices.last_key_value().map(|(position, _)| *position);
            let joined = self.catching_up_to.map(|joined| joined.position);
            let reached = last.max(joined);
            point.position = reached.map_or(point.position, |reached| reached.max(point.position));
        }
        *self = Self::resync(point);
    }

    /// The next notice, if there is one now.
    pub(super) fn take(&mut self) -> Option<Notice> {
        if self.resync {
            self.resync = false;
            return Some(Notice {
                point: self.after,
                at: None,
                what: What::Resync,
            });
        }
        if self.catching_up_to.is_some() {
            return None;
        }
        let (_, (chat, notice, _)) = self.notices.pop_first()?;
        self.positions.remove(&chat);
        Some(notice)
    }
}

/// The later one of two notices of a chat, under the greater kind.
fn coalesced(one: Notice, other: Notice) -> Notice {
    let (earlier, mut latest) = if one.point.position > other.point.position {
        (other, one)
    } else {
        (one, other)
    };
    if let (What::Changed(kind, _), What::Changed(earlier, _)) = (&mut latest.what, earlier.what) {
        *kind = (*kind).max(earlier);
    }
    latest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const START: Point = Point {
        generation: Uuid::nil(),
        position: 0,
    };

    fn chat(number: u128) -> ChatId {
        ChatId(Uuid::from_u128(number))
    }

    fn notice(position: i64, chat: ChatId) -> Notice {
        Notice {
            point: Point { position, ..START },
            at: Some(Timestamp::UNIX_EPOCH),
            what: What::NotMatching(chat),
        }
    }

    proptest! {
        /// Whatever comes and whenever it is taken, each chat that changed after the last notice
        /// that was taken still waits, at its last position.
        #[test]
        fn a_watcher_that_resumes_after_what_it_took_last_misses_nothing(
            missed in prop::collection::vec(0..5_u128, 0..20),
            follow in prop::collection::vec((0..5_u128, 0..3), 0..40),
        ) {
            let memory = Gauge::default();
            let joined = i64::try_from(missed.len()).unwrap();
            let joined = Point { position: joined, ..START };
            let mut pending = NoticeQueue::catching_up(START, joined);
            let mut changed = BTreeMap::new();
            let mut missed = (1..).zip(missed);
            let mut position = joined.position;
            let mut taken = 0;
            for (number, takes) in follow {
                position += 1;
                changed.insert(chat(number), position);
                pending.add(chat(number), notice(position, chat(number)), &memory);
                match missed.next() {
                    Some((position, number)) => {
                        let last = changed.entry(chat(number)).or_insert(position);
                        *last = position.max(*last);
                        pending.add(chat(number), notice(position, chat(number)), &memory);
                        prop_assert!(pending.take().is_none(), "it catches up");
                    }
                    None => pending.caught_up(),
                }
                for _ in 0..takes {
                    let Some(notice) = pending.take() else { break };
                    prop_assert!(notice.point.position > taken);
                    taken = notice.point.position;
                }
                let waits: Vec<_> = changed
                    .iter()
                    .filter(|(_, position)| **position > taken)
                    .map(|(chat, position)| (*position, *chat))
                    .collect();
                let mut there: Vec<_> = pending
                    .notices
                    .iter()
                    .map(|(position, (chat, ..))| (*position, *chat))
                    .collect();
                there.sort_by_key(|(_, chat)| *chat);
                prop_assert_eq!(there, waits);
                let bytes = i64::try_from(pending.len() * NOTICE_BYTES).unwrap();
                prop_assert_eq!(memory.get(), bytes);
            }
        }
    }

    #[test]
    fn a_watcher_that_lists_again_goes_on_where_it_has_got_to() {
        let memory = Gauge::default();
        let at = |position| Point { position, ..START };
        let mut pending = NoticeQueue::catching_up(at(10), at(20));
        pending.add(chat(1), notice(25, chat(1)), &memory);
        pending.start_over(at(15));
        assert_eq!(memory.get(), 0);
        let taken = pending.take().unwrap();
        assert!(matches!(taken.what, What::Resync));
        assert_eq!(taken.point, at(25));
        let late = pending.add(chat(2), notice(18, chat(2)), &memory);
        assert_eq!(late, AddResult::Needless, "the list has it");
        let next = pending.add(chat(2), notice(26, chat(2)), &memory);
        assert_eq!(next, AddResult::Waits);
    }

    #[test]
    fn a_notice_takes_no_more_memory_than_is_counted() {
        let entry =
            size_of::<(i64, (ChatId, Notice, ByteReservation))>() + size_of::<(ChatId, i64)>();
        // A node of a tree that is filled in order has six of its eleven places taken.
        assert!(entry * 11 / 6 <= NOTICE_BYTES, "{entry}");
    }
}
