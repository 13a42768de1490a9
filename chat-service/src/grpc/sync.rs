//! `chat.v1.SyncService`: per RPC take the caller, parse, make one call, render.

use std::time::Duration;

use proto::{
    chat::v1::{self, sync_service_server::SyncService},
    sync::{DiffReport, Lease, LeaseRequest, Report},
};
use tonic::{Request, Response, Status};

use super::{call::Deadline, convert};
use crate::{auth::Caller, error::Error, id::LeaseToken, sync::Dispatcher};

/// The part of the call's deadline that is reserved for the response itself.
const MARGIN: Duration = Duration::from_millis(500);

/// Serves workers.
#[derive(Clone)]
pub(crate) struct SyncGrpc {
    /// Leases refs and takes outcomes.
    pub(crate) dispatcher: Dispatcher,
}

#[tonic::async_trait]
impl SyncService for SyncGrpc {
    async fn lease_diff_statuses(
        &self,
        request: Request<v1::LeaseDiffStatusesRequest>,
    ) -> Result<Response<v1::LeaseDiffStatusesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let deadline = request.extensions().get::<Deadline>().copied();
        let mut lease = LeaseRequest::read(request.into_inner()).map_err(Error::from)?;
        if let Some(Deadline(at)) = deadline {
            // A lease whose caller has gone only keeps its refs waiting.
            let left = at.saturating_duration_since(tokio::time::Instant::now());
            lease.wait = lease.wait.min(left.saturating_sub(MARGIN));
        }
        let leases = self.dispatcher.lease(&caller.principal, &lease).await?;
        Ok(Response::new(v1::LeaseDiffStatusesResponse {
            leases: leases.iter().map(Lease::message).collect(),
        }))
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Result<Response<v1::RenewLeaseResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = lease_token(&request.into_inner().lease_token)?;
        let renewal = self.dispatcher.renew(&caller.principal, token).await?;
        Ok(Response::new(renewal.message()))
    }

    async fn report_outcomes(
        &self,
        request: Request<v1::ReportOutcomesRequest>,
    ) -> Result<Response<v1::ReportOutcomesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let report = Report::read(request.into_inner()).map_err(Error::from)?;
        let answer = self.dispatcher.report(&caller.principal, &report).await?;
        Ok(Response::new(answer.message(&report.outcomes)))
    }

    async fn report_diff(
        &self,
        request: Request<v1::ReportDiffRequest>,
    ) -> Result<Response<v1::ReportDiffResponse>, Status> {
        let caller = Caller::of(&request)?;
        let report = DiffReport::read(request.into_inner()).map_err(Error::from)?;
        self.dispatcher
            .report_diff(&caller.principal, &report)
            .await?;
        Ok(Response::new(v1::ReportDiffResponse {}))
    }

    async fn release_lease(
        &self,
        request: Request<v1::ReleaseLeaseRequest>,
    ) -> Result<Response<v1::ReleaseLeaseResponse>, Status> {
        let caller = Caller::of(&request)?;
        let token = lease_token(&request.into_inner().lease_token)?;
        self.dispatcher.release(&caller.principal, token).await?;
        Ok(Response::new(v1::ReleaseLeaseResponse {}))
    }
}

/// A malformed token cannot belong to a lease.
fn lease_token(text: &str) -> Result<LeaseToken, Error> {
    convert::uuid("lease_token", text).map(LeaseToken)
}
