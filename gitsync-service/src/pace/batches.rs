//! How many refs a request asks for: a little more while all is well, much less when it was too much.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

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
        let size = |kind: Kind, size: u32| {
            Mutex::new(Size {
                now: kind.range().bound(size),
                clean: 0,
                held_until: None,
            })
        };
        Self {
            probe: size(Kind::Probe, settings.probe_batch),
            detail: size(Kind::Detail, settings.detail_batch),
            discover: size(Kind::Discover, settings.discover_batch),
            settings: settings.clone(),
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
        } else if took <= self.settings.quick_answer
            && u32::try_from(asked).is_ok_and(|asked| asked >= size.now)
            && size.held_until.is_none_or(|until| now >= until)
        {
            size.clean += 1;
            if size.clean >= self.settings.clean_answers {
                size.now = range.bound(size.now + range.step);
                size.clean = 0;
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
}
