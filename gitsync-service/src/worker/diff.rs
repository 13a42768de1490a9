//! The diff that a person waits for, beside the outcome of its ref: of the pull request that the
//! lookup found, or of the branch that has none.

use std::time::Duration;

use proto::sync::{
    Diff, DiffResult, Fence, Finding, GitRefId, LeasedRef, Outcome, Pause, ProblemClass,
    RepositoryPath,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    budget::WithholdReason,
    host::{DiffAnswer, DiffTarget},
    resolve::Resolution,
};

/// Diffs that a worker holds at once at most, each of megabytes: those that are asked for, and
/// those that are not reported yet.
pub(super) const DIFFS_AT_ONCE: usize = 4;

/// What the lookup of a ref brought.
#[derive(Debug)]
pub struct LookupResult {
    /// What was found.
    pub outcome: Outcome,
    /// Its diff, if one is wanted: to be reported before the outcome, which ends the wait for it.
    pub diff: Option<DiffFetch>,
}

/// What came of asking for a diff.
#[derive(Debug)]
pub struct DiffFetch {
    /// Of which ref.
    pub git_ref: GitRefId,
    /// As the lease handed it out.
    pub fence: Fence,
    /// What came of it.
    pub result: DiffResult,
    /// Its place among those that the worker holds.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl DiffFetch {
    pub(super) fn new(
        git_ref: &LeasedRef,
        result: DiffResult,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            git_ref: git_ref.id,
            fence: git_ref.fence,
            result,
            room,
        }
    }
}

/// What is to be asked for, or what came of it where that is known already.
pub(super) fn diff_of(resolved: &Resolution<'_>) -> Result<DiffTarget, DiffResult> {
    let failed = |class| DiffResult::Failed {
        class,
        retry_after: None,
    };
    let pull_request = |repository: &str, number| {
        let repository = RepositoryPath::parse(repository);
        let repository = repository.ok_or(failed(ProblemClass::Internal))?;
        Ok(DiffTarget::PullRequest { repository, number })
    };
    let git_ref = resolved.git_ref;
    match &resolved.finding {
        Finding::PullRequest(found) => pull_request(&found.repository, found.shown.number),
        Finding::Unchanged => match &git_ref.known {
            Some(known) => pull_request(&known.repository, known.number),
            None => Err(failed(ProblemClass::Internal)),
        },
        Finding::NoPullRequest => Ok(DiffTarget::Branch {
            repository: called_now(resolved).clone(),
            branch: git_ref.branch.clone(),
        }),
        Finding::Gone => Err(DiffResult::Missing),
        Finding::Failed { class, .. } => Err(failed(*class)),
    }
}

/// The branch's repository as the host calls it.
fn called_now<'a>(resolved: &'a Resolution<'_>) -> &'a RepositoryPath {
    let git_ref = resolved.git_ref;
    let learned = resolved.learned.canonical_repository.as_ref();
    let known = git_ref.canonical_repository.as_ref();
    learned.or(known).unwrap_or(&git_ref.repository)
}

/// What came of asking. `None` when the turn ended before: it stays wanted, and its ref due.
/// `pause` is that of the budget as a whole.
pub(super) fn result(
    resolved: &Resolution<'_>,
    of: &DiffTarget,
    answer: DiffAnswer,
    pause: Option<Pause>,
) -> Option<DiffResult> {
    let failed =
        |class, retry_after: Option<Duration>| Some(DiffResult::Failed { class, retry_after });
    match answer {
        DiffAnswer::Diff {
            content,
            base_branch,
        } => {
            let found = match &resolved.finding {
                Finding::PullRequest(found) => Some(&found.shown),
                Finding::Unchanged
                | Finding::NoPullRequest
                | Finding::Gone
                | Finding::Failed { .. } => None,
            };
            Some(DiffResult::Found(Diff {
                content: content.into(),
                pr_number: match of {
                    DiffTarget::PullRequest { number, .. } => Some(*number),
                    DiffTarget::Branch { .. } => None,
                },
                base_branch: base_branch.or(found.map(|shown| shown.base_branch.clone())),
                head_sha: found.map(|shown| shown.head.sha.clone()),
            }))
        }
        DiffAnswer::TooLarge => Some(DiffResult::TooLarge),
        DiffAnswer::Missing => Some(DiffResult::Missing),
        DiffAnswer::Failed(class) => failed(class, None),
        DiffAnswer::Unsent {
            withheld,
            retry_after,
        } => match withheld {
            WithholdReason::WindowPaused => failed(ProblemClass::RateLimited, retry_after),
            WithholdReason::BudgetPaused => {
                let known = pause.map(|pause| (pause.class, Some(pause.duration)));
                let (class, after) = known.unwrap_or((ProblemClass::RateLimited, retry_after));
                failed(class, after)
            }
            WithholdReason::Reserved => failed(ProblemClass::LimitReserved, retry_after),
            WithholdReason::HostClosed => failed(ProblemClass::HostUnavailable, retry_after),
            WithholdReason::Credential => failed(ProblemClass::CredentialSuspect, None),
            WithholdReason::TurnOver => None,
        },
    }
}
