//! The sum of a commit's checks: one table for check runs and commit statuses, whichever interface
//! listed them.
//!
//! A list contains superseded runs: of each name within a workflow only the latest run counts,
//! however an earlier one ended. A queued run has no start time and is the latest. A check that is
//! required and has not reported is pending, not absent.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
};

use jiff::Timestamp;
use proto::sync::{CheckState, Checks, FailedCheck, MergeState};

/// The verdict of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckVerdict {
    Passed,
    Failed,
    Pending,
    Skipped,
}

/// One check of a commit.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// Whether it is a check run. Otherwise it is a commit status, which shares no name with one.
    pub(super) is_run: bool,
    /// The workflow that it is part of, where the host names that.
    pub(super) workflow: Option<String>,
    pub(super) name: String,
    pub(super) verdict: CheckVerdict,
    pub(super) url: Option<String>,
    /// When it began.
    pub(super) started_at: Option<Timestamp>,
    /// The host's number for it; they grow with time.
    pub(super) id: u64,
}

impl Check {
    /// Orders the runs of one name by time.
    fn is_after(&self, other: &Self) -> bool {
        // A pending one without a time is queued: it replaces what began before.
        let waits =
            |check: &Self| check.verdict == CheckVerdict::Pending && check.started_at.is_none();
        let by_time = match (self.started_at, other.started_at) {
            (Some(one), Some(other)) => one.cmp(&other),
            (None, _) | (_, None) => Ordering::Equal,
        };
        let order = waits(self).cmp(&waits(other)).then(by_time);
        order.then(self.id.cmp(&other.id)) != Ordering::Less
    }
}

/// All that a host listed of a commit.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckList {
    pub(super) checks: Vec<Check>,
    /// The names that the base branch requires, as far as is known.
    pub(super) required: BTreeSet<String>,
    /// The host's own sum, if it has more checks than were listed. That sum counts superseded runs,
    /// too.
    pub(super) beyond: Option<CheckState>,
}

impl CheckList {
    /// Sums them up.
    pub(super) fn sum(self) -> Checks {
        let Self {
            checks,
            required,
            beyond,
        } = self;
        let mut latest: HashMap<(bool, Option<String>, String), Check> = HashMap::new();
        for check in checks {
            let key = (check.is_run, check.workflow.clone(), check.name.clone());
            match latest.get_mut(&key) {
                Some(held) if check.is_after(held) => *held = check,
                Some(_) => {}
                None => {
                    latest.insert(key, check);
                }
            }
        }
        let count = |verdict: CheckVerdict| {
            let of = latest.values().filter(|check| check.verdict == verdict);
            u32::try_from(of.count()).unwrap_or(u32::MAX)
        };
        let is_there = |name: &String| latest.values().any(|check| check.name == *name);
        let unreported = required.iter().filter(|name| !is_there(name)).count();
        let unreported = if beyond.is_none() { unreported } else { 0 };
        let pending = u32::try_from(unreported).unwrap_or(u32::MAX);
        let mut sum = Checks {
            state: CheckState::None,
            total: 0,
            passed: count(CheckVerdict::Passed),
            failed: count(CheckVerdict::Failed),
            pending: count(CheckVerdict::Pending).saturating_add(pending),
            skipped: count(CheckVerdict::Skipped),
            at_least: beyond.is_some(),
            failed_checks: Vec::new(),
        };
        sum.total = [sum.passed, sum.failed, sum.pending, sum.skipped]
            .into_iter()
            .fold(0, u32::saturating_add);
        sum.state = if sum.failed > 0 {
            CheckState::Failing
        } else if let Some(beyond) = beyond.filter(|state| *state != CheckState::None) {
            beyond
        } else if sum.pending > 0 {
            CheckState::Pending
        } else if sum.total > 0 {
            CheckState::Passing
        } else {
            CheckState::None
        };
        let failed = latest
            .into_values()
            .filter(|check| check.verdict == CheckVerdict::Failed);
        sum.failed_checks = failed
            .map(|check| FailedCheck {
                required: required.contains(&check.name),
                name: check.name,
                url: check.url,
            })
            .collect();
        sum.failed_checks.sort_by(|one, other| {
            let by_need = other.required.cmp(&one.required);
            by_need.then_with(|| one.cmp(other))
        });
        sum
    }
}

/// The verdict of a check run. `stale` means that the host stopped waiting for the run.
pub(super) fn of_run(status: &str, conclusion: Option<&str>) -> CheckVerdict {
    if !status.eq_ignore_ascii_case("completed") {
        return CheckVerdict::Pending;
    }
    match conclusion.unwrap_or_default().to_ascii_lowercase().as_str() {
        "success" => CheckVerdict::Passed,
        "neutral" | "skipped" => CheckVerdict::Skipped,
        "failure" | "cancelled" | "timed_out" | "action_required" | "startup_failure" => {
            CheckVerdict::Failed
        }
        // It ended in a way that is not known: not green, and not red either.
        _ => CheckVerdict::Pending,
    }
}

/// The verdict of a commit status.
pub(super) fn of_status(state: &str) -> CheckVerdict {
    match state.to_ascii_lowercase().as_str() {
        "success" => CheckVerdict::Passed,
        "failure" | "error" => CheckVerdict::Failed,
        _ => CheckVerdict::Pending,
    }
}

/// The host's own sum of all checks.
pub(super) fn of_all(state: &str) -> CheckState {
    match of_status(state) {
        CheckVerdict::Passed | CheckVerdict::Skipped => CheckState::Passing,
        CheckVerdict::Failed => CheckState::Failing,
        CheckVerdict::Pending => CheckState::Pending,
    }
}

/// Whether the host would merge, from `mergeable` and the merge state. Unknown is never reported as
/// "no".
pub(super) fn merge_state(mergeable: Option<bool>, state: &str) -> MergeState {
    match (mergeable, state.to_ascii_lowercase().as_str()) {
        (Some(false), _) | (_, "dirty") => MergeState::Conflicting,
        (None, _) => MergeState::Unknown,
        (Some(true), state) => match state {
            "clean" | "has_hooks" | "unstable" => MergeState::Clean,
            "behind" => MergeState::Behind,
            "blocked" | "draft" => MergeState::Blocked,
            _ => MergeState::Unknown,
        },
    }
}

#[cfg(test)]
mod tests;
