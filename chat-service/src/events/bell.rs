//! Wake-ups between tasks and between replicas. A ring carries nothing: whoever wakes looks into the
//! database, so a ring that is lost costs time (everybody looks now and then anyway), never data.
//!
//! `NOTIFY` serialises commits, so no data transaction notifies: a ring is sent after the commit, on
//! a connection of its own, and rings that come close together are one.

use std::{sync::Arc, time::Duration};

use futures_util::future::poll_fn;
use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, NoTls};
use tokio_util::sync::CancellationToken;

use crate::store::detect_dead_peers;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Refs may have become due: workers that wait for a lease look again.
    Due,
    /// Outcomes were applied: `RefreshChat` looks again.
    Outcomes,
    /// Change events were committed: the relay places them.
    Changes,
    /// The relay placed events: every replica reads them.
    Placed,
}

impl Ring {
    const ALL: [Self; 4] = [Self::Due, Self::Outcomes, Self::Changes, Self::Placed];

    fn channel(self) -> &'static str {
        match self {
            Self::Due => "chat_due",
            Self::Outcomes => "chat_outcomes",
            Self::Changes => "chat_changes",
            Self::Placed => "chat_placed",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Due => 0,
            Self::Outcomes => 1,
            Self::Changes => 2,
            Self::Placed => 3,
        }
    }
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a broken connection is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Rings, and hears rings. Cheap to clone.
#[derive(Clone)]
pub struct Bell(Arc<Inner>);

struct Inner {
    /// Counts the rings heard, from here and from elsewhere.
    heard: [watch::Sender<u64>; 4],
    /// Counts the rings of this process that other replicas have not been told.
    untold: [watch::Sender<u64>; 4],
    told: Notify,
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    /// A bell that is heard in this process; [`Bell::run`] connects it with the other replicas.
    #[must_use]
    pub fn new() -> Self {
        let counters = || std::array::from_fn(|_| watch::Sender::new(0));
        Self(Arc::new(Inner {
            heard: counters(),
            untold: counters(),
            told: Notify::new(),
        }))
    }

    /// Wakes everybody who listens, here at once and in the other replicas shortly after. Call it
    /// after the commit.
    pub fn ring(&self, ring: Ring) {
        self.0.heard[ring.index()].send_modify(|count| *count += 1);
        self.0.untold[ring.index()].send_modify(|count| *count += 1);
        self.0.told.notify_one();
    }

    /// Hears rings from now on.
    #[must_use]
    pub fn listen(&self, ring: Ring) -> watch::Receiver<u64> {
        self.0.heard[ring.index()].subscribe()
    }

    /// Tells the other replicas, and hears them, until `stop`.
    pub async fn run(&self, database_url: &str, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.connection(database_url) => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "the notification connection broke; connecting anew");
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
    async fn connection(&self, database_url: &str) -> Result<(), tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = database_url.parse()?;
        config.application_name("chat-service bell");
        detect_dead_peers(&mut config);
        config.connect_timeout(CONNECT_TIMEOUT);
        let (client, mut connection) = config.connect(NoTls).await?;
        let hear = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message? {
                    self.hear(notification.channel());
                }
            }
            Ok(())
        };
        let tell = async {
            let listen: String = Ring::ALL
                .iter()
                .map(|ring| format!("LISTEN {};", ring.channel()))
                .collect();
            client.batch_execute(&listen).await?;
            // What was rung while nobody listened is unknown, here and in the other replicas:
            // everybody looks again. Counted from before, so that a ring in between is told too.
            let mut untold: Vec<_> = Ring::ALL
                .iter()
                .map(|ring| self.0.untold[ring.index()].subscribe())
                .collect();
            for ring in Ring::ALL {
                self.hear(ring.channel());
                client.batch_execute(&notify(ring)).await?;
            }
            loop {
                self.0.told.notified().await;
                for (ring, untold) in Ring::ALL.iter().zip(&mut untold) {
                    if untold.has_changed().unwrap_or(false) {
                        untold.mark_unchanged();
                        client.batch_execute(&notify(*ring)).await?;
                    }
                }
            }
        };
        tokio::select! {
            result = hear => result,
            result = tell => result,
        }
    }

    fn hear(&self, channel: &str) {
        for ring in Ring::ALL {
            if ring.channel() == channel {
                self.0.heard[ring.index()].send_modify(|count| *count += 1);
            }
        }
    }
}

/// Channels are names of our own, so that nothing of a caller's is in the statement.
fn notify(ring: Ring) -> String {
    format!("NOTIFY {}", ring.channel())
}
