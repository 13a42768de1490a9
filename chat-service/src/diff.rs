//! `GetChatDiff`: the pipeline of the workers, on demand. The primary ref of the chat is made due
//! as one that a person waits for, with the question of its diff, and the answer is awaited.
//!
//! Calls for one ref share a question (single flight), in whichever replica they wait: the question
//! is a row. A call that waits moves on until when its question is wanted; one that is dropped
//! leaves a question that no worker is given once that has passed.

use std::time::Duration;

use proto::{reason, sync::ProblemClass};
use tokio::time::Instant;

use crate::{
    authz::{Action, Authorized, Authorizer, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::{ChatId, GitRefId},
    refresh::{no_worker, of_class},
    store::{
        Store,
        diff::{AskResult, DiffHead, DiffOutcome, DiffState, WANTED},
    },
};

/// A call asks this often at most.
///
/// It asks again where the chat moves to another branch, the question is lost with the database, or
/// a worker of an earlier release looks the ref up and knows of no diffs.
const MAX_QUESTIONS: u32 = 4;

/// Has the diff of a chat's primary ref asked for, unless its last answer still holds, and waits
/// for it until `patience` has passed.
///
/// Holds no connection while it waits; dropping it leaves nothing that lasts.
///
/// # Errors
///
/// Why there is no diff; [`Error::NotVisible`], or what the database does.
pub(crate) async fn chat_diff(
    store: &Store,
    authorizer: &Authorizer,
    notifier: &Notifier,
    principal: &Principal,
    chat: ChatId,
    patience: Duration,
) -> Result<DiffHead, Error> {
    let deadline = Instant::now() + patience;
    let readable = authorizer.chats(principal, Action::ReadChat);
    // Subscribe before asking, so that an answer right after the commit is not lost.
    let mut outcomes = notifier.subscribe_outcomes();
    let mut asked: Option<DiffQuestion> = None;
    let mut questions = 0;
    loop {
        outcomes.mark_unchanged();
        let state = store.find_diff(chat).await?.ok_or(Error::DiffNotFound)?;
        let own = asked.as_mut().filter(|own| own.is_of(&state));
        if let Some(answer) = answer(&state, own.as_deref()) {
            return answer;
        }
        if let Some(class) = state.withheld
            && let Some(error) = of_class(class, state.withheld_for)
        {
            return Err(error);
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(no_worker());
        }
        match own {
            Some(own) if state.planned => {
                if now >= own.want_again_at {
                    store.want_diff(own.git_ref).await?;
                    own.want_again_at = now + WANTED / 2;
                }
                let budgets: Vec<_> = state.budget.into_iter().collect();
                outcomes.next(&budgets, deadline).await;
            }
            Some(_) | None if questions == MAX_QUESTIONS => return Err(no_worker()),
            Some(_) | None => {
                questions += 1;
                asked = Some(ask(store, notifier, &readable, chat).await?);
            }
        }
    }
}

/// The question that a call waits for.
struct DiffQuestion {
    git_ref: GitRefId,
    number: i64,
    want_again_at: Instant,
}

impl DiffQuestion {
    /// Whether it is still one of the primary ref, and was not lost.
    fn is_of(&self, state: &DiffState) -> bool {
        self.git_ref == state.git_ref && self.number <= state.asked
    }
}

async fn ask(
    store: &Store,
    notifier: &Notifier,
    readable: &Authorized,
    chat: ChatId,
) -> Result<DiffQuestion, Error> {
    match store.ask_diff(readable, chat).await? {
        AskResult::Asked {
            git_ref,
            question,
            due,
        } => {
            if due {
                notifier.notify(Topic::Due);
            }
            Ok(DiffQuestion {
                git_ref,
                number: question,
                want_again_at: Instant::now() + WANTED / 2,
            })
        }
        AskResult::TooMany => Err(Error::ResourceExhausted {
            problem: "the diffs of too many branches of the owner are asked for".to_owned(),
            reason: reason::TOO_MANY_DIFFS,
            retry_after: Some(Duration::from_secs(1)),
        }),
        AskResult::NoRef => Err(Error::DiffNotFound),
    }
}

/// The answer to the `own` question, or one that is given to all who ask now.
fn answer(state: &DiffState, own: Option<&DiffQuestion>) -> Option<Result<DiffHead, Error>> {
    let answered = state.answer.as_ref()?;
    let is_own = own.is_some_and(|own| own.number <= answered.question);
    if !is_own && !answered.current {
        return None;
    }
    Some(match &answered.answer {
        DiffOutcome::Found(head) => Ok(head.clone()),
        DiffOutcome::TooLarge => Err(Error::FailedPrecondition {
            problem: "the diff is too large",
            reason: reason::DIFF_TOO_LARGE,
        }),
        DiffOutcome::Missing => Err(Error::DiffNotFound),
        DiffOutcome::Failed { class, retry_after } => Err(failure(*class, *retry_after)),
    })
}

fn failure(class: ProblemClass, retry_after: Option<Duration>) -> Error {
    of_class(class, retry_after).unwrap_or(Error::DiffNotFound)
}
