//! `gitsync.v1.WorkerService`: what this process is doing, for site admins.

use std::sync::Arc;

use futures_util::FutureExt as _;
use proto::{
    gitsync::v1::{
        GetWorkerStateRequest, GetWorkerStateResponse, HeldLease, WorkerError,
        worker_service_server::WorkerService,
    },
    sync::message_duration,
};
use service_runtime::{
    admission::Authenticate,
    telemetry::AUDIT,
    token::{Claims, Kind, TokenError, Verifier},
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    metrics::Metrics,
    worker::{WorkerSnapshot, WorkerState},
};

/// The site role that may look into a worker.
const ADMIN: &str = "admin";

/// Authenticates calls by their bearer tokens.
pub(crate) fn authenticate(verifier: Verifier) -> Authenticate<Claims> {
    let refused = |error| {
        Status::from(match error {
            TokenError::Missing => Error::CredentialsMissing,
            TokenError::TooLong => Error::CredentialsTooLarge,
            TokenError::KeysUnavailable => Error::KeysUnavailable,
            source @ (TokenError::UnknownKey | TokenError::Invalid(_)) => {
                Error::CredentialsInvalid { source }
            }
        })
    };
    Arc::new(move |headers, _| {
        let verified = verifier.authenticate(headers);
        verified
            .map(move |verified| verified.map_err(refused))
            .boxed()
    })
}

/// Answers for one process.
pub(crate) struct WorkerApi {
    pub(crate) state: Arc<WorkerState>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Refuses a call whose caller, authenticated before its body was read, is not an admin.
fn require_admin<T>(request: &Request<T>) -> Result<(), Error> {
    let claims = request.extensions().get::<Claims>();
    let claims = claims.ok_or(Error::CredentialsMissing)?;
    let admin = claims.kind != Some(Kind::Service) && claims.site_roles.contains(ADMIN);
    let is_allowed = admin && !claims.suspended;
    tracing::info!(
        target: AUDIT,
        principal = claims.sub,
        action = "getWorkerState",
        decision = if is_allowed { "allowed" } else { "denied" },
        "a caller asked what the worker is doing"
    );
    if is_allowed {
        Ok(())
    } else {
        Err(Error::NotAllowed)
    }
}

#[tonic::async_trait]
impl WorkerService for WorkerApi {
    async fn get_worker_state(
        &self,
        request: Request<GetWorkerStateRequest>,
    ) -> Result<Response<GetWorkerStateResponse>, Status> {
        require_admin(&request)?;
        Ok(Response::new(render(self.state.snapshot(), &self.metrics)))
    }
}

fn render(snapshot: WorkerSnapshot, metrics: &Metrics) -> GetWorkerStateResponse {
    let now = Instant::now();
    let leases = snapshot.leases.into_iter().map(|lease| HeldLease {
        budget_key: lease.budget_key.0,
        refs: count(lease.refs),
        refs_done: count(lease.done),
        expires_in: Some(message_duration(
            lease.expires_at.saturating_duration_since(now),
        )),
    });
    let last_errors = snapshot.last_errors.into_iter().map(|error| WorkerError {
        kind: error.kind.to_owned(),
        message: error.message,
        ago: Some(message_duration(now.saturating_duration_since(error.at))),
    });
    GetWorkerStateResponse {
        worker_id: snapshot.worker_id,
        uptime: Some(message_duration(snapshot.uptime)),
        draining: snapshot.draining,
        leases: leases.collect(),
        refs_leased: count(metrics.leased_refs.get()),
        outcomes_reported: count(snapshot.outcomes_reported),
        leases_lost: count(metrics.leases_lost.get()),
        host_requests: count(metrics.host_requests_begun()),
        host_requests_in_flight: metrics.host_requests_in_flight.get(),
        outcomes_per_second: snapshot.outcomes_per_second,
        last_errors: last_errors.collect(),
    }
}

fn count(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
