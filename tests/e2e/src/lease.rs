//! What a test reports in the place of a worker.

use proto::chat::v1::{
    Lease, LeaseDiffStatusesRequest, NoPullRequest, Outcome, ReportOutcomesRequest, outcome,
};
use uuid::Uuid;

/// Asks for whatever is due now.
#[must_use]
pub fn whatever_is_due() -> LeaseDiffStatusesRequest {
    LeaseDiffStatusesRequest {
        request_id: Uuid::now_v7().to_string(),
        worker_id: "by hand".to_owned(),
        ..LeaseDiffStatusesRequest::default()
    }
}

/// That there is no pull request for the first ref of the lease, which is given back.
pub fn no_pull_request(lease: &Lease) -> ReportOutcomesRequest {
    let leased = &lease.groups[0].refs[0];
    ReportOutcomesRequest {
        request_id: Uuid::now_v7().to_string(),
        lease_token: lease.lease_token.clone(),
        outcomes: vec![Outcome {
            git_ref_id: leased.git_ref_id.clone(),
            fence: leased.fence,
            result: Some(outcome::Result::NoPullRequest(NoPullRequest {})),
            next_refresh_in: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..Outcome::default()
        }],
        release_lease: true,
        ..ReportOutcomesRequest::default()
    }
}
