//! State that the questions of one credential share during a lease, whichever interface answers
//! them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use proto::sync::{Lane, ProblemClass, RepositoryPath};

use super::{CORE, NoAnswer, client::Client, instance::Instance};
use crate::{
    budget::WithholdReason,
    host::{Answer, Ask, Question},
};

/// When the host leaves this many questions in a row without an answer, it is down.
const MOST_LOST: u32 = 3;

/// Where answers are handed on.
pub(super) struct AnswerSink<'a>(Mutex<&'a mut (dyn FnMut(usize, Answer) + Send)>);

impl AnswerSink<'_> {
    pub(super) fn new<'a>(give: &'a mut (dyn FnMut(usize, Answer) + Send)) -> AnswerSink<'a> {
        AnswerSink(Mutex::new(give))
    }

    pub(super) fn give(&self, ask: usize, answer: Answer) {
        let mut give = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*give)(ask, answer);
    }
}

/// One credential at one GitHub.
pub(super) struct HostSession {
    pub(super) client: Client,
    pub(super) instance: Arc<Instance>,
    /// Repositories that no more is asked of, and why.
    closed: Mutex<HashMap<RepositoryPath, NoAnswer>>,
    /// A query was not understood or was refused, whatever becomes of the host's others.
    pub(super) without_graphql: AtomicBool,
    /// Questions in a row that the host did not answer over REST.
    lost: AtomicU32,
}

impl HostSession {
    pub(super) fn new(client: Client, instance: Arc<Instance>) -> Self {
        Self {
            client,
            instance,
            closed: Mutex::default(),
            without_graphql: AtomicBool::new(false),
            lost: AtomicU32::new(0),
        }
    }

    /// Why nothing is asked of the repository that a question asks, if that is so.
    pub(super) fn closed(&self, question: &Question) -> Option<NoAnswer> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.is_empty() {
            return None;
        }
        closed.get(&asked(question)?).copied()
    }

    /// Whether the checks of the asked repository are too heavy for the host's GraphQL.
    pub(super) fn has_heavy_checks(&self, question: &Question) -> bool {
        asked(question).is_some_and(|repository| self.instance.has_heavy_checks(&repository))
    }

    /// They are.
    pub(super) fn note_heavy_checks(&self, question: &Question) {
        if let Some(repository) = asked(question) {
            self.instance.note_heavy_checks(&repository);
        }
    }

    /// Notes whether the host answered a question over REST.
    pub(super) fn note_rest(&self, answer: &Result<Answer, NoAnswer>) {
        match answer {
            Err(NoAnswer::Failed(ProblemClass::HostUnavailable)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(NoAnswer::Withheld(_)) => {}
            Ok(_) | Err(NoAnswer::Failed(_)) => self.lost.store(0, Ordering::Relaxed),
        }
        if answer.is_ok() {
            self.client.admission.answered_well();
        }
    }

    /// Why nothing more is asked over REST in this lease, if the host is down.
    pub(super) fn unavailable(&self, lane: Lane) -> Option<WithholdReason> {
        if self.lost.load(Ordering::Relaxed) < MOST_LOST {
            return None;
        }
        let checked = self.client.admission.check(CORE, lane, 1);
        Some(checked.err().unwrap_or(WithholdReason::HostClosed))
    }

    /// Answers a question with what is wrong; where its repository has that as a whole, no more is
    /// asked of it.
    pub(super) fn fail(&self, sink: &AnswerSink<'_>, asks: &[Ask], ask: usize, reason: NoAnswer) {
        let question = asks.get(ask).map(|ask| &ask.question);
        if reason.is_of_repository()
            && let Some(repository) = question.and_then(asked)
        {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            closed.entry(repository).or_insert(reason);
        }
        sink.give(ask, reason.into());
    }
}

/// The repository that a question asks.
pub(super) fn asked(question: &Question) -> Option<RepositoryPath> {
    match question {
        Question::Changed { known, .. } | Question::Status { known } => {
            RepositoryPath::parse(&known.repository)
        }
        Question::ByNumber { repository, .. } => Some(repository.clone()),
        Question::OfBranch { at, .. } => Some(at.clone()),
    }
}
