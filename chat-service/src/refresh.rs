//! `RefreshChat`: the pipeline of the workers, on demand. The chat's refs are made due, as those
//! that a person waits for, and the next outcome of each is awaited.

use std::time::Duration;

use proto::{reason, sync::ProblemClass};
use tokio::time::Instant;

use crate::{
    authz::{Action, Authorizer, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::{ChatId, GitRefId},
    store::{Store, refresh::LastOutcome},
};

/// The part of the caller's deadline that is reserved for the response itself.
const MARGIN: Duration = Duration::from_millis(500);

/// How a refresh ended.
#[derive(Debug)]
pub enum RefreshResult {
    /// Every polled ref had a new outcome, and none of them failed; or the chat has none.
    Fresh,
    /// This one is for the caller, together with what is known of the chat.
    Failed(Error),
}

/// How long to wait for outcomes when the whole call may take `whole`.
#[must_use]
pub fn patience(whole: Duration) -> Duration {
    // A short deadline keeps most of itself.
    whole.saturating_sub(MARGIN.min(whole / 4))
}

/// Has the polled refs of a chat looked up, and waits for that until `patience` has passed.
///
/// Joins lookups that are under way. A ref whose budget is leased waits for the end of that turn,
/// which its holder hastens: a rate limit has one spender at a time. What cannot be asked for now,
/// for want of a usable credential or since the budget pauses, is answered at once with that
/// reason. Branches that are reported meanwhile are waited for, too. An archived chat is looked up
/// once; that resumes no polling. Holds no connection while it waits; nothing is lost when the
/// future is dropped.
///
/// # Errors
///
/// [`Error::NotVisible`], [`Error::NotAllowed`], or what the database does. How the lookup itself
/// failed is [`RefreshResult::Failed`].
pub async fn refresh_chat(
    store: &Store,
    authorizer: &Authorizer,
    notifier: &Notifier,
    principal: &Principal,
    chat: ChatId,
    patience: Duration,
) -> Result<RefreshResult, Error> {
    let deadline = Instant::now() + patience;
    let readable = authorizer.chats(principal, Action::ReadChat);
    let allowed = authorizer.chats(principal, Action::RefreshChat);
    // Subscribe before refs are made due, so that an outcome right after the commit is not lost.
    let mut outcomes = notifier.subscribe_outcomes();
    let (readable, allowed) = (&readable, &allowed);
    let make_due = |answered: Vec<GitRefId>| async move {
        let awaited = store
            .make_chat_due(readable, allowed, chat, &answered)
            .await?;
        if awaited.due {
            notifier.notify(Topic::Due);
        }
        Ok::<_, Error>((awaited.refs, awaited.budgets))
    };
    let (mut awaited, mut budgets) = make_due(Vec::new()).await?;
    loop {
        outcomes.mark_unchanged();
        let last = store.last_outcomes(&awaited).await?;
        let states: Vec<(GitRefId, State)> = awaited
            .iter()
            .map(|(id, seq)| {
                (
                    *id,
                    State::of(last.iter().find(|last| last.git_ref == *id), *seq),
                )
            })
            .collect();
        let now = Instant::now();
        let any = |state| states.iter().any(|(_, of)| *of == state);
        if any(State::Left) && now < deadline {
            // The chat has moved on to another branch, or was archived: what is polled now counts.
            let answered: Vec<GitRefId> = states
                .iter()
                .filter(|(_, state)| *state == State::Answered)
                .map(|(id, _)| *id)
                .collect();
            let (polled, spent) = make_due(answered.clone()).await?;
            awaited = merged(&awaited, &answered, polled);
            budgets.extend(spent);
            continue;
        }
        if !any(State::Pending) && !any(State::Left) {
            // In the order of `last`: the primary ref's result comes first.
            return Ok(last
                .iter()
                .find_map(|last| {
                    let (_, state) = states.iter().find(|(id, _)| *id == last.git_ref)?;
                    match state {
                        State::Withheld => of_class(last.withheld?, last.withheld_for),
                        State::Answered | State::Pending | State::Left => failure(last),
                    }
                })
                .map_or(RefreshResult::Fresh, RefreshResult::Failed));
        }
        if now >= deadline {
            return Ok(RefreshResult::Failed(no_worker()));
        }
        outcomes.next(&budgets, deadline).await;
    }
}

/// How it stands with a ref that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It had an outcome since.
    Answered,
    /// Its outcome is to come.
    Pending,
    /// Its outcome cannot come now: the owner has no usable credential, or the budget spends
    /// nothing.
    Withheld,
    /// No outcome will come: the chat has left the branch, or the ref is gone.
    Left,
}

