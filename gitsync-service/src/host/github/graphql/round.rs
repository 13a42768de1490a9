//! Many questions in one request, one request after the other.
//!
//! A request asks all rows, or where they are many one sort of them, as many as the host is known
//! to answer at once. What it answers is answered; what is left is asked again sort by sort and in
//! two halves, down to the row that is too heavy by itself. What GraphQL does not answer, or may
//! not be asked, is diverted to REST.

mod split;

use std::{sync::atomic::Ordering, time::Duration};

use proto::sync::{Lane, ProblemClass};
use tokio::time::Instant;

use super::{
    super::{
        GRAPHQL, NoAnswer,
        session::{AnswerSink, HostSession},
        sizes::QueryKind,
    },
    BatchResult, Part, QueryResult, Row, RowAnswer, Whole,
    evidence::Evidence,
    progress,
    queue::{BatchEntry, QueryBatch, RowQueue},
    read,
    row::{Sort, has_id},
    send, threads,
};
use crate::{
    budget::WithholdReason,
    host::{Answer, Ask, Question},
};

/// After this many consecutive failed requests the host counts as down: the queries are not at
/// fault.
const MOST_LOST: u32 = 6;
/// A query is sent again without a field at most this often in a round: one for each field.
const MOST_LEANER: u32 = 9;
/// The most branches that are asked for with the status of their open pull requests, the most
/// urgent ones.
const FEW_BRANCHES: usize = 5;

/// A question that REST is to answer.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct RestFallback {
    pub(in super::super) ask: usize,
    /// The class of GraphQL's failure, reported if REST fails, too.
    pub(in super::super) failure: Option<ProblemClass>,
}

/// The questions of one call on their way.
pub(in super::super) struct Round<'a> {
    session: &'a HostSession,
    asks: &'a [Ask],
    sink: &'a AnswerSink<'a>,
    queue: RowQueue<'a>,
    diverted: Vec<RestFallback>,
    /// Consecutive requests that the host failed to complete.
    lost: u32,
    /// The host answered a request of this round.
    is_well: bool,
    /// No request is sent before this time, because the host failed to complete one.
    resumes_at: Option<Instant>,
    evidence: Evidence<'a>,
    /// How often a query was sent again without a field.
    leaner: u32,
}

impl<'a> Round<'a> {
    /// Takes the questions of these indices on.
    pub(in super::super) fn new(
        session: &'a HostSession,
        asks: &'a [Ask],
        sink: &'a AnswerSink<'a>,
        indices: &[usize],
    ) -> Self {
        let mut round = Self {
            session,
            asks,
            sink,
            queue: RowQueue::default(),
            diverted: Vec::new(),
            lost: 0,
            is_well: false,
            resumes_at: None,
            evidence: Evidence::new(&session.instance.sizes),
            leaner: 0,
        };
        let probes = round.pays_to_probe(indices);
        let lanes = round.branch_lanes(indices);
        // Of many branches most have no pull request, and the lists alone are light enough for
        // twice as many in a request.
        let is_few = |lane: Lane| {
            let as_urgent = lanes.iter().filter(|other| **other <= lane);
            as_urgent.count() <= FEW_BRANCHES
        };
        for &ask in indices {
            match asks
                .get(ask)
                .map(|ask| Row::first(&ask.question, probes, is_few(ask.lane)))
            {
                Some(Ok(row)) => round.push(ask, row),
                Some(Err(reason)) => round.fail(&[ask], reason),
                None => {}
            }
        }
        round
    }

    /// Asks until every question has its answer, or is among those that are returned.
    pub(in super::super) async fn run(mut self) -> Vec<RestFallback> {
        let session = self.session;
        let is_cautious = session.client.admission.is_cautious();
        while let Some(batch) = self.queue.next(|sort| {
            let size = session.instance.sizes.size(sort.kind());
            // A while after a secondary limit. What the host answers at once is another matter, and
            // learned without that.
            if is_cautious { size / 2 } else { size }
        }) {
            self.request(batch).await;
        }
        self.diverted
    }

