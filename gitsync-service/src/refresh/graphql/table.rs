//! A group's questions, and the next request made of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    lease::{Lane, RepositoryPath},
    outcome::Problem,
    pace::{Batches, Kind},
    provider::batch::{BranchQuestion, NumberQuestion},
};

use super::{
    super::job::Party,
    pending::{Ask, Pending},
};

/// As many repositories fit in one request, whatever is asked of them.
const MOST_ALIASES: usize = 20;

/// What one request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Probe,
    /// Probes, and details beside them.
    Look,
    Detail,
    Numbers,
    Discover,
}

impl Sort {
    fn of(ask: &Ask<'_>) -> Self {
        match ask {
            Ask::Probe(_) => Self::Probe,
            Ask::Detail(_) => Self::Detail,
            Ask::Number(..) => Self::Numbers,
            Ask::Branch(_) => Self::Discover,
        }
    }

    /// What its size is learned as.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Probe => Kind::Probe,
            Self::Look | Self::Detail | Self::Numbers => Kind::Detail,
            Self::Discover => Kind::Discover,
        }
    }
}

/// One question to the host, and all whose question it is.
pub(super) struct Asked<'a> {
    pub(super) pending: Vec<Pending<'a>>,
}

/// One request.
pub(super) struct Batch<'a> {
    pub(super) sort: Sort,
    pub(super) asks: Vec<Asked<'a>>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Id(String),
    Number(RepositoryPath, i32),
    Branch(RepositoryPath, RepositoryPath, String, Option<String>),
}

impl Key {
    fn of(pending: &Pending<'_>) -> Self {
        let target = &pending.job.unit.target;
        match &pending.ask {
            Ask::Probe(id) | Ask::Detail(id) => Self::Id(id.as_ref().to_owned()),
            Ask::Number(repository, number) => Self::Number(repository.clone(), *number),
            Ask::Branch(at) => Self::Branch(
                at.clone(),
                pending.home().clone(),
                target.branch.clone(),
                pending.commit().map(str::to_owned),
            ),
        }
    }
}

impl<'a> Batch<'a> {
    /// The most urgent lane in it: the others ride along.
    pub(super) fn lane(&self) -> Lane {
        let all = self.asks.iter().flat_map(|ask| &ask.pending);
        all.map(Pending::lane).min().unwrap_or(Lane::Idle)
    }

    /// What it costs at most: for a hundred connections a point. A branch has its lists and the reviews
    /// of what they hold.
    pub(super) fn points(&self) -> i64 {
        const CONNECTIONS_OF_DETAIL: usize = 2;
        const CONNECTIONS_OF_BRANCH: usize = 13;
        let connections = match self.sort {
            Sort::Probe => 0,
            Sort::Look => self.ids_in_whole().len() * CONNECTIONS_OF_DETAIL,
            Sort::Detail | Sort::Numbers => self.asks.len() * CONNECTIONS_OF_DETAIL,
            Sort::Discover => self.asks.len() * CONNECTIONS_OF_BRANCH,
        };
        i64::try_from(connections.div_ceil(100).max(1)).unwrap_or(i64::MAX)
    }

    pub(super) fn start(&self) {
        for pending in self.asks.iter().flat_map(|ask| &ask.pending) {
            pending.start();
        }
    }

    pub(super) fn ids(&self) -> Vec<&str> {
        self.firsts()
            .filter_map(|pending| match &pending.ask {
                Ask::Probe(id) | Ask::Detail(id) => Some(id.as_ref()),
                Ask::Number(..) | Ask::Branch(_) => None,
            })
            .collect()
    }

    /// Of those that are asked whether they changed.
    pub(super) fn ids_to_probe(&self) -> Vec<&str> {
        self.firsts()
            .filter_map(|pending| match &pending.ask {
                Ask::Probe(id) => Some(id.as_ref()),
                Ask::Detail(_) | Ask::Number(..) | Ask::Branch(_) => None,
            })
            .collect()
    }

    /// Of those that are asked in whole.
    pub(super) fn ids_in_whole(&self) -> Vec<&str> {
        self.firsts()
            .filter_map(|pending| match &pending.ask {
                Ask::Detail(id) => Some(id.as_ref()),
                Ask::Probe(_) | Ask::Number(..) | Ask::Branch(_) => None,
            })
            .collect()
    }

    pub(super) fn numbers(&self) -> Vec<NumberQuestion<'_>> {
        self.firsts()
            .filter_map(|pending| match &pending.ask {
                Ask::Number(repository, number) => Some(NumberQuestion {
                    repository,
                    number: *number,
                }),
                Ask::Probe(_) | Ask::Detail(_) | Ask::Branch(_) => None,
            })
            .collect()
    }

    pub(super) fn branches(&self) -> Vec<BranchQuestion<'_>> {
        self.firsts()
            .filter_map(|pending| match &pending.ask {
                Ask::Branch(at) => Some(BranchQuestion {
                    at,
                    head: pending.home(),
                    branch: &pending.job.unit.target.branch,
                    commit: pending.commit(),
                }),
                Ask::Probe(_) | Ask::Detail(_) | Ask::Number(..) => None,
            })
            .collect()
    }

    fn firsts(&self) -> impl Iterator<Item = &Pending<'a>> {
        self.asks.iter().filter_map(|ask| ask.pending.first())
    }
}

