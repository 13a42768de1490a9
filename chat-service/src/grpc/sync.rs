//! `chat.v1.SyncService`: per RPC authenticate, parse, make one call, render.

mod outcome;

use std::time::Duration;

use proto::chat::v1::{self, sync_service_server::SyncService};
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{call::Deadline, convert};
use crate::{
    auth::Auth,
    diff_status::PullRequestState,
    error::Error,
    id::{LeaseToken, RequestId},
    provider::{Provider, ProviderKind},
    sync::{
        DEFAULT_MAX_REFS, Dispatcher, Lane, MAX_REFS, MAX_WAIT,
        budget::{BatchSizes, BudgetView, BudgetWindow},
        lease::{KnownPullRequest, Lease, LeaseGroup, LeaseRequest, LeasedRef},
        outcome::OutcomeStatus,
    },
};

/// Characters of a worker's name at most.
const MAX_WORKER_CHARS: usize = 100;
/// What is left of the call's deadline for the answer itself.
const MARGIN: Duration = Duration::from_millis(500);

/// Serves workers.
#[derive(Clone)]
pub(crate) struct SyncGrpc {
    /// Leases refs and takes outcomes.
    pub(crate) dispatcher: Dispatcher,
    /// Authenticates.
    pub(crate) auth: Auth,
}

#[tonic::async_trait]
impl SyncService for SyncGrpc {
    async fn lease_diff_statuses(
        &self,
        request: Request<v1::LeaseDiffStatusesRequest>,
    ) -> Result<Response<v1::LeaseDiffStatusesResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let deadline = request.extensions().get::<Deadline>().copied();
        let mut lease = lease_request(request.into_inner())?;
        if let Some(Deadline(at)) = deadline {
            // A lease that is made when nobody listens any more only keeps its refs waiting.
            let left = at.saturating_duration_since(tokio::time::Instant::now());
            lease.wait = lease.wait.min(left.saturating_sub(MARGIN));
        }
        let leases = self.dispatcher.lease(&caller.principal, &lease).await?;
        Ok(Response::new(v1::LeaseDiffStatusesResponse {
            leases: leases.into_iter().map(render_lease).collect(),
        }))
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Result<Response<v1::RenewLeaseResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let token = lease_token(&request.into_inner().lease_token)?;
        let expires_in = self.dispatcher.renew(&caller.principal, token).await?;
        Ok(Response::new(v1::RenewLeaseResponse {
            expires_in: Some(render_duration(expires_in)),
        }))
    }

    async fn report_outcomes(
        &self,
        request: Request<v1::ReportOutcomesRequest>,
    ) -> Result<Response<v1::ReportOutcomesResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let report = outcome::report(request.into_inner())?;
        let statuses = self.dispatcher.report(&caller.principal, &report).await?;
        let results = report
            .outcomes
            .iter()
            .zip(statuses)
            .map(|(outcome, status)| v1::OutcomeResult {
                git_ref_id: outcome.git_ref.to_string(),
                status: render_status(status).into(),
            })
            .collect();
        Ok(Response::new(v1::ReportOutcomesResponse { results }))
    }

    async fn release_lease(
        &self,
        request: Request<v1::ReleaseLeaseRequest>,
    ) -> Result<Response<v1::ReleaseLeaseResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let token = lease_token(&request.into_inner().lease_token)?;
        self.dispatcher.release(&caller.principal, token).await?;
        Ok(Response::new(v1::ReleaseLeaseResponse {}))
    }
}

fn lease_request(request: v1::LeaseDiffStatusesRequest) -> Result<LeaseRequest, Error> {
    let v1::LeaseDiffStatusesRequest {
        request_id,
        worker_id,
        max_refs,
        wait,
    } = request;
    let plain = worker_id.chars().all(|c| !c.is_control());
    if !plain || !(1..=MAX_WORKER_CHARS).contains(&worker_id.chars().count()) {
        return Err(Error::invalid(
            "worker_id",
            format!("must be 1 to {MAX_WORKER_CHARS} printable characters"),
        ));
    }
    let max_refs = match max_refs {
        0 => DEFAULT_MAX_REFS,
        1.. => i64::from(max_refs).min(MAX_REFS),
        _ => return Err(Error::invalid("max_refs", "must not be negative")),
    };
    let wait = match wait {
        Some(wait) => duration("wait", wait)?,
        None => Duration::ZERO,
    };
    if wait > MAX_WAIT {
        return Err(Error::invalid("wait", "must not be longer than 60 s"));
    }
    Ok(LeaseRequest {
        request: RequestId(convert::uuid("request_id", &request_id)?),
        worker: worker_id,
        max_refs,
        wait,
    })
}

/// A token that is none was never a lease's: as with one that is lost, nothing may be written.
fn lease_token(text: &str) -> Result<LeaseToken, Error> {
    convert::uuid("lease_token", text).map(LeaseToken)
}

/// A duration that is not negative.
fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration, Error> {
    let problem = || Error::invalid(field, "must be a duration that is not negative");
    let whole = (0..1_000_000_000).contains(&duration.nanos);
    if !whole {
        return Err(problem());
    }
    Duration::try_from(duration).map_err(|_| problem())
}

