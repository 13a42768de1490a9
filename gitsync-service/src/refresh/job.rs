//! One branch's turn: its questions one after the other, each ref answered once.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    lease::{Lane, LeaseGroup},
    outcome::{Found, FoundPullRequest, Learned, Outcome, Problem, PullRequestState},
    provider::{
        Finding, Session,
        gate::{Access, Asker},
    },
};

use super::{
    Refresh,
    unit::{Question, Unit},
};

/// A group of the lease, opened.
pub(super) struct Party<'a> {
    pub(super) refresh: &'a Refresh,
    pub(super) group: &'a LeaseGroup,
    pub(super) access: &'a Access,
    pub(super) session: Session,
    /// Whether the host was asked, over REST, whose account it is.
    pub(super) identified: AtomicBool,
}

impl<'a> Party<'a> {
    pub(super) fn new(
        refresh: &'a Refresh,
        group: &'a LeaseGroup,
        access: &'a Access,
        session: Session,
    ) -> Self {
        Self {
            refresh,
            group,
            access,
            session,
            identified: AtomicBool::new(false),
        }
    }

    pub(super) fn asker<'s>(&'s self, lane: Lane, started: &'s AtomicBool) -> Asker<'s> {
        Asker::new(&self.refresh.gate, self.access, lane, started)
    }
}

/// One branch's turn.
pub(super) struct Job<'a> {
    pub(super) party: &'a Party<'a>,
    pub(super) unit: Unit<'a>,
    outcomes: &'a UnboundedSender<Outcome>,
    /// Whether a request of it ever got a slot.
    pub(super) started: AtomicBool,
    /// The host answers, but not this question to many.
    pub(super) too_heavy: AtomicBool,
    /// GraphQL was asked and does not answer it: only REST may.
    pub(super) rest_only: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// How many of the unit's questions have their answer sent.
    answered: usize,
    /// What was just found open for this branch.
    open: Option<(Arc<FoundPullRequest>, Option<String>)>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        party: &'a Party<'a>,
        unit: Unit<'a>,
        outcomes: &'a UnboundedSender<Outcome>,
    ) -> Self {
        Self {
            party,
            unit,
            outcomes,
            started: AtomicBool::new(false),
            too_heavy: AtomicBool::new(false),
            rest_only: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }

    /// The question that is next, if one is left.
    pub(super) fn question(&self) -> Option<&Question<'a>> {
        self.unit.questions.get(self.progress().answered)
    }

    /// Sends the answer to the question that is next, and to those that it answers as well.
    pub(super) fn answer(&self, finding: &Finding) {
        let mut progress = self.progress();
        let Some(question) = self.unit.questions.get(progress.answered) else {
            return;
        };
        self.send(question, finding);
        progress.answered += 1;
        if let Ok(Found::PullRequest(found)) = &finding.result
            && found.shown.state == PullRequestState::Open
        {
            progress.open = Some((Arc::clone(found), finding.learned.fingerprint.clone()));
        }
        // What was just found open for this branch answers those who know nothing yet.
        if let Some(question) = self.unit.questions.get(progress.answered)
            && question.known.is_none()
            && let Some((found, fingerprint)) = progress.open.take()
        {
            let finding = Finding {
                result: Ok(Found::PullRequest(found)),
                learned: Learned {
                    fingerprint,
                    ..Learned::default()
                },
            };
            self.send(question, &finding);
            progress.answered += 1;
        }
    }

    /// Answers everything that is left with this problem.
    pub(super) fn fail(&self, problem: Problem) {
        while self.question().is_some() {
            self.answer(&Finding::of(Err(problem)));
        }
    }

    /// Fails what was begun and not finished in time. What never had a turn is left for another.
    pub(super) fn give_up(&self) {
        const LATE: Problem = Problem::HostUnavailable("it did not answer within the attempt");
        if self.started.load(Ordering::Relaxed) {
            self.fail(LATE);
        }
    }

    fn send(&self, question: &Question<'_>, finding: &Finding) {
        for git_ref in &question.refs {
            self.party.refresh.send(self.outcomes, git_ref, finding);
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
