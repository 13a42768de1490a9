//! Outcomes and observations of credentials as the JSON rows that statements read.

use proto::sync::{
    CredentialObservation, Finding, FoundPullRequest, Learned, Next, Outcome, ProblemClass,
    ProblemName as _, PullRequest,
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// An outcome, as `apply_outcomes.sql` reads it.
#[derive(Serialize)]
struct OutcomeRow<'a> {
    id: Uuid,
    report_seq: i64,
    looks: i64,
    generation: i64,
    kind: &'static str,
    found: Option<&'a PullRequest>,
    repository: Option<&'a str>,
    host_id: Option<&'a str>,
    updated_at: Option<String>,
    problem_class: Option<&'static str>,
    upstream: Option<&'a str>,
    canonical: Option<&'a str>,
    fingerprint: Option<&'a str>,
    validator: Option<&'a str>,
    next_seconds: Option<f64>,
    next_lane: i16,
    base_seconds: Option<f64>,
}

/// The row of an outcome.
pub(super) fn outcome_row(outcome: &Outcome) -> Value {
    let Outcome {
        git_ref,
        fence,
        finding,
        next: Next {
            refresh_in,
            lane,
            base,
        },
        learned:
            Learned {
                upstream,
                canonical_repository,
                fingerprint,
                validator,
            },
    } = outcome;
    let (kind, found, class): (_, Option<&FoundPullRequest>, Option<ProblemClass>) = match finding {
        Finding::PullRequest(found) => ("found", Some(found), None),
        Finding::Unchanged => ("unchanged", None, None),
        Finding::NoPullRequest => ("no_pull_request", None, None),
        Finding::Gone => ("gone", None, None),
        Finding::Failed {
            class,
            repository_wide: _,
        } => ("failed", None, Some(*class)),
    };
    json!(OutcomeRow {
        id: git_ref.0,
        report_seq: fence.report_seq,
        looks: fence.looks,
        generation: fence.generation,
        kind,
        found: found.map(|found| &found.shown),
        repository: found.map(|found| found.repository.as_str()),
        host_id: found.and_then(|found| found.host_id.as_deref()),
        updated_at: found
            .and_then(|found| found.updated_at)
            .map(|at| at.to_string()),
        problem_class: class.map(ProblemClass::name),
        upstream: upstream.text(),
        canonical: canonical_repository
            .as_ref()
            .map(proto::sync::RepositoryPath::as_str),
        fingerprint: fingerprint.as_deref(),
        validator: validator.as_deref(),
        next_seconds: refresh_in.map(|next| next.as_secs_f64()),
        next_lane: lane.number(),
        // An interval of zero would be an endless rate.
        base_seconds: base
            .or(*refresh_in)
            .map(|base| base.as_secs_f64())
            .filter(|seconds| *seconds > 0.0),
    })
}

/// Observations of credentials, as `observe_credentials.sql` reads them.
pub(super) fn credential_rows(credentials: &[CredentialObservation]) -> Value {
    credentials
        .iter()
        .map(|observation| {
            let CredentialObservation {
                account,
                generation,
                state,
                confirm_in,
            } = observation;
            json!({
                "id": account.0,
                "generation": generation,
                "state": state.name(),
                "confirm_seconds": confirm_in.as_secs_f64(),
            })
        })
        .collect()
}