    /// Queues a row. A repository whose checks are too expensive for GraphQL is queried without
    /// them for changes; its status is read over REST, which has pages.
    fn push(&mut self, ask: usize, row: Row<'a>) {
        let question = self.asks.get(ask).map(|ask| &ask.question);
        let is_heavy = question.is_some_and(|question| self.session.has_heavy_checks(question));
        match (is_heavy, row.sort(), row.id()) {
            (true, Sort::Probe, Some(id)) => self.queue.push(ask, Row::LightProbe(id)),
            (true, Sort::Detail, _) => self.divert(ask, None),
            _ => self.queue.push(ask, row),
        }
    }

    /// Whether it is cheaper to ask first which of the known ones changed: where they do not fit
    /// into one request for their whole status, or where that takes the host long.
    fn pays_to_probe(&self, indices: &[usize]) -> bool {
        let instance = &self.session.instance;
        let known = indices.iter().filter_map(|ask| self.asks.get(*ask));
        let known = known.filter(|ask| has_id(&ask.question)).count();
        known > instance.sizes.size(QueryKind::Detail)
            || instance.is_slow(self.session.client.admission.key())
    }

    /// How urgent each branch is that is asked for.
    fn branch_lanes(&self, indices: &[usize]) -> Vec<Lane> {
        let asks = indices.iter().filter_map(|ask| self.asks.get(*ask));
        let branches = asks.filter(|ask| matches!(ask.question, Question::OfBranch { .. }));
        branches.map(|ask| ask.lane).collect()
    }

    /// Sends one request, if it may be sent.
    async fn request(&mut self, batch: QueryBatch<'a>) {
        let admission = &self.session.client.admission;
        if let Some(at) = self.resumes_at.take() {
            admission
                .wait(at.saturating_duration_since(Instant::now()))
                .await;
        }
        let asks = batch.rows.iter().flat_map(|asked| &asked.asks);
        let lane = asks.map(|ask| self.lane(*ask)).min().unwrap_or(Lane::Idle);
        let permit = match admission.permit(GRAPHQL, lane, batch.cost()).await {
            Ok(permit) => permit,
            Err(withheld) => return self.withhold(batch.rows, withheld),
        };
        admission
            .metrics()
            .observe_batch(batch.name(), batch.rows.len());
        let begun = Instant::now();
        let rows: Vec<&Row<'_>> = batch.rows.iter().map(|asked| &asked.row).collect();
        let mut dropped = self.session.instance.dropped_fields();
        if batch.sort() == Some(Sort::LightProbe) {
            dropped.push(progress::ROLLUP);
        }
        let queried = permit
            .run(send(&self.session.client, &dropped, &rows))
            .await;
        drop(permit);
        let Some(queried) = queried else {
            return self.cut_off(batch.rows);
        };
        let took = begun.elapsed();
        if batch.kinds().any(|(kind, _)| kind == QueryKind::Detail) {
            let instance = &self.session.instance;
            instance.note_detail(admission.key(), took);
        }
        if let Ok(QueryResult::InPart(answer)) = &queried {
            let learning = threads::learn_authors(self.session, lane, &answer.envelope);
            Box::pin(learning).await;
        }
        let authors = &self.session.instance.thread_authors;
        let queried = queried.map(|queried| queried.map(|answer| read(answer, &rows, authors)));
        match queried {
            Ok(queried) => self.settle(batch, took, &dropped, queried),
            Err(NoAnswer::Withheld(withheld)) => self.withhold(batch.rows, withheld),
            Err(reason) => self.refused(batch.rows, reason),
        }
    }

