//! One watcher's stream: its start, notices, heartbeats and end.

use std::{convert::Infallible, pin::Pin, time::Duration};

use futures_util::stream;
use jiff::Timestamp;
use proto::{bounds::HEARTBEAT_INTERVAL, chat::v1};
use service_runtime::jitter::jittered;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
use tokio_util::sync::CancellationToken;

use super::{WatchStream, render::Renderer};
use crate::{
    error::Error,
    events::watch::Watch,
    sync::viewed::{SAMPLE_INTERVAL, Views, WatchingUser},
};

/// Pause between the heartbeats of a stream: shorter than promised, for networks that are slow.
const PERIOD: Duration = HEARTBEAT_INTERVAL.saturating_sub(Duration::from_secs(2));

/// Retry advice at the end of a stream, with a jitter of four fifths, so that the clients of a
/// replica do not reconnect at once.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The parts of a stream.
pub(super) struct StreamParts {
    pub(super) watch: Watch,
    pub(super) renderer: Renderer,
    /// The revision that the stream begins with.
    pub(super) revision: String,
    pub(super) viewing: Option<ViewRecorder>,
    /// When the caller's token expires.
    pub(super) expires_at: Timestamp,
    /// Ends the stream when its connection is to end, by its age or since the server drains.
    pub(super) closing: CancellationToken,
}

impl StreamParts {
    /// The stream of a watcher, until its token expires or its connection is to end.
    pub(super) fn stream(self) -> WatchStream {
        self.stream_with(heartbeats())
    }

    fn stream_with(self, heartbeats: Interval) -> WatchStream {
        let Self {
            watch,
            renderer,
            revision,
            viewing,
            expires_at,
            closing,
        } = self;
        // The token was just accepted: the time until its expiry is measured once, by the clock of
        // this process.
        let left = expires_at.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        let live = Live {
            first: Some(revision),
            watch,
            renderer,
            viewing,
            heartbeats,
            expiry: Box::pin(tokio::time::sleep(left)),
            closing,
        };
        Box::pin(stream::unfold(Some(live), |live| async move {
            let mut live = live?;
            Some(match live.next().await {
                Ok(message) => (Ok(message), Some(live)),
                Err(end) => (Err(end.into()), None),
            })
        }))
    }
}

/// The first heartbeat has a jitter, so that streams that begin together do not send theirs at
/// once.
fn heartbeats() -> Interval {
    let first = jittered(PERIOD * 3 / 4, 1.0 / 3.0);
    let mut heartbeats = tokio::time::interval_at(Instant::now() + first, PERIOD);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeats
}

/// A stream that is read.
struct Live {
    /// The revision of the first message, until that is sent.
    first: Option<String>,
    watch: Watch,
    renderer: Renderer,
    viewing: Option<ViewRecorder>,
    heartbeats: Interval,
    expiry: Pin<Box<Sleep>>,
    closing: CancellationToken,
}

impl Live {
    /// The next message.
    ///
    /// # Errors
    ///
    /// With which the stream ends.
    async fn next(&mut self) -> Result<v1::WatchChatsResponse, Error> {
        if let Some(revision) = self.first.take() {
            return Ok(Renderer::heartbeat(revision));
        }
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Err(ended()),
                () = &mut self.expiry => return Err(Error::CredentialsInvalid),
                never = ViewRecorder::sample(&mut self.viewing) => match never {},
                // Before the notices, so that many of them do not delay it.
                _ = self.heartbeats.tick() => {
                    if let Some(point) = self.watch.reached() {
                        return Ok(Renderer::heartbeat(self.renderer.revision(point)?));
                    }
                }
                notice = self.watch.next() => return self.renderer.render(&notice),
            }
        }
    }
}

fn ended() -> Error {
    Error::ConnectionEnds {
        problem: "the connection ends; connect again, and resume after the last revision",
        retry_after: Some(jittered(RETRY_AFTER, 0.8)),
    }
}

/// Notes the watcher's views, once a minute while the stream is read.
pub(super) struct ViewRecorder {
    views: Views,
    watcher: WatchingUser,
    samples: Interval,
}

impl ViewRecorder {
    pub(super) fn new(views: Views, watcher: WatchingUser) -> Self {
        Self {
            views,
            watcher,
            samples: samples(),
        }
    }

    /// Never returns. Cancel safe: the interval keeps its next tick.
    async fn sample(viewing: &mut Option<Self>) -> Infallible {
        let Some(Self {
            views,
            watcher,
            samples,
        }) = viewing
        else {
            return std::future::pending().await;
        };
        loop {
            samples.tick().await;
            views.watch(watcher.clone());
        }
    }
}

/// Ticks once a minute from now on; ticks that a slow reader missed are not made up for.
fn samples() -> Interval {
    let mut samples = tokio::time::interval(SAMPLE_INTERVAL);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    samples
}

#[cfg(test)]
mod tests;
