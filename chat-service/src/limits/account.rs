//! The use that one caller makes of its share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    Bounds, lock,
    metrics::{Limit, LimitMetrics, gauged},
};

/// Size of the token bucket: the calls of this long at the caller's rate.
const BURST: Duration = Duration::from_secs(2);
/// The stream that lasts.
const WATCH: &str = "/chat.v1.ChatService/WatchChats";
/// Calls that hold no resource while they wait, which may be as long as their deadlines allow. They
/// are counted apart from the others, so that open streams leave room for a probe's `Check`.
const WAITING: [&str; 7] = [
    "/chat.v1.ChatService/GetChatDiff",
    "/chat.v1.ChatService/RefreshChat",
    "/chat.v1.SyncService/LeaseDiffStatuses",
    "/externalscaler.ExternalScaler/StreamIsActive",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The kind of a caller, which decides its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountKind {
    /// A person.
    User,
    /// One of our own services, which works for many.
    Service,
    /// All calls that need no token.
    Anonymous,
}

/// The share of a caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) calls: usize,
    pub(super) calls_per_second: f64,
    pub(super) watches: usize,
    pub(super) waiting_calls: usize,
    pub(super) unread_bytes: usize,
    /// Calls that use the database at once.
    pub(super) turns: usize,
}

/// The resource that a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The database, for a moment.
    Work,
    /// Nothing, for long.
    Wait,
    /// A watcher's place.
    Watch,
}

impl Use {
    pub(super) fn of(path: &str) -> Self {
        match path {
            WATCH => Self::Watch,
            path if WAITING.contains(&path) => Self::Wait,
            _ => Self::Work,
        }
    }
}

/// The current use of a caller.
pub(super) struct Account {
    share: Share,
    calls: AtomicUsize,
    waiting_calls: AtomicUsize,
    watches: AtomicUsize,
    unread_bytes: AtomicUsize,
    /// A token bucket as one time (the generic cell rate algorithm): when it is full again.
    full_at: Mutex<Instant>,
    turns: Arc<Semaphore>,
}

impl Account {
    pub(super) fn new(share: Share, now: Instant) -> Self {
        Self {
            share,
            calls: AtomicUsize::new(0),
            waiting_calls: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
            unread_bytes: AtomicUsize::new(0),
            full_at: Mutex::new(now),
            turns: Arc::new(Semaphore::new(share.turns)),
        }
    }

    /// Takes a token for a call, or says how long until there is one.
    pub(super) fn pace(&self, now: Instant) -> Result<(), Duration> {
        let mut full_at = lock(&self.full_at);
        let next = (*full_at).max(now) + Duration::from_secs_f64(1.0 / self.share.calls_per_second);
        match next.saturating_duration_since(now).checked_sub(BURST) {
            Some(wait) if !wait.is_zero() => Err(wait),
            Some(_) | None => {
                *full_at = next;
                Ok(())
            }
        }
    }

    /// Whether forgetting it changes nothing, once it has no call in flight.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        *lock(&self.full_at) <= now
    }

    /// Calls in flight that take up the same.
    fn in_flight(&self, of: Use) -> &AtomicUsize {
        match of {
            Use::Work => &self.calls,
            Use::Wait => &self.waiting_calls,
            Use::Watch => &self.watches,
        }
    }
}

/// A call's place among those in flight. Dropping it frees the place.
pub(super) struct CallPermit {
    account: Arc<Account>,
    metrics: LimitMetrics,
    of: Use,
}

