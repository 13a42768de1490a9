//! One lease in hand: its time, its renewal, and its work.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    grpc::{SyncClient, SyncError},
    lease::Lease,
    outcome::ProblemName as _,
    refresh::{Refresh, Refresher},
};

use super::{
    WorkerState,
    backoff::Backoff,
    report::{Over, Reporter},
    state::Listed,
};

/// A lease is renewed when this share of it has passed, which leaves time for two more tries.
const RENEWALS_PER_LEASE: u32 = 3;

/// What the work on a lease needs of its worker.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) sync: SyncClient,
    pub(super) refresher: Refresher,
    pub(super) state: Arc<WorkerState>,
    pub(super) tick_timeout: Duration,
    /// Cancelled when a stopping worker must turn from looking up to reporting.
    pub(super) wind_up: CancellationToken,
}

/// Works on a lease until everything is reported and the lease is given back, or it is lost.
pub(super) async fn work(hands: Hands, held: Held) {
    let lease = Arc::clone(&held.lease);
    let refresh = hands.refresher.open(Arc::clone(&lease));
    let (found, finished) = mpsc::unbounded_channel();
    let deadline = Instant::now() + hands.tick_timeout;

    let looking_up = async {
        tokio::select! {
            () = refresh.run(deadline, &found) => {}
            () = hands.wind_up.cancelled() => {}
        }
        // The reporter ends when nothing more can come.
        drop(found);
        Ok::<(), Over>(())
    };
    let reporter = Reporter {
        sync: &hands.sync,
        state: &hands.state,
        held: &held,
        refresh: &refresh,
        refused: AtomicBool::new(false),
    };
    let working = async { tokio::try_join!(looking_up, reporter.run(finished)) };

    let over = tokio::select! {
        biased;
        worked = working => worked.err(),
        () = held.keep(&refresh) => Some(Over::Lost),
    };
    for class in refresh.withheld() {
        hands
            .state
            .note_error(class.name(), "refs of a budget are left due".to_owned());
        tracing::info!(
            class = class.name(),
            "refs of a budget are left due, without an outcome"
        );
    }
    match over {
        None => {}
        Some(Over::Lost) => {
            hands.state.metrics().leases_lost.inc();
            hands
                .state
                .note_error("lease", "a lease was lost".to_owned());
            tracing::warn!(
                refs = lease.ref_count(),
                "a lease was lost; its results are dropped"
            );
        }
        Some(Over::Unreported) => {
            tracing::warn!(
                refs = lease.ref_count(),
                "outcomes could not be reported for as long as the lease ran"
            );
        }
    }
}

/// A lease and how long it is still ours, as far as this side can know.
pub(super) struct Held {
    pub(super) lease: Arc<Lease>,
    sync: SyncClient,
    state: Arc<WorkerState>,
    listed: Listed,
    times: Mutex<Times>,
    releasing: AtomicBool,
}

#[derive(Clone, Copy)]
struct Times {
    renew_at: Instant,
    expires_at: Instant,
}

impl Times {
    /// The lease was granted by a call that may have waited for longer than a lease lasts, so that
    /// the moment at which it was sent says nothing about the end. The end is counted from the answer,
    /// which may be too late by the answer's way here; the first renewal, which is counted exactly and
    /// is due at once after a long wait, puts it right. Until then only the fence at
    /// chat-service guards, as it always does.
    fn granted(asked_at: Instant, expires_in: Duration) -> Self {
        Self {
            renew_at: asked_at + expires_in / RENEWALS_PER_LEASE,
            expires_at: Instant::now() + expires_in,
        }
    }

    /// The lease was renewed at some moment after `asked_at`, so that it lasts at least as long as
    /// this.
    fn renewed(asked_at: Instant, expires_in: Duration) -> Self {
        Self {
            renew_at: asked_at + expires_in / RENEWALS_PER_LEASE,
            expires_at: asked_at + expires_in,
        }
    }
}

impl Held {
    /// Takes a lease in hand; from here on it counts as work to do. `asked_at` is when the call
    /// that granted it was sent.
    pub(super) fn new(hands: &Hands, lease: Lease, asked_at: Instant) -> Self {
        let times = Times::granted(asked_at, lease.expires_in);
        Self {
            listed: hands.state.hold(&lease, times.expires_at),
            lease: Arc::new(lease),
            sync: hands.sync.clone(),
            state: Arc::clone(&hands.state),
            times: Mutex::new(times),
            releasing: AtomicBool::new(false),
        }
    }

    pub(super) fn expires_at(&self) -> Instant {
        self.times().expires_at
    }

    pub(super) fn done(&self, refs: usize) {
        self.listed.done(refs);
    }

    /// Stops renewing: from here on the lease may end by our own word, and a renewal that crosses
    /// it on the way must not make a finished lease a lost one.
    pub(super) fn begin_release(&self) {
        self.releasing.store(true, Ordering::Relaxed);
    }

    /// Renews for as long as the lease is ours; resolves when it is lost. Ends its turn when a renewal says
    /// that a person waits for it.
    async fn keep(&self, refresh: &Refresh) {
        let mut backoff = Backoff::new();
        loop {
            tokio::time::sleep_until(self.times().renew_at).await;
            if self.releasing.load(Ordering::Relaxed)
                || self.renew(refresh, &mut backoff).await.is_break()
            {
                break;
            }
        }
        if self.releasing.load(Ordering::Relaxed) {
            tokio::time::sleep_until(self.expires_at()).await;
        }
    }

    async fn renew(&self, refresh: &Refresh, backoff: &mut Backoff) -> ControlFlow<()> {
        let asked_at = Instant::now();
        let expires_at = self.expires_at();
        match tokio::time::timeout_at(expires_at, self.sync.renew(self.lease.token)).await {
            Ok(Ok(renewal)) => {
                self.state.contact().answered();
                if renewal.awaited {
                    refresh.end_turn();
                }
                self.set(Times::renewed(asked_at, renewal.expires_in));
                *backoff = Backoff::new();
                ControlFlow::Continue(())
            }
            Ok(Err(SyncError::LeaseLost)) => ControlFlow::Break(()),
            Err(_) => {
                self.state.contact().unanswered(asked_at);
                ControlFlow::Break(())
            }
            Ok(Err(
                error @ (SyncError::Unanswered(_)
                | SyncError::Unauthenticated
                | SyncError::Refused(_)),
            )) => {
                if matches!(error, SyncError::Unauthenticated) {
                    self.sync.reload_token();
                }
                self.state
                    .metrics()
                    .count_failed_call("renew", error.code());
                self.state.contact().unanswered(asked_at);
                self.state.note_error("lease", error.to_string());
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    detail = error.detail(),
                    "a lease could not be renewed; trying again"
                );
                // Tried again until the lease is over by our own clock.
                let renew_at = (Instant::now() + backoff.next()).min(expires_at);
                self.set(Times {
                    renew_at,
                    expires_at,
                });
                if Instant::now() >= expires_at {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }
        }
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, times: Times) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = times;
        self.listed.expires_at(times.expires_at);
    }
}
