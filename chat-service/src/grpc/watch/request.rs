//! `WatchChats`: from the request to what is watched, and from where on.

use std::collections::BTreeSet;

use prost::Message as _;
use proto::chat::v1;

use crate::{
    authz::{Action, Authorized, Authorizer, Principal},
    chat::View,
    chat_filter::WatchFilter,
    error::Error,
    events::revision::{Revision, Revisions, Rights},
    grpc::{convert, list},
    id::ChatId,
};

/// A parsed watch request.
pub(super) struct WatchChats {
    pub(super) readable: Authorized,
    pub(super) filter: WatchFilter,
    pub(super) view: View,
    pub(super) since: Option<ResumePoint>,
    pub(super) rights: Rights,
}

/// From where on a client watches.
pub(super) struct ResumePoint {
    /// The revision as the client gave it.
    pub(super) text: String,
    /// The decoded revision; `None` if no key opens it.
    pub(super) revision: Option<Revision>,
}

impl WatchChats {
    /// Parses `request` of `principal`.
    pub(super) fn parse(
        mut request: v1::WatchChatsRequest,
        principal: &Principal,
        authorizer: &Authorizer,
        revisions: &Revisions,
    ) -> Result<Self, Error> {
        let since = request.since_revision.take().map(|text| {
            let revision = revisions.decode(&text)?;
            Ok::<_, Error>(ResumePoint { text, revision })
        });
        let view = convert::view("view", request.view, View::Full)?;
        let chats: BTreeSet<ChatId> = match request.chat_ids.as_slice() {
            [] => BTreeSet::new(),
            ids => convert::ids("chat_ids", ids)?
                .into_iter()
                .map(ChatId)
                .collect(),
        };
        let readable = authorizer.chats(principal, Action::ReadChat);
        let shared = request
            .shared_with_me
            .then(|| authorizer.shared_chats(principal));
        let rights = Rights::of([&readable].into_iter().chain(&shared), &filters(&request));
        Ok(Self {
            readable,
            filter: WatchFilter {
                chats,
                filter: list::filter(as_list(request))?,
                shared,
            },
            view,
            since: since.transpose()?,
            rights,
        })
    }
}

/// The filters of the watch as bytes, in one order of the elements of lists.
fn filters(request: &v1::WatchChatsRequest) -> Vec<u8> {
    let mut filters = v1::WatchChatsRequest {
        since_revision: None,
        view: 0,
        ..request.clone()
    };
    filters.chat_ids.sort_unstable();
    filters.statuses.sort_unstable();
    filters.pull_request_states.sort_unstable();
    filters.attention.sort_unstable();
    filters.encode_to_vec()
}

/// The list of the same filters.
fn as_list(request: v1::WatchChatsRequest) -> v1::GetChatsRequest {
    // Destructured, so that a new filter does not compile until lists have it, or it is left out on
    // purpose.
    let v1::WatchChatsRequest {
        owner_id,
        since_revision: _,
        chat_ids: _,
        archived,
        shared_with_me,
        statuses,
        labels,
        pull_request_states,
        repository,
        pull_request_number,
        title,
        view,
        workspace_id,
        attention,
    } = request;
    v1::GetChatsRequest {
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
        view,
        attention,
        ..v1::GetChatsRequest::default()
    }
}
