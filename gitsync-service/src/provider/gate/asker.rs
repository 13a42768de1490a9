//! One lookup before the gate.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    lease::{Lane, Window},
    metrics::Metrics,
    outcome::{Interface, Problem},
    pace,
};

use super::{
    Closed, FIRST_ANSWER_WAIT, Gate, UNTOLD_RESET,
    access::{Access, Confirms},
    line::Heard,
    slots::Slot,
};

/// A request's part of the budget.
struct Turn<'a> {
    gate: &'a Gate,
    interface: Interface,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.lock().line(self.interface).in_flight -= 1;
        self.gate.changed.notify_waiters();
    }
}

/// A request may be on the wire for as long as this is held.
pub(crate) struct Pass<'a> {
    _confirms: Option<Confirms<'a>>,
    _turn: Turn<'a>,
    _slot: Slot<'a>,
}

/// One lookup before the gate: how it gets in, how urgent it is, and whether it ever got through.
pub(crate) struct Asker<'a> {
    gate: &'a Gate,
    access: &'a Access,
    lane: Lane,
    started: &'a AtomicBool,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        gate: &'a Gate,
        access: &'a Access,
        lane: Lane,
        started: &'a AtomicBool,
    ) -> Self {
        Self {
            gate,
            access,
            lane,
            started,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.gate.metrics()
    }

    /// Waits until a request of so many points may be sent.
    ///
    /// # Errors
    ///
    /// What an earlier answer closed the gate with, or what the budget has no room for.
    pub(crate) async fn enter(
        &self,
        interface: Interface,
        points: i64,
    ) -> Result<Pass<'a>, Problem> {
        // First the turn: one that waits for it must not keep a slot from other leases.
        let (turn, confirms) = self.turn(interface, points).await?;
        let slot = tokio::select! {
            slot = self.gate.wants.slot() => slot?,
            () = self.gate.turn_over.cancelled() => return Err(Problem::TurnOver),
        };
        self.check(interface)?;
        self.gate.shared.hosts.admit(
            self.access.base(),
            &self.gate.key,
            std::time::Instant::now(),
        )?;
        self.begin(interface);
        self.started.store(true, Ordering::Relaxed);
        Ok(Pass {
            _confirms: confirms,
            _turn: turn,
            _slot: slot,
        })
    }

    async fn turn(
        &self,
        interface: Interface,
        points: i64,
    ) -> Result<(Turn<'a>, Option<Confirms<'a>>), Problem> {
        loop {
            // Made before the look, so that nothing said after it is missed.
            let changed = self.gate.changed.notified();
            self.check(interface)?;
            self.gate.may_spend(interface, self.lane, points)?;
            let mut rest = None;
            let until = {
                let mut state = self.gate.lock();
                let now = Instant::now();
                if state.has_room(interface, self.lane, points, now)
                    && let Some(confirms) = self.access.begin()
                {
                    match self.count(interface) {
                        Ok(()) => {
                            state.line(interface).in_flight += 1;
                            let gate = self.gate;
                            return Ok((Turn { gate, interface }, confirms));
                        }
                        Err(wait) => {
                            rest = Some(self.gate.wants.rest());
                            Some(now + wait)
                        }
                    }
                } else {
                    state.alone_until.filter(|until| now < *until)
                }
            };
            // Late or changed: both are a reason to look again.
            match until {
                Some(until) => drop(tokio::time::timeout_at(until, changed).await),
                None => changed.await,
            }
            drop(rest);
        }
    }

    /// Counts a request, unless it has to wait: the host tells no limit. What was begun is brought to its
    /// end, and somebody who waits is not made to wait longer.
    fn count(&self, interface: Interface) -> Result<(), Duration> {
        let may_wait = self.lane != Lane::Interactive && !self.started.load(Ordering::Relaxed);
        let keys = &self.gate.shared.keys;
        keys.begin(&self.gate.key, interface, may_wait)
    }

    /// The first request goes alone from here on.
    fn begin(&self, interface: Interface) {
        let mut state = self.gate.lock();
        match interface {
            Interface::Rest if state.alone_until.is_none() => {
                state.alone_until = Some(Instant::now() + FIRST_ANSWER_WAIT);
                drop(state);
                self.gate.changed.notify_waiters();
            }
            Interface::Rest | Interface::Graphql => {}
        }
    }

    /// Whether a request that got through may be followed by another one.
    ///
    /// # Errors
    ///
    /// What an answer closed the gate with meanwhile.
    pub(crate) fn check(&self, interface: Interface) -> Result<(), Problem> {
        if let Some(problem) = self.gate.stopped(interface) {
            return Err(problem);
        }
        self.access.check()
    }

    /// Remembers that the host answered, and what it said about the budget.
    pub(crate) fn observe(&self, interface: Interface, new: Option<Window>) {
        let mut state = self.gate.lock();
        let line = state.line(interface);
        line.answered = true;
        if let Some(new) = new
            && line.observe(new.clone())
        {
            state.allowance.observe(interface, new);
        }
    }

    /// Remembers whether the host tells a limit of the interface.
    pub(crate) fn note_limit(&self, interface: Interface, told: Option<&Window>) {
        let limited = told.is_some_and(|told| told.limit != Some(0));
        let keys = &self.gate.shared.keys;
        keys.note_limit(&self.gate.key, interface, limited);
    }

    /// Remembers whose account it is.
    pub(crate) fn identify(&self, account_id: String) {
        self.gate.lock().account_id = Some(account_id);
    }

    /// The host answered, whatever it said.
    pub(crate) fn answered(&self) {
        self.gate.shared.hosts.note_ok(self.access.base());
    }

    /// The host takes the credential.
    pub(crate) fn accepted(&self) {
        self.access.accept();
    }

    /// The host is in trouble.
    pub(crate) fn no_answer(&self) {
        let hosts = &self.gate.shared.hosts;
        if hosts.note_outage(self.access.base(), &self.gate.key) {
            self.metrics().host_breakers_opened.inc();
        }
    }

    /// Closes one interface for the whole budget key, until its window ends. Where this answer does not
    /// say when that is, an earlier one may have, also to another worker. The first word stands, so that
    /// all refs behind it are told the same.
    pub(crate) fn spend(&self, interface: Interface, reset_in: Option<Duration>) -> Problem {
        let mut state = self.gate.lock();
        let line = state.line(interface);
        let known = line.ends_in(Instant::now()).filter(|end| !end.is_zero());
        let retry_after = reset_in.or(known).unwrap_or(UNTOLD_RESET);
        let pause =
            pace::pause::primary(&self.gate.shared.pace.pauses, retry_after, &self.gate.key);
        if line.spend(retry_after, pause) {
            self.gate.metrics().rate_limit_pauses.inc();
        }
        Problem::RateLimited {
            interface,
            retry_after: line.spent().unwrap_or(retry_after),
        }
    }

    /// Closes the gate for the whole budget key: the host wants to be left alone.
    pub(crate) fn leave_alone(&self, retry_after: Option<Duration>) -> Problem {
        let mut state = self.gate.lock();
        if state.closed.is_none() {
            self.gate.metrics().rate_limit_pauses.inc();
            let hosts = &self.gate.shared.hosts;
            if hosts.note_secondary(self.access.base(), &self.gate.key) {
                self.metrics().host_pauses.inc();
            }
        }
        let strikes = self.gate.strikes + state.counts.secondary_refusals;
        state.counts.secondary_refusals += 1;
        let pause = pace::pause::secondary(
            &self.gate.shared.pace.pauses,
            retry_after,
            strikes,
            &self.gate.key,
        );
        let problem = Problem::SecondaryLimited { retry_after: pause };
        state
            .closed
            .get_or_insert_with(|| Heard::now(Closed { problem, pause }))
            .what
            .problem
    }

    /// Closes the gate for the whole budget key: the host takes nothing of this account.
    pub(crate) fn lock_account(&self) -> Problem {
        let problem = Problem::AccountLocked;
        let pause = pace::pause::locked(&self.gate.shared.pace.pauses, &self.gate.key);
        let mut state = self.gate.lock();
        state
            .closed
            .get_or_insert_with(|| Heard::now(Closed { problem, pause }))
            .what
            .problem
    }

    /// Closes the gate for everything that uses the same credential.
    pub(crate) fn refuse_credential(&self) -> Problem {
        let problem = self.access.refuse();
        self.gate.changed.notify_waiters();
        problem
    }
}
