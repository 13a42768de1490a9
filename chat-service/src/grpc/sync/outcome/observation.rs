//! What a report says of budgets and credentials, from the contract's messages.

use std::{collections::HashSet, time::Duration};

use proto::chat::v1;

use super::maybe_duration;
use crate::{
    error::Error,
    grpc::convert,
    id::GitAccountId,
    sync::{
        budget::{BatchSizes, BudgetObservation, BudgetWindow},
        credential::{CredentialObservation, CredentialState, DEFAULT_CONFIRM_IN, MAX_CONFIRM_IN},
        outcome::MAX_PAUSE,
    },
};

/// Bytes of an account's id at most. The schema says so, too.
const MAX_ACCOUNT_ID_BYTES: usize = 100;
/// Refs of one request at most; no host takes more.
const MAX_BATCH: i32 = 1000;
/// Requests, or refusals, of one report at most: what is more is a mistake.
const MAX_COUNT: i32 = 10_000;

/// Understands what the host said about a budget.
pub(super) fn budget(message: v1::BudgetObservation) -> Result<BudgetObservation, Error> {
    let v1::BudgetObservation {
        account_id,
        rest,
        graphql,
        pause_for,
        secondary_refusals,
        graphql_requests,
        batches,
    } = message;
    let account_id = account_id.filter(|id| !id.is_empty());
    if let Some(id) = &account_id {
        let plain = id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'|');
        if !plain || id.len() > MAX_ACCOUNT_ID_BYTES {
            return Err(Error::invalid(
                "budget.account_id",
                "must be an account's id",
            ));
        }
    }
    Ok(BudgetObservation {
        account_id,
        rest: window("budget.rest", rest)?,
        graphql: window("budget.graphql", graphql)?,
        pause_for: maybe_duration("budget.pause_for", pause_for, MAX_PAUSE)?,
        secondary_refusals: count("budget.secondary_refusals", secondary_refusals)?,
        graphql_requests: count("budget.graphql_requests", graphql_requests)?,
        batches: batches.map_or_else(|| Ok(BatchSizes::default()), batch_sizes)?,
    })
}

fn window(path: &str, message: Option<v1::BudgetWindow>) -> Result<BudgetWindow, Error> {
    let v1::BudgetWindow {
        limit,
        remaining,
        reset_in,
        pause_for,
    } = message.unwrap_or_default();
    for (field, value) in [("limit", limit), ("remaining", remaining)] {
        if value.is_some_and(|value| value < 0) {
            return Err(Error::invalid(
                format!("{path}.{field}"),
                "must not be negative",
            ));
        }
    }
    Ok(BudgetWindow {
        limit,
        remaining,
        reset_in: maybe_duration(&format!("{path}.reset_in"), reset_in, MAX_PAUSE)?,
        pause_for: maybe_duration(&format!("{path}.pause_for"), pause_for, MAX_PAUSE)?,
    })
}

fn count(field: &str, value: i32) -> Result<i32, Error> {
    if value < 0 {
        return Err(Error::invalid(field, "must not be negative"));
    }
    Ok(value.min(MAX_COUNT))
}

fn batch_sizes(message: v1::BatchSizes) -> Result<BatchSizes, Error> {
    let v1::BatchSizes {
        probe,
        detail,
        discover,
    } = message;
    let size = |field: &str, value: i32| match value {
        0 => Ok(None),
        1.. => Ok(Some(value.min(MAX_BATCH))),
        _ => Err(Error::invalid(
            format!("budget.batches.{field}"),
            "must not be negative",
        )),
    };
    Ok(BatchSizes {
        probe: size("probe", probe)?,
        detail: size("detail", detail)?,
        discover: size("discover", discover)?,
    })
}

/// Understands what the host said about credentials.
pub(super) fn credentials(
    messages: Vec<v1::CredentialObservation>,
) -> Result<Vec<CredentialObservation>, Error> {
    let mut seen = HashSet::new();
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            let path = format!("credentials[{index}]");
            let observation = credential(&path, message)?;
            if !seen.insert(observation.account.0) {
                return Err(Error::invalid(
                    format!("{path}.credential_id"),
                    "has an observation already",
                ));
            }
            Ok(observation)
        })
        .collect()
}

fn credential(
    path: &str,
    message: v1::CredentialObservation,
) -> Result<CredentialObservation, Error> {
    let v1::CredentialObservation {
        credential_id,
        state,
        confirm_in,
    } = message;
    let at = |field: &str| format!("{path}.{field}");
    let state = match v1::CredentialState::try_from(state) {
        Ok(v1::CredentialState::Accepted) => CredentialState::Accepted,
        Ok(v1::CredentialState::Suspect) => CredentialState::Suspect,
        Ok(v1::CredentialState::Rejected) => CredentialState::Rejected,
        Ok(v1::CredentialState::Unspecified) | Err(_) => {
            return Err(Error::invalid(at("state"), "must say what the host said"));
        }
    };
    let confirm_in = maybe_duration(&at("confirm_in"), confirm_in, MAX_CONFIRM_IN)?
        .filter(|confirm_in| *confirm_in > Duration::ZERO)
        .unwrap_or(DEFAULT_CONFIRM_IN);
    Ok(CredentialObservation {
        account: GitAccountId(convert::uuid(&at("credential_id"), &credential_id)?),
        state,
        confirm_in,
    })
}
