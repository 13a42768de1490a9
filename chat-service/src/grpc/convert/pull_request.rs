//! The fields of a diff status that describe its pull request.

use proto::{
    chat::v1,
    sync::{Head, MergeState, Progress, PullRequest, PullRequestState},
};

/// Writes a pull request into the status of its ref.
pub(super) fn fill(message: &mut v1::ChatDiffStatus, pull_request: PullRequest) {
    let mergeability = mergeability(&pull_request);
    let PullRequest {
        number,
        url,
        state,
        draft,
        title,
        base_branch,
        author_login,
        author_avatar_url,
        changes_requested,
        approved,
        reviewer_count,
        pushed_after_merge,
        progress,
        head:
            Head {
                branch,
                sha,
                additions,
                deletions,
                changed_files,
                commits,
                checks,
                merge_state: _,
            },
    } = pull_request;
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    message.url = Some(url);
    message.pull_request_state = Some(pull_request_state(state, draft).into());
    message.pull_request_title = title;
    message.pull_request_draft = draft;
    message.changes_requested = changes_requested;
    message.additions = additions;
    message.deletions = deletions;
    message.changed_files = changed_files;
    message.head_branch = known(branch);
    message.base_branch = known(base_branch);
    message.head_sha = known(sha);
    message.author_login = author_login;
    message.author_avatar_url = author_avatar_url;
    message.pr_number = Some(number);
    message.commits = Some(commits);
    message.approved = Some(approved);
    message.reviewer_count = Some(reviewer_count);
    message.pushed_after_merge = pushed_after_merge;
    message.checks = checks.map(|checks| checks.message());
    // The names of twenty refs' checks would be most of a chat.
    if let Some(checks) = &mut message.checks
        && !message.primary
    {
        checks.failed_checks.clear();
    }
    message.mergeability = mergeability;
    message.review_progress = Some(review_progress(progress));
}

/// Where a pull request stands, as clients see it: an open draft is a draft.
fn pull_request_state(state: PullRequestState, draft: bool) -> v1::PullRequestState {
    match (state, draft) {
        (PullRequestState::Open, true) => v1::PullRequestState::Draft,
        (PullRequestState::Open, false) => v1::PullRequestState::Open,
        (PullRequestState::Merged, _) => v1::PullRequestState::Merged,
        (PullRequestState::Closed, _) => v1::PullRequestState::Closed,
    }
}

/// The mergeability; absent for a settled pull request, for which it has no meaning.
fn mergeability(pull_request: &PullRequest) -> Option<v1::Mergeability> {
    if pull_request.state != PullRequestState::Open {
        return None;
    }
    let mergeable = match pull_request.head.merge_state {
        None | Some(MergeState::Unknown) => v1::Mergeable::Unspecified,
        Some(MergeState::Conflicting) => v1::Mergeable::Conflicting,
        Some(MergeState::Clean | MergeState::Behind | MergeState::Blocked) => {
            v1::Mergeable::Mergeable
        }
    };
    let blockers = pull_request.merge_blockers();
    let position = pull_request.progress.queue_position;
    Some(v1::Mergeability {
        mergeable: mergeable.into(),
        blockers: blockers
            .into_iter()
            .map(|blocker| blocker.message().into())
            .collect(),
        queue_position: position.filter(|position| *position > 0).map(count),
        auto_merge: pull_request.progress.auto_merge == Some(true),
        ready_to_merge: pull_request.is_ready_to_merge(),
    })
}

fn review_progress(progress: Progress) -> v1::ReviewProgress {
    let Progress {
        review_decision,
        requested_reviewers,
        requested_again,
        // Shown with what needs attention.
        change_requests: _,
        unresolved_threads,
        unresolved_bot_threads,
        auto_merge: _,
        queue_position: _,
    } = progress;
    let decision = review_decision.map_or(v1::ReviewDecision::Unspecified, |decision| {
        decision.message()
    });
    v1::ReviewProgress {
        decision: decision.into(),
        requested_reviewers,
        requested_again,
        unresolved_threads: unresolved_threads.map(count),
        // An earlier look's, where the last one did not learn who began them.
        unresolved_bot_threads: unresolved_bot_threads
            .zip(unresolved_threads)
            .map(|(of_bots, all)| count(of_bots.min(all))),
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
