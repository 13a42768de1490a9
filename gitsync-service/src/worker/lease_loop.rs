//! Leases whenever there is room for more, hands each lease to its own task, and winds everything
//! up on a stop.

use std::time::Duration;

use proto::sync::{Lease, RequestId};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    budget::Budgets,
    sync_client::{SyncClient, SyncError},
};

use super::{
    Worker, WorkerState,
    active_lease::ActiveLease,
    backoff::Backoff,
    turn::{self, LeaseContext},
};

/// How long to wait after an answer that was empty before its time. It should not happen; if it
/// does, it must not become a loop without a pause.
const EARLY_EMPTY_PAUSE: Duration = Duration::from_millis(500);

/// Runs `worker` until `stop` is cancelled and everything is wound up.
pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let context = LeaseContext {
        sync: worker.sync.clone(),
        refresher: worker.refresher.clone(),
        state: worker.state.clone(),
        tick_timeout: worker.settings.tick_timeout,
        wind_up: CancellationToken::new(),
    };
    let mut leaser = Leaser {
        sync: &worker.sync,
        state: &worker.state,
        budgets: worker.refresher.budgets(),
        batch_size: worker.settings.batch_size,
        interval: worker.settings.interval,
        outstanding: None,
    };
    let mut works = JoinSet::new();
    lease_until(&stop, &mut leaser, &context, &mut works).await;

    worker.state.drain();
    let begun = Instant::now();
    if let Some(request_id) = leaser.outstanding {
        let sync = worker.sync.clone();
        let batch_size = worker.settings.batch_size;
        works.spawn(async move { give_back(&sync, request_id, batch_size).await });
    }
    // A quarter of the time is kept for reports.
    let wind_up_at = begun + worker.settings.drain_timeout * 3 / 4;
    if tokio::time::timeout_at(wind_up_at, join_all(&mut works))
        .await
        .is_ok()
    {
        return;
    }
    context.wind_up.cancel();
    let end = begun + worker.settings.drain_timeout;
    if tokio::time::timeout_at(end, join_all(&mut works))
        .await
        .is_err()
    {
        tracing::warn!(
            leases = works.len(),
            "the drain took too long; the leases that are left run out by themselves"
        );
        works.shutdown().await;
    }
}

async fn lease_until(
    stop: &CancellationToken,
    leaser: &mut Leaser<'_>,
    context: &LeaseContext,
    works: &mut JoinSet<()>,
) {
    // The first call does not wait: its answer says that chat-service is there and knows us.
    let mut wait = Duration::ZERO;
    let interval = leaser.interval;
    loop {
        let next = leaser.next(wait);
        tokio::pin!(next);
        let (leases, asked_at) = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(ended) = works.join_next() => note_end(ended),
                leases = &mut next => break leases,
            }
        };
        wait = interval;
        for lease in leases {
            let active = ActiveLease::new(&context.sync, &context.state, lease, asked_at);
            works.spawn(turn::work(context.clone(), active));
        }
    }
}

async fn join_all(works: &mut JoinSet<()>) {
    while let Some(ended) = works.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the work on a lease panicked; the lease runs out by itself"
        );
    }
}

/// Asks for leases, one call at a time.
struct Leaser<'a> {
    sync: &'a SyncClient,
    state: &'a WorkerState,
    budgets: &'a Budgets,
    batch_size: usize,
    interval: Duration,
    /// The call that has no answer yet.
    outstanding: Option<RequestId>,
}

impl Leaser<'_> {
    /// Waits for room, and then for leases. Returns them with the moment at which the call that
    /// brought them was sent.
    async fn next(&mut self, wait: Duration) -> (Vec<Lease>, Instant) {
        self.state
            .spare_capacity(self.batch_size, self.budgets)
            .await;
        let mut backoff = Backoff::new();
        let mut request_id = self.begin();
        loop {
            let asked_at = Instant::now();
            match self.sync.lease(request_id, self.batch_size, wait).await {
                Ok(leases) => {
                    self.outstanding = None;
                    self.state.health().answered();
                    let refs: usize = leases.iter().map(Lease::ref_count).sum();
                    self.state
                        .metrics()
                        .leased_refs
                        .inc_by(u64::try_from(refs).unwrap_or(0));
                    let early = wait.saturating_sub(asked_at.elapsed());
                    if leases.is_empty() && !early.is_zero() {
                        tokio::time::sleep(early.min(EARLY_EMPTY_PAUSE)).await;
                    }
                    return (leases, asked_at);
                }
                Err(error) => {
                    let is_news = self.state.health().unanswered(asked_at);
                    self.state
                        .note_failed_call("lease", "lease", &error, is_news);
                    // A lease call whose response was lost may have leased something: it is retried
                    // with the same id, also if the token was replaced meanwhile. An id that is
                    // refused would be refused on every retry, so that a new one is used.
                    if matches!(error, SyncError::Refused(_) | SyncError::LeaseLost) {
                        request_id = self.begin();
                    }
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    fn begin(&mut self) -> RequestId {
        *self.outstanding.insert(RequestId(Uuid::new_v4()))
    }
}

/// Gives back what a call leased whose answer was not waited for. If it leased nothing, the
/// repeated call may, and that is given back just the same.
async fn give_back(sync: &SyncClient, request_id: RequestId, batch_size: usize) {
    let Ok(leases) = sync.lease(request_id, batch_size, Duration::ZERO).await else {
        return;
    };
    for lease in leases {
        // A lease that cannot be released expires.
        let _ = sync.release(lease.token).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_ends_no_other() {
        let (send, done) = tokio::sync::oneshot::channel();
        let mut works = JoinSet::new();
        works.spawn(async { panic!("as a bug would") });
        works.spawn(async { send.send(()).unwrap() });
        join_all(&mut works).await;
        done.await.unwrap();
    }
}
