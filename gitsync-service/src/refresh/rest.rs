//! One ref at a time, several beside each other: where there is no GraphQL, and in its place.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    lease::Lane,
    outcome::{Interface, Problem, ProblemName as _},
    provider::Finding,
};

use super::job::{Job, Party};

/// A job being worked on.
type Turn<'j> = Pin<Box<dyn Future<Output = ()> + Send + 'j>>;

/// Serves the jobs that come until no more can come: few at once and each to its end, rather than all
/// at once and none finished in time.
pub(super) async fn serve<'j>(mut jobs: UnboundedReceiver<&'j Job<'j>>, at_once: usize) {
    let mut turns: FuturesUnordered<Turn<'j>> = FuturesUnordered::new();
    let mut more = true;
    while more || !turns.is_empty() {
        tokio::select! {
            job = jobs.recv(), if more && turns.len() < at_once => match job {
                Some(job) => turns.push(Box::pin(look_up(job))),
                None => more = false,
            },
            _ = turns.next(), if !turns.is_empty() => {}
        }
    }
}

async fn look_up(job: &Job<'_>) {
    // In this order: whether the token is good is found out by the cheaper question.
    tokio::join!(identify(job.party), answer(job));
}

async fn answer(job: &Job<'_>) {
    while let Some(question) = job.question() {
        let asker = job.party.asker(question.lane(), &job.started);
        let validator = question.validator().filter(|_| question.may_be_unchanged());
        let mut finding = job
            .party
            .session
            .look_up(&asker, &job.unit.target, question.known, validator)
            .await;
        // It was handed over because of its weight, and REST does not bear it either.
        if job.too_heavy.load(Ordering::Relaxed)
            && matches!(finding.result, Err(Problem::HostUnavailable(_)))
        {
            finding = Finding::of(Err(Problem::QueryTooHeavy));
        }
        // Only REST could answer, and is spent, while the budget as a whole is not: a problem of this one
        // alone.
        let gate = &job.party.refresh.gate;
        if let Err(problem) = &finding.result
            && problem.is_of_one_limit()
            && job.rest_only.load(Ordering::Relaxed)
            && gate.may_ask(Interface::Graphql, question.lane())
        {
            finding = Finding::of(Err(Problem::QueryTooHeavy));
        }
        job.answer(&finding);
    }
}

/// Asks, once, whose account it is, where no GraphQL answer tells that on the way; and not again for a
/// while where the host refuses to say. Not to know it keeps nobody from their answer.
async fn identify(party: &Party<'_>) {
    let refresh = party.refresh;
    let (keys, key) = (&refresh.refresher.shared.keys, refresh.budget_key());
    let unknown = !refresh.lease.budget.account_known && !keys.is_nameless(key);
    let alone = !refresh.uses_graphql(party);
    if unknown && alone && !party.identified.swap(true, Ordering::Relaxed) {
        let started = AtomicBool::new(false);
        let asker = party.asker(Lane::Active, &started);
        let told = party.session.identify(&asker).await;
        if let Err(problem) = &told {
            tracing::debug!(
                class = problem.class().name(),
                "the host did not tell whose account it is"
            );
        }
        // A token may be good for repositories and not for that.
        match told {
            Ok(false) => keys.note_nameless(key, false),
            Err(Problem::AccessDenied | Problem::SsoRequired | Problem::AddressNotAllowed) => {
                keys.note_nameless(key, true);
            }
            Ok(true) | Err(_) => {}
        }
    }
}
