//! A GitHub as one credential sees it: which interface is asked what, and what is asked no more.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt as _, stream};
use proto::sync::ProblemClass;

use super::{
    CORE, GRAPHQL, NoAnswer,
    client::Client,
    graphql::{RestFallback, Round},
    instance::Instance,
    rest,
    session::{AnswerSink, HostSession},
};
use crate::{
    budget::WithholdReason,
    host::{Answer, Ask, DiffAnswer, DiffTarget, Host},
};

/// A GitHub as one credential sees it, for as long as a lease lasts.
pub struct HostConnection {
    session: HostSession,
    rest: rest::Answers,
    /// REST was asked whose account it is.
    identified: AtomicBool,
}

impl fmt::Debug for HostConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("client", &self.session.client)
            .finish_non_exhaustive()
    }
}

impl Host for HostConnection {
    async fn ask(&self, asks: &[Ask], answer: &mut (dyn FnMut(usize, Answer) + Send)) {
        let sink = AnswerSink::new(answer);
        let has_graphql = self.session.instance.has_graphql()
            && !self.session.without_graphql.load(Ordering::Relaxed);
        let (mut over_graphql, mut over_rest) = (Vec::new(), Vec::new());
        for (index, ask) in asks.iter().enumerate() {
            if let Some(reason) = self.session.closed(&ask.question) {
                sink.give(index, reason.into());
            } else if has_graphql {
                over_graphql.push(index);
            } else {
                over_rest.push(RestFallback {
                    ask: index,
                    failure: None,
                });
            }
        }
        let round = Round::new(&self.session, asks, &sink, &over_graphql);
        let (diverted, ()) = tokio::join!(round.run(), self.ask_rest(asks, &sink, over_rest));
        self.ask_rest(asks, &sink, diverted).await;
    }

    async fn diff(&self, of: &DiffTarget) -> DiffAnswer {
        let client = &self.session.client;
        match self.rest.diff(client, of).await {
            Ok(Some((content, base_branch))) => {
                client.admission.answered_well();
                DiffAnswer::Diff {
                    content,
                    base_branch,
                }
            }
            Ok(None) => DiffAnswer::Missing,
            Err(NoAnswer::Failed(ProblemClass::QueryTooHeavy)) => DiffAnswer::TooLarge,
            Err(NoAnswer::Failed(class)) => DiffAnswer::Failed(class),
            Err(NoAnswer::Withheld(withheld)) => DiffAnswer::Unsent {
                withheld,
                retry_after: client.admission.window_pause(CORE),
            },
        }
    }
}

impl HostConnection {
    pub(super) fn new(client: Client, instance: Arc<Instance>) -> Self {
        client.admission.serial(GRAPHQL);
        Self {
            session: HostSession::new(client, instance),
            rest: rest::Answers::default(),
            identified: AtomicBool::new(false),
        }
    }

    async fn ask_rest(&self, asks: &[Ask], sink: &AnswerSink<'_>, diverted: Vec<RestFallback>) {
        if diverted.is_empty() {
            return;
        }
        let answers = diverted.into_iter().map(|diverted| {
            let answer = self.ask_one_over_rest(asks, sink, diverted);
            Box::pin(answer) as Pin<Box<dyn Future<Output = ()> + Send + '_>>
        });
        let answers: Vec<_> = answers.collect();
        let at_once = self.session.client.admission.lookups_at_once();
        let answers = stream::iter(answers).buffer_unordered(at_once);
        // Beside each other: whether the token is good is found out by either.
        tokio::join!(self.identify(), answers.for_each(|()| async {}));
    }

    async fn ask_one_over_rest(&self, asks: &[Ask], sink: &AnswerSink<'_>, diverted: RestFallback) {
        let Some(ask) = asks.get(diverted.ask) else {
            return;
        };
        if let Some(reason) = self.session.closed(&ask.question) {
            return sink.give(diverted.ask, reason.into());
        }
        if let Some(withheld) = self.session.unavailable(ask.lane) {
            return sink.give(diverted.ask, Answer::Unsent(withheld));
        }
        let answer = self.rest.answer(&self.session.client, ask).await;
        let answer = match (answer, diverted.failure) {
            // GraphQL was asked, and serves the budget: that REST does not answer either, or may
            // not be asked, is this question's own problem.
            (
                Err(
                    NoAnswer::Failed(ProblemClass::HostUnavailable)
                    | NoAnswer::Withheld(WithholdReason::WindowPaused | WithholdReason::Reserved),
                ),
                Some(class),
            ) => {
                return self
                    .session
                    .fail(sink, asks, diverted.ask, NoAnswer::Failed(class));
            }
            (answer, _) => answer,
        };
        self.session.note_rest(&answer);
        match answer {
            Ok(answer) => sink.give(diverted.ask, answer),
            Err(reason) => self.session.fail(sink, asks, diverted.ask, reason),
        }
    }

    /// Asks once for the credential's account, if no GraphQL response contained it, and not again
    /// for a while if the host refuses. No answer waits for that.
    async fn identify(&self) {
        let admission = &self.session.client.admission;
        let is_needed = !admission.is_identified()
            && !self.session.client.is_installation
            && !self.session.instance.has_graphql()
            && !self.session.instance.is_nameless(admission.key());
        if !is_needed || self.identified.swap(true, Ordering::Relaxed) {
            return;
        }
        // A token may be good for repositories and not for that.
        match rest::identify(&self.session.client).await {
            Ok(false) => self.session.instance.note_nameless(admission.key(), false),
            Err(reason) if reason.is_of_repository() => {
                self.session.instance.note_nameless(admission.key(), true);
            }
            Ok(true) | Err(_) => {}
        }
    }
}
