//! Whether chat-service is there: heard of, or silent for too long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

/// When chat-service was heard of. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Contact(Arc<watch::Sender<Heard>>);

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    last: Option<Instant>,
    /// Since when it has been asked and has not answered.
    silent_since: Option<Instant>,
}

impl Default for Contact {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Heard::default())))
    }
}

impl Contact {
    /// It answered a call as it should.
    pub(super) fn answered(&self) {
        self.0.send_replace(Heard {
            last: Some(Instant::now()),
            silent_since: None,
        });
    }

    /// A call that was sent at `asked_at` has no answer, or none that lets this worker go on.
    pub(super) fn unanswered(&self, asked_at: Instant) {
        self.0.send_if_modified(|heard| {
            let began = heard.silent_since.is_none();
            if began {
                // Other calls may have been answered since this one was sent.
                heard.silent_since = Some(heard.last.map_or(asked_at, |last| last.max(asked_at)));
            }
            began
        });
    }

    /// Resolves when the last that is known of chat-service is an answer.
    pub async fn heard(&self) {
        // The sender is part of `self`, so that this cannot fail.
        let _ = self
            .0
            .subscribe()
            .wait_for(|heard| heard.last.is_some() && heard.silent_since.is_none())
            .await;
    }

    /// Resolves when chat-service has been asked for as long as `patience` and has not answered.
    pub async fn silent_for(&self, patience: Duration) {
        let mut heard = self.0.subscribe();
        loop {
            let since = heard.borrow_and_update().silent_since;
            let Some(since) = since else {
                if heard.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            if tokio::time::timeout_at(since + patience, heard.changed())
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
        let contact = Contact::default();
        let now = Instant::now();
        let long_ago = now.checked_sub(PATIENCE * 2).unwrap();
        assert!(!at_once(contact.heard()).await, "never heard of");
        contact.unanswered(long_ago);
        contact.unanswered(now);
        assert!(at_once(contact.silent_for(PATIENCE)).await);
        contact.answered();
        assert!(at_once(contact.heard()).await);
        assert!(!at_once(contact.silent_for(Duration::ZERO)).await);
        // A call from before that answer says nothing about the time before it.
        contact.unanswered(long_ago);
        assert!(!at_once(contact.heard()).await);
        assert!(!at_once(contact.silent_for(PATIENCE)).await);
    }
}
