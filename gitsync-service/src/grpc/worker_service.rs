//! `gitsync.v1.WorkerService`: what this process is doing, for site admins.

use std::sync::Arc;

use proto::{
    gitsync::v1::{
        GetWorkerStateRequest, GetWorkerStateResponse, HeldLease, WorkerError,
        worker_service_server::WorkerService,
    },
    sync::message_duration,
};
use service_runtime::token::{Kind, TokenError, Verifier};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    error::Error,
    metrics::Metrics,
    worker::{WorkerSnapshot, WorkerState},
};

/// The site role that may look into a worker.
const ADMIN: &str = "admin";

/// Answers for one process.
pub(crate) struct WorkerApi {
    pub(crate) verifier: Verifier,
    pub(crate) state: Arc<WorkerState>,
    pub(crate) metrics: Arc<Metrics>,
}

impl WorkerApi {
    fn require_admin(&self, metadata: &MetadataMap) -> Result<(), Error> {
        let claims = match self.verifier.verify_metadata(metadata) {
            Ok(claims) => claims,
            Err(TokenError::Missing) => return Err(Error::CredentialsMissing),
            Err(source @ TokenError::Invalid { .. }) => {
                return Err(Error::CredentialsInvalid { source });
            }
        };
        let admin = claims.kind == Kind::User && claims.site_roles.contains(ADMIN);
        if admin && !claims.suspended {
            Ok(())
        } else {
            Err(Error::NotAllowed)
        }
    }
}

#[tonic::async_trait]
impl WorkerService for WorkerApi {
    async fn get_worker_state(
        &self,
        request: Request<GetWorkerStateRequest>,
    ) -> Result<Response<GetWorkerStateResponse>, Status> {
        self.require_admin(request.metadata())?;
        Ok(Response::new(render(self.state.snapshot(), &self.metrics)))
    }
}

fn render(snapshot: WorkerSnapshot, metrics: &Metrics) -> GetWorkerStateResponse {
    let WorkerSnapshot {
        worker_id,
        uptime,
        draining,
        leases,
        outcomes_reported,
        outcomes_per_second,
        last_errors,
    } = snapshot;
    GetWorkerStateResponse {
        worker_id,
        uptime: Some(message_duration(uptime)),
        draining,
        leases: leases
            .into_iter()
            .map(|lease| HeldLease {
                budget_key: lease.budget_key.0,
                refs: count(lease.refs),
                refs_done: count(lease.refs_done),
                expires_in: Some(message_duration(lease.expires_in)),
            })
            .collect(),
        refs_leased: counted(metrics.refs_leased.get()),
        outcomes_reported: counted(outcomes_reported),
        leases_lost: counted(metrics.leases_lost.get()),
        host_requests: counted(metrics.host_requests_begun()),
        host_requests_in_flight: metrics.host_requests_in_flight.get(),
        outcomes_per_second,
        last_errors: last_errors
            .into_iter()
            .map(|error| WorkerError {
                kind: error.kind.to_owned(),
                message: error.message,
                ago: Some(message_duration(error.ago)),
            })
            .collect(),
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn counted(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
