//! How many questions a GraphQL request asks: a few more while all is well, half as many when the
//! host says that it is too much, or when a request that failed is answered in two halves.
//!
//! A request that fails alone says nothing of its size: one row may be too expensive, or the host
//! may be down.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An answer that takes longer is no sign that there is room for more.
const QUICK: Duration = Duration::from_secs(2);
/// A slower response shrinks the next request: GitHub's timeout is 10 s, and timed-out queries are
/// charged.
const SLOW: Duration = Duration::from_secs(5);
/// A size grows after this many quick answers in a row.
const CLEAN_ANSWERS: u32 = 20;
/// For how long a size that was halved stays so.
pub(super) const HOLD: Duration = Duration::from_secs(10 * 60);

/// The kind of a request's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryKind {
    /// Whether known pull requests changed.
    Probe,
    /// The whole status of pull requests.
    Detail,
    /// The pull requests of branches.
    Discover,
}

/// The bounds of a kind, where it begins, and its step.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: u32,
    begin: u32,
    most: u32,
    step: u32,
}

impl QueryKind {
    /// The name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Detail => "detail",
            Self::Discover => "discover",
        }
    }

    /// GitHub accepts a hundred ids. For more than ids, requests beyond 50 pull requests or 20
    /// branches were refused; with whole statuses the limit was between 10 and 37, above which
    /// GitHub sometimes times out.
    fn range(self) -> Range {
        let (least, begin, most, step) = match self {
            Self::Probe => (25, 100, 100, 5),
            Self::Detail => (5, 25, 50, 5),
            Self::Discover => (1, 20, 20, 2),
        };
        Range {
            least,
            begin,
            most,
            step,
        }
    }

    fn bound(self, size: u32) -> u32 {
        let range = self.range();
        size.clamp(range.least, range.most)
    }
}

/// The sizes for one host, shared by all leases of the process.
#[derive(Debug)]
pub(super) struct Sizes {
    probe: Mutex<Size>,
    detail: Mutex<Size>,
    discover: Mutex<Size>,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    now: u32,
    clean: u32,
    held_until: Option<Instant>,
}

/// A size as it was before it was halved.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormerSize {
    kind: QueryKind,
    before: Size,
}

impl Default for Sizes {
    fn default() -> Self {
        let [probe, detail, discover] = [QueryKind::Probe, QueryKind::Detail, QueryKind::Discover]
            .map(|kind| {
                Mutex::new(Size {
                    now: kind.range().begin,
                    clean: 0,
                    held_until: None,
                })
            });
        Self {
            probe,
            detail,
            discover,
        }
    }
}

impl Sizes {
    /// How many to ask for.
    pub(super) fn size(&self, kind: QueryKind) -> usize {
        usize::try_from(self.lock(kind).now).unwrap_or(1)
    }

    /// A request for `asked` rows was answered as a whole. One with fewer rows than the size says
    /// nothing of more.
    pub(super) fn clean(&self, kind: QueryKind, asked: usize, took: Duration) {
        self.clean_at(kind, asked, took, Instant::now());
    }

    fn clean_at(&self, kind: QueryKind, asked: usize, took: Duration, now: Instant) {
        let mut size = self.lock(kind);
        if took > SLOW {
            size.now = kind.bound(size.now - size.now / 4);
            size.clean = 0;
        } else if took <= QUICK
            && u32::try_from(asked).is_ok_and(|asked| asked >= size.now)
            && size.held_until.is_none_or(|until| now >= until)
        {
            size.clean += 1;
            if size.clean >= CLEAN_ANSWERS {
                size.now = kind.bound(size.now + kind.range().step);
                size.clean = 0;
            }
        }
    }

    /// A request for `asked` rows was more than the host answers at once. A size that is below that
    /// already, since another lease learned the same, stays.
    pub(super) fn halve(&self, kind: QueryKind, asked: usize) -> FormerSize {
        self.halve_at(kind, asked, Instant::now())
    }

