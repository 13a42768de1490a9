//! Outcomes and observations of credentials as the JSON rows that statements read.

use std::time::Duration;

use proto::sync::{
    CredentialObservation, Finding, FoundPullRequest, Outcome, ProblemClass, ProblemName as _,
};
use serde_json::{Value, json};

/// An outcome, as `apply_outcomes.sql` reads it.
pub(super) fn outcome_row(outcome: &Outcome) -> Value {
    let (kind, found, class): (_, Option<&FoundPullRequest>, Option<ProblemClass>) =
        match &outcome.finding {
            Finding::PullRequest(found) => ("found", Some(found), None),
            Finding::Unchanged => ("unchanged", None, None),
            Finding::NoPullRequest => ("no_pull_request", None, None),
            Finding::Gone => ("gone", None, None),
            Finding::Failed { class, .. } => ("failed", None, Some(*class)),
        };
    let (fence, next, learned) = (&outcome.fence, &outcome.next, &outcome.learned);
    let seconds = |duration: Duration| duration.as_secs_f64();
    let base = next.base.or(next.refresh_in).map(seconds);
    let canonical = learned.canonical_repository.as_ref();
    json!({
        "id": outcome.git_ref.0,
        "report_seq": fence.report_seq,
        "looks": fence.looks,
        "generation": fence.generation,
        "kind": kind,
        "found": found.map(|found| &found.shown),
        "repository": found.map(|found| &found.repository),
        "host_id": found.and_then(|found| found.host_id.as_ref()),
        "updated_at": found.and_then(|found| found.updated_at).map(|at| at.to_string()),
        "problem_class": class.map(ProblemClass::name),
        "upstream": learned.upstream.text(),
        "canonical": canonical.map(proto::sync::RepositoryPath::as_str),
        "fingerprint": learned.fingerprint,
        "next_seconds": next.refresh_in.map(seconds),
        "next_lane": next.lane.number(),
        // An interval of zero would be an endless rate.
        "base_seconds": base.filter(|seconds| *seconds > 0.0),
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
                refused,
                expires_at,
            } = observation;
            json!({
                "id": account.0,
                "generation": generation,
                "refused": refused,
                "expires_at": expires_at.map(|at| at.to_string()),
            })
        })
        .collect()
}