impl CallPermit {
    /// Takes a place, or says which limit is in the way.
    pub(super) fn take(
        account: Arc<Account>,
        metrics: &LimitMetrics,
        bounds: &Bounds,
        of: Use,
    ) -> Result<Self, Limit> {
        let share = account.share;
        let (most, limit) = match of {
            Use::Work => (share.calls, Limit::Calls),
            Use::Wait => (share.waiting_calls, Limit::WaitingCalls),
            Use::Watch => (share.watches, Limit::Watches),
        };
        let counter = account.in_flight(of);
        if counter.fetch_add(1, Ordering::Relaxed) >= most {
            counter.fetch_sub(1, Ordering::Relaxed);
            return Err(limit);
        }
        // From here on a refusal gives back what was taken, by dropping it.
        let place = Self {
            account,
            metrics: metrics.clone(),
            of,
        };
        let beyond = |gauge: &Gauge, most: usize| gauge.get() > gauged(most);
        metrics.calls.inc();
        if let Some(gauge) = place.gauge() {
            gauge.inc();
        }
        if beyond(&metrics.calls, bounds.calls) {
            return Err(Limit::ProcessCalls);
        }
        if of == Use::Wait && beyond(&metrics.waiting_calls, bounds.waiting_calls) {
            return Err(Limit::ProcessWaitingCalls);
        }
        Ok(place)
    }

    fn gauge(&self) -> Option<&Gauge> {
        match self.of {
            Use::Work => None,
            Use::Wait => Some(&self.metrics.waiting_calls),
            Use::Watch => Some(&self.metrics.watches),
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let counter = self.account.in_flight(self.of);
        counter.fetch_sub(1, Ordering::Relaxed);
        self.metrics.calls.dec();
        if let Some(gauge) = self.gauge() {
            gauge.dec();
        }
    }
}

/// The resources that a call holds until the last byte of its response was written.
pub(super) struct Ticket {
    place: CallPermit,
    /// Held until the answer is made: then it needs the database no more, and its bytes count.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Ticket {
    pub(super) fn new(place: CallPermit) -> Self {
        Self {
            place,
            turn: Mutex::default(),
        }
    }

    /// Waits for the call's turn to use the database, unless the call mostly waits or watches.
    /// Cancel safe.
    pub(super) async fn take_turn(&self) {
        if self.place.of != Use::Work {
            return;
        }
        // Fails only for a closed semaphore, and none is closed.
        let turn = self.place.account.turns.clone().acquire_owned().await.ok();
        *lock(&self.turn) = turn;
    }

    /// Lets the caller's next call have its turn.
    pub(super) fn end_turn(&self) {
        drop(lock(&self.turn).take());
    }

    /// The limit, if there is too much that was not taken yet.
    pub(super) fn unread_limit(&self, bounds: &Bounds) -> Option<Limit> {
        let CallPermit {
            account, metrics, ..
        } = &self.place;
        if account.unread_bytes.load(Ordering::Relaxed) >= account.share.unread_bytes {
            Some(Limit::UnreadAnswers)
        } else if metrics.unread_bytes.get() >= gauged(bounds.unread_bytes) {
            Some(Limit::ProcessUnreadAnswers)
        } else {
            None
        }
    }

    /// Whether it is a stream, which can wait with its next message.
    pub(super) fn is_stream(&self) -> bool {
        self.place.of == Use::Watch
    }
}

/// Bytes of an answer that were not taken yet. Dropping it takes them off the account, if the
/// answer has one.
pub(super) struct UnreadBytes {
    ticket: Option<Arc<Ticket>>,
    bytes: usize,
}

impl UnreadBytes {
    pub(super) fn new(ticket: Option<Arc<Ticket>>, bytes: usize) -> Self {
        if let Some(Ticket { place, .. }) = ticket.as_deref() {
            place
                .account
                .unread_bytes
                .fetch_add(bytes, Ordering::Relaxed);
            place.metrics.unread_bytes.inc_by(gauged(bytes));
        }
        Self { ticket, bytes }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for UnreadBytes {
    fn drop(&mut self) {
        let Some(Ticket { place, .. }) = self.ticket.as_deref() else {
            return;
        };
        place
            .account
            .unread_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        place.metrics.unread_bytes.dec_by(gauged(self.bytes));
    }
}
