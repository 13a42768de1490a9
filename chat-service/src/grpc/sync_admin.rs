//! `chat.v1.SyncAdminService`: per RPC authenticate, make one call, render.

use proto::{
    chat::v1::{self, sync_admin_service_server::SyncAdminService},
    sync::{Window, message_duration},
};
use tonic::{Request, Response, Status};

use crate::{
    auth::Caller,
    authz::{Action, Authorizer},
    error::Error,
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
}

#[tonic::async_trait]
impl SyncAdminService for SyncAdminGrpc {
    async fn get_sync_state(
        &self,
        request: Request<v1::GetSyncStateRequest>,
    ) -> Result<Response<v1::GetSyncStateResponse>, Status> {
        let caller = Caller::of(&request)?;
        self.authorizer
            .site(&caller.principal, Action::GetSyncState)?;
        let state = self.store.sync_state().await.map_err(Error::from)?;
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
