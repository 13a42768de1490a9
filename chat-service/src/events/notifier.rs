//! Notifications between tasks and between replicas.
//!
//! A notification carries no data: a subscriber that is woken reads the database, and does so now
//! and then anyway. One that is lost costs time, never data. Outcomes name their budgets, so that
//! only those who wait for one of them are woken.
//!
//! `NOTIFY` serialises commits, so no data transaction notifies: a notification is sent after the
//! commit, on a connection of its own, and those that come close together are one. What comes back
//! of that to this process is ignored.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::poll_fn;
use service_runtime::telemetry::Failing;
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, timeout, timeout_at},
};
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{error::chain, store::Address, text_enum::text_enum};

text_enum! {
    /// The topic of a notification, and the channel to the other replicas.
    Topic {
        /// Refs may have become due: workers that wait for a lease look again.
        Due = "chat_due",
        /// Outcomes were applied: those of `RefreshChat` look again who wait for these budgets.
        Outcomes = "chat_outcomes",
        /// Change events were committed: the relay places them.
        Changes = "chat_changes",
        /// The relay placed events: every replica reads them.
        Placed = "chat_placed",
    }
}

const TOPICS: usize = Topic::ALL.len();

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a broken connection is reopened.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Budgets that one `NOTIFY` names at most: a payload is shorter than 8,000 bytes.
const MAX_NAMED: usize = 200;
/// When a subscriber to outcomes looks again without a notification.
const FALLBACK_LOOK: Duration = Duration::from_millis(500);
/// Notifications of outcomes that a subscriber may fall behind; beyond that it is woken.
const BACKLOG: usize = 256;

/// Notifies of topics, and subscribes to them. Cheap to clone.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    /// The prefix of this process's payloads, by which it ignores them when they come back.
    origin: String,
    /// Wake with each notification, from here and from elsewhere; by [`Topic`].
    subscribed: [watch::Sender<()>; TOPICS],
    /// The budgets of outcomes; `None` stands for any.
    outcomes: broadcast::Sender<Option<Uuid>>,
    /// Whether there are notifications of this process that were not sent to the other replicas; by
    /// [`Topic`].
    unsent: [AtomicBool; TOPICS],
    /// The budgets of outcomes that were not sent to the other replicas.
    unsent_budgets: Mutex<BTreeSet<Uuid>>,
    woken: Notify,
}

/// A subscription to the outcomes of budgets.
pub struct Outcomes(broadcast::Receiver<Option<Uuid>>);

impl Outcomes {
    /// Forgets the notifications so far.
    pub fn mark_unchanged(&mut self) {
        self.0 = self.0.resubscribe();
    }

    /// Returns when to look again for outcomes of `budgets`: when there may be one, or after a
    /// moment, since a notification may be lost, and at `deadline` at the latest.
    pub(crate) async fn next(&mut self, budgets: &[Uuid], deadline: Instant) {
        let next_look = deadline.min(Instant::now() + FALLBACK_LOOK);
        let _ = timeout_at(next_look, self.of(budgets)).await;
    }

    /// Returns when there may be an outcome of one of `budgets`.
    async fn of(&mut self, budgets: &[Uuid]) {
        loop {
            match self.0.recv().await {
                Ok(Some(budget)) if !budgets.contains(&budget) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // Without senders; the notifier outlives this.
                Err(RecvError::Closed) => pending().await,
            }
        }
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self(Arc::new(Inner {
            origin: Uuid::new_v4().simple().to_string(),
            subscribed: Default::default(),
            outcomes: broadcast::Sender::new(BACKLOG),
            unsent: Default::default(),
            unsent_budgets: Mutex::default(),
            woken: Notify::new(),
        }))
    }
}

impl Notifier {
    /// Notifies this process; `run` connects it with the other replicas.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all subscribers, here at once and in the other replicas shortly after. Call it after
    /// the commit.
    pub fn notify(&self, topic: Topic) {
        self.wake(topic, "");
        self.0.unsent[topic as usize].store(true, Ordering::Relaxed);
        self.0.woken.notify_one();
    }

    /// Wakes those who wait for outcomes of one of `budgets`, here at once and in the other
    /// replicas shortly after. Call it after the commit.
    pub fn notify_outcomes(&self, budgets: &[Uuid]) {
        self.unsent_budgets().extend(budgets);
        for budget in budgets {
            // Fails only when there is no subscriber.
            let _ = self.0.outcomes.send(Some(*budget));
        }
        self.0.woken.notify_one();
    }

    /// Wakes subscribers of this process. Text that is not a budget's id stands for any budget.
    fn wake(&self, topic: Topic, budgets: &str) {
        self.0.subscribed[topic as usize].send_replace(());
        if topic == Topic::Outcomes {
            for budget in budgets.split(',') {
                let _ = self.0.outcomes.send(Uuid::parse_str(budget).ok());
            }
        }
    }

    fn unsent_budgets(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        let budgets = self.0.unsent_budgets.lock();
        budgets.unwrap_or_else(PoisonError::into_inner)
    }

    /// The statements that notify the other replicas.
    fn take_unsent(&self) -> Vec<String> {
        // Names and ids of our own: nothing of a caller's is in a statement.
        let statement = |topic: Topic, budgets: &str| {
            let (channel, origin) = (topic.name(), &self.0.origin);
            format!("NOTIFY {channel}, '{origin}{budgets}'")
        };
        let mut statements = Vec::new();
        for topic in Topic::ALL {
            if self.0.unsent[*topic as usize].swap(false, Ordering::Relaxed) {
                statements.push(statement(*topic, ""));
            }
        }
        let budgets = std::mem::take(&mut *self.unsent_budgets());
        let budgets: Vec<String> = budgets
            .iter()
            .map(|budget| format!(",{}", budget.simple()))
            .collect();
        for named in budgets.chunks(MAX_NAMED) {
            statements.push(statement(Topic::Outcomes, &named.concat()));
        }
        statements
    }

