//! Rate limit windows as a budget's row keeps them: with times, where the contract has durations.

use std::time::Duration;

use jiff::Timestamp;
use proto::sync::Window;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::{Row, types::Json};

use crate::store::{StoreError, column::Columns as _};

/// An element of `git_budgets.windows`, as `observe_budget.sql` writes it.
#[derive(Deserialize)]
struct StoredWindow {
    name: String,
    limit: Option<i64>,
    remaining: Option<i64>,
    reset_at: Option<Timestamp>,
    length_seconds: Option<f64>,
    paused_until: Option<Timestamp>,
}

/// The column `windows` of a row, as of its column `as_of`. An expired window, or one without a
/// known end, keeps only its limit and length, since what remained of it may have been refilled; an
/// expired pause is dropped.
pub(super) fn windows(row: &Row) -> Result<Vec<Window>, StoreError> {
    let as_of: Timestamp = row.get_as("as_of")?;
    let Json(stored): Json<Vec<StoredWindow>> = row.try_get("windows").map_err(StoreError::row)?;
    Ok(stored
        .into_iter()
        .map(|window| {
            let reset_in = left(window.reset_at, as_of);
            Window {
                name: window.name,
                limit: window.limit,
                remaining: window.remaining.filter(|_| reset_in.is_some()),
                reset_in,
                length: window
                    .length_seconds
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
                pause_for: left(window.paused_until, as_of),
            }
        })
        .collect())
}

/// The time from `as_of` until then. `None` when it has passed.
fn left(until: Option<Timestamp>, as_of: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(until?.duration_since(as_of)).ok()?;
    (!left.is_zero()).then_some(left)
}

/// Windows as `observe_budget.sql` reads them.
pub(super) fn observed(windows: &[Window]) -> Value {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
    windows
        .iter()
        .map(|window| {
            json!({
                "name": window.name,
                "limit": window.limit,
                "remaining": window.remaining,
                "reset_seconds": seconds(window.reset_in),
                "length_seconds": seconds(window.length),
                "pause_seconds": seconds(window.pause_for),
            })
        })
        .collect()
}
