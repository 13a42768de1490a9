//! `chat.v1.SyncAdminService`: per RPC authenticate, make one call, render.

use proto::chat::v1::{self, sync_admin_service_server::SyncAdminService};
use tonic::{Request, Response, Status};

use super::{
    convert,
    sync::{render_duration, render_lane, render_window},
};
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
                class: convert::problem_class(class).into(),
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
        lane: render_lane(*lane).into(),
        due: *due,
        overdue: *overdue,
        oldest: oldest.map(render_duration),
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
        expires_in: Some(render_duration(expires_in)),
    }
}

fn render_budget_state(state: BudgetState) -> v1::BudgetState {
    let BudgetState {
        budget_key,
        provider_id,
        rest,
        graphql,
        paused_for,
        strikes,
        account_known,
    } = state;
    v1::BudgetState {
        budget_key,
        provider_id,
        rest: Some(render_window(rest)),
        graphql: Some(render_window(graphql)),
        paused_for: paused_for.map(render_duration),
        secondary_strikes: strikes,
        account_known,
    }
}