    /// Handles the result of a request that was sent without the `dropped` fields.
    fn settle(
        &mut self,
        batch: QueryBatch<'a>,
        took: Duration,
        dropped: &[&str],
        queried: QueryResult<BatchResult>,
    ) {
        let session = self.session;
        match queried {
            QueryResult::InPart(BatchResult { parts, overloaded }) => {
                session.client.understood(dropped);
                self.lost = 0;
                if parts.iter().any(|part| matches!(part, Part::Answered(_))) {
                    self.is_well = true;
                    session.client.admission.answered_well();
                }
                let kinds: Vec<(QueryKind, usize)> = batch.kinds().collect();
                let QueryBatch { rows, half_of } = batch;
                let mut left = Vec::new();
                for (row, part) in rows.into_iter().zip(parts) {
                    match part {
                        Part::Answered(answer) => self.answered(&row, &answer),
                        Part::Failed(NoAnswer::Withheld(withheld)) => {
                            self.withhold(vec![row], withheld);
                        }
                        Part::Failed(reason) => self.fail(&row.asks, reason),
                        Part::Unresolved => left.push(row),
                        Part::Elsewhere => row.asks.iter().for_each(|ask| self.divert(*ask, None)),
                    }
                }
                if left.is_empty() {
                    for (kind, asked) in kinds {
                        session.instance.sizes.clean(kind, asked, took);
                    }
                    if let Some(split) = half_of {
                        self.evidence.answered(split);
                    }
                } else {
                    let rest = QueryBatch {
                        rows: left,
                        half_of,
                    };
                    self.split(rest, overloaded);
                }
            }
            QueryResult::TooHeavy => {
                self.lost = 0;
                self.split(batch, false);
            }
            QueryResult::Overloaded => {
                self.lost += 1;
                if self.lost < MOST_LOST {
                    self.split(batch, true);
                } else {
                    let lost = NoAnswer::Failed(ProblemClass::HostUnavailable);
                    self.refused(batch.rows, lost);
                }
            }
            QueryResult::Leaner if self.leaner < MOST_LEANER => {
                self.leaner += 1;
                self.queue.push_half(batch);
            }
            QueryResult::Leaner | QueryResult::Elsewhere => {
                session.without_graphql.store(true, Ordering::Relaxed);
                let asks = batch.rows.into_iter().flat_map(|asked| asked.asks);
                asks.for_each(|ask| self.divert(ask, None));
                self.drain(|round, ask, _| round.divert(ask, None));
            }
        }
    }

    /// Answers the questions of a row.
    fn answered(&mut self, asked: &BatchEntry<'a>, answer: &RowAnswer) {
        let is_light = asked.row.sort() == Sort::LightProbe;
        for &ask in &asked.asks {
            // It was answered once the checks were left out.
            if let (true, true, Some(ask)) = (is_light, asked.lost, self.asks.get(ask)) {
                self.session.note_heavy_checks(&ask.question);
            }
            let answer = match answer {
                // A list that was cut off, of branches or of reviews, decides nothing. REST filters
                // by the branch's owner, and pages on.
                RowAnswer::PullRequest(Some(Whole::MoreReviews)) => {
                    self.divert(ask, None);
                    continue;
                }
                RowAnswer::Branch(facts) if !facts.complete => {
                    self.divert(ask, None);
                    continue;
                }
                RowAnswer::Fingerprint(Some(seen)) => {
                    match self.asks.get(ask).map(|ask| &ask.question) {
                        Some(Question::Changed { fingerprint, .. })
                            if progress::is_same(fingerprint, seen) =>
                        {
                            Answer::Unchanged
                        }
                        _ => Answer::Changed,
                    }
                }
                RowAnswer::PullRequest(Some(Whole::Status(observed))) => {
                    Answer::PullRequest(observed.clone())
                }
                RowAnswer::Branch(facts) => Answer::Branch(Box::new(facts.clone())),
                RowAnswer::Fingerprint(None) | RowAnswer::PullRequest(None) => {
                    if asked.row.id().is_none() {
                        Answer::Missing
                    } else {
                        // Its repository may be what is missing, or the id may be of another kind
                        // by now.
                        self.ask_by_number(ask);
                        continue;
                    }
                }
            };
            self.sink.give(ask, answer);
        }
    }

    fn ask_by_number(&mut self, ask: usize) {
        let question = self.asks.get(ask).map(|ask| &ask.question);
        match question.map(Row::by_number) {
            Some(Ok(row)) => match self.closed(ask) {
                Some(reason) => self.fail(&[ask], reason),
                None => self.queue.push(ask, row),
            },
            Some(Err(reason)) => self.fail(&[ask], reason),
            None => {}
        }
    }

    /// Answers questions with what is wrong, and the waiting ones of a repository that has it as a
    /// whole.
    fn fail(&mut self, asks: &[usize], reason: NoAnswer) {
        for &ask in asks {
            self.session.fail(self.sink, self.asks, ask, reason);
        }
        if reason.is_of_repository() {
            let (session, all) = (self.session, self.asks);
            let closed = |ask: usize| all.get(ask).and_then(|ask| session.closed(&ask.question));
            for ask in self.queue.take_waiting(|ask| closed(ask).is_some()) {
                if let Some(reason) = closed(ask) {
                    self.sink.give(ask, reason.into());
                }
            }
        }
    }

