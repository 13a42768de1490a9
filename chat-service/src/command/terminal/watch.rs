//! `chat-service watch`: follows a stream of changes, and resumes it when it breaks.

use std::{pin::pin, time::Duration};

use proto::{
    bounds::HEARTBEAT_INTERVAL,
    chat::v1::{ChatView, GetChatsRequest, WatchChatsRequest, WatchChatsResponse},
};
use service_runtime::jitter::jittered;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    connection::ServerConnection, failure::Failure, list::filtered, output::Output, time::rough,
};
use crate::config::WatchSettings;

/// A stream that has missed two heartbeats is lost.
const SILENCE: Duration = HEARTBEAT_INTERVAL.saturating_mul(2);
/// The first backoff; each further one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// By how much a backoff is longer or shorter, so that the clients of a lost server do not come
/// back together.
const BACKOFF_JITTER: f64 = 0.5;

/// Prints changes until `stop` is cancelled.
pub(super) async fn watch(
    settings: &WatchSettings,
    output: &mut Output<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut watcher = WatchClient {
        connection: ServerConnection::new(&settings.server)?,
        request: request(settings),
        heard: false,
        begun: false,
        backoff: FIRST_BACKOFF,
    };
    let mut stopped = pin!(stop.cancelled());
    loop {
        let ended = tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            ended = watcher.follow(output) => ended?,
        };
        let pause = watcher.pause(&ended)?;
        output.note(&format!("{ended}; resuming in {}", tenths(pause)))?;
        tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            () = sleep(pause) => {}
        }
    }
}

struct WatchClient {
    connection: ServerConnection,
    /// With the revision of the last message.
    request: WatchChatsRequest,
    /// Whether a stream has ever begun. Before that every error ends the command, so that a wrong
    /// address or token is seen at once.
    heard: bool,
    /// Whether the current stream has.
    begun: bool,
    backoff: Duration,
}

impl WatchClient {
    /// Opens a stream and prints its messages until it ends. Returns why it ended; an error is one
    /// of printing.
    async fn follow(&mut self, output: &mut Output<'_>) -> anyhow::Result<Failure> {
        self.begun = false;
        let call = self.connection.request(self.request.clone());
        let mut client = self.connection.chats();
        let opened = self
            .connection
            .answer(SILENCE, client.watch_chats(call))
            .await;
        let mut stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(status)) => return Ok(self.connection.failure(&status)),
            Err(silent) => return Ok(silent),
        };
        loop {
            match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(event))) => self.hear(&event, output)?,
                Ok(Ok(None)) => return Ok(Failure::ended(&self.connection.url)),
                Ok(Err(status)) => return Ok(self.connection.failure(&status)),
                Err(_) => return Ok(Failure::silent(&self.connection.url, SILENCE)),
            }
        }
    }

    fn hear(&mut self, event: &WatchChatsResponse, output: &mut Output<'_>) -> anyhow::Result<()> {
        if !self.begun {
            output.note(&format!("watching {}", self.connection.url))?;
        }
        (self.heard, self.begun) = (true, true);
        self.backoff = FIRST_BACKOFF;
        // After printing: a stream that resumes at a revision does not repeat the message.
        output.event(event)?;
        if !event.revision.is_empty() {
            self.request.since_revision = Some(event.revision.clone());
        }
        Ok(())
    }

    /// How long to wait before the next stream; the error, if another stream would end the same
    /// way.
    fn pause(&mut self, ended: &Failure) -> anyhow::Result<Duration> {
        let renewed = ended.is_of_token() && self.connection.renew_token();
        if !self.heard || !(ended.is_transient() || renewed) {
            return Err(ended.clone().into());
        }
        let least = ended.retry_after().unwrap_or_default();
        let pause = jittered(self.backoff, BACKOFF_JITTER).max(least);
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        Ok(pause)
    }
}

/// A short duration: `0.4 s`.
fn tenths(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.1} s", duration.as_secs_f32())
    } else {
        rough(duration)
    }
}

fn request(settings: &WatchSettings) -> WatchChatsRequest {
    // Destructured, so that a new filter of lists does not compile until watches have it too.
    let GetChatsRequest {
        owner_id,
        archived,
        shared_with_me,
        statuses,
        labels,
        pull_request_states,
        repository,
        pull_request_number,
        title,
        workspace_id,
        attention,
        page_size: _,
        page_token: _,
        view: _,
    } = filtered(&settings.filter);
    let view = if settings.server.json {
        ChatView::Full
    } else {
        ChatView::Basic
    };
    WatchChatsRequest {
        owner_id,
        since_revision: settings.since.clone(),
        chat_ids: settings.chats.iter().map(ToString::to_string).collect(),
        archived,
        shared_with_me,
        statuses,
        labels,
        pull_request_states,
        repository,
        pull_request_number,
        title,
        view: view.into(),
        workspace_id,
        attention,
    }
}
