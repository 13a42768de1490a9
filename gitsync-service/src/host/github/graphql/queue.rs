//! The rows that wait for their answers, and the next request that is made of them.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{super::sizes::QueryKind, Row, Sort, only_sort};

/// As many repositories fit in one request, whatever is asked of them.
const MOST_ALIASES: usize = 20;
/// The parts of a request that its rows fill.
const FULL: usize = 10_000;

/// A row, and all questions of which it is the next step.
#[derive(Debug)]
pub(super) struct BatchEntry<'a> {
    pub(super) row: Row<'a>,
    /// The questions' indices.
    pub(super) asks: Vec<usize>,
    /// How often the row failed alone.
    pub(super) alone: u32,
    /// A request with this row failed at the host.
    pub(super) lost: bool,
    /// So it did on one without the checks.
    pub(super) light_in_vain: bool,
}

/// One request.
#[derive(Debug)]
pub(super) struct QueryBatch<'a> {
    pub(super) rows: Vec<BatchEntry<'a>>,
    /// Which request this is a half of, by its index among those that were split.
    pub(super) half_of: Option<usize>,
}

impl QueryBatch<'_> {
    /// The sort of all of its rows, if they have the same.
    pub(super) fn sort(&self) -> Option<Sort> {
        only_sort(self.rows.iter().map(|asked| &asked.row))
    }

    /// The name in metrics.
    pub(super) fn name(&self) -> &'static str {
        self.sort().map_or("mixed", |sort| sort.kind().name())
    }

    /// The kinds of its rows for batch sizes, and how many rows each has.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (QueryKind, usize)> {
        let count = |kind: QueryKind| {
            let rows = self.rows.iter();
            rows.filter(|asked| asked.row.sort().kind() == kind).count()
        };
        let kinds = [QueryKind::Probe, QueryKind::Detail, QueryKind::Discover]
            .map(|kind| (kind, count(kind)));
        kinds.into_iter().filter(|(_, rows)| *rows > 0)
    }

    /// The cost in points, one for a hundred connections, as GitHub rounds it. A status has the
    /// connections of its reviews, checks, threads and review requests; a branch has its lists, and
    /// those of each listed status.
    pub(super) fn cost(&self) -> i64 {
        const CONNECTIONS_OF_DETAIL: usize = 4;
        const CONNECTIONS_OF_BRANCH: usize = 16;
        const CONNECTIONS_OF_LISTS: usize = 4;
        let connections = self.rows.iter().map(|asked| match asked.row {
            Row::Probe(_) | Row::LightProbe(_) => 0,
            Row::Detail(_) | Row::Number(..) => CONNECTIONS_OF_DETAIL,
            Row::Branch(row) if row.whole => CONNECTIONS_OF_BRANCH,
            Row::Branch(_) => CONNECTIONS_OF_LISTS,
        });
        let points = ((connections.sum::<usize>() + 50) / 100).max(1);
        i64::try_from(points).unwrap_or(i64::MAX)
    }
}

/// The rows that wait.
#[derive(Debug, Default)]
pub(super) struct RowQueue<'a> {
    waiting: VecDeque<(usize, Row<'a>)>,
    /// Halves of requests that were split.
    halves: VecDeque<QueryBatch<'a>>,
}

impl<'a> RowQueue<'a> {
    /// Has a question's row asked, with others of its sort.
    pub(super) fn push(&mut self, ask: usize, row: Row<'a>) {
        self.waiting.push_back((ask, row));
    }

    pub(super) fn push_half(&mut self, half: QueryBatch<'a>) {
        if !half.rows.is_empty() {
            self.halves.push_back(half);
        }
    }

    /// Queues the rows of a request again, each sort alone.
    pub(super) fn push_sorts(&mut self, mut rows: Vec<BatchEntry<'a>>) {
        while let Some(sort) = rows.first().map(|asked| asked.row.sort()) {
            let (same, others) = rows.into_iter().partition(|asked| asked.row.sort() == sort);
            self.push_half(QueryBatch {
                rows: same,
                half_of: None,
            });
            rows = others;
        }
    }

