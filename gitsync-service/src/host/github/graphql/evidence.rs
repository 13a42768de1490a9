//! Evidence, from the split requests of one round, of how much the host answers at once.
//!
//! A request that failed may have been too large, may hold one row that is too expensive, or the
//! host may be overloaded. It was too large only if both of its halves succeed.

use super::super::sizes::{FormerSize, QueryKind, Sizes};

/// A request that was split in two.
#[derive(Debug)]
struct Split {
    kind: QueryKind,
    rows: usize,
    answered_halves: u32,
}

/// The evidence of one round.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    sizes: &'a Sizes,
    splits: Vec<Split>,
    halved: Vec<FormerSize>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(sizes: &'a Sizes) -> Self {
        Self {
            sizes,
            splits: Vec::new(),
            halved: Vec::new(),
        }
    }

    /// The host says that a request for this many rows is too much.
    pub(super) fn too_heavy(&mut self, kind: QueryKind, rows: usize) {
        self.halved.push(self.sizes.halve(kind, rows));
    }

    /// Notes that a failed request is split. Returns the index by which its halves are reported.
    pub(super) fn split(&mut self, kind: QueryKind, rows: usize) -> usize {
        self.splits.push(Split {
            kind,
            rows,
            answered_halves: 0,
        });
        self.splits.len() - 1
    }

    /// A half of a split request was answered.
    pub(super) fn answered(&mut self, half_of: usize) {
        let Some(split) = self.splits.get_mut(half_of) else {
            return;
        };
        split.answered_halves += 1;
        if split.answered_halves == 2 {
            self.halved.push(self.sizes.halve(split.kind, split.rows));
        }
    }

    /// It was the host and not the sizes: gives back what this round took, the last first.
    pub(super) fn give_back(&mut self) {
        while let Some(halved) = self.halved.pop() {
            self.sizes.give_back(halved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_halved_when_both_halves_of_what_failed_are_answered() {
        let sizes = Sizes::default();
        let mut evidence = Evidence::new(&sizes);
        let whole = evidence.split(QueryKind::Detail, 25);
        evidence.answered(whole);
        assert_eq!(
            sizes.size(QueryKind::Detail),
            25,
            "one row may be too heavy"
        );
        let half = evidence.split(QueryKind::Detail, 12);
        evidence.answered(half);
        evidence.answered(half);
        assert_eq!(sizes.size(QueryKind::Detail), 6);
    }

    #[test]
    fn a_size_is_halved_at_once_when_the_host_says_that_it_is_too_much() {
        let sizes = Sizes::default();
        Evidence::new(&sizes).too_heavy(QueryKind::Discover, 10);
        assert_eq!(sizes.size(QueryKind::Discover), 5);
    }

    #[test]
    fn a_host_that_is_down_costs_no_size() {
        let sizes = Sizes::default();
        let mut evidence = Evidence::new(&sizes);
        evidence.too_heavy(QueryKind::Detail, 25);
        evidence.too_heavy(QueryKind::Detail, 12);
        evidence.give_back();
        assert_eq!(sizes.size(QueryKind::Detail), 25);
    }
}
