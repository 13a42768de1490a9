//! `chat.v1.SyncAdminService`: per RPC take the caller, parse, make one call, render. Each call is
//! an event of the audit.

use proto::{
    chat::v1::{self, sync_admin_service_server::SyncAdminService},
    sync::{Window, message_duration},
};
use service_runtime::telemetry::AUDIT;
use tonic::{Request, Response, Status};

use super::{call, convert};
use crate::{
    auth::Caller,
    authz::{Action, Authorizer},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::GitRefId,
    store::{
        Store,
        sync::{BudgetState, LaneState, LeaseState},
    },
};

/// Serves operators.
#[derive(Clone)]
pub(crate) struct SyncAdminGrpc {
    pub(crate) store: Store,
    pub(crate) authorizer: Authorizer,
    /// Wakes workers.
    pub(crate) notifier: Notifier,
}

impl SyncAdminGrpc {
    /// Fails unless policy lets the caller do `action`.
    fn admit<T>(&self, request: &Request<T>, action: Action) -> Result<(), Error> {
        let caller = Caller::of(request)?;
        self.authorizer.site(&caller.principal, action)
    }
}

#[tonic::async_trait]
impl SyncAdminService for SyncAdminGrpc {
    async fn get_sync_state(
        &self,
        request: Request<v1::GetSyncStateRequest>,
    ) -> Result<Response<v1::GetSyncStateResponse>, Status> {
        self.admit(&request, Action::GetSyncState)?;
        let state = self.store.sync_state().await.map_err(Error::from)?;
        let action = Action::GetSyncState.name();
        tracing::info!(target: AUDIT, action, decision = "allowed", "an operator looked at the queue");
        Ok(Response::new(v1::GetSyncStateResponse {
            lanes: state.lanes.iter().map(lane).collect(),
            leases: state.leases.into_iter().map(lease).collect(),
            budgets: state.budgets.into_iter().map(budget).collect(),
            problems: state
                .problems
                .into_iter()
                .map(|(class, refs)| v1::ProblemCount {
                    class: class.into(),
                    refs,
                })
                .collect(),
        }))
    }

    async fn release_lease_of(
        &self,
        request: Request<v1::ReleaseLeaseOfRequest>,
    ) -> Result<Response<v1::ReleaseLeaseOfResponse>, Status> {
        self.admit(&request, Action::ReleaseLeaseOf)?;
        let key = budget_key(request.into_inner().budget_key)?;
        let ended = self.store.end_lease(&key).await.map_err(Error::from)?;
        let worker_id = ended.ok_or(Error::NotVisible { resource: "lease" })?;
        tracing::info!(
            target: AUDIT,
            action = Action::ReleaseLeaseOf.name(),
            decision = "allowed",
            worker.id = worker_id,
            "an operator ended a lease"
        );
        self.notifier.notify(Topic::Due);
        Ok(Response::new(v1::ReleaseLeaseOfResponse { worker_id }))
    }

    async fn resume_budget(
        &self,
        request: Request<v1::ResumeBudgetRequest>,
    ) -> Result<Response<v1::ResumeBudgetResponse>, Status> {
        self.admit(&request, Action::ResumeBudget)?;
        let key = budget_key(request.into_inner().budget_key)?;
        if !self.store.resume_budget(&key).await.map_err(Error::from)? {
            return Err(Status::from(Error::NotVisible { resource: "budget" }));
        }
        tracing::info!(
            target: AUDIT,
            action = Action::ResumeBudget.name(),
            decision = "allowed",
            "an operator ended the pauses of a budget"
        );
        self.notifier.notify(Topic::Due);
        Ok(Response::new(v1::ResumeBudgetResponse {}))
    }

    async fn requeue_git_refs(
        &self,
        request: Request<v1::RequeueGitRefsRequest>,
    ) -> Result<Response<v1::RequeueGitRefsResponse>, Status> {
        self.admit(&request, Action::RequeueGitRefs)?;
        let ids = convert::ids("git_ref_ids", &request.into_inner().git_ref_ids)?;
        let refs: Vec<GitRefId> = ids.into_iter().map(GitRefId).collect();
        let due = self.store.requeue_refs(&refs).await.map_err(Error::from)?;
        let git_ref_ids: Vec<String> = due.iter().map(|id| id.0.to_string()).collect();
        tracing::info!(
            target: AUDIT,
            action = Action::RequeueGitRefs.name(),
            decision = "allowed",
            git_ref.ids = ?git_ref_ids,
            "an operator made git refs due"
        );
        self.notifier.notify(Topic::Due);
        Ok(Response::new(v1::RequeueGitRefsResponse { git_ref_ids }))
    }
}

fn budget_key(key: String) -> Result<String, Error> {
    convert::no_nul("budget_key", &key)?;
    call::about("budget", &key);
    Ok(key)
}

fn lane(state: &LaneState) -> v1::LaneState {
    v1::LaneState {
        lane: state.lane.message().into(),
        due: state.due,
        overdue: state.overdue,
        oldest: state.oldest.map(message_duration),
    }
}

fn lease(state: LeaseState) -> v1::LeaseState {
    v1::LeaseState {
        worker_id: state.worker,
        budget_key: state.budget_key,
        refs: state.refs,
        expires_in: Some(message_duration(state.expires_in)),
    }
}

fn budget(state: BudgetState) -> v1::BudgetState {
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    v1::BudgetState {
        budget_key: state.budget_key,
        provider_id: state.provider_id,
        windows: state.windows.iter().map(Window::message).collect(),
        pause: state.pause.map(|pause| pause.message()),
        secondary_strikes: count(state.strikes),
        account_known: state.account_known,
        lost_leases: count(state.lost_leases),
    }
}
