//! How many refs a request asks for: a little more while all is well, much less when it was too much.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::lease::BatchSizes;

use super::Settings;

/// An answer that takes longer is no sign that there is room for more.
pub const QUICK: Duration = Duration::from_secs(2);
/// An answer that takes longer asks for less: GitHub gives up after 10 s, and charges for it.
pub const SLOW: Duration = Duration::from_secs(5);
/// So many quick answers in a row let a batch grow.
pub const CLEAN_ANSWERS: u32 = 20;
/// For how long a size that was halved stays so.
pub const HOLD: Duration = Duration::from_secs(10 * 60);

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whether known pull requests changed.
    Probe,
    /// The whole status of known pull requests.
    Detail,
    /// The pull requests of branches.
    Discover,
}

/// The bounds of a kind, and its step.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: u32,
    most: u32,
    step: u32,
}

impl Range {
    fn bound(self, size: u32) -> u32 {
        size.clamp(self.least, self.most)
    }
}

impl Kind {
    /// GitHub takes a hundred ids. Of what is more than an id, others who went beyond 50 pull requests
    /// or 20 branches were refused.
    fn range(self) -> Range {
        let (least, most, step) = match self {
            Self::Probe => (25, 100, 5),
            Self::Detail => (5, 50, 5),
            Self::Discover => (1, 20, 2),
        };
        Range { least, most, step }
    }
}

/// The sizes for one host, shared by all leases of the process.
#[derive(Debug)]
pub struct Batches {
    probe: Mutex<Size>,
    detail: Mutex<Size>,
    discover: Mutex<Size>,
    /// Whether anything was learned, by this process or before it.
    learned: AtomicBool,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    now: u32,
    clean: u32,
    held_until: Option<Instant>,
}

impl Batches {
    /// Begins with what was set.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let sizes = begun_with(settings);
        let size = |kind: Kind, size: u32| {
            Mutex::new(Size {
                now: kind.range().bound(size),
                clean: 0,
                held_until: None,
            })
        };
        Self {
            probe: size(Kind::Probe, sizes.probe),
            detail: size(Kind::Detail, sizes.detail),
            discover: size(Kind::Discover, sizes.discover),
            learned: AtomicBool::new(false),
            settings: settings.clone(),
        }
    }

    /// Goes on from what was learned before this process, unless that knows more by now. A size of 0 is
    /// not known.
    pub fn resume(&self, before: BatchSizes) {
        if self.learned.swap(true, Ordering::Relaxed) {
            return;
        }
        for (kind, size) in [
            (Kind::Probe, before.probe),
            (Kind::Detail, before.detail),
            (Kind::Discover, before.discover),
        ] {
            if size > 0 {
                self.lock(kind).now = kind.range().bound(size);
            }
        }
    }

    /// How many to ask for.
    #[must_use]
    pub fn size(&self, kind: Kind) -> usize {
        usize::try_from(self.lock(kind).now).unwrap_or(1)
    }

    /// A request for so many was answered as a whole. One for fewer than it might have been says nothing of
    /// more.
    pub fn clean(&self, kind: Kind, asked: usize, took: Duration) {
        self.clean_at(kind, asked, took, Instant::now());
    }

    fn clean_at(&self, kind: Kind, asked: usize, took: Duration, now: Instant) {
        let range = kind.range();
        let mut size = self.lock(kind);
        if took > self.settings.slow_answer {
            size.now = range.bound(size.now - size.now / 4);
            size.clean = 0;
            self.learned.store(true, Ordering::Relaxed);
        } else if took <= self.settings.quick_answer
            && u32::try_from(asked).is_ok_and(|asked| asked >= size.now)
            && size.held_until.is_none_or(|until| now >= until)
        {
            size.clean += 1;
            if size.clean >= self.settings.clean_answers {
                size.now = range.bound(size.now + range.step);
                size.clean = 0;
                self.learned.store(true, Ordering::Relaxed);
            }
        }
    }

    /// A request was more than the host answers at once.
    pub fn too_heavy(&self, kind: Kind) {
        self.too_heavy_at(kind, Instant::now());
    }

    fn too_heavy_at(&self, kind: Kind, now: Instant) {
        let mut size = self.lock(kind);
        size.now = kind.range().bound(size.now / 2);
        size.clean = 0;
        size.held_until = Some(now + self.settings.batch_hold);
        self.learned.store(true, Ordering::Relaxed);
    }

    /// The sizes, if they are others than those that are `known`: that is what was set, where nothing was
    /// learned before.
    #[must_use]
    pub fn news(&self, known: Option<BatchSizes>) -> Option<BatchSizes> {
        let sizes = BatchSizes {
            probe: self.lock(Kind::Probe).now,
            detail: self.lock(Kind::Detail).now,
            discover: self.lock(Kind::Discover).now,
        };
        let known = known.unwrap_or_else(|| begun_with(&self.settings));
        (sizes != known).then_some(sizes)
    }

    fn lock(&self, kind: Kind) -> std::sync::MutexGuard<'_, Size> {
        let size = match kind {
            Kind::Probe => &self.probe,
            Kind::Detail => &self.detail,
            Kind::Discover => &self.discover,
        };
        size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was set, which is nothing learned.
