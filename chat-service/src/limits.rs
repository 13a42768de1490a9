//! Limits that keep one caller from costing another, in this process.
//!
//! A caller is the user or the service that a call's token names. Each has bounds: calls a second,
//! calls in flight, watches, calls that wait for a worker or for work, database work at once, and
//! the bytes of answers that were not taken yet. The process as a whole has bounds of its own. A
//! call beyond a bound is refused with `RESOURCE_EXHAUSTED`, that limit's reason, and a retry
//! delay. Only for its turn at the database a call waits, so that a burst of one caller delays no
//! other caller.
//!
//! A call is in flight until the last byte of its answer was written to the socket: an answer that
//! is not taken counts, and has a deadline (`answer`).

mod account;
mod answer;
mod limited;
mod metrics;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use prometheus_client::registry::Registry;
use proto::reason;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use self::{
    account::{Account, AccountKind, CallPermit, Share, Ticket, Use},
    answer::TrackedAnswer,
    metrics::{Limit, LimitMetrics, gauged},
};
pub(crate) use self::{answer::AnswerLayer, limited::LimitLayer};
use crate::{authz::Principal, error::Error};

/// Answers that are not taken, and idle callers, are swept this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Retry delay of a refusal, but for the rate of calls, where the delay is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A user's database work at once is the pool's connections over this: it takes four users to fill
/// the pool.
const USER_POOL_SHARE: usize = 4;
/// A service works for many users, and yet not with the whole pool.
const SERVICE_POOL_SHARE: usize = 2;
/// A service's answers that were not taken are at most the process's bound over this.
const SERVICE_UNREAD_SHARE: usize = 2;

/// The limits of callers and of the process.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Calls of a user in flight.
    pub user_calls: usize,
    /// Calls of a user a second; twice that at once.
    pub user_calls_per_second: u32,
    /// `WatchChats` streams of a user.
    pub user_watches: usize,
    /// Calls of a user that wait: `RefreshChat`, `GetChatDiff`, and a worker's `LeaseDiffStatuses`.
    pub user_waiting_calls: usize,
    /// Bytes of a user's answers that were not taken yet.
    pub user_unread_bytes: usize,
    /// How many users' bounds a service has.
    pub service_weight: usize,
    /// Calls and streams of the process.
    pub calls: usize,
    /// Calls of the process that wait.
    pub waiting_calls: usize,
    /// Bytes of the process's answers that were not taken yet.
    pub unread_bytes: usize,
    /// How long each message of an answer may take from its first byte to its last.
    pub answer_timeout: Duration,
    /// Connections to the database.
    pub database_connections: usize,
}

impl Bounds {
    fn share(&self, kind: AccountKind) -> Share {
        let turns = |pool_share: usize| (self.database_connections / pool_share).max(1);
        let (weight, turns) = match kind {
            AccountKind::User => (1, turns(USER_POOL_SHARE)),
            AccountKind::Service => (self.service_weight, turns(SERVICE_POOL_SHARE)),
            // Health and reflection use no database, and must not wait for one another.
            AccountKind::Anonymous => (self.service_weight, Semaphore::MAX_PERMITS),
        };
        let unread_bytes = match kind {
            AccountKind::User => self.user_unread_bytes,
            AccountKind::Service | AccountKind::Anonymous => {
                (self.user_unread_bytes * weight).min(self.unread_bytes / SERVICE_UNREAD_SHARE)
            }
        };
        Share {
            calls: self.user_calls * weight,
            calls_per_second: f64::from(self.user_calls_per_second)
                * f64::from(u32::try_from(weight).unwrap_or(u32::MAX)),
            watches: self.user_watches * weight,
            waiting_calls: self.user_waiting_calls * weight,
            unread_bytes,
            turns,
        }
    }
}

/// Key of an account: calls with the same one count together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum AccountKey {
    User(uuid::Uuid),
    Service(String),
    /// Calls that need no token: health and reflection.
    Anonymous,
}

impl AccountKey {
    fn of(principal: Option<&Principal>) -> Self {
        match principal {
            Some(Principal::User(user)) => Self::User(user.id.0),
            Some(Principal::Service(name)) => Self::Service(name.clone()),
            None => Self::Anonymous,
        }
    }

