//! Many refs in one request, one request after the other.
//!
//! Groups take turns. A request asks one kind of question, of as many refs as the host is known to bear
//! of that kind. What it answers is answered; what is left is asked again in two halves, down to the
//! one that is too heavy by itself. What GraphQL cannot answer, or may not be asked, goes to REST, if
//! somebody might be looking at it.

mod handover;
mod pending;
mod table;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use crate::{
    outcome::{Interface, Problem, Scope},
    pace::{self, Batches, Burst, Kind},
    provider::{
        Finding,
        batch::{Part, Queried},
    },
};

use super::{
    Refresh,
    job::{Job, Party},
};

use handover::{asks_only_for_change, fail_all};
use pending::{Pending, Step};
use table::{Asked, Batch, Sort, Table};

/// With more refs due than this, it pays to ask first which of them changed; with fewer, where it takes
/// long to say what they are.
const PROBE_ABOVE: usize = 25;
/// After so many requests in a row that the host gave up on, it is the host and not the query.
const MOST_LOST: u32 = 6;
/// A question that failed so often by itself is too heavy.
const ALONE: u32 = 2;

impl Refresh {
    /// Whether the host is asked over GraphQL.
    pub(super) fn uses_graphql(&self, party: &Party<'_>) -> bool {
        party.session.batches().is_some() && self.speaks_graphql(party.access.base())
    }

    /// Whether the host at `base` has a GraphQL interface that this version understands, as far as is
    /// known.
    pub(super) fn speaks_graphql(&self, base: &str) -> bool {
        let hosts = &self.refresher.shared.hosts;
        self.refresher.graphql && hosts.graphql_usable(base, now())
    }

    /// How many are asked at once at the group's host.
    fn batches(&self, party: &Party<'_>) -> Arc<Batches> {
        self.refresher.shared.hosts.batches(party.access.base())
    }

    /// How many are asked of this kind: half as many for a while after a secondary limit. What the host
    /// bears is another matter, and learned without that.
    fn batch_size(&self, batches: &Batches, kind: Kind) -> usize {
        let size = batches.size(kind);
        match self.lease.budget.cautious_for {
            Some(_) => (size / 2).max(1),
            None => size,
        }
    }
}

/// The process's clock, as pacing counts.
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Asks for the refs of one lease.
pub(super) struct Engine<'a> {
    refresh: &'a Refresh,
    tables: Vec<Table<'a>>,
    to_rest: UnboundedSender<&'a Job<'a>>,
    burst: Burst,
}

impl<'a> Engine<'a> {
    pub(super) fn new(refresh: &'a Refresh, to_rest: UnboundedSender<&'a Job<'a>>) -> Self {
        let budget = &refresh.lease.budget;
        let pace = &refresh.refresher.shared.pace;
        let cautious = budget.cautious_for.is_some();
        Self {
            refresh,
            tables: Vec::new(),
            to_rest,
            burst: Burst::new(pace, cautious),
        }
    }

