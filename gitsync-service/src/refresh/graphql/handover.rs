//! What GraphQL does not answer: handed over to REST, put off, or failed.

use crate::{
    lease::Lane,
    outcome::{Interface, Problem},
    provider::Finding,
};

use super::{
    super::job::Job,
    Engine,
    pending::{Pending, Step},
    table::{Asked, Table},
};

impl<'a> Engine<'a> {
    /// Hands everything over: the host is not asked over GraphQL any more.
    pub(super) fn leave(&self, table: &mut Table<'a>, asks: Vec<Asked<'a>>) {
        let asked = asks.into_iter().flat_map(|ask| ask.pending);
        for pending in asked.chain(table.take_all()) {
            self.to_rest(pending.job);
        }
    }

    /// Hands one over in place of GraphQL. REST costs several requests where GraphQL costs a part of
    /// one, so that what nobody is waiting for is put off until the window ends.
    pub(super) fn divert(&self, table: &mut Table<'a>, pending: Pending<'a>, problem: Problem) {
        match pending.lane() {
            Lane::Idle => self.step(table, pending, Step::Answer(Finding::of(Err(problem)))),
            Lane::Interactive | Lane::Viewed | Lane::Active => self.to_rest(pending.job),
        }
    }

    pub(super) fn to_rest(&self, job: &'a Job<'a>) {
        // Whoever serves REST listens for as long as the engine is there.
        let _ = self.to_rest.send(job);
    }
}

/// A known pull request that a single cheap question can tell to be as it was, if REST may be spent.
pub(super) fn asks_only_for_change(job: &Job<'_>) -> bool {
    let [question] = job.unit.questions.as_slice() else {
        return false;
    };
    let validator = question.validator().filter(|_| question.may_be_unchanged());
    let gate = &job.party.refresh.gate;
    validator.is_some_and(|validator| job.party.session.accepts(validator))
        && gate.may_ask(Interface::Rest, question.lane())
}

pub(super) fn fail_all(table: &mut Table<'_>, problem: Problem) {
    for pending in table.take_all() {
        pending.job.fail(problem);
    }
}