fn uuid_text(id: Uuid) -> String {
    id.to_string()
}

pub(super) fn render_duration(duration: Duration) -> prost_types::Duration {
    // Only durations beyond 292 billion years do not fit.
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn render_lease(lease: Lease) -> v1::Lease {
    let Lease {
        token,
        budget_key,
        expires_in,
        budget,
        groups,
    } = lease;
    v1::Lease {
        lease_token: uuid_text(token.0),
        budget_key: budget_key.0,
        expires_in: Some(render_duration(expires_in)),
        groups: groups.into_iter().map(render_group).collect(),
        budget: Some(render_budget(budget)),
    }
}

fn render_budget(view: BudgetView) -> v1::BudgetView {
    let BudgetView {
        rest,
        graphql,
        strikes,
        cautious_for,
        demand,
        burst,
        batches,
        account_known,
    } = view;
    v1::BudgetView {
        rest: Some(render_window(rest)),
        graphql: Some(render_window(graphql)),
        secondary_strikes: strikes,
        cautious_for: cautious_for.map(render_duration),
        demand,
        burst_spent: burst,
        batches: batches.known().map(render_batches),
        account_known,
    }
}

pub(super) fn render_window(window: BudgetWindow) -> v1::BudgetWindow {
    let BudgetWindow {
        limit,
        remaining,
        reset_in,
        pause_for,
    } = window;
    v1::BudgetWindow {
        limit,
        remaining,
        reset_in: reset_in.map(render_duration),
        pause_for: pause_for.map(render_duration),
    }
}

fn render_batches(batches: BatchSizes) -> v1::BatchSizes {
    let BatchSizes {
        probe,
        detail,
        discover,
    } = batches;
    let known = Option::unwrap_or_default;
    v1::BatchSizes {
        probe: known(probe),
        detail: known(detail),
        discover: known(discover),
    }
}

fn render_group(group: LeaseGroup) -> v1::LeaseGroup {
    let LeaseGroup {
        provider,
        credential,
        refs,
    } = group;
    v1::LeaseGroup {
        provider: Some(render_provider(provider)),
        credential_id: credential
            .as_ref()
            .map(|credential| uuid_text(credential.account.0)),
        credential_suspect: credential
            .as_ref()
            .is_some_and(|credential| credential.suspect),
        access_token: credential
            .map(|credential| credential.access_token.expose_secret().to_owned()),
        refs: refs.into_iter().map(render_ref).collect(),
    }
}

fn render_provider(provider: Provider) -> v1::Provider {
    let Provider {
        id,
        kind,
        host,
        api_base_url,
    } = provider;
    let kind = match kind {
        ProviderKind::Github => v1::ProviderType::Github,
    };
    v1::Provider {
        id,
        r#type: kind.into(),
        host,
        api_base_url,
    }
}

fn render_ref(git_ref: LeasedRef) -> v1::LeasedRef {
    let LeasedRef {
        id,
        report_seq,
        repository_owner,
        repository_name,
        branch,
        commit,
        lane,
        since_reported,
        failures,
        misses,
        settled_count,
        upstream_repository,
        known,
        since_changed,
        since_active,
        viewed,
        unchanged_count,
        since_found,
        fingerprint,
        validator,
        canonical_repository,
    } = git_ref;
    v1::LeasedRef {
        git_ref_id: uuid_text(id.0),
        report_seq,
        repository_owner,
        repository_name,
        branch,
        commit,
        lane: render_lane(lane).into(),
        since_reported: Some(render_duration(since_reported)),
        failures,
        misses,
        settled_count,
        upstream_repository,
        known: known.map(render_known),
        since_changed: Some(render_duration(since_changed)),
        since_active: Some(render_duration(since_active)),
        viewed,
        unchanged_count,
        since_found: since_found.map(render_duration),
        fingerprint,
        validator,
        canonical_repository,
    }
}

fn render_known(known: KnownPullRequest) -> v1::KnownPullRequest {
    let KnownPullRequest {
        repository,
        number,
        state,
        draft,
        node_id,
    } = known;
    let state = match (state, draft) {
        (PullRequestState::Open, true) => v1::PullRequestState::Draft,
        (PullRequestState::Open, false) => v1::PullRequestState::Open,
        (PullRequestState::Merged, _) => v1::PullRequestState::Merged,
        (PullRequestState::Closed, _) => v1::PullRequestState::Closed,
    };
    v1::KnownPullRequest {
        repository,
        number,
        state: state.into(),
        node_id,
        draft,
    }
}

pub(super) fn render_lane(lane: Lane) -> v1::Lane {
    match lane {
        Lane::Interactive => v1::Lane::Interactive,
        Lane::Viewed => v1::Lane::Viewed,
        Lane::Active => v1::Lane::Active,
        Lane::Idle => v1::Lane::Idle,
    }
}

fn render_status(status: OutcomeStatus) -> v1::OutcomeResultStatus {
    match status {
        OutcomeStatus::Applied => v1::OutcomeResultStatus::Applied,
        OutcomeStatus::Superseded => v1::OutcomeResultStatus::Superseded,
        OutcomeStatus::Rejected => v1::OutcomeResultStatus::Rejected,
    }
}
