//! What the checks of a commit amount to: one table for check runs and commit statuses, whichever
//! interface listed them.
//!
//! A list has runs that were superseded: of each name within a workflow the latest counts, and an
//! earlier one for nothing, however it ended. One that waits to begin has no time yet and is the latest.
//! What is required and has not reported is pending, not absent.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
};

use jiff::Timestamp;
use proto::sync::{CheckState, Checks, FailedCheck, MergeState};

/// What one check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
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
    pub(super) verdict: Verdict,
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
        let waits = |check: &Self| check.verdict == Verdict::Pending && check.started_at.is_none();
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
pub(super) struct Listed {
    pub(super) checks: Vec<Check>,
    /// The names that the base branch requires, as far as is known.
    pub(super) required: BTreeSet<String>,
    /// There are more than were listed. What the host's own sum says of them all, which counts those that
    /// were superseded, too.
    pub(super) beyond: Option<CheckState>,
}

impl Listed {
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
        let count = |verdict: Verdict| {
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
            passed: count(Verdict::Passed),
            failed: count(Verdict::Failed),
            pending: count(Verdict::Pending).saturating_add(pending),
            skipped: count(Verdict::Skipped),
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
            .filter(|check| check.verdict == Verdict::Failed);
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

/// What a check run says. `stale` is what the host calls a run that it gave up waiting for.
pub(super) fn of_run(status: &str, conclusion: Option<&str>) -> Verdict {
    if !status.eq_ignore_ascii_case("completed") {
        return Verdict::Pending;
    }
    match conclusion.unwrap_or_default().to_ascii_lowercase().as_str() {
        "success" => Verdict::Passed,
        "neutral" | "skipped" => Verdict::Skipped,
        "failure" | "cancelled" | "timed_out" | "action_required" | "startup_failure" => {
            Verdict::Failed
        }
        // It ended in a way that is not known: not green, and not red either.
        _ => Verdict::Pending,
    }
}

/// What a commit status says.
pub(super) fn of_status(state: &str) -> Verdict {
    match state.to_ascii_lowercase().as_str() {
        "success" => Verdict::Passed,
        "failure" | "error" => Verdict::Failed,
        _ => Verdict::Pending,
    }
}

/// The host's own sum of all checks.
pub(super) fn of_all(state: &str) -> CheckState {
    match of_status(state) {
        Verdict::Passed | Verdict::Skipped => CheckState::Passing,
        Verdict::Failed => CheckState::Failing,
        Verdict::Pending => CheckState::Pending,
    }
}

/// Whether the host would merge, from whether the branches go together and from its own word. What is
/// not known is no "no".
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