    /// Takes a group's jobs on; those for REST are handed over at once.
    pub(super) fn take(&mut self, party: &'a Party<'a>, jobs: &'a [Job<'a>]) {
        let mut waiting = VecDeque::with_capacity(jobs.len());
        let usable = self.refresh.uses_graphql(party);
        for job in jobs {
            if job.unit.target.branch.is_empty() {
                job.fail(Problem::Internal("a ref has no branch"));
            } else if job.unit.target.repository.owner_and_name().is_none() {
                job.fail(Problem::RepositoryNotFound);
            } else if !usable || (jobs.len() == 1 && asks_only_for_change(job)) {
                self.to_rest(job);
            } else {
                self.next(job, |pending| waiting.push_back(pending));
            }
        }
        if waiting.is_empty() {
            return;
        }
        let batches = self.refresh.batches(party);
        // Of fewer, the whole is one request as well.
        let known = waiting.iter().filter(|pending| pending.may_probe()).count();
        let keys = &self.refresh.refresher.shared.keys;
        if known > PROBE_ABOVE || keys.is_slow(self.refresh.budget_key()) {
            // As many as fit beside the others in one request; the rest has its turn next time.
            let mut whole = self.refresh.batch_size(&batches, Kind::Detail);
            for pending in waiting.iter_mut().filter(|pending| pending.may_probe()) {
                if whole > 0 && pending.is_overdue() {
                    whole -= 1;
                } else {
                    pending.probe();
                }
            }
        }
        self.tables.push(Table::new(party, waiting, batches));
    }

    /// Asks until every question has its answer or is handed over.
    pub(super) async fn run(mut self) {
        let mut tables = std::mem::take(&mut self.tables);
        while !tables.is_empty() {
            for table in &mut tables {
                self.turn(table).await;
            }
            tables.retain(|table| !table.is_done());
        }
    }

    /// Sends one request of a group, if it may.
    async fn turn(&mut self, table: &mut Table<'a>) {
        let Some(batch) = table.next_batch() else {
            return;
        };
        let (lane, points) = (batch.lane(), batch.points());
        let gate = &self.refresh.gate;
        if let Err(problem) = gate.may_spend(Interface::Graphql, lane, points) {
            return self.turn_away(table, batch, problem);
        }
        let delay = self.burst.delay(now()).max(table.spared_for(now()));
        gate.rest(delay).await;
        let started = AtomicBool::new(false);
        let party = table.party;
        let asker = party.asker(lane, &started);
        let pass = match asker.enter(Interface::Graphql, points).await {
            Ok(pass) => pass,
            Err(problem) => return self.turn_away(table, batch, problem),
        };
        self.burst.sent(now());
        batch.start();
        let metrics = self.refresh.refresher.metrics();
        metrics.observe_batch(batch.sort.kind(), batch.asks.len());
        let Some(session) = party.session.batches() else {
            return self.leave(table, batch.asks);
        };
        let begun = Instant::now();
        match batch.sort {
            Sort::Probe => {
                let queried = session.probe(&asker, &batch.ids()).await;
                drop(pass);
                self.settle(table, batch, begun, queried, Pending::after_probe);
            }
            Sort::Look => {
                let (ids, whole) = (batch.ids_to_probe(), batch.ids_in_whole());
                let queried = session.look(&asker, &ids, &whole).await;
                drop(pass);
                self.settle(table, batch, begun, queried, Pending::after_look);
            }
            Sort::Detail => {
                let queried = session.detail(&asker, &batch.ids()).await;
                drop(pass);
                self.settle(table, batch, begun, queried, Pending::after_detail);
            }
            Sort::Numbers => {
                let queried = session.numbers(&asker, &batch.numbers()).await;
                drop(pass);
                self.settle(table, batch, begun, queried, Pending::after_detail);
            }
            Sort::Discover => {
                let queried = session.discover(&asker, &batch.branches()).await;
                drop(pass);
                self.settle(table, batch, begun, queried, Pending::after_discover);
            }
        }
    }

    /// Takes what came of a request.
    fn settle<T>(
        &self,
        table: &mut Table<'a>,
        batch: Batch<'a>,
        begun: Instant,
        queried: Result<Queried<T>, Problem>,
        after: impl Fn(&mut Pending<'a>, &T) -> Step<'a>,
    ) {
        let base = table.party.access.base();
        let hosts = &self.refresh.refresher.shared.hosts;
        let Batch { sort, asks } = batch;
        let asked = asks.len();
        if matches!(sort, Sort::Detail | Sort::Look) {
            let keys = &self.refresh.refresher.shared.keys;
            keys.note_detail(self.refresh.budget_key(), begun.elapsed());
        }
        match queried {
            Ok(Queried::Parts { parts, gave_up }) => {
                hosts.note_graphql(base, self.refresh.budget_key());
                table.lost = 0;
                let mut left = Vec::new();
                for (ask, part) in asks.into_iter().zip(parts) {
                    match part {
                        Part::Answered(answer) => {
                            for mut pending in ask.pending {
                                let step = after(&mut pending, &answer);
                                self.step(table, pending, step);
                            }
                        }
                        Part::Failed(problem) => self.failed(table, ask.pending, problem),
                        Part::Unresolved => left.push(ask),
                    }
                }
                if left.is_empty() {
                    table.batches.clean(sort.kind(), asked, begun.elapsed());
                } else {
                    if gave_up {
                        self.spare(table);
                    }
                    self.lighten(table, sort, left, None);
                }
            }
            Ok(Queried::TooHeavy) => {
                table.lost = 0;
                self.lighten(table, sort, asks, None);
            }
            Ok(Queried::Overloaded(problem)) => {
                table.lost += 1;
                if table.lost < MOST_LOST {
                    self.spare(table);
                    return self.lighten(table, sort, asks, Some(problem));
                }
                let pending = asks.into_iter().flat_map(|ask| ask.pending);
                pending.for_each(|pending| table.wait(pending));
                fail_all(table, problem);
            }
            Ok(Queried::Missing | Queried::Skew) => {
                hosts.note_no_graphql(base, self.refresh.budget_key());
                self.leave(table, asks);
            }
            Err(problem) => self.turn_away(table, Batch { sort, asks }, problem),
        }
    }

    /// Leaves the host alone for a moment before the group asks again: it gave up, and may be the one in
    /// trouble.
    fn spare(&self, table: &mut Table<'a>) {
        let pauses = &self.refresh.refresher.shared.pace.pauses;
        let pause = pace::pause::heavy(pauses, self.refresh.budget_key());
        table.spared_until = Some(now() + pause);
    }

    fn step(&self, table: &mut Table<'a>, mut pending: Pending<'a>, step: Step<'a>) {
        match step {
            Step::Answer(finding) => {
                pending.job.answer(&finding);
                self.next(pending.job, |next| table.wait(next));
            }
            Step::Rest => {
                pending.job.rest_only.store(true, Ordering::Relaxed);
                self.to_rest(pending.job);
            }
            Step::Ask(ask) => {
                pending.ask = ask;
                match table.problem_of(&pending) {
                    Some(problem) => {
                        let step = pending.after_problem(problem);
                        self.step(table, pending, step);
                    }
                    None => table.wait(pending),
                }
            }
        }
    }

    /// Passes the job's next question on, if one is left. One that cannot be asked is our own fault.
    fn next(&self, job: &'a Job<'a>, mut pass_on: impl FnMut(Pending<'a>)) {
        while job.question().is_some() {
            if let Some(pending) = Pending::next(job) {
                return pass_on(pending);
            }
            job.answer(&Finding::of(Err(Problem::Internal(
                "the known pull request's repository is not owner/name",
            ))));
        }
    }

    /// Answers questions with a problem, and all others that it concerns.
    fn failed(&self, table: &mut Table<'a>, asked: Vec<Pending<'a>>, problem: Problem) {
        let spent = problem.is_of_one_limit();
        for mut pending in asked {
            if problem.scope() == Scope::Repository
                && let Some(repository) = pending.asked()
            {
                table.close(repository, problem);
            }
            if spent {
                self.divert(table, pending, problem);
            } else {
                let step = pending.after_problem(problem);
                self.step(table, pending, step);
            }
        }
        for (mut pending, problem) in table.take_closed() {
            let step = pending.after_problem(problem);
            self.step(table, pending, step);
        }
    }

    /// Has what was too much asked again, with fewer beside it; what fails by itself again and again
    /// gets a lighter question. The problem is the host's, if that may be the one in trouble.
    fn lighten(
        &self,
        table: &mut Table<'a>,
        sort: Sort,
        asks: Vec<Asked<'a>>,
        problem: Option<Problem>,
    ) {
        if asks.len() > 1 {
            table.batches.too_heavy(sort.kind());
            let metrics = self.refresh.refresher.metrics();
            metrics.count_too_heavy(sort.kind());
            return table.halve(sort, asks);
        }
        for mut pending in asks.into_iter().flat_map(|ask| ask.pending) {
            pending.alone += 1;
            if pending.alone < ALONE {
                let asks = vec![Asked {
                    pending: vec![pending],
                }];
                table.halve(sort, asks);
                continue;
            }
            let step = pending.lighten(problem);
            self.step(table, pending, step);
        }
    }

    /// Answers a request that may not be sent, or that the host did not answer.
    fn turn_away(&self, table: &mut Table<'a>, batch: Batch<'a>, problem: Problem) {
        let asked = batch.asks.into_iter().flat_map(|ask| ask.pending);
        match problem.scope() {
            // Others of the group may be more urgent than these.
            Scope::Budget if problem.is_of_one_limit() => {
                asked.for_each(|pending| self.divert(table, pending, problem));
            }
            Scope::Ref | Scope::Repository => self.failed(table, asked.collect(), problem),
            Scope::Credential | Scope::Budget | Scope::Host => {
                asked.for_each(|pending| table.wait(pending));
                fail_all(table, problem);
            }
        }
    }
}
