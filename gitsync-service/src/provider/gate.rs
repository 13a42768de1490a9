//! Decides whether a request may be sent now: a budget that has room for it, a free slot of the worker,
//! and a credential that the host has not rejected.
//!
//! The first answer that closes the gate closes it for everything behind it: requests that wait
//! look again when they get their turn. Requests already on the wire are not called back, so that no
//! more of them are sent than the budget is known to bear: then one refusal is all there is.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    lease::Window,
    metrics::Metrics,
    outcome::{Interface, Problem},
};

/// How long the first request of a lease goes alone. Its answer says what is left; a host that is
/// slower than this is not to hold up all refs of the lease, and refusals are the fastest of answers.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// The gate of one budget key, for as long as it is leased.
pub(crate) struct Gate {
    worker_slots: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Said whenever there may be room for a request that there was none for.
    changed: Notify,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    /// Whether the host has answered at all.
    answered: bool,
    /// Until when the first request goes alone, once it is sent.
    alone_until: Option<Instant>,
    seen: Option<Heard<Window>>,
    /// How long the host said to wait, once it has.
    spent: Option<Heard<Duration>>,
}

/// What the host said, and when: its durations count from there.
#[derive(Clone, Copy)]
struct Heard<T> {
    what: T,
    at: Instant,
}

impl<T> Heard<T> {
    fn now(what: T) -> Self {
        Self {
            what,
            at: Instant::now(),
        }
    }
}

impl Heard<Window> {
    /// The same, as it would be said at `now`.
    fn told_at(&self, now: Instant) -> Window {
        let passed = now.saturating_duration_since(self.at);
        Window {
            reset_in: self
                .what
                .reset_in
                .map(|reset_in| reset_in.saturating_sub(passed)),
            ..self.what
        }
    }
}

impl State {
    /// How many requests the budget is known to bear beside each other. All that are on the wire may
    /// still have to be taken from what was left.
    fn room(&self, now: Instant) -> usize {
        let limited = |seen: &Window| seen.limit != Some(0);
        let seen = self.seen.map(|seen| seen.what).filter(limited);
        match seen.and_then(|seen| seen.remaining) {
            Some(remaining) => usize::try_from(remaining).unwrap_or(0).max(1),
            None if self.answered || self.alone_until.is_some_and(|until| now >= until) => {
                usize::MAX
            }
            None => 1,
        }
    }
}

impl Gate {
    pub(crate) fn new(worker_slots: Arc<Semaphore>, metrics: Arc<Metrics>) -> Self {
        Self {
            worker_slots,
            metrics,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What the host's answers said, as of `now`; without the pause, which is the schedule's business.
    pub(crate) fn budget(&self, now: Instant) -> Option<Window> {
        self.lock().seen.map(|seen| seen.told_at(now))
    }

    /// How long the host said to wait, if it did, and when it did.
    pub(crate) fn spent(&self) -> Option<(Duration, Instant)> {
        self.lock().spent.map(|spent| (spent.what, spent.at))
    }

    /// Takes a turn if there is room for one; else says when there may be room without a word.
    fn try_turn(&self) -> Result<Turn<'_>, Option<Instant>> {
        let mut state = self.lock();
        let now = Instant::now();
        if state.in_flight < state.room(now) {
            state.in_flight += 1;
            return Ok(Turn(self));
        }
        Err(state.alone_until.filter(|until| now < *until))
    }

    /// The first request goes alone from here on.
    fn begin(&self) {
        let mut state = self.lock();
        if state.alone_until.is_none() {
            state.alone_until = Some(Instant::now() + FIRST_ANSWER_WAIT);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's part of the budget.
struct Turn<'a>(&'a Gate);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.changed.notify_waiters();
    }
}

/// A request may be on the wire for as long as this is held.
pub(crate) struct Pass<'a> {
    _turn: Turn<'a>,
    _slot: OwnedSemaphorePermit,
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

    /// Waits until a request may be sent.
    ///
    /// # Errors
    ///
    /// What an earlier answer closed the gate with.
    pub(crate) async fn enter(&self) -> Result<Pass<'a>, Problem> {
        // First the turn: one that waits for it must not keep a slot from other leases.
        let turn = self.turn().await?;
        let slot = Arc::clone(&self.gate.worker_slots)
            .acquire_owned()
            .await
            .map_err(|_| Problem::Internal("the worker's slots are closed"))?;
        self.check()?;
        self.gate.begin();
        self.started.store(true, Ordering::Relaxed);
        Ok(Pass {
            _turn: turn,
            _slot: slot,
        })
    }

    async fn turn(&self) -> Result<Turn<'a>, Problem> {
        loop {
            // Made before the look, so that nothing said after it is missed.
            let changed = self.gate.changed.notified();
            self.check()?;
            match self.gate.try_turn() {
                Ok(turn) => return Ok(turn),
                // Late or changed: both are a reason to look again.
                Err(Some(until)) => drop(tokio::time::timeout_at(until, changed).await),
                Err(None) => changed.await,
            }
        }
    }

    /// Whether a request that got through may be followed by another one.
    ///
    /// # Errors
    ///
    /// What an answer closed the gate with meanwhile.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if let Some((retry_after, _)) = self.gate.spent() {
            return Err(Problem::RateLimited {
                interface: Interface::Rest,
                retry_after,
            });
        }
        if self.credential_rejected.load(Ordering::Relaxed) {
            return Err(Problem::CredentialRejected);
        }
        Ok(())
    }

    /// Remembers that the host answered, and what it said about the budget. Answers overtake one
    /// another: within a window the lowest remaining count is the latest.
    pub(crate) fn observe(&self, new: Option<Window>) {
        let mut state = self.gate.lock();
        state.answered = true;
        let Some(new) = new else {
            return;
        };
        let newer = state.seen.is_none_or(|seen| {
            const SAME_WINDOW: Duration = Duration::from_secs(60);
            let seen = seen.told_at(Instant::now());
            let (seen_reset, new_reset) = (
                seen.reset_in.unwrap_or_default(),
                new.reset_in.unwrap_or_default(),
            );
            new_reset > seen_reset + SAME_WINDOW || new.remaining <= seen.remaining
        });
        if newer {
            state.seen = Some(Heard::now(new));
        }
    }

    /// Closes the gate for the whole budget key. The first word stands, so that all refs behind it
    /// are told the same.
    pub(crate) fn spend(&self, retry_after: Duration) -> Problem {
        let mut state = self.gate.lock();
        let stands = state
            .spent
            .get_or_insert_with(|| {
                self.gate.metrics.rate_limit_pauses.inc();
                Heard::now(retry_after)
            })
            .what;
        Problem::RateLimited {
            interface: Interface::Rest,
            retry_after: stands,
        }
    }

    /// Closes the gate for everything that uses the same credential.
    pub(crate) fn reject_credential(&self) -> Problem {
        self.credential_rejected.store(true, Ordering::Relaxed);
        Problem::CredentialRejected
    }
}