fn begun_with(settings: &Settings) -> BatchSizes {
    BatchSizes {
        probe: settings.probe_batch,
        detail: settings.detail_batch,
        discover: settings.discover_batch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 100;

    fn batches() -> Batches {
        Batches::new(&Settings::default())
    }

    #[test]
    fn answers_for_fewer_than_might_have_been_asked_say_nothing_of_more() {
        let batches = batches();
        for _ in 0..10 * CLEAN_ANSWERS {
            batches.clean(Kind::Detail, 24, Duration::ZERO);
        }
        assert_eq!(batches.size(Kind::Detail), 25);
    }

    #[test]
    fn twenty_quick_answers_let_a_batch_grow_up_to_its_bound() {
        let batches = batches();
        for _ in 0..CLEAN_ANSWERS - 1 {
            batches.clean(Kind::Detail, FULL, Duration::from_millis(300));
        }
        assert_eq!(batches.size(Kind::Detail), 25);
        batches.clean(Kind::Detail, FULL, Duration::from_millis(300));
        assert_eq!(batches.size(Kind::Detail), 30);
        for _ in 0..1000 {
            batches.clean(Kind::Detail, FULL, Duration::from_millis(300));
            batches.clean(Kind::Discover, FULL, Duration::from_millis(300));
            batches.clean(Kind::Probe, FULL, Duration::from_millis(300));
        }
        assert_eq!(batches.size(Kind::Detail), 50);
        assert_eq!(batches.size(Kind::Discover), 20);
        assert_eq!(batches.size(Kind::Probe), 100);
    }

    #[test]
    fn too_much_halves_a_batch_for_ten_minutes_and_then_it_recovers() {
        let (batches, now) = (batches(), Instant::now());
        batches.too_heavy_at(Kind::Detail, now);
        assert_eq!(batches.size(Kind::Detail), 12);
        assert_eq!(batches.size(Kind::Discover), 10);
        for _ in 0..100 {
            batches.clean_at(Kind::Detail, FULL, Duration::ZERO, now + HOLD / 2);
        }
        assert_eq!(batches.size(Kind::Detail), 12);
        for _ in 0..CLEAN_ANSWERS {
            batches.clean_at(Kind::Detail, FULL, Duration::ZERO, now + HOLD);
        }
        assert_eq!(batches.size(Kind::Detail), 17);
        for _ in 0..10 {
            batches.too_heavy_at(Kind::Detail, now);
        }
        assert_eq!(batches.size(Kind::Detail), 5);
    }

    #[test]
    fn a_slow_answer_asks_for_a_quarter_less() {
        let batches = batches();
        batches.clean(Kind::Probe, FULL, SLOW + Duration::from_millis(1));
        assert_eq!(batches.size(Kind::Probe), 75);
    }

    #[test]
    fn only_what_was_learned_is_told_and_it_is_gone_on_from() {
        let first = batches();
        assert_eq!(first.news(None), None);
        first.too_heavy(Kind::Discover);
        let learned = first.news(None).unwrap();
        assert_eq!(learned.discover, 5);
        let second = batches();
        second.resume(learned);
        assert_eq!(second.size(Kind::Discover), 5);
        assert_eq!(second.news(Some(learned)), None);
    }

    #[test]
    fn sizes_that_are_back_where_they_began_are_told_too() {
        let smaller = BatchSizes {
            detail: 20,
            ..begun_with(&Settings::default())
        };
        let batches = batches();
        batches.resume(smaller);
        for _ in 0..CLEAN_ANSWERS {
            batches.clean(Kind::Detail, FULL, Duration::ZERO);
        }
        let told = batches.news(Some(smaller)).unwrap();
        assert_eq!(told, begun_with(&Settings::default()));
    }

    #[test]
    fn sizes_that_cannot_be_are_bounded_and_those_that_are_none_are_not_known() {
        let batches = batches();
        batches.resume(BatchSizes {
            probe: 0,
            detail: 9999,
            discover: 0,
        });
        let sizes = [Kind::Probe, Kind::Detail, Kind::Discover].map(|kind| batches.size(kind));
        assert_eq!(sizes, [100, 50, 10]);
    }

    #[test]
    fn what_this_process_learned_is_not_overridden() {
        let batches = batches();
        batches.too_heavy(Kind::Detail);
        batches.resume(BatchSizes {
            probe: 100,
            detail: 50,
            discover: 20,
        });
        assert_eq!(batches.size(Kind::Detail), 12);
    }
}
