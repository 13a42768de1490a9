//! Wake-ups between tasks and between replicas. A ring carries nothing: whoever wakes looks into the
//! database, so a ring that is lost costs time (everybody looks now and then anyway), never data.
//!
//! `NOTIFY` serialises commits, so no data transaction notifies: a ring is sent after the commit, on
//! a connection of its own, and rings that come close together are one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::poll_fn;
use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, NoTls};
use tokio_util::sync::CancellationToken;

use crate::{store::detect_dead_peers, text_enum::text_enum};

text_enum! {
    /// What happened, and the channel on which replicas hear of it.
    Ring {
        /// Refs may have become due: workers that wait for a lease look again.
        Due = "chat_due",
        /// Outcomes were applied: `RefreshChat` looks again.
        Outcomes = "chat_outcomes",
        /// Change events were committed: the relay places them.
        Changes = "chat_changes",
        /// The relay placed events: every replica reads them.
        Placed = "chat_placed",
    }
}

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a broken connection is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Rings, and hears rings. Cheap to clone.
#[derive(Clone, Default)]
pub struct Bell(Arc<Inner>);

/// Each by [`Ring`].
#[derive(Default)]
struct Inner {
    /// Wake with the rings that are heard, from here and from elsewhere.
    heard: [watch::Sender<()>; 4],
    /// Whether there are rings of this process of which the other replicas have not heard.
    unsent: [AtomicBool; 4],
    rung: Notify,
}

impl Bell {
    /// A bell that is heard in this process; [`Bell::run`] connects it with the other replicas.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all who listen, here at once and in the other replicas shortly after. Call it after the
    /// commit.
    pub fn ring(&self, ring: Ring) {
        self.0.heard[ring as usize].send_replace(());
        self.0.unsent[ring as usize].store(true, Ordering::Relaxed);
        self.0.rung.notify_one();
    }

    /// Hears rings from now on.
    #[must_use]
    pub fn listen(&self, ring: Ring) -> watch::Receiver<()> {
        self.0.heard[ring as usize].subscribe()
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
                if let AsyncMessage::Notification(notification) = message?
                    && let Some(ring) = Ring::parse(notification.channel())
                {
                    self.0.heard[ring as usize].send_replace(());
                }
            }
            Ok(())
        };
        let send = async {
            let listen = Ring::ALL
                .iter()
                .map(|ring| format!("LISTEN {};", ring.name()));
            client.batch_execute(&listen.collect::<String>()).await?;
            // What was rung while this process did not listen is unknown, here and in the other
            // replicas: everybody looks again.
            for ring in Ring::ALL {
                self.ring(*ring);
            }
            loop {
                self.0.rung.notified().await;
                for ring in Ring::ALL {
                    if self.0.unsent[*ring as usize].swap(false, Ordering::Relaxed) {
                        // Channels are names of our own: nothing of a caller's is in the statement.
                        client
                            .batch_execute(&format!("NOTIFY {}", ring.name()))
                            .await?;
                    }
                }
            }
        };
        tokio::select! {
            result = hear => result,
            result = send => result,
        }
    }
}