impl State {
    /// Of a ref that had `seq` outcomes before, by its last one.
    fn of(last: Option<&LastOutcome>, seq: i64) -> Self {
        match last {
            Some(last) if last.outcome_seq > seq => Self::Answered,
            Some(last) if last.polled && last.withheld.is_some() => Self::Withheld,
            Some(last) if last.planned => Self::Pending,
            Some(_) | None => Self::Left,
        }
    }
}

/// The refs to wait for after the refs `polled` now were made due: a ref that was waited for
/// already keeps the outcome to wait for, and one that was `answered` stays.
fn merged(
    awaited: &[(GitRefId, i64)],
    answered: &[GitRefId],
    polled: Vec<(GitRefId, i64)>,
) -> Vec<(GitRefId, i64)> {
    let before = |id: GitRefId| awaited.iter().find(|(of, _)| *of == id).copied();
    let mut merged: Vec<(GitRefId, i64)> = answered.iter().filter_map(|id| before(*id)).collect();
    merged.extend(
        polled
            .into_iter()
            .map(|(id, seq)| before(id).unwrap_or((id, seq))),
    );
    merged
}

/// No worker answered in time.
pub(crate) fn no_worker() -> Error {
    Error::Unavailable {
        problem: "no worker answered in time",
        reason: reason::NO_WORKER_IN_TIME,
        retry_after: Some(Duration::from_secs(1)),
        source: None,
    }
}

/// The error of a failed lookup for the caller. A pull request that is gone is an answer, and a ref
/// that is no longer polled is ignored.
fn failure(last: &LastOutcome) -> Option<Error> {
    if !last.polled {
        return None;
    }
    of_class(last.problem?, None)
}

/// What the caller hears of a problem; `None` for one that is an answer.
pub(crate) fn of_class(class: ProblemClass, retry_after: Option<Duration>) -> Option<Error> {
    let precondition = |problem, reason| Some(Error::FailedPrecondition { problem, reason });
    let exhausted = |problem: &str, reason| {
        Some(Error::ResourceExhausted {
            problem: problem.to_owned(),
            reason,
            retry_after,
        })
    };
    let unavailable = |problem, reason| {
        Some(Error::Unavailable {
            problem,
            reason,
            retry_after,
            source: None,
        })
    };
    match class {
        ProblemClass::PullRequestGone => None,
        ProblemClass::RateLimited | ProblemClass::SecondaryLimited => exhausted(
            "the rate limit of the owner's account at the git host is spent",
            reason::GIT_HOST_RATE_LIMITED,
        ),
        ProblemClass::LimitReserved => exhausted(
            "what is left for the owner's account at the git host is kept for the owner",
            reason::GIT_HOST_LIMIT_RESERVED,
        ),
        ProblemClass::NoAccount => precondition(
            "the chat's owner has linked no account at the git host",
            reason::GIT_ACCOUNT_NOT_LINKED,
        ),
        ProblemClass::CredentialRejected | ProblemClass::CredentialSuspect => precondition(
            "the git host does not accept the owner's token",
            reason::GIT_CREDENTIAL_REJECTED,
        ),
        ProblemClass::AccountLocked => precondition(
            "the owner's account at the git host is suspended or locked for a while",
            reason::GIT_ACCOUNT_LOCKED,
        ),
        ProblemClass::AccessDenied
        | ProblemClass::RepositoryNotFound
        | ProblemClass::SsoRequired
        | ProblemClass::AddressNotAllowed
        | ProblemClass::RepositoryBlocked => precondition(
            "the git host refuses the owner this repository",
            reason::GIT_ACCESS_DENIED,
        ),
        ProblemClass::ProviderUnsupported => precondition(
            "no worker speaks the git host's protocol",
            reason::PROVIDER_NOT_CONFIGURED,
        ),
        ProblemClass::HostUnavailable
        | ProblemClass::HostAnswerInvalid
        | ProblemClass::NotReady
        | ProblemClass::QueryTooHeavy
        | ProblemClass::HostIncompatible => {
            unavailable("the git host failed", reason::GIT_HOST_FAILED)
        }
        // One of a later release: what happened is not known here.
        ProblemClass::Internal | ProblemClass::Unspecified => unavailable(
            "what the git host said could not be stored",
            reason::OUTCOME_NOT_STORED,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_before_the_callers_deadline() {
        assert_eq!(
            patience(Duration::from_secs(15)),
            Duration::from_millis(14_500)
        );
        assert_eq!(
            patience(Duration::from_secs(4)),
            Duration::from_millis(3_500)
        );
        assert_eq!(
            patience(Duration::from_millis(400)),
            Duration::from_millis(300)
        );
        assert_eq!(patience(Duration::ZERO), Duration::ZERO);
    }
}