/// A group's questions.
pub(super) struct Table<'a> {
    pub(super) party: &'a Party<'a>,
    pub(super) batches: Arc<Batches>,
    /// Requests in a row that the host gave up on.
    pub(super) lost: u32,
    /// Until when nothing is asked: the host gave up on a request.
    pub(super) spared_until: Option<Instant>,
    waiting: VecDeque<Pending<'a>>,
    /// Halves of what was too heavy.
    halves: VecDeque<Batch<'a>>,
    /// Repositories that nothing more is asked of.
    closed: HashMap<RepositoryPath, Problem>,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        party: &'a Party<'a>,
        waiting: VecDeque<Pending<'a>>,
        batches: Arc<Batches>,
    ) -> Self {
        Self {
            party,
            batches,
            lost: 0,
            spared_until: None,
            waiting,
            halves: VecDeque::new(),
            closed: HashMap::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.halves.is_empty()
    }

    /// How long nothing is asked yet.
    pub(super) fn spared_for(&self, now: Instant) -> Duration {
        let until = self.spared_until.unwrap_or(now);
        until.saturating_duration_since(now)
    }

    /// Has it asked, with others of its kind.
    pub(super) fn wait(&mut self, pending: Pending<'a>) {
        self.waiting.push_back(pending);
    }

    /// Has them asked again, in two halves.
    pub(super) fn halve(&mut self, sort: Sort, mut asks: Vec<Asked<'a>>) {
        if sort == Sort::Look {
            let is_probe = |ask: &Asked<'_>| {
                let first = ask.pending.first();
                first.is_some_and(|pending| matches!(pending.ask, Ask::Probe(_)))
            };
            let (probes, details): (Vec<_>, Vec<_>) = asks.into_iter().partition(is_probe);
            for (sort, asks) in [(Sort::Probe, probes), (Sort::Detail, details)] {
                if !asks.is_empty() {
                    self.halves.push_back(Batch { sort, asks });
                }
            }
            return;
        }
        let rest = asks.split_off(asks.len().div_ceil(2));
        for asks in [asks, rest] {
            if !asks.is_empty() {
                self.halves.push_back(Batch { sort, asks });
            }
        }
    }

    /// Asks nothing more of a repository.
    pub(super) fn close(&mut self, repository: RepositoryPath, problem: Problem) {
        self.closed.entry(repository).or_insert(problem);
    }

    /// Why nothing may be asked of the repository that this one asks.
    pub(super) fn problem_of(&self, pending: &Pending<'_>) -> Option<Problem> {
        if self.closed.is_empty() {
            return None;
        }
        self.closed.get(&pending.asked()?).copied()
    }

    /// Takes everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<Pending<'a>> {
        let halves = self.halves.drain(..).flat_map(|batch| batch.asks);
        let mut all: Vec<Pending<'a>> = halves.flat_map(|ask| ask.pending).collect();
        all.extend(self.waiting.drain(..));
        all
    }

    /// Takes those that ask a repository which is closed.
    pub(super) fn take_closed(&mut self) -> Vec<(Pending<'a>, Problem)> {
        let mut taken = Vec::new();
        for pending in std::mem::take(&mut self.waiting) {
            match self.problem_of(&pending) {
                Some(problem) => taken.push((pending, problem)),
                None => self.waiting.push_back(pending),
            }
        }
        taken
    }

    /// The next request: a half of an earlier one, or as many as fit of the kind that waits longest.
    pub(super) fn next_batch(&mut self) -> Option<Batch<'a>> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let sort = Sort::of(&self.waiting.front()?.ask);
        let mut asks = self.collect(sort);
        let beside = match sort {
            Sort::Probe => Sort::Detail,
            Sort::Detail => Sort::Probe,
            Sort::Look | Sort::Numbers | Sort::Discover => return Some(Batch { sort, asks }),
        };
        let mut others = match (sort, self.waits(Sort::Probe)) {
            (Sort::Detail, false) => Vec::new(),
            _ => self.collect(beside),
        };
        if others.is_empty() {
            return Some(Batch { sort, asks });
        }
        // First those that are asked whether they changed, as the answers come.
        if sort == Sort::Detail {
            std::mem::swap(&mut asks, &mut others);
        }
        asks.append(&mut others);
        Some(Batch {
            sort: Sort::Look,
            asks,
        })
    }

    fn waits(&self, sort: Sort) -> bool {
        self.waiting
            .iter()
            .any(|pending| Sort::of(&pending.ask) == sort)
    }

    /// Takes as many of one kind as a request may ask for, each question once.
    fn collect(&mut self, sort: Sort) -> Vec<Asked<'a>> {
        let size = self.party.refresh.batch_size(&self.batches, sort.kind());
        let size = match sort {
            Sort::Probe | Sort::Look | Sort::Detail => size,
            Sort::Numbers | Sort::Discover => size.min(MOST_ALIASES),
        }
        .max(1);
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut asks: Vec<Asked<'a>> = Vec::new();
        let mut left = VecDeque::new();
        for pending in std::mem::take(&mut self.waiting) {
            if Sort::of(&pending.ask) != sort {
                left.push_back(pending);
                continue;
            }
            let key = Key::of(&pending);
            if let Some(ask) = places.get(&key).and_then(|place| asks.get_mut(*place)) {
                ask.pending.push(pending);
            } else if asks.len() < size {
                places.insert(key, asks.len());
                asks.push(Asked {
                    pending: vec![pending],
                });
            } else {
                left.push_back(pending);
            }
        }
        self.waiting = left;
        asks
    }
}
