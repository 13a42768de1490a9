//! One interface of the host, as this lease sees its limit.

use std::time::Duration;

use tokio::time::Instant;

use crate::{lease::Window, outcome::Interface};

/// Two windows whose ends are closer than this are one.
const SAME_WINDOW: Duration = Duration::from_secs(60);

/// What the host said, and when: its durations count from there.
#[derive(Clone, Copy)]
pub(super) struct Heard<T> {
    pub(super) what: T,
    at: Instant,
}

impl<T> Heard<T> {
    pub(super) fn now(what: T) -> Self {
        Self {
            what,
            at: Instant::now(),
        }
    }

    /// What is left of `duration` at `now`; nothing once it is over.
    pub(super) fn left(&self, duration: Duration, now: Instant) -> Option<Duration> {
        duration.checked_sub(now.saturating_duration_since(self.at))
    }
}

impl Heard<Window> {
    /// The same, as it would be said at `now`.
    fn told_at(&self, now: Instant) -> Window {
        let passed = now.saturating_duration_since(self.at);
        let reset_in = self.what.reset_in;
        Window {
            reset_in: reset_in.map(|reset_in| reset_in.saturating_sub(passed)),
            ..self.what.clone()
        }
    }
}

/// One interface's limit, and what is on the wire to it.
pub(super) struct Line {
    /// As it was leased.
    leased: Heard<Window>,
    pub(super) in_flight: usize,
    /// Whether the host has answered at all.
    pub(super) answered: bool,
    seen: Option<Heard<Window>>,
    spent: Option<Heard<Spent>>,
}

#[derive(Clone, Copy)]
struct Spent {
    /// As the host said.
    retry_after: Duration,
    /// Until somebody comes back.
    pause: Duration,
}

impl Line {
    pub(super) fn new(leased: Window) -> Self {
        Self {
            leased: Heard::now(leased),
            in_flight: 0,
            answered: false,
            seen: None,
            spent: None,
        }
    }

    /// How many requests the limit is known to bear beside each other. All that are on the wire may
    /// still have to be taken from what was left. Until the first has its answer it goes alone, unless
    /// that takes too long.
    pub(super) fn room(&self, waited: bool) -> usize {
        let limited = |seen: &Window| seen.limit != Some(0);
        let seen = self.seen.as_ref().map(|seen| &seen.what);
        let seen = seen.filter(|seen| limited(seen));
        match seen.and_then(|seen| seen.remaining) {
            Some(remaining) => usize::try_from(remaining).unwrap_or(0).max(1),
            None if self.answered || waited => usize::MAX,
            None => 1,
        }
    }

    /// Takes what an answer said. Answers overtake one another: within a window the lowest remaining
    /// count is the latest. Returns whether this is the latest.
    pub(super) fn observe(&mut self, new: Window) -> bool {
        let newer = self.seen.as_ref().is_none_or(|seen| {
            let seen = seen.told_at(Instant::now());
            let (seen_reset, new_reset) = (
                seen.reset_in.unwrap_or_default(),
                new.reset_in.unwrap_or_default(),
            );
            new_reset > seen_reset + SAME_WINDOW || new.remaining <= seen.remaining
        });
        if newer {
            self.seen = Some(Heard::now(new));
        }
        newer
    }

    /// Takes the host's word that the limit is spent. Returns whether it is the first.
    pub(super) fn spend(&mut self, retry_after: Duration, pause: Duration) -> bool {
        let first = self.spent.is_none();
        self.spent
            .get_or_insert_with(|| Heard::now(Spent { retry_after, pause }));
        first
    }

    /// How long the host said to wait, if it did.
    pub(super) fn spent(&self) -> Option<Duration> {
        self.spent.map(|spent| spent.what.retry_after)
    }

    /// When there will be something to spend again, if that is known.
    pub(super) fn ends_in(&self, now: Instant) -> Option<Duration> {
        let seen = self.seen.as_ref().unwrap_or(&self.leased);
        self.leased_pause(now).or(seen.told_at(now).reset_in)
    }

    /// For how long nothing may spend it, by the host's word to this lease or to an earlier one.
    pub(super) fn paused(&self, now: Instant) -> Option<Duration> {
        self.pause(now).max(self.leased_pause(now))
    }

    /// What to tell of it at `now`, if an answer told of it.
    pub(super) fn observed(&self, interface: Interface, now: Instant) -> Option<Window> {
        let pause_for = self.pause(now);
        let seen = self.seen.as_ref().map(|seen| seen.told_at(now));
        if seen.is_none() && pause_for.is_none() {
            return None;
        }
        Some(Window {
            name: interface.window().to_owned(),
            pause_for,
            ..seen.unwrap_or_default()
        })
    }

    fn pause(&self, now: Instant) -> Option<Duration> {
        let spent = self.spent?;
        spent.left(spent.what.pause, now)
    }

    fn leased_pause(&self, now: Instant) -> Option<Duration> {
        self.leased.left(self.leased.what.pause_for?, now)
    }
}