    fn halve_at(&self, kind: QueryKind, asked: usize, now: Instant) -> FormerSize {
        let half = u32::try_from(asked / 2).unwrap_or(u32::MAX);
        let mut size = self.lock(kind);
        let before = *size;
        *size = Size {
            now: kind.bound(half).min(before.now),
            clean: 0,
            held_until: Some(now + HOLD),
        };
        FormerSize { kind, before }
    }

    /// It was not the size: the host was down.
    pub(super) fn give_back(&self, halved: FormerSize) {
        let mut size = self.lock(halved.kind);
        size.now = size.now.max(halved.before.now);
        size.held_until = halved.before.held_until;
    }

    fn lock(&self, kind: QueryKind) -> MutexGuard<'_, Size> {
        let size = match kind {
            QueryKind::Probe => &self.probe,
            QueryKind::Detail => &self.detail,
            QueryKind::Discover => &self.discover,
        };
        size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 100;

    #[test]
    fn answers_for_fewer_than_might_have_been_asked_say_nothing_of_more() {
        let sizes = Sizes::default();
        for _ in 0..10 * CLEAN_ANSWERS {
            sizes.clean(QueryKind::Detail, 24, Duration::ZERO);
        }
        assert_eq!(sizes.size(QueryKind::Detail), 25);
    }

    #[test]
    fn twenty_quick_answers_let_a_size_grow_up_to_its_bound() {
        let sizes = Sizes::default();
        for (rounds, size) in [(CLEAN_ANSWERS - 1, 25), (1, 30), (10 * CLEAN_ANSWERS, 50)] {
            for _ in 0..rounds {
                sizes.clean(QueryKind::Detail, FULL, QUICK);
            }
            assert_eq!(sizes.size(QueryKind::Detail), size);
        }
    }

    #[test]
    fn a_slow_answer_costs_a_quarter_and_one_between_nothing() {
        let sizes = Sizes::default();
        sizes.clean(QueryKind::Discover, FULL, QUICK + Duration::from_secs(1));
        assert_eq!(sizes.size(QueryKind::Discover), 20);
        sizes.clean(QueryKind::Discover, FULL, SLOW + Duration::from_secs(1));
        assert_eq!(sizes.size(QueryKind::Discover), 15);
    }

    #[test]
    fn what_was_too_much_is_halved_once_however_many_leases_learn_it() {
        let sizes = Sizes::default();
        for _ in 0..3 {
            sizes.halve(QueryKind::Detail, 25);
            assert_eq!(sizes.size(QueryKind::Detail), 12);
        }
        sizes.halve(QueryKind::Detail, 2);
        assert_eq!(sizes.size(QueryKind::Detail), 5);
        assert_eq!(sizes.size(QueryKind::Discover), 20);
    }

    #[test]
    fn a_size_that_was_halved_stays_so_for_a_while() {
        let (sizes, now) = (Sizes::default(), Instant::now());
        sizes.halve_at(QueryKind::Detail, 25, now);
        for _ in 0..2 * CLEAN_ANSWERS {
            sizes.clean_at(QueryKind::Detail, FULL, QUICK, now + HOLD / 2);
        }
        assert_eq!(sizes.size(QueryKind::Detail), 12);
        for _ in 0..CLEAN_ANSWERS {
            sizes.clean_at(QueryKind::Detail, FULL, QUICK, now + HOLD);
        }
        assert_eq!(sizes.size(QueryKind::Detail), 17);
    }

    #[test]
    fn what_a_host_that_was_down_took_is_given_back() {
        let sizes = Sizes::default();
        let halved = sizes.halve(QueryKind::Detail, 25);
        sizes.give_back(halved);
        for _ in 0..CLEAN_ANSWERS {
            sizes.clean(QueryKind::Detail, FULL, QUICK);
        }
        assert_eq!(sizes.size(QueryKind::Detail), 30);
    }
}
