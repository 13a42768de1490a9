//! Places committed change events in one order, follows changes of accounts up, and forgets what is
//! old.
//!
//! Identity values are handed out before the commit, so an event with a smaller one may become
//! visible after one with a larger one; a reader that goes by them would skip it. The relay looks
//! at what is committed and numbers that: what commits later gets a later number. One connection in
//! all replicas holds the advisory lock and does it; when it closes, another replica takes over.

use std::{convert::Infallible, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::notifier::{Notifier, Topic};
use crate::store::{Store, StoreError, event::RelayLock, git_account::FollowUp};

/// Look at least this often: a notification may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a round of forgetting begins.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// A round forgets this many batches of each kind at most.
const BATCHES_A_ROUND: u32 = 200;
/// Events are kept for an hour: long enough for a watcher to reconnect, short enough to stay small.
pub const EVENT_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Is the relay, or waits to become it, until `stop`.
pub async fn run(store: Store, notifier: Notifier, stop: CancellationToken) {
    loop {
        if let Err(error) = stop
            .run_until_cancelled(relay(&store, &notifier))
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
async fn relay(store: &Store, notifier: &Notifier) -> Result<(), StoreError> {
    let Some(lock) = store.try_lock_relay().await? else {
        return Ok(());
    };
    tracing::info!("this process is the relay");
    // Side by side, on connections of their own: forgetting delays no event, and ends nothing.
    tokio::select! {
        result = place(&lock, notifier) => result,
        never = Box::pin(follow_up(store, notifier)) => match never {},
        never = prune(store) => match never {},
    }
}

/// Places what is committed, until that fails.
async fn place(lock: &RelayLock, notifier: &Notifier) -> Result<(), StoreError> {
    let mut changes = notifier.subscribe(Topic::Changes);
    loop {
        changes.mark_unchanged();
        if lock.place().await? {
            notifier.notify(Topic::Placed);
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Follows changes of accounts up: watchers hear of them, and refs that wait for them are due.
async fn follow_up(store: &Store, notifier: &Notifier) -> Infallible {
    let mut changes = notifier.subscribe(Topic::Changes);
    loop {
        changes.mark_unchanged();
        let accounts = store.list_changed_accounts().await;
        let mut failed = accounts.as_ref().err().map(ToString::to_string);
        for account in accounts.unwrap_or_default() {
            match store.follow_up(&account).await {
                Ok(FollowUp { due, events }) => {
                    if due {
                        notifier.notify(Topic::Due);
                    }
                    if events {
                        notifier.notify(Topic::Changes);
                    }
                }
                // The others have their turn.
                Err(error) => failed = Some(error.to_string()),
            }
        }
        if let Some(error) = failed {
            tracing::warn!(
                error,
                "changes of accounts were not followed up; trying again"
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Forgets what is old, round by round.
async fn prune(store: &Store) -> Infallible {
    let mut round = tokio::time::interval(PRUNE_INTERVAL);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // All budgets have their turn within some rounds, however many there are.
    let mut budget = Uuid::nil();
    loop {
        round.tick().await;
        let retention = EVENT_RETENTION.as_secs_f64();
        tell(
            "change events",
            in_batches(|| store.prune_change_events(retention)).await,
        );
        tell("requests", in_batches(|| store.prune_sync_requests()).await);
        for _ in 0..BATCHES_A_ROUND {
            match store.prune_budgets(budget).await {
                Ok(Some(last)) => budget = last,
                Ok(None) => {
                    budget = Uuid::nil();
                    break;
                }
                Err(error) => {
                    tell("budgets", Err(error));
                    break;
                }
            }
        }
    }
}

/// Runs `batch` until it says that there is no more, within the bounds of a round.
async fn in_batches<F>(mut batch: impl FnMut() -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<bool, StoreError>>,
{
    for _ in 0..BATCHES_A_ROUND {
        if !batch().await? {
            return Ok(());
        }
    }
    tracing::info!("more is left than a round forgets; the next one goes on");
    Ok(())
}

fn tell(what: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, what, "what is old could not be forgotten; the next round tries again");
    }
}
