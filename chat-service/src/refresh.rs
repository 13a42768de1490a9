//! `RefreshChat`: the pipeline of the workers, on demand. The chat's refs are made due, as those that
//! somebody waits for, and the next outcome of each is awaited.

use std::time::Duration;

use proto::reason;
use tokio::time::Instant;

use crate::{
    authz::{Action, Authorizer, Principal},
    diff_status::ProblemClass,
    error::Error,
    events::bell::{Bell, Ring},
    id::ChatId,
    store::{
        Store,
        chat::Guarded,
        refresh::{Awaited, LastOutcome},
    },
};

/// What is left of the caller's deadline for the answer itself.
const MARGIN: Duration = Duration::from_millis(500);
/// When to look again if no bell rings: rings may be lost.
const FALLBACK_LOOK: Duration = Duration::from_millis(250);

/// How a refresh ended.
#[derive(Debug)]
pub enum Refreshed {
    /// Every polled ref had a new outcome, and none of them failed; or the chat has none.
    Fresh,
    /// This one is for the caller, together with what is known of the chat: it is unchanged.
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
/// Joins lookups that are under way. Holds no connection while it waits; nothing is lost when the future is
/// dropped.
///
/// # Errors
///
/// [`Error::NotVisible`], [`Error::NotAllowed`], or what the database does. How the lookup itself failed
/// is [`Refreshed::Failed`].
pub async fn refresh_chat(
    store: &Store,
    authorizer: &Authorizer,
    bell: &Bell,
    principal: &Principal,
    chat: ChatId,
    patience: Duration,
) -> Result<Refreshed, Error> {
    let deadline = Instant::now() + patience;
    let readable = authorizer.chats(principal, Action::ReadChat);
    let allowed = authorizer.chats(principal, Action::RefreshChat);
    // Heard from now on, so that an outcome right after the commit is not missed.
    let mut outcomes = bell.listen(Ring::Outcomes);
    let Awaited { refs, paused_for } = match store.make_chat_due(readable, allowed, chat).await? {
        Guarded::Done(awaited) => awaited,
        Guarded::NotVisible => return Err(Error::NotVisible { resource: "chat" }),
        Guarded::NotAllowed => {
            return Err(Error::NotAllowed {
                action: Action::RefreshChat.name(),
            });
        }
    };
    if !refs.is_empty() {
        bell.ring(Ring::Due);
    }
    if let Some(pause) = paused_for {
        return Ok(Refreshed::Failed(rate_limited(Some(pause))));
    }
    if refs.is_empty() {
        return Ok(Refreshed::Fresh);
    }
    loop {
        outcomes.mark_unchanged();
        let last = store.last_outcomes(&refs).await?;
        let pending = |(id, seq): &(_, i64)| {
            last.iter()
                .any(|last| last.git_ref == *id && last.outcome_seq <= *seq && last.planned)
        };
        if !refs.iter().any(pending) {
            return Ok(last
                .iter()
                .find_map(failure)
                .map_or(Refreshed::Fresh, Refreshed::Failed));
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(Refreshed::Failed(Error::Unavailable {
                problem: "no worker answered in time",
                reason: reason::NO_WORKER_IN_TIME,
                retry_after: Some(Duration::from_secs(1)),
                source: None,
            }));
        }
        tokio::select! {
            () = tokio::time::sleep(FALLBACK_LOOK.min(deadline - now)) => {}
            // Fails only without senders, and the bell outlives this.
            _ = outcomes.changed() => {}
        }
    }
}

/// What the caller hears of a lookup that failed. A pull request that is gone is an answer.
fn failure(last: &LastOutcome) -> Option<Error> {
    let precondition = |problem, reason| Some(Error::FailedPrecondition { problem, reason });
    let unavailable = |problem, reason| {
        Some(Error::Unavailable {
            problem,
            reason,
            retry_after: None,
            source: None,
        })
    };
    match last.problem? {
        ProblemClass::PullRequestGone => None,
        ProblemClass::RateLimited => Some(rate_limited(last.retry_in)),
        ProblemClass::NoAccount => precondition(
            "the chat's owner has linked no account at the git host",
            reason::GIT_ACCOUNT_NOT_LINKED,
        ),
        ProblemClass::CredentialRejected => precondition(
            "the git host does not accept the owner's token",
            reason::GIT_CREDENTIAL_REJECTED,
        ),
        ProblemClass::AccessDenied | ProblemClass::RepositoryNotFound => precondition(
            "the git host refuses the owner this repository",
            reason::GIT_ACCESS_DENIED,
        ),
        ProblemClass::ProviderUnsupported => precondition(
            "no worker speaks the git host's protocol",
            reason::PROVIDER_NOT_CONFIGURED,
        ),
        ProblemClass::HostUnavailable | ProblemClass::HostAnswerInvalid => {
            unavailable("the git host failed", reason::GIT_HOST_FAILED)
        }
        ProblemClass::Internal => unavailable(
            "what the git host said could not be stored",
            reason::OUTCOME_NOT_STORED,
        ),
    }
}

fn rate_limited(retry_after: Option<Duration>) -> Error {
    Error::ResourceExhausted {
        problem: "the rate limit of the owner's account at the git host is spent".to_owned(),
        reason: reason::GIT_HOST_RATE_LIMITED,
        retry_after,
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
