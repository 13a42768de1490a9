//! Decides whether a request may be sent now: a free slot of the worker, a budget that is not
//! spent, and a credential that the host has not rejected.
//!
//! The first answer that closes the gate closes it for everything behind it: requests that wait
//! for a slot look again when they get one. Requests already on the wire are not called back.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    metrics::Metrics,
    outcome::{BudgetObservation, Problem},
};

/// The gate of one budget key, for as long as it is leased.
pub(crate) struct Gate {
    worker_slots: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    budget: Mutex<Budget>,
}

#[derive(Default)]
struct Budget {
    seen: Option<BudgetObservation>,
    /// How long the host said to wait, once it has.
    spent: Option<Duration>,
}

impl Gate {
    pub(crate) fn new(worker_slots: Arc<Semaphore>, metrics: Arc<Metrics>) -> Self {
        Self {
            worker_slots,
            metrics,
            budget: Mutex::default(),
        }
    }

    /// What the host's answers said so far; without the pause, which is the schedule's business.
    pub(crate) fn budget(&self) -> Option<BudgetObservation> {
        self.lock().seen
    }

    /// How long the host said to wait, if it did.
    pub(crate) fn spent(&self) -> Option<Duration> {
        self.lock().spent
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lookup before the gate: whose credential it uses, and whether it ever got through.
pub(crate) struct Asker<'a> {
    gate: &'a Gate,
    credential_rejected: &'a AtomicBool,
    started: &'a AtomicBool,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        gate: &'a Gate,
        credential_rejected: &'a AtomicBool,
        started: &'a AtomicBool,
    ) -> Self {
        Self {
            gate,
            credential_rejected,
            started,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.gate.metrics
    }

    /// Waits for a slot. The request may be sent for as long as the slot is held.
    ///
    /// # Errors
    ///
    /// What an earlier answer closed the gate with.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.check()?;
        let slot = Arc::clone(&self.gate.worker_slots)
            .acquire_owned()
            .await
            .map_err(|_| Problem::Internal("the worker's slots are closed"))?;
        self.check()?;
        self.started.store(true, Ordering::Relaxed);
        Ok(slot)
    }

    fn check(&self) -> Result<(), Problem> {
        if let Some(retry_after) = self.gate.spent() {
            return Err(Problem::RateLimited { retry_after });
        }
        if self.credential_rejected.load(Ordering::Relaxed) {
            return Err(Problem::CredentialRejected);
        }
        Ok(())
    }

    /// Remembers what an answer said about the budget. Answers overtake one another: within a
    /// window the lowest remaining count is the latest.
    pub(crate) fn observe(&self, new: BudgetObservation) {
        let mut budget = self.gate.lock();
        let newer = budget.seen.is_none_or(|seen| {
            const SAME_WINDOW: Duration = Duration::from_secs(60);
            let (seen_reset, new_reset) = (
                seen.reset_in.unwrap_or_default(),
                new.reset_in.unwrap_or_default(),
            );
            new_reset > seen_reset + SAME_WINDOW || new.remaining <= seen.remaining
        });
        if newer {
            budget.seen = Some(new);
        }
    }

    /// Closes the gate for the whole budget key. The first word stands, so that all refs behind it
    /// are told the same.
    pub(crate) fn spend(&self, retry_after: Duration) -> Problem {
        let mut budget = self.gate.lock();
        let stands = *budget.spent.get_or_insert_with(|| {
            self.gate.metrics.rate_limit_pauses.inc();
            retry_after
        });
        Problem::RateLimited {
            retry_after: stands,
        }
    }

    /// Closes the gate for everything that uses the same credential.
    pub(crate) fn reject_credential(&self) -> Problem {
        self.credential_rejected.store(true, Ordering::Relaxed);
        Problem::CredentialRejected
    }
}
