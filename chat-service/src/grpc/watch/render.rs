//! Makes the messages of one watcher.

use proto::chat::v1;

use crate::{
    chat::View,
    error::Error,
    events::{
        revision::{Revision, Revisions, Rights},
        watch::{Notice, What},
    },
    grpc::{convert, viewer::Viewer},
    id::ChatId,
    store::event::{ChangeKind, Point},
};

/// Makes the messages of one watcher.
pub(super) struct Renderer {
    pub(super) viewer: Viewer,
    pub(super) view: View,
    pub(super) revisions: Revisions,
    pub(super) rights: Rights,
}

impl Renderer {
    /// The revision of a watcher that has reached `point`.
    pub(super) fn revision(&self, point: Point) -> Result<String, Error> {
        let rights = self.rights;
        self.revisions.encode(&Revision { point, rights })
    }

    /// A heartbeat, by which the client has reached `revision`.
    pub(super) fn heartbeat(revision: String) -> v1::WatchChatsResponse {
        v1::WatchChatsResponse {
            revision,
            kind: v1::WatchEventKind::Heartbeat.into(),
            ..v1::WatchChatsResponse::default()
        }
    }

    pub(super) fn render(&self, notice: &Notice) -> Result<v1::WatchChatsResponse, Error> {
        let (kind, chat) = match &notice.what {
            What::Resync => (v1::WatchEventKind::Resync, None),
            What::NotMatching(id) => (v1::WatchEventKind::NotMatching, Some(only_id(*id))),
            What::AccessLost(id) => (v1::WatchEventKind::AccessLost, Some(only_id(*id))),
            What::Deleted(id) => (v1::WatchEventKind::Deleted, Some(only_id(*id))),
            What::Changed(kind, chat) => {
                // Copied, since the renderers of other watchers share the chat.
                let shown = match self.view {
                    View::Basic => chat.row(),
                    View::Full => (***chat).clone(),
                };
                (changed(*kind), Some(self.viewer.shown(shown, self.view)))
            }
        };
        Ok(v1::WatchChatsResponse {
            revision: self.revision(notice.point)?,
            kind: kind.into(),
            changed_at: notice.at.map(convert::timestamp),
            chat,
        })
    }
}

fn changed(kind: ChangeKind) -> v1::WatchEventKind {
    match kind {
        ChangeKind::Unspecified => v1::WatchEventKind::Unspecified,
        ChangeKind::Created => v1::WatchEventKind::Created,
        ChangeKind::Updated => v1::WatchEventKind::Updated,
        ChangeKind::StatusChanged => v1::WatchEventKind::StatusChanged,
        ChangeKind::DiffStatusChanged => v1::WatchEventKind::DiffStatusChanged,
        ChangeKind::Archived => v1::WatchEventKind::Archived,
        ChangeKind::Attention => v1::WatchEventKind::Attention,
        ChangeKind::Deleted => v1::WatchEventKind::Deleted,
    }
}

fn only_id(id: ChatId) -> v1::Chat {
    v1::Chat {
        id: id.to_string(),
        ..v1::Chat::default()
    }
}
