//! The progress of a pull request from GraphQL: the checks of its head, its mergeability, requested
//! reviewers and review threads.
//!
//! Each may be absent where the host lacks the field or hides it from the token. Absent is unknown,
//! which differs from "no checks".

use std::collections::BTreeSet;

use proto::sync::{Checks, MergeState, Progress, ReviewDecision};
use serde::{Deserialize, Deserializer};

use super::super::{
    check::{self, Check, CheckList},
    normalised,
    review_summary::ReviewSummary,
    thread_authors::ThreadAuthors,
};

/// The names in an answer of what may be missing.
pub(super) const OPTIONAL: [&str; 7] = [
    ROLLUP,
    "mergeStateStatus",
    "autoMergeRequest",
    "mergeQueueEntry",
    "reviewThreads",
    "reviewRequests",
    "baseRef",
];

/// The sum of all checks.
pub(super) const ROLLUP: &str = "statusCheckRollup";

/// The fields that change when a check begins or ends, and the position in the merge queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolatileFields<'a> {
    #[serde(default, borrow, deserialize_with = "optional_null")]
    status_check_rollup: Option<Option<Sum<'a>>>,
    #[serde(default, deserialize_with = "optional_null")]
    merge_queue_entry: Option<Option<QueueEntry>>,
}

#[derive(Debug, Deserialize)]
struct Sum<'a> {
    state: &'a str,
    #[serde(borrow)]
    counts: Counts<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts<'a> {
    #[serde(borrow)]
    check_run_counts_by_state: Option<Vec<CheckStateCount<'a>>>,
    #[serde(borrow)]
    status_context_counts_by_state: Option<Vec<CheckStateCount<'a>>>,
}

#[derive(Debug, Deserialize)]
struct CheckStateCount<'a> {
    state: &'a str,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct QueueEntry {
    position: u32,
}

/// Stands in a fingerprint for checks that are unknown.
const UNKNOWN_CHECKS: &str = "-";
/// Between the checks and what comes before them in a fingerprint.
const BAR: char = '|';
/// Letters of a state in a fingerprint: unlike those of any other.
const LETTERS: usize = 4;

impl VolatileFields<'_> {
    /// The end of a fingerprint.
    pub(super) fn text(&self) -> String {
        let position = match &self.merge_queue_entry {
            Some(Some(entry)) => entry.position,
            Some(None) | None => 0,
        };
        let checks = match &self.status_check_rollup {
            None => UNKNOWN_CHECKS.to_owned(),
            Some(None) => String::new(),
            Some(Some(sum)) => sum.text(),
        };
        format!("{position}{BAR}{checks}")
    }
}

impl Sum<'_> {
    fn text(&self) -> String {
        let lists = [
            &self.counts.check_run_counts_by_state,
            &self.counts.status_context_counts_by_state,
        ];
        let mut words = vec![self.state.to_owned()];
        for list in lists {
            let counts = list.iter().flatten().filter(|count| count.count > 0);
            let counts: BTreeSet<String> = counts
                .map(|count| {
                    let letters: String = count.state.chars().take(LETTERS).collect();
                    format!("{letters}{}", count.count)
                })
                .collect();
            words.push(counts.into_iter().collect::<Vec<_>>().join(","));
        }
        words.join(" ")
    }
}

/// Whether two fingerprints are equal. If one of them lacks the checks, the rest decides.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let parts = |text: &str| -> Option<(String, String)> {
        let (core, checks) = text.split_once(BAR)?;
        Some((core.to_owned(), checks.to_owned()))
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => {
            one.0 == other.0
                && (one.1 == other.1 || one.1 == UNKNOWN_CHECKS || other.1 == UNKNOWN_CHECKS)
        }
        (None, _) | (_, None) => one == other,
    }
}

/// The fields of a pull request beside its status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProgressFields {
    #[serde(default, deserialize_with = "optional_null")]
    status_check_rollup: Option<Option<Rollup>>,
    mergeable: Option<String>,
    merge_state_status: Option<String>,
    #[serde(default, deserialize_with = "optional_null")]
    auto_merge_request: Option<Option<AnyObject>>,
    #[serde(default, deserialize_with = "optional_null")]
    merge_queue_entry: Option<Option<QueueEntry>>,
    #[serde(default, deserialize_with = "optional_null")]
    review_decision: Option<Option<String>>,
    review_threads: Option<Nodes<Thread>>,
    review_requests: Option<Nodes<Request>>,
    base_ref: Option<BaseRef>,
}

