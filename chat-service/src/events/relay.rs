//! Places committed change events in one order, follows changes of accounts up, and prunes old
//! rows.
//!
//! Identity values are handed out before the commit, so an event with a smaller one may become
//! visible after one with a larger one; a reader that goes by them would skip it. The relay numbers
//! committed events only: an event that commits later gets a later position. One process of all
//! replicas is the relay, by a lease that it renews by the database's clock; when the lease
//! expires, another process takes over. Each takeover begins an epoch, which is a fencing token: a
//! statement of an earlier epoch places nothing.

use std::{convert::Infallible, time::Duration};

use service_runtime::telemetry::Failing;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    metrics::EventMetrics,
    notifier::{Notifier, Topic},
};
use crate::store::{
    Store, StoreError,
    event::{Placement, RELAY_LEASE, Relay},
    git_account::FollowUp,
};

/// How often a process tries to take over the relay, and the pause before a retry.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The relay renews its lease this often. It then also places events whose notification was lost.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// How often a round of pruning begins.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// A round prunes this many batches of each kind at most.
const BATCHES_A_ROUND: u32 = 200;
/// Events are kept for an hour: long enough for a watcher to reconnect, short enough to stay small.
const EVENT_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Is the relay, or waits to become it, until `stop`.
pub async fn run(store: Store, notifier: Notifier, metrics: EventMetrics, stop: CancellationToken) {
    let holder = Uuid::now_v7();
    let failing = Failing::default();
    loop {
        let taken = stop.run_until_cancelled(store.take_over_relay(holder));
        let ended = match taken.await {
            None => return,
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(mut relay))) => {
                tracing::info!("this process is the relay");
                metrics.relay.set(1);
                let work = stop.run_until_cancelled(work(&store, &notifier, &mut relay));
                let ended = Box::pin(work).await;
                metrics.relay.set(0);
                let Some(ended) = ended else {
                    if let Err(error) = relay.give_up().await {
                        tracing::info!(%error, "the relay could not be given up; it expires");
                    }
                    return;
                };
                tracing::info!("this process is not the relay any more");
                ended
            }
            Some(Err(error)) => Err(error),
        };
        match ended {
            Ok(()) if failing.ends() => tracing::info!("the relay works again"),
            Err(error) if failing.begins() => {
                tracing::warn!(%error, "the relay failed; trying again");
            }
            Ok(()) | Err(_) => {}
        }
        let pause = tokio::time::sleep(LOOK_INTERVAL);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Relays until the lease is lost.
///
/// Follow-ups and pruning run beside the placements, on connections of their own, so that they
/// delay no event. They end with the lease; a process that was stopped and wakes may still have one
/// of their statements under way beside the next relay. That does no harm: a row is pruned once, by
/// either process, and an account is followed up under its row's lock, from the row's state then.
async fn work(store: &Store, notifier: &Notifier, relay: &mut Relay) -> Result<(), StoreError> {
    tokio::select! {
        biased;
        result = place(relay, notifier) => result,
        never = Box::pin(follow_up(store, notifier)) => match never {},
        never = prune(store) => match never {},
    }
}

/// Places committed events, until that fails or another process is the relay.
async fn place(relay: &mut Relay, notifier: &Notifier) -> Result<(), StoreError> {
    let mut changes = notifier.subscribe(Topic::Changes);
    // Counted from before the renewal is sent, so that it is never later than the row's own expiry.
    let mut expires_at = Instant::now() + RELAY_LEASE;
    let mut looked_at: Option<Instant> = None;
    loop {
        changes.mark_unchanged();
        let sent_at = Instant::now();
        let placing = async {
            if looked_at.is_none_or(|at| at.elapsed() >= RENEW_INTERVAL) {
                relay.look_at_server().await?;
                if looked_at.is_none() && !relay.knows_server() {
                    tracing::warn!(
                        "the database does not tell which server it is: after a failover that lost \
                         commits, run `chat-service new-generation`"
                    );
                }
                looked_at = Some(sent_at);
            }
            relay.place(Topic::Placed.name()).await
        };
        let placement = match tokio::time::timeout_at(expires_at, placing).await {
            Ok(Ok(Placement::Lost)) | Err(_) => return Ok(()),
            Ok(placement) => placement?,
        };
        expires_at = sent_at + RELAY_LEASE;
        if placement == Placement::Part {
            continue;
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(RENEW_INTERVAL) => {}
        }
    }
}

/// Follows changes of accounts up: watchers are notified, and refs that wait for an account become
/// due.
async fn follow_up(store: &Store, notifier: &Notifier) -> Infallible {
    let mut changes = notifier.subscribe(Topic::Changes);
    let failing = Failing::default();
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
                // The failure of one account does not stop the others.
                Err(error) => failed = Some(error.to_string()),
            }
        }
        if let Some(error) = failed {
            if failing.begins() {
                tracing::warn!(
                    error,
                    "changes of accounts were not followed up; trying again"
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        } else {
            failing.ends();
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Prunes old rows, round by round.
async fn prune(store: &Store) -> Infallible {
    let mut round = tokio::time::interval(PRUNE_INTERVAL);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The cursor outlives a round, so that a few rounds reach all budgets, however many there are.
    let mut budget = Uuid::nil();
    loop {
        round.tick().await;
        let retention = EVENT_RETENTION.as_secs_f64();
        log_failure(
            "change events",
            in_batches(|| store.prune_change_events(retention)).await,
        );
        log_failure("requests", in_batches(|| store.prune_sync_requests()).await);
        log_failure("diffs", in_batches(|| store.prune_diffs()).await);
        for _ in 0..BATCHES_A_ROUND {
            match store.prune_budgets(budget).await {
                Ok(Some(last)) => budget = last,
                Ok(None) => {
                    budget = Uuid::nil();
                    break;
                }
                Err(error) => {
                    log_failure("budgets", Err(error));
                    break;
                }
            }
        }
    }
}

/// Runs `batch` until it returns that nothing is left, within the bounds of a round.
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

fn log_failure(what: &'static str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, what, "what is old could not be forgotten; the next round tries again");
    }
}
