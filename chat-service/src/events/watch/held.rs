//! Notices and chats that wait for watchers, with their memory counted over the process.

use std::{ops::Deref, sync::Arc};

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;

use crate::{
    authz::{Level, Subject},
    chat::Chat,
    diff_status::DiffStatus,
    id::ChatId,
    store::event::{ChangeKind, Point},
};

/// Bytes of a pending notice with its entries in the two trees of a watcher, whose nodes are half
/// empty when they are filled in order.
pub(super) const NOTICE_BYTES: usize = 256;

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(super) struct ByteReservation {
    all: Gauge,
    bytes: i64,
}

impl ByteReservation {
    pub(super) fn new(all: &Gauge, bytes: usize) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        all.inc_by(bytes);
        Self {
            all: all.clone(),
            bytes,
        }
    }
}

impl Drop for ByteReservation {
    fn drop(&mut self) {
        self.all.dec_by(self.bytes);
    }
}

/// A chat that watchers share: its bytes are counted once.
#[derive(Debug)]
pub struct HeldChat {
    chat: Chat,
    pub(super) bytes: usize,
    _held: ByteReservation,
}

impl HeldChat {
    pub(super) fn new(chat: Chat, all: &Gauge) -> Self {
        let bytes = bytes(&chat);
        Self {
            chat,
            bytes,
            _held: ByteReservation::new(all, bytes),
        }
    }
}

impl Deref for HeldChat {
    type Target = Chat;

    fn deref(&self) -> &Chat {
        &self.chat
    }
}

/// Estimate of the memory of a chat in bytes.
fn bytes(chat: &Chat) -> usize {
    let labels = chat.labels.iter();
    let labels = labels.map(|(key, value)| 2 * size_of::<String>() + key.len() + value.len());
    let refs = chat.diff_statuses.iter().map(|status| {
        let found = status.pull_request.as_ref().map_or(0, |found| {
            let author = found.author_login.as_ref().map_or(0, String::len)
                + found.author_avatar_url.as_ref().map_or(0, String::len);
            let head = found.head.branch.len() + found.head.sha.len();
            found.url.len() + found.title.len() + found.base_branch.len() + author + head
        });
        size_of::<DiffStatus>()
            + status.git_remote_origin.len()
            + status.git_branch.len()
            + status.provider_id.len()
            + status.repository.len()
            + found
    });
    size_of::<Chat>()
        + chat.title.len()
        + labels.sum::<usize>()
        + refs.sum::<usize>()
        + chat.shares.len() * size_of::<(Subject, Level)>()
}

/// A message to a watcher.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event's, or where the watcher goes on.
    pub point: Point,
    /// When the change was recorded.
    pub at: Option<Timestamp>,
    /// The content.
    pub what: What,
}

/// The content of a [`Notice`].
#[derive(Clone, Debug)]
pub enum What {
    /// A chat changed.
    Changed(ChangeKind, Arc<HeldChat>),
    /// A readable chat changed, and the filters of the watch do not hold for it.
    NotMatching(ChatId),
    /// A chat may no longer be read.
    AccessLost(ChatId),
    /// A deleted chat.
    Deleted(ChatId),
    /// The watcher missed events: its client lists again.
    Resync,
}