#[derive(Debug, Deserialize)]
struct AnyObject {}

#[derive(Debug, Deserialize)]
struct Rollup {
    state: String,
    contexts: Contexts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contexts {
    total_count: u64,
    nodes: Option<Vec<Option<Context>>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "__typename", rename_all_fields = "camelCase")]
enum Context {
    CheckRun {
        database_id: Option<u64>,
        name: String,
        status: String,
        conclusion: Option<String>,
        started_at: Option<String>,
        details_url: Option<String>,
        check_suite: Option<Suite>,
    },
    #[serde(rename = "StatusContext")]
    Status {
        context: String,
        state: String,
        target_url: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suite {
    workflow_run: Option<WorkflowRun>,
}

#[derive(Debug, Deserialize)]
struct WorkflowRun {
    workflow: Workflow,
}

#[derive(Debug, Deserialize)]
struct Workflow {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Nodes<T> {
    nodes: Option<Vec<Option<T>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: Option<String>,
    is_resolved: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    /// Null of a team that is hidden.
    requested_reviewer: Option<Reviewer>,
}

#[derive(Debug, Deserialize)]
struct Reviewer {
    login: Option<String>,
    slug: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BaseRef {
    ref_update_rule: Option<UpdateRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateRule {
    required_status_check_contexts: Option<Vec<Option<String>>>,
}

impl ProgressFields {
    /// The checks of the head.
    pub(super) fn checks(&self) -> Option<Checks> {
        let required = self.base_ref.iter().flat_map(|base| &base.ref_update_rule);
        let required = required.flat_map(|rule| &rule.required_status_check_contexts);
        let mut listed = CheckList {
            required: required.flatten().flatten().cloned().collect(),
            ..CheckList::default()
        };
        if let Some(rollup) = self.status_check_rollup.as_ref()? {
            let nodes = rollup.contexts.nodes.as_ref();
            listed.checks = nodes
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(Context::check)
                .collect();
            let is_whole = u64::try_from(listed.checks.len())
                .is_ok_and(|listed| listed >= rollup.contexts.total_count);
            listed.beyond = (!is_whole).then(|| check::of_all(&rollup.state));
        }
        Some(listed.sum())
    }

    /// Whether the host would merge it.
    pub(super) fn merge_state(&self) -> Option<MergeState> {
        let state = self.merge_state_status.as_deref()?;
        let mergeable = match self.mergeable.as_deref() {
            Some("MERGEABLE") => Some(true),
            Some("CONFLICTING") => Some(false),
            Some(_) | None => None,
        };
        Some(check::merge_state(mergeable, state))
    }

    /// Who is waited for. `authors` are those of review threads, as far as they are known.
    pub(super) fn progress(&self, reviews: &ReviewSummary, authors: &ThreadAuthors) -> Progress {
        let requests = self.review_requests.as_ref();
        let requests = requests.and_then(|requests| requests.nodes.as_ref());
        let names = requests.into_iter().flatten().flatten();
        let names = names.filter_map(|request| {
            let reviewer = request.requested_reviewer.as_ref()?;
            let login = reviewer.login.as_deref().and_then(normalised::login);
            login.or_else(|| reviewer.slug.clone())
        });
        let threads = self.review_threads.as_ref();
        let threads = threads.and_then(|threads| threads.nodes.as_ref());
        let unresolved: Option<Vec<&Thread>> = threads.map(|threads| {
            let threads = threads.iter().flatten();
            threads.filter(|thread| !thread.is_resolved).collect()
        });
        let of_bot = |thread: &&Thread| authors.is_bots(thread.id.as_deref()?).map(u32::from);
        Progress {
            review_decision: self.review_decision.as_ref().and_then(|decision| {
                Some(match decision.as_deref() {
                    None => ReviewDecision::NotRequired,
                    Some("APPROVED") => ReviewDecision::Approved,
                    Some("CHANGES_REQUESTED") => ReviewDecision::ChangesRequested,
                    Some("REVIEW_REQUIRED") => ReviewDecision::ReviewRequired,
                    Some(_) => return None,
                })
            }),
            unresolved_threads: unresolved
                .as_ref()
                .map(|threads| u32::try_from(threads.len()).unwrap_or(u32::MAX)),
            unresolved_bot_threads: unresolved
                .and_then(|threads| threads.iter().map(of_bot).sum::<Option<u32>>()),
            auto_merge: self.auto_merge_request.as_ref().map(Option::is_some),
            queue_position: self.merge_queue_entry.as_ref().map(|entry| {
                let position = entry.as_ref().map(|entry| entry.position);
                position.unwrap_or_default()
            }),
            ..normalised::requested(names, reviews)
        }
    }
}

impl Context {
    /// `None`: of a kind that is not known.
    fn check(&self) -> Option<Check> {
        Some(match self {
            Self::CheckRun {
                database_id,
                name,
                status,
                conclusion,
                started_at,
                details_url,
                check_suite,
            } => {
                let run = check_suite
                    .as_ref()
                    .and_then(|suite| suite.workflow_run.as_ref());
                Check {
                    is_run: true,
                    workflow: run.map(|run| run.workflow.name.clone()),
                    name: name.clone(),
                    verdict: check::of_run(status, conclusion.as_deref()),
                    url: details_url.clone(),
                    started_at: started_at.as_deref().and_then(|at| at.parse().ok()),
                    id: database_id.unwrap_or_default(),
                }
            }
            Self::Status {
                context,
                state,
                target_url,
            } => Check {
                is_run: false,
                workflow: None,
                name: context.clone(),
                verdict: check::of_status(state),
                url: target_url.clone(),
                started_at: None,
                id: 0,
            },
            Self::Other => return None,
        })
    }
}

/// Distinguishes a field that is null (`Some(None)`) from one that is absent (`None`).
fn optional_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use proto::sync::CheckState;

    use super::*;

    #[test]
    fn a_fingerprint_without_checks_says_nothing_of_them() {
        for (one, other, same) in [
            ("2 a 0|SUCCESS SUCC2 ", "2 a 0|SUCCESS SUCC2 ", true),
            ("2 a 0|SUCCESS SUCC2 ", "2 a 0|PENDING SUCC1 ", false),
            ("2 a 0|SUCCESS SUCC2 ", "2 a 0|", false),
            ("2 a 0|SUCCESS SUCC2 ", "2 a 0|-", true),
            ("2 a 0|-", "2 a 0|SUCCESS SUCC2 ", true),
            ("2 a 0|-", "2 b 0|-", false),
            ("2 a 1|-", "2 a 0|-", false),
            ("1 a", "2 a 0|-", false),
        ] {
            assert_eq!(is_same(one, other), same, "{one:?} {other:?}");
        }
    }

    #[test]
    fn each_state_has_letters_of_its_own() {
        let states = [
            "ACTION_REQUIRED",
            "CANCELLED",
            "COMPLETED",
            "FAILURE",
            "IN_PROGRESS",
            "NEUTRAL",
            "PENDING",
            "QUEUED",
            "SKIPPED",
            "STALE",
            "STARTUP_FAILURE",
            "SUCCESS",
            "TIMED_OUT",
            "WAITING",
        ];
        let short: BTreeSet<&str> = states.iter().map(|state| &state[..LETTERS]).collect();
        let all = u64::MAX.to_string().len();
        assert_eq!(short.len(), states.len());
        assert!(states.len() * (LETTERS + all / 4) < 256);
    }

    #[test]
    fn a_rollup_that_is_null_has_no_checks_and_one_that_is_missing_is_unknown() {
        let read = |text: &str| serde_json::from_str::<ProgressFields>(text).unwrap();
        assert_eq!(read("{}").checks(), None);
        let none = read(r#"{"statusCheckRollup": null}"#).checks().unwrap();
        assert_eq!((none.state, none.total), (CheckState::None, 0));
    }
}
