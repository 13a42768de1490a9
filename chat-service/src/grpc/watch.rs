//! `WatchChats`: the notices of one watcher as contract messages.

mod render;
mod request;
mod stream;

use std::{pin::Pin, time::Duration};

use futures_util::Stream;
use proto::{chat::v1, reason};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::{
    render::Renderer,
    request::WatchChats,
    stream::{StreamParts, ViewRecorder},
};
use super::viewer::Viewer;
use crate::{
    auth::Caller,
    authz::{Authorizer, Principal},
    chat_filter::WatchFilter,
    error::Error,
    events::{
        revision::Revisions,
        watch::{Interest, Since, Watchers},
    },
    sync::viewed::{Views, WatchingUser},
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
    let viewing = watcher(&caller.principal, &filter);
    let viewing = viewing.map(|watcher| ViewRecorder::new(streams.views.clone(), watcher));
    let begin = match &since {
        None => Since::Now,
        Some(since) => match since.revision {
            Some(revision) if revision.rights == rights => Since::Point(revision.point),
            Some(_) | None => Since::Unknown,
        },
    };
    let Some((watch, point)) = streams.watchers.watch(Interest { readable, filter }, begin) else {
        return Err(Error::ResourceExhausted {
            problem: "too many watchers".to_owned(),
            reason: reason::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(5)),
        });
    };
    let revision = match since {
        None => renderer.revision(point)?,
        // A client that keeps it, and is cut off before the next message, misses nothing by it.
        Some(since) => since.text,
    };
    let parts = StreamParts {
        watch,
        renderer,
        revision,
        viewing,
        expires_at: caller.expires_at,
        closing: streams.closing,
    };
    Ok(parts.stream())
}

/// The user whose watching counts as viewing.
fn watcher(principal: &Principal, filter: &WatchFilter) -> Option<WatchingUser> {
    match principal {
        Principal::User(user) => Some(WatchingUser {
            user: user.id,
            groups: user.groups.iter().copied().collect(),
            owner: filter.filter.owner,
            chats: filter.chats.iter().copied().collect(),
        }),
        Principal::Service(_) => None,
    }
}