    /// The next request: a half of an earlier one, or everything where that fits into one, or as
    /// many as fit of the sort that waits longest.
    pub(super) fn next(&mut self, size: impl Fn(Sort) -> usize) -> Option<QueryBatch<'a>> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let size = |sort| match sort {
            Sort::Probe | Sort::LightProbe | Sort::Detail => size(sort).max(1),
            Sort::Numbers | Sort::Discover => size(sort).clamp(1, MOST_ALIASES),
        };
        let sort = self.waiting.front()?.1.sort();
        let rows = if self.fit_together(size) {
            self.collect(|_| true, usize::MAX)
        } else {
            self.collect(|other| other == sort, size(sort))
        };
        Some(QueryBatch {
            rows,
            half_of: None,
        })
    }

    /// Whether all rows that wait are no more than one request: each fills a part of it, as many
    /// as there may be of its sort. That costs a point, like any of those requests.
    fn fit_together(&self, size: impl Fn(Sort) -> usize) -> bool {
        let rows: HashSet<&Row<'a>> = self.waiting.iter().map(|(_, row)| row).collect();
        let of = |sort: Sort| rows.iter().filter(|row| row.sort() == sort).count();
        // Ids are asked for one thing or the other.
        let lists = [Sort::Probe, Sort::LightProbe, Sort::Detail].map(of);
        let is_one_list = lists.iter().filter(|rows| **rows > 0).count() <= 1;
        // What is left out of a text is left out for all of its rows.
        let is_one_text = of(Sort::LightProbe) == 0 || of(Sort::LightProbe) == rows.len();
        let aliases = of(Sort::Numbers) + of(Sort::Discover);
        let filled = rows.iter().map(|row| FULL / size(row.sort()));
        is_one_list && is_one_text && aliases <= MOST_ALIASES && filled.sum::<usize>() <= FULL
    }

    /// Takes as many rows of some sorts as a request may have, equal ones together.
    fn collect(&mut self, takes: impl Fn(Sort) -> bool, size: usize) -> Vec<BatchEntry<'a>> {
        let mut places: HashMap<Row<'a>, usize> = HashMap::new();
        let mut rows: Vec<BatchEntry<'a>> = Vec::new();
        let mut left = VecDeque::new();
        for (ask, row) in std::mem::take(&mut self.waiting) {
            if !takes(row.sort()) {
                left.push_back((ask, row));
            } else if let Some(same) = places.get(&row).and_then(|place| rows.get_mut(*place)) {
                same.asks.push(ask);
            } else if rows.len() < size {
                places.insert(row.clone(), rows.len());
                rows.push(BatchEntry {
                    row,
                    asks: vec![ask],
                    alone: 0,
                    lost: false,
                    light_in_vain: false,
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
    pub(super) fn take_halves(&mut self) -> Vec<BatchEntry<'a>> {
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
    fn equal_rows_are_asked_once_and_all_in_one_request_where_they_fit() {
        let rows = [
            number(1),
            Row::Detail("a"),
            number(2),
            Row::Detail("a"),
            number(1),
        ];
        let batches = |rows: &[Row<'static>], size: usize| {
            let mut queue = RowQueue::default();
            for (ask, row) in rows.iter().enumerate() {
                queue.push(ask, row.clone());
            }
            let mut batches = Vec::new();
            while let Some(batch) = queue.next(|_| size) {
                let sort = batch.sort();
                let asks: Vec<_> = batch.rows.into_iter().map(|row| row.asks).collect();
                batches.push((sort, asks));
            }
            batches
        };
        let (one, two, detail) = (vec![0, 4], vec![2], vec![1, 3]);
        let all = vec![one.clone(), detail.clone(), two.clone()];
        assert_eq!(batches(&rows, 3), [(None, all)]);
        let apart = [
            (Some(Sort::Numbers), vec![one, two]),
            (Some(Sort::Detail), vec![detail]),
        ];
        assert_eq!(batches(&rows, 2), apart);
        // Of ids one thing is asked.
        let ids = [Row::Detail("a"), Row::Probe("b")];
        assert_eq!(batches(&ids, 100).len(), 2);
    }

    #[test]
    fn no_request_has_more_rows_than_its_size_or_than_twenty_repositories() {
        let mut queue = RowQueue::default();
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
