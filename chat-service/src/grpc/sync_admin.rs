//! `chat.v1.SyncAdminService`: per RPC authenticate, make one call, render.

use proto::{
    chat::v1::{self, sync_admin_service_server::SyncAdminService},
    sync::{Window, message_duration},
};
use tonic::{Request, Response, Status};

use crate::{
    auth::Auth,
    authz::{Action, Authorizer},
    error::Error,
    store::{
        Store,
        sync::{BudgetState, LaneState, LeaseState, SyncState},
    },
};

/// Serves operators.
#[derive(Clone)]
pub(crate) struct SyncAdminGrpc {
    /// The database.
    pub(crate) store: Store,
    /// Decides.
    pub(crate) authorizer: Authorizer,
    /// Authenticates.
    pub(crate) auth: Auth,
}

#[tonic::async_trait]
impl SyncAdminService for SyncAdminGrpc {
    async fn get_sync_state(
        &self,
        request: Request<v1::GetSyncStateRequest>,
    ) -> Result<Response<v1::GetSyncStateResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        self.authorizer
            .site(&caller.principal, Action::GetSyncState)?;
        let state = self.store.sync_state().await.map_err(Error::from)?;
        Ok(Response::new(render(state)))
    }
}

fn render(state: SyncState) -> v1::GetSyncStateResponse {
    let SyncState {
        lanes,
        leases,
        budgets,
        problems,
    } = state;
    v1::GetSyncStateResponse {
        lanes: lanes.iter().map(render_lane_state).collect(),
        leases: leases.into_iter().map(render_lease_state).collect(),
        budgets: budgets.into_iter().map(render_budget_state).collect(),
        problems: problems
            .into_iter()
            .map(|(class, refs)| v1::ProblemCount {
                class: class.into(),
                refs,
            })
            .collect(),
    }
}

fn render_lane_state(state: &LaneState) -> v1::LaneState {
    let LaneState {
        lane,
        due,
        overdue,
        oldest,
    } = state;
    v1::LaneState {
        lane: lane.message().into(),
        due: *due,
        overdue: *overdue,
        oldest: oldest.map(message_duration),
    }
}

fn render_lease_state(state: LeaseState) -> v1::LeaseState {
    let LeaseState {
        worker,
        budget_key,
        refs,
        expires_in,
    } = state;
    v1::LeaseState {
        worker_id: worker,
        budget_key,
        refs,
        expires_in: Some(message_duration(expires_in)),
    }
}

fn render_budget_state(state: BudgetState) -> v1::BudgetState {
    let BudgetState {
        budget_key,
        provider_id,
        windows,
        pause,
        strikes,
        account_known,
        lost_leases,
    } = state;
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    v1::BudgetState {
        budget_key,
        provider_id,
        windows: windows.iter().map(Window::message).collect(),
        pause: pause.map(|pause| pause.message()),
        secondary_strikes: count(strikes),
        account_known,
        lost_leases: count(lost_leases),
    }
}