    /// Answers rows that may not be sent, or that met a limit.
    fn withhold(&mut self, rows: Vec<BatchEntry<'a>>, withheld: WithholdReason) {
        match withheld {
            // REST costs several requests where GraphQL costs a part of one, so that idle refs wait
            // until the window ends. Other rows may be more urgent than these.
            WithholdReason::WindowPaused | WithholdReason::Reserved => {
                for ask in rows.into_iter().flat_map(|asked| asked.asks) {
                    match self.lane(ask) {
                        Lane::Idle => self.sink.give(ask, Answer::Unsent(withheld)),
                        Lane::Interactive | Lane::Viewed | Lane::Active => self.divert(ask, None),
                    }
                }
            }
            WithholdReason::BudgetPaused
            | WithholdReason::HostClosed
            | WithholdReason::Credential
            | WithholdReason::TurnOver => {
                if withheld == WithholdReason::HostClosed {
                    self.evidence.give_back();
                }
                for asked in rows {
                    let lost = asked.lost;
                    let asks = asked.asks.into_iter();
                    asks.for_each(|ask| self.end(ask, lost, withheld));
                }
                self.drain(|round, ask, lost| round.end(ask, lost, withheld));
            }
        }
    }

    /// Answers rows whose request brought no answer as a whole.
    fn refused(&mut self, rows: Vec<BatchEntry<'a>>, reason: NoAnswer) {
        let asks: Vec<usize> = rows.into_iter().flat_map(|asked| asked.asks).collect();
        self.fail(&asks, reason);
        match reason {
            NoAnswer::Failed(ProblemClass::HostUnavailable) => {
                self.evidence.give_back();
                self.drain(|round, ask, lost| round.end(ask, lost, WithholdReason::HostClosed));
            }
            // It refuses the form of the request, which is that of the others as well.
            NoAnswer::Failed(ProblemClass::HostIncompatible) => {
                self.drain(|round, ask, _| round.fail(&[ask], reason));
            }
            NoAnswer::Failed(_) | NoAnswer::Withheld(_) => {}
        }
    }

    /// Our own deadline has passed: what is on the wire fails, and nothing else does for that.
    fn cut_off(&mut self, rows: Vec<BatchEntry<'a>>) {
        let asks: Vec<usize> = rows.into_iter().flat_map(|asked| asked.asks).collect();
        self.fail(&asks, NoAnswer::Failed(ProblemClass::HostUnavailable));
        self.drain(|round, ask, lost| round.end(ask, lost, WithholdReason::TurnOver));
    }

    /// Ends a question that is not sent again: as failed if the host failed on it before and has
    /// answered nothing in this round.
    fn end(&mut self, ask: usize, lost: bool, withheld: WithholdReason) {
        let is_host = matches!(
            withheld,
            WithholdReason::HostClosed | WithholdReason::TurnOver
        );
        if lost && is_host && !self.is_well {
            self.fail(&[ask], NoAnswer::Failed(ProblemClass::HostUnavailable));
        } else {
            self.sink.give(ask, Answer::Unsent(withheld));
        }
    }

    /// Passes every queued row to `act`, with whether the host failed on it before.
    fn drain(&mut self, act: impl Fn(&mut Self, usize, bool)) {
        for asked in self.queue.take_halves() {
            for ask in asked.asks {
                act(self, ask, asked.lost);
            }
        }
        for ask in self.queue.take_waiting(|_| true) {
            act(self, ask, false);
        }
    }

    fn divert(&mut self, ask: usize, failure: Option<ProblemClass>) {
        self.diverted.push(RestFallback { ask, failure });
    }

    fn lane(&self, ask: usize) -> Lane {
        self.asks.get(ask).map_or(Lane::Idle, |ask| ask.lane)
    }

    fn closed(&self, ask: usize) -> Option<NoAnswer> {
        let question = &self.asks.get(ask)?.question;
        self.session.closed(question)
    }
}
