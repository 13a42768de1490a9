//! What the questions of one credential share while a lease lasts, whichever interface answers them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use proto::sync::RepositoryPath;

use super::{NoAnswer, client::Client, instance::Instance};
use crate::host::{Answer, Ask, Question};

/// Where answers are handed on.
pub(super) struct Sink<'a>(Mutex<&'a mut (dyn FnMut(usize, Answer) + Send)>);

impl Sink<'_> {
    pub(super) fn new<'a>(give: &'a mut (dyn FnMut(usize, Answer) + Send)) -> Sink<'a> {
        Sink(Mutex::new(give))
    }

    pub(super) fn give(&self, ask: usize, answer: Answer) {
        let mut give = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*give)(ask, answer);
    }
}

/// One credential at one GitHub.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) instance: Arc<Instance>,
    /// Repositories that no more is asked of, and why.
    closed: Mutex<HashMap<RepositoryPath, NoAnswer>>,
    /// A query was not understood, whatever becomes of the host's others.
    pub(super) misunderstood: AtomicBool,
}

impl Session {
    pub(super) fn new(client: Client, instance: Arc<Instance>) -> Self {
        Self {
            client,
            instance,
            closed: Mutex::default(),
            misunderstood: AtomicBool::new(false),
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

    /// Answers a question with what is wrong; where its repository has that as a whole, no more is
    /// asked of it.
    pub(super) fn fail(&self, sink: &Sink<'_>, asks: &[Ask], ask: usize, reason: NoAnswer) {
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
fn asked(question: &Question) -> Option<RepositoryPath> {
    match question {
        Question::Changed { known, .. } | Question::Status { known } => {
            RepositoryPath::parse(&known.repository)
        }
        Question::ByNumber { repository, .. } => Some(repository.clone()),
        Question::OfBranch { at, .. } => Some(at.clone()),
    }
}
