//! `WatchChats`: what one watcher hears, as contract messages.

mod request;

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use jiff::Timestamp;
use proto::{chat::v1, reason};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::request::WatchChats;
use super::{convert, viewer::Viewer};
use crate::{
    auth::Caller,
    authz::{Authorizer, Principal},
    chat::View,
    chat_filter::WatchFilter,
    error::Error,
    events::{
        revision::{Revision, Revisions, Rights},
        watch::{Notice, Watch, Watchers, What},
    },
    id::ChatId,
    store::event::ChangeKind,
    sync::viewed::{SAMPLE_INTERVAL, Views, Watcher},
};

/// A stream of changes.
pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchChatsResponse, Status>> + Send>>;

/// The parts that a stream is made from.
pub(super) struct Streams<'a> {
    pub(super) authorizer: &'a Authorizer,
    pub(super) watchers: &'a Watchers,
    pub(super) revisions: &'a Revisions,
    pub(super) views: &'a Views,
    /// Ends the stream when its connection is to end, by its age or since the server drains.
    pub(super) closing: CancellationToken,
}

/// Starts a stream for `caller`: first where it begins, then what changes.
pub(super) fn start(
    streams: Streams<'_>,
    caller: &Caller,
    request: v1::WatchChatsRequest,
) -> Result<WatchStream, Error> {
    let WatchChats {
        readable,
        filter,
        view,
        since,
        rights,
    } = WatchChats::parse(
        request,
        &caller.principal,
        streams.authorizer,
        streams.revisions,
    )?;
    let renderer = Renderer {
        viewer: Viewer::of(streams.authorizer, &caller.principal),
        view,
        revisions: streams.revisions.clone(),
        rights,
    };
    let viewing = watcher(&caller.principal, &filter).map(|watcher| Viewing {
        views: streams.views.clone(),
        watcher,
        samples: samples(),
    });
    let Some((watch, point)) = streams.watchers.watch(readable, filter) else {
        return Err(Error::ResourceExhausted {
            problem: "too many watchers".to_owned(),
            reason: reason::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(5)),
        });
    };
    let notice = |what| Notice {
        point,
        at: None,
        what,
    };
    let mut first = vec![match &since {
        None => renderer.render(notice(What::Heartbeat)),
        // A client that keeps it, and is cut off before the next message, misses nothing by it.
        Some(since) => Ok(heartbeat(since.text.clone())),
    }];
    if since.is_some_and(|since| since.revision != Some(Revision { point, rights })) {
        // Events since then are not replayed: the client lists again.
        first.push(renderer.render(notice(What::Resync)));
    }
    Ok(stream_of(
        renderer,
        first,
        watch,
        viewing,
        caller.expires_at,
        streams.closing,
    ))
}

/// Ticks once a minute from now on; ticks that a slow reader missed are not made up for.
fn samples() -> Interval {
    let mut samples = tokio::time::interval(SAMPLE_INTERVAL);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    samples
}

/// The user whose watching counts as viewing.
fn watcher(principal: &Principal, filter: &WatchFilter) -> Option<Watcher> {
    match principal {
        Principal::User(user) => Some(Watcher {
            user: user.id,
            groups: user.groups.iter().copied().collect(),
            owner: filter.filter.owner,
            chats: filter.chats.iter().copied().collect(),
        }),
        Principal::Service(_) => None,
    }
}

/// Notes the watcher's views, once a minute while the stream is read.
struct Viewing {
    views: Views,
    watcher: Watcher,
    samples: Interval,
}

