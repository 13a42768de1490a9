//! The rows that wait for their answers, and the next request that is made of them.

use std::collections::{HashMap, VecDeque};

use super::{Row, Sort};

/// As many repositories fit in one request, whatever is asked of them.
const MOST_ALIASES: usize = 20;

/// A row, and all questions of which it is the next step.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) row: Row<'a>,
    /// The questions' indices.
    pub(super) asks: Vec<usize>,
    /// How often it failed by itself.
    pub(super) alone: u32,
    /// The host gave up on a request with it.
    pub(super) lost: bool,
}

/// One request.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) sort: Sort,
    pub(super) rows: Vec<Asked<'a>>,
    /// Which request this is a half of, by its index among those that were split.
    pub(super) half_of: Option<usize>,
}

impl Batch<'_> {
    /// The most that it costs: a point for a hundred connections. A branch has its lists, and with
    /// their status the commits and reviews of what they hold.
    pub(super) fn cost(&self) -> i64 {
        const CONNECTIONS_OF_DETAIL: usize = 2;
        const CONNECTIONS_OF_BRANCH: usize = 10;
        const CONNECTIONS_OF_LISTS: usize = 4;
        let is_whole = |asked: &Asked<'_>| asked.row.branch().is_some_and(|row| row.whole);
        let connections = match self.sort {
            Sort::Probe => 0,
            Sort::Detail | Sort::Numbers => self.rows.len() * CONNECTIONS_OF_DETAIL,
            Sort::Discover if self.rows.iter().any(is_whole) => {
                self.rows.len() * CONNECTIONS_OF_BRANCH
            }
            Sort::Discover => self.rows.len() * CONNECTIONS_OF_LISTS,
        };
        i64::try_from(connections.div_ceil(100).max(1)).unwrap_or(i64::MAX)
    }
}

/// The rows that wait.
#[derive(Debug, Default)]
pub(super) struct Queue<'a> {
    waiting: VecDeque<(usize, Row<'a>)>,
    /// Halves of requests that were split.
    halves: VecDeque<Batch<'a>>,
}

impl<'a> Queue<'a> {
    /// Has a question's row asked, with others of its sort.
    pub(super) fn push(&mut self, ask: usize, row: Row<'a>) {
        self.waiting.push_back((ask, row));
    }

    pub(super) fn push_half(&mut self, half: Batch<'a>) {
        if !half.rows.is_empty() {
            self.halves.push_back(half);
        }
    }

    /// The next request: a half of an earlier one, or as many as fit of the sort that waits
    /// longest.
    pub(super) fn next(&mut self, size: impl FnOnce(Sort) -> usize) -> Option<Batch<'a>> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let sort = self.waiting.front()?.1.sort();
        let size = match sort {
            Sort::Probe | Sort::Detail => size(sort),
            Sort::Numbers | Sort::Discover => size(sort).min(MOST_ALIASES),
        };
        Some(Batch {
            sort,
            rows: self.collect(sort, size.max(1)),
            half_of: None,
        })
    }

    /// Takes as many rows of one sort as a request may have, equal ones together.
    fn collect(&mut self, sort: Sort, size: usize) -> Vec<Asked<'a>> {
        let mut places: HashMap<Row<'a>, usize> = HashMap::new();
        let mut rows: Vec<Asked<'a>> = Vec::new();
        let mut left = VecDeque::new();
        for (ask, row) in std::mem::take(&mut self.waiting) {
            if row.sort() != sort {
                left.push_back((ask, row));
            } else if let Some(same) = places.get(&row).and_then(|place| rows.get_mut(*place)) {
                same.asks.push(ask);
            } else if rows.len() < size {
                places.insert(row.clone(), rows.len());
                rows.push(Asked {
                    row,
                    asks: vec![ask],
                    alone: 0,
                    lost: false,
                });
            } else {
                left.push_back((ask, row));
            }
        }
        self.waiting = left;
        rows
    }

    /// Takes the waiting questions that `matches` says.
    pub(super) fn take_waiting(&mut self, matches: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut taken = Vec::new();
        self.waiting.retain(|(ask, _)| {
            let is_taken = matches(*ask);
            if is_taken {
                taken.push(*ask);
            }
            !is_taken
        });
        taken
    }

    /// Takes the rows of all halves.
    pub(super) fn take_halves(&mut self) -> Vec<Asked<'a>> {
        let halves = self.halves.drain(..);
        halves.flat_map(|batch| batch.rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use proto::sync::RepositoryPath;

    use super::*;

    fn number(number: i32) -> Row<'static> {
        Row::Number(RepositoryPath::parse("acme/web").unwrap(), number)
    }

    #[test]
    fn equal_rows_are_asked_once_and_each_sort_by_itself() {
        let mut queue = Queue::default();
        for (ask, row) in [
            number(1),
            Row::Detail("a"),
            number(2),
            Row::Detail("a"),
            number(1),
            Row::Probe("a"),
        ]
        .into_iter()
        .enumerate()
        {
            queue.push(ask, row);
        }
        let mut batches = Vec::new();
        while let Some(batch) = queue.next(|_| 100) {
            let asks: Vec<_> = batch.rows.into_iter().map(|row| row.asks).collect();
            batches.push((batch.sort, asks));
        }
        assert_eq!(
            batches,
            [
                (Sort::Numbers, vec![vec![0, 4], vec![2]]),
                (Sort::Detail, vec![vec![1, 3]]),
                (Sort::Probe, vec![vec![5]]),
            ]
        );
    }

    #[test]
    fn no_request_has_more_rows_than_its_size_or_than_twenty_repositories() {
        let mut queue = Queue::default();
        for (ask, index) in (0..50).enumerate() {
            queue.push(ask, number(index));
        }
        let sizes: Vec<_> = [100, 5, 100, 100]
            .into_iter()
            .map_while(|size| queue.next(|_| size))
            .map(|batch| batch.rows.len())
            .collect();
        assert_eq!(sizes, [20, 5, 20, 5]);
    }
}
