//! One active lease: its time and its renewal.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::sync::Lease;
use tokio::time::Instant;

use crate::sync_client::{SyncClient, SyncError};

use super::{Refresh, WorkerState, backoff::Backoff, state::LeaseGuard};

/// A lease is renewed when this share of it has passed, which leaves time for two more tries.
const RENEWALS_PER_LEASE: u32 = 3;

/// A lease and how long it is still ours, as far as this side can know.
pub(super) struct ActiveLease {
    pub(super) lease: Arc<Lease>,
    sync: SyncClient,
    state: Arc<WorkerState>,
    listed: LeaseGuard,
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
    /// the moment at which it was sent says nothing about the end. The end is counted from the
    /// answer, which may be too late by the answer's way here; the first renewal, which is counted
    /// exactly and is due at once after a long wait, puts it right. Until then only the fence at
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

impl ActiveLease {
    /// Begins with a lease; from here on it counts as work to do. `asked_at` is when the call
    /// that granted it was sent.
    pub(super) fn new(
        sync: &SyncClient,
        state: &Arc<WorkerState>,
        lease: Lease,
        asked_at: Instant,
    ) -> Self {
        let times = Times::granted(asked_at, lease.expires_in);
        Self {
            listed: state.hold(&lease, times.expires_at),
            lease: Arc::new(lease),
            sync: sync.clone(),
            state: Arc::clone(state),
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

    /// Stops renewing before releasing, so that a renewal racing with the release is not reported
    /// as a lost lease.
    pub(super) fn begin_release(&self) {
        self.releasing.store(true, Ordering::Relaxed);
    }

    /// Renews for as long as the lease is ours; resolves when it is lost.
    pub(super) async fn keep(&self, refresh: &Refresh) {
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
                self.state.health().answered();
                self.set(Times::renewed(asked_at, renewal.expires_in));
                if renewal.awaited {
                    refresh.stop();
                }
                *backoff = Backoff::new();
                ControlFlow::Continue(())
            }
            Ok(Err(SyncError::LeaseLost)) => ControlFlow::Break(()),
            Err(_) => {
                self.state.health().unanswered(asked_at);
                ControlFlow::Break(())
            }
            Ok(Err(
                error @ (SyncError::Unanswered(_)
                | SyncError::Unauthenticated
                | SyncError::Refused(_)),
            )) => {
                let is_news = self.state.health().unanswered(asked_at);
                self.state
                    .note_failed_call("lease", "renew", &error, is_news);
                // Retried until the lease has expired by this process's clock.
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