    /// Wakes with each notification from now on.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> watch::Receiver<()> {
        self.0.subscribed[topic as usize].subscribe()
    }

    /// Notices the outcomes of budgets from now on.
    #[must_use]
    pub fn subscribe_outcomes(&self) -> Outcomes {
        Outcomes(self.0.outcomes.subscribe())
    }

    /// Notifies the other replicas, and is notified by them, until `stop`.
    pub(crate) async fn run(&self, database: Address, stop: CancellationToken) {
        let failing = Failing::default();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.connection(&database, &failing) => {
                    if let Err(error) = result && failing.begins() {
                        let error = chain(&error);
                        tracing::warn!(error, "the notification connection broke; connecting anew");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            }
        }
    }

    /// Serves one connection until it breaks.
    async fn connection(
        &self,
        database: &Address,
        failing: &Failing,
    ) -> Result<(), tokio_postgres::Error> {
        // A server that is silent after it has taken the connection counts too.
        let connecting = timeout(CONNECT_TIMEOUT, database.connect());
        let Ok(connected) = connecting.await else {
            if failing.begins() {
                tracing::warn!("the database makes no notification connection; trying again");
            }
            return Ok(());
        };
        let (client, mut connection) = connected?;
        let receive = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message?
                    && let Some(topic) = Topic::parse(notification.channel())
                {
                    let payload = notification.payload();
                    let (origin, budgets) = payload.split_once(',').unwrap_or((payload, ""));
                    if origin != self.0.origin {
                        self.wake(topic, budgets);
                    }
                }
            }
            Ok(())
        };
        let send = async {
            let listen = Topic::ALL
                .iter()
                .map(|topic| format!("LISTEN {};", topic.name()));
            client.batch_execute(&listen.collect::<String>()).await?;
            if failing.ends() {
                tracing::info!("the notification connection works again");
            }
            // Notifications may have been lost while this process did not listen, in both
            // directions: all subscribers look again.
            for topic in Topic::ALL {
                self.notify(*topic);
            }
            loop {
                self.0.woken.notified().await;
                for statement in self.take_unsent() {
                    client.batch_execute(&statement).await?;
                }
            }
        };
        tokio::select! {
            result = receive => result,
            result = send => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, future::join};

    use super::*;

    /// Two replicas that are connected, for `body`.
    async fn replicas(body: impl AsyncFnOnce(&Notifier, &Notifier)) {
        let database = testkit::postgres::database().await;
        let (one, other) = (Notifier::new(), Notifier::new());
        let stop = CancellationToken::new();
        let body = async {
            for (from, to) in [(&one, &other), (&other, &one)] {
                let mut heard = to.subscribe(Topic::Placed);
                testkit::wait::until("a replica is heard", || {
                    from.notify(Topic::Placed);
                    let heard = heard.has_changed().unwrap();
                    async move { if heard { Ok(()) } else { Err(()) } }
                })
                .await;
                heard.mark_unchanged();
            }
            body(&one, &other).await;
            stop.cancel();
        };
        let running = join(
            one.run(database.url().parse().unwrap(), stop.clone()),
            other.run(database.url().parse().unwrap(), stop.clone()),
        );
        tokio::join!(body, running);
    }

    #[tokio::test]
    async fn a_process_is_not_woken_by_what_it_sent_itself() {
        replicas(async |one, other| {
            let mut own = one.subscribe(Topic::Due);
            let mut elsewhere = other.subscribe(Topic::Due);
            let mut later = one.subscribe(Topic::Changes);
            one.notify(Topic::Due);
            own.mark_unchanged();
            elsewhere.changed().await.unwrap();
            // Notifications arrive in order, so that this one comes last.
            other.notify(Topic::Changes);
            later.changed().await.unwrap();
            assert!(!own.has_changed().unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn outcomes_wake_those_who_wait_for_their_budgets_in_each_process() {
        replicas(async |one, other| {
            let budgets: Vec<Uuid> = (0..MAX_NAMED + 1).map(|_| Uuid::now_v7()).collect();
            let strange = [Uuid::now_v7()];
            let mut waiting: Vec<Outcomes> = [one, other, other, other]
                .map(Notifier::subscribe_outcomes)
                .into();
            let mut later = other.subscribe(Topic::Changes);
            one.notify_outcomes(&budgets[..1]);
            waiting[0].of(&budgets[..1]).await;
            waiting[1].of(&budgets[..1]).await;
            one.notify_outcomes(&budgets);
            // More than fit into one notification.
            waiting[2].of(&budgets[MAX_NAMED..]).await;
            one.notify(Topic::Changes);
            later.changed().await.unwrap();
            let woken = pin!(waiting[3].of(&strange)).now_or_never();
            assert!(woken.is_none(), "of another budget");
        })
        .await;
    }

    #[tokio::test]
    async fn what_names_no_budget_is_of_any() {
        let notifier = Notifier::new();
        let mut waiting = notifier.subscribe_outcomes();
        notifier.notify(Topic::Outcomes);
        waiting.of(&[Uuid::now_v7()]).await;
    }
}
