//! Places committed change events in one order, and forgets old ones.
//!
//! Identity values are handed out before the commit, so an event with a smaller one may become visible
//! after one with a larger one; a reader that goes by them would skip it. The relay looks at what is
//! committed and numbers that: what commits later gets a later number. One connection in all replicas
//! holds the advisory lock and does it; when it closes, another replica takes over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bell::{Bell, Ring};
use crate::store::{Store, StoreError};

/// Look at least this often: a ring may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Forget old events this often.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Events are kept for an hour: long enough for a watcher to reconnect, short enough to stay small.
pub const EVENT_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Is the relay, or waits to become it, until `stop`.
pub async fn run(store: Store, bell: Bell, stop: CancellationToken) {
    loop {
        if let Err(error) = stop
            .run_until_cancelled(relay(&store, &bell))
            .await
            .unwrap_or(Ok(()))
        {
            tracing::warn!(%error, "the relay stopped; trying again");
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Relays while this process has the lock; returns at once when it has not.
async fn relay(store: &Store, bell: &Bell) -> Result<(), StoreError> {
    let Some(lock) = store.try_lock_relay().await? else {
        return Ok(());
    };
    tracing::info!("this process is the relay");
    let mut changes = bell.listen(Ring::Changes);
    let mut prune = tokio::time::interval(PRUNE_INTERVAL);
    loop {
        changes.mark_unchanged();
        if lock.place().await? {
            bell.ring(Ring::Placed);
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = prune.tick() => {
                lock.prune(EVENT_RETENTION.as_secs_f64()).await?;
                store.prune_sync_requests().await?;
            }
        }
    }
}
