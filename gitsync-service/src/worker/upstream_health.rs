//! Whether chat-service answers, or has been silent for too long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

/// When chat-service last answered. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct UpstreamHealth(Arc<watch::Sender<LastAnswer>>);

#[derive(Clone, Copy, Debug, Default)]
struct LastAnswer {
    last: Option<Instant>,
    /// Since when it has been asked and has not answered.
    silent_since: Option<Instant>,
}

impl Default for UpstreamHealth {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(LastAnswer::default())))
    }
}

impl UpstreamHealth {
    /// It answered a call as it should.
    pub(super) fn answered(&self) {
        let former = self.0.send_replace(LastAnswer {
            last: Some(Instant::now()),
            silent_since: None,
        });
        if former.silent_since.is_some() {
            tracing::info!("chat-service answers again");
        }
    }

    /// Notes that a call sent at `asked_at` had no usable response. Returns whether the previous
    /// call had one.
    pub(super) fn unanswered(&self, asked_at: Instant) -> bool {
        self.0.send_if_modified(|state| {
            let began = state.silent_since.is_none();
            if began {
                // Other calls may have been answered since this one was sent.
                state.silent_since = Some(state.last.map_or(asked_at, |last| last.max(asked_at)));
            }
            began
        })
    }

    /// Resolves once the most recent call to chat-service succeeded.
    pub async fn healthy(&self) {
        // The sender is part of `self`, so that this cannot fail.
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| state.last.is_some() && state.silent_since.is_none())
            .await;
    }

    /// Resolves when chat-service has been asked for as long as `patience` and has not answered.
    pub async fn silent_for(&self, patience: Duration) {
        let mut state = self.0.subscribe();
        loop {
            let since = state.borrow_and_update().silent_since;
            let Some(since) = since else {
                if state.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            if tokio::time::timeout_at(since + patience, state.changed())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Whether `future` is done as soon as it is looked at.
    async fn at_once(future: impl Future<Output = ()>) -> bool {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(future.as_mut().poll(context).is_ready())
        })
        .await
    }

    #[tokio::test]
    async fn silence_counts_from_the_first_unanswered_call_and_ends_with_an_answer() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let health = UpstreamHealth::default();
        let now = Instant::now();
        let long_ago = now.checked_sub(PATIENCE * 2).unwrap();
        assert!(!at_once(health.healthy()).await, "no call was answered yet");
        health.unanswered(long_ago);
        health.unanswered(now);
        assert!(at_once(health.silent_for(PATIENCE)).await);
        health.answered();
        assert!(at_once(health.healthy()).await);
        assert!(!at_once(health.silent_for(Duration::ZERO)).await);
        // A call from before that answer says nothing about the time before it.
        health.unanswered(long_ago);
        assert!(!at_once(health.healthy()).await);
        assert!(!at_once(health.silent_for(PATIENCE)).await);
    }
}
