//! What a report says of its budget and of credentials.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    store::{Sql, StoreError, query, sql},
    sync::{
        budget::{BatchSizes, BudgetObservation, BudgetWindow},
        credential::CredentialObservation,
    },
};

pub(super) const OBSERVE_BUDGET: Sql = sql!("observe_budget");
const OBSERVE_CREDENTIALS: Sql = sql!("observe_credentials");

/// Notes what the host thinks of credentials; returns those with which nothing may be sent now.
pub(super) async fn observe_credentials(
    client: &impl GenericClient,
    budget: Uuid,
    credentials: &[CredentialObservation],
) -> Result<Vec<Uuid>, StoreError> {
    if credentials.is_empty() {
        return Ok(Vec::new());
    }
    let observed: Value = credentials
        .iter()
        .map(|observation| {
            let CredentialObservation {
                account,
                state,
                confirm_in,
            } = observation;
            json!({
                "id": account.0,
                "state": state.name(),
                "confirm_seconds": confirm_in.as_secs_f64(),
            })
        })
        .collect();
    query(client, OBSERVE_CREDENTIALS.text, &[&budget, &observed])
        .await
        .map_err(StoreError::from_write)?
        .iter()
        .map(|row| row.try_get("id").map_err(StoreError::row))
        .collect()
}

/// Notes what the host said of a budget.
pub(super) async fn observe_budget(
    client: &impl GenericClient,
    budget: Uuid,
    observation: &BudgetObservation,
) -> Result<(), StoreError> {
    let BudgetObservation {
        account_id,
        rest,
        graphql,
        pause_for,
        secondary_refusals,
        graphql_requests,
        batches,
    } = observation;
    let BatchSizes {
        probe,
        detail,
        discover,
    } = batches;
    let seconds = |duration: &Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    let window = |window: &BudgetWindow| (seconds(&window.reset_in), seconds(&window.pause_for));
    let (rest_reset, rest_pause) = window(rest);
    let (graphql_reset, graphql_pause) = window(graphql);
    query(
        client,
        OBSERVE_BUDGET.text,
        &[
            &budget,
            &rest.limit,
            &rest.remaining,
            &rest_reset,
            &rest_pause,
            &graphql.limit,
            &graphql.remaining,
            &graphql_reset,
            &graphql_pause,
            &seconds(pause_for),
            secondary_refusals,
            graphql_requests,
            probe,
            detail,
            discover,
            account_id,
        ],
    )
    .await
    .map_err(StoreError::from_write)?;
    Ok(())
}
