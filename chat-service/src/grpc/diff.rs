//! A diff on its way to the client, part by part: each is read from the database when the one
//! before was taken, so that a call holds one part, however slow its client is.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use proto::{
    bounds::MAX_DIFF_PART_BYTES,
    chat::v1::{self, get_chat_diff_response::Part},
};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::convert;
use crate::{
    error::Error,
    store::{
        Store,
        diff::{DiffHead, DiffPlace, READING_TIME},
    },
};

/// The parts of a diff.
pub(crate) type DiffStream =
    Pin<Box<dyn Stream<Item = Result<v1::GetChatDiffResponse, Status>> + Send>>;

/// What is left to send.
struct DiffReader {
    store: Store,
    place: DiffPlace,
    offset: i32,
    size: i32,
    /// What is stored may be forgotten then.
    until: Instant,
}

/// The messages of a diff: its source, and its bytes.
pub(super) fn parts(store: Store, head: DiffHead) -> DiffStream {
    let rest = DiffReader {
        store,
        place: head.place,
        offset: 0,
        size: head.size,
        until: Instant::now() + READING_TIME,
    };
    let first = stream::once(async move { Ok(message(Part::Source(source(head)))) });
    let content = stream::try_unfold(rest, |mut rest| async move {
        let part = rest.next().await?;
        Ok::<_, Status>(part.map(|part| (message(Part::Content(part)), rest)))
    });
    Box::pin(first.chain(content))
}

impl DiffReader {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let left = self.size - self.offset;
        if left <= 0 {
            return Ok(None);
        }
        let length = left.min(i32::try_from(MAX_DIFF_PART_BYTES).unwrap_or(left));
        let reading = self.store.read_diff(self.place, self.offset, length);
        let part = timeout_at(self.until, reading).await;
        let part = part.map_err(|_| Error::DiffReplaced)??;
        let part = part.ok_or(Error::DiffReplaced)?;
        self.offset += length;
        Ok(Some(part))
    }
}

fn message(part: Part) -> v1::GetChatDiffResponse {
    v1::GetChatDiffResponse { part: Some(part) }
}

fn source(head: DiffHead) -> v1::DiffSource {
    v1::DiffSource {
        git_remote_origin: head.git_remote_origin,
        git_branch: head.git_branch,
        pr_number: head.pr_number,
        base_branch: head.base_branch,
        head_sha: head.head_sha,
        size: head.size.into(),
        fetched_at: Some(convert::timestamp(head.fetched_at)),
    }
}