    fn kind(&self) -> AccountKind {
        match self {
            Self::User(_) => AccountKind::User,
            Self::Service(_) => AccountKind::Service,
            Self::Anonymous => AccountKind::Anonymous,
        }
    }
}

/// The limits of this process. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    metrics: LimitMetrics,
    /// Callers with a call in flight, and those whose token buckets are not full again yet.
    callers: Mutex<HashMap<AccountKey, Arc<Account>>>,
    /// Answers that are on their way, and, until the next sweep, those that have arrived.
    answers: Mutex<Vec<Weak<TrackedAnswer>>>,
}

impl Limits {
    /// Limits with these bounds; no call is in flight yet.
    pub fn new(bounds: Bounds, registry: &mut Registry) -> Self {
        Self(Arc::new(Inner {
            bounds,
            metrics: LimitMetrics::register(registry),
            callers: Mutex::default(),
            answers: Mutex::default(),
        }))
    }

    /// Ends answers that are not taken in time, and forgets callers that are idle, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let inner = &*self.0;
        // Not under the lock: an answer that ends drops what it was made from.
        let answers = lock(&inner.answers).clone();
        for answer in answers.iter().filter_map(Weak::upgrade) {
            if answer.sweep(now, inner.bounds.answer_timeout) {
                inner.metrics.ended_answers.inc();
            }
        }
        lock(&inner.answers).retain(|answer| answer.strong_count() > 0);
        let mut callers = lock(&inner.callers);
        // Under the lock, an account that only the table holds gets no other holder.
        callers.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now));
        inner.metrics.callers.set(gauged(callers.len()));
    }

    /// Lets a call in, or says which limit is in the way.
    fn admit(
        &self,
        principal: Option<&Principal>,
        path: &str,
        now: Instant,
    ) -> Result<Ticket, Error> {
        let key = AccountKey::of(principal);
        let account = self.account(&key, now);
        // Calls of health are not paced: they are cheap, and all of them count as one caller's.
        if key != AccountKey::Anonymous
            && let Err(wait) = account.pace(now)
        {
            return Err(self.refused(Limit::CallRate, wait));
        }
        let of = Use::of(path);
        let place = CallPermit::take(account, &self.0.metrics, &self.0.bounds, of)
            .map_err(|limit| self.refused(limit, RETRY_AFTER))?;
        Ok(Ticket::new(place))
    }

    /// Refuses a call whose caller, or whose process, has too much that was not taken yet.
    fn check_unread(&self, ticket: &Ticket) -> Result<(), Error> {
        let limit = ticket.unread_limit(&self.0.bounds);
        limit.map_or(Ok(()), |limit| Err(self.refused(limit, RETRY_AFTER)))
    }

    fn account(&self, key: &AccountKey, now: Instant) -> Arc<Account> {
        let mut callers = lock(&self.0.callers);
        if let Some(account) = callers.get(key) {
            return account.clone();
        }
        let account = Arc::new(Account::new(self.0.bounds.share(key.kind()), now));
        callers.insert(key.clone(), account.clone());
        account
    }

    fn refused(&self, limit: Limit, retry_after: Duration) -> Error {
        self.0.metrics.refuse(limit);
        let (problem, reason) = match limit {
            Limit::CallRate => ("too many calls a second", reason::CALL_RATE_EXCEEDED),
            Limit::Calls => ("too many calls in flight", reason::TOO_MANY_CALLS),
            Limit::WaitingCalls => ("too many calls that wait", reason::TOO_MANY_WAITING_CALLS),
            Limit::Watches => ("too many watches", reason::TOO_MANY_WATCHES),
            Limit::UnreadAnswers => (
                "too many bytes of answers that were not read yet",
                reason::ANSWERS_NOT_READ,
            ),
            Limit::ProcessCalls | Limit::ProcessWaitingCalls | Limit::ProcessUnreadAnswers => {
                ("the server has too much to do", reason::TOO_MANY_REQUESTS)
            }
        };
        Error::ResourceExhausted {
            problem: problem.to_owned(),
            reason,
            retry_after: Some(retry_after),
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