impl Viewing {
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

/// The stream of a watcher, until its token expires or its connection is to end.
fn stream_of(
    renderer: Renderer,
    first: Vec<Result<v1::WatchChatsResponse, Status>>,
    watch: Watch,
    viewing: Option<Viewing>,
    expires_at: Timestamp,
    closing: CancellationToken,
) -> WatchStream {
    // The token was just accepted: the time until its expiry is measured once, by this process's
    // clock.
    let left = expires_at.duration_since(Timestamp::now());
    let expiry = tokio::time::Instant::now() + Duration::try_from(left).unwrap_or_default();
    let state = Some((watch, renderer, viewing, closing));
    let live = stream::unfold(state, move |state| async move {
        let (watch, renderer, mut viewing, closing) = state?;
        tokio::select! {
            notice = watch.next() => {
                Some((renderer.render(notice), Some((watch, renderer, viewing, closing))))
            }
            never = Viewing::sample(&mut viewing) => match never {},
            () = tokio::time::sleep_until(expiry) => {
                Some((Err(Error::CredentialsInvalid.into()), None))
            }
            () = closing.cancelled() => Some((Err(ended().into()), None)),
        }
    });
    Box::pin(futures_util::StreamExt::chain(stream::iter(first), live))
}

fn ended() -> Error {
    Error::Unavailable {
        problem: "the connection ends; connect again",
        reason: reason::DEPENDENCY_UNAVAILABLE,
        retry_after: Some(Duration::from_millis(100)),
        source: None,
    }
}

/// Makes messages for one watcher.
struct Renderer {
    viewer: Viewer,
    view: View,
    revisions: Revisions,
    rights: Rights,
}

impl Renderer {
    fn render(&self, notice: Notice) -> Result<v1::WatchChatsResponse, Status> {
        let (kind, chat) = match notice.what {
            What::Heartbeat => (v1::WatchEventKind::Heartbeat, None),
            What::Resync => (v1::WatchEventKind::Resync, None),
            What::NotMatching(id) => (v1::WatchEventKind::NotMatching, Some(only_id(id))),
            What::AccessLost(id) => (v1::WatchEventKind::AccessLost, Some(only_id(id))),
            What::Deleted(id) => (v1::WatchEventKind::Deleted, Some(only_id(id))),
            What::Changed(kind, chat) => (
                match kind {
                    ChangeKind::Unspecified => v1::WatchEventKind::Unspecified,
                    ChangeKind::Created => v1::WatchEventKind::Created,
                    ChangeKind::Updated => v1::WatchEventKind::Updated,
                    ChangeKind::StatusChanged => v1::WatchEventKind::StatusChanged,
                    ChangeKind::DiffStatusChanged => v1::WatchEventKind::DiffStatusChanged,
                    ChangeKind::Archived => v1::WatchEventKind::Archived,
                    ChangeKind::Deleted => v1::WatchEventKind::Deleted,
                },
                Some(self.viewer.shown(Arc::unwrap_or_clone(chat), self.view)),
            ),
        };
        let revision = Revision {
            point: notice.point,
            rights: self.rights,
        };
        Ok(v1::WatchChatsResponse {
            revision: self.revisions.encode(&revision)?,
            kind: kind.into(),
            changed_at: notice.at.map(convert::timestamp),
            chat,
        })
    }
}

/// That the client has reached `revision`.
fn heartbeat(revision: String) -> v1::WatchChatsResponse {
    v1::WatchChatsResponse {
        revision,
        kind: v1::WatchEventKind::Heartbeat.into(),
        ..v1::WatchChatsResponse::default()
    }
}

fn only_id(id: ChatId) -> v1::Chat {
    v1::Chat {
        id: id.to_string(),
        ..v1::Chat::default()
    }
}

#[cfg(test)]
mod tests {
    use testkit::wait::PATIENCE;
    use uuid::Uuid;

    use super::*;
    use crate::{id::UserId, sync::metrics::SyncMetrics};

    #[tokio::test]
    async fn whoever_watches_is_noted_again_and_again_whatever_they_hear_in_between() {
        assert_eq!(samples().period(), SAMPLE_INTERVAL);
        let (views, sampler) = Views::new(SyncMetrics::default());
        let mut viewing = Some(Viewing {
            views,
            watcher: Watcher {
                user: UserId(Uuid::new_v4()),
                groups: Vec::new(),
                owner: None,
                chats: Vec::new(),
            },
            samples: tokio::time::interval(Duration::from_millis(5)),
        });
        let four_times = async {
            while sampler.waiting() < 4 {
                // Cancels the wait for the next tick, as each notice does.
                let notice = Duration::from_millis(1);
                let _ = tokio::time::timeout(notice, Viewing::sample(&mut viewing)).await;
            }
        };
        tokio::time::timeout(PATIENCE, four_times).await.unwrap();
    }
}
