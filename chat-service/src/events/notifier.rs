//! Notifications between tasks and between replicas.
//!
//! A notification carries nothing: a subscriber that is woken reads the database, and does so now and
//! then anyway. One that is lost costs time, never data.
//!
//! `NOTIFY` serialises commits, so no data transaction notifies: a notification is sent after the
//! commit, on a connection of its own, and those that come close together are one.

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
    /// What happened, and the channel on which replicas are notified.
    Topic {
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

/// Notifies of topics, and subscribes to them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Notifier(Arc<Inner>);

/// Each by [`Topic`].
#[derive(Default)]
struct Inner {
    /// Wake with each notification, from here and from elsewhere.
    subscribed: [watch::Sender<()>; 4],
    /// Whether there are notifications of this process that were not sent to the other replicas.
    unsent: [AtomicBool; 4],
    woken: Notify,
}

impl Notifier {
    /// Notifies this process; [`Notifier::run`] connects it with the other replicas.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all subscribers, here at once and in the other replicas shortly after. Call it after the
    /// commit.
    pub fn notify(&self, topic: Topic) {
        self.0.subscribed[topic as usize].send_replace(());
        self.0.unsent[topic as usize].store(true, Ordering::Relaxed);
        self.0.woken.notify_one();
    }

    /// Wakes with each notification from now on.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> watch::Receiver<()> {
        self.0.subscribed[topic as usize].subscribe()
    }

    /// Notifies the other replicas, and is notified by them, until `stop`.
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
        config.application_name("chat-service notifier");
        detect_dead_peers(&mut config);
        config.connect_timeout(CONNECT_TIMEOUT);
        let (client, mut connection) = config.connect(NoTls).await?;
        let receive = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message?
                    && let Some(topic) = Topic::parse(notification.channel())
                {
                    self.0.subscribed[topic as usize].send_replace(());
                }
            }
            Ok(())
        };
        let send = async {
            let listen = Topic::ALL
                .iter()
                .map(|topic| format!("LISTEN {};", topic.name()));
            client.batch_execute(&listen.collect::<String>()).await?;
            // What happened while this process did not listen is unknown, here and in the other
            // replicas: all look again.
            for topic in Topic::ALL {
                self.notify(*topic);
            }
            loop {
                self.0.woken.notified().await;
                for topic in Topic::ALL {
                    if self.0.unsent[*topic as usize].swap(false, Ordering::Relaxed) {
                        // Channels are names of our own: nothing of a caller's is in the statement.
                        client
                            .batch_execute(&format!("NOTIFY {}", topic.name()))
                            .await?;
                    }
                }
            }
        };
        tokio::select! {
            result = receive => result,
            result = send => result,
        }
    }
}
