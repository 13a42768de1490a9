//! What a client of `WatchChats` shows: the chats of one list, kept as they change.

use std::collections::BTreeMap;

use proto::chat::v1::{
    BatchGetChatsRequest, Chat, ChatView, GetChatsRequest, WatchChatsRequest, WatchChatsResponse,
    WatchEventKind, chat_service_client::ChatServiceClient,
};
use testkit::clients::Authorized;
use tonic::Status;

/// Chats of a page: as many as a page may have.
const PAGE: i32 = 200;

/// The chats of one list as a client has them, and how far it has heard.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// By id.
    pub chats: BTreeMap<String, Chat>,
    /// Of the last message that was applied: from there the client resumes.
    pub revision: Option<String>,
    /// Whether the chats were listed since the client began, and since the last `RESYNC`. A client
    /// that is cut off before it has listed does so after it has resumed.
    pub listed: bool,
    /// Messages `RESYNC` so far.
    pub resyncs: usize,
}

impl Picture {
    /// Applies a message.
    pub fn apply(&mut self, message: WatchChatsResponse) {
        let kind = message.kind();
        self.revision = Some(message.revision);
        match (kind, message.chat) {
            (WatchEventKind::Resync, _) => {
                self.listed = false;
                self.resyncs += 1;
            }
            (
                WatchEventKind::AccessLost | WatchEventKind::Deleted | WatchEventKind::NotMatching,
                Some(chat),
            ) => {
                self.chats.remove(&chat.id);
            }
            (
                WatchEventKind::Created
                | WatchEventKind::Updated
                | WatchEventKind::StatusChanged
                | WatchEventKind::DiffStatusChanged
                | WatchEventKind::Attention
                | WatchEventKind::Archived
                | WatchEventKind::Unspecified,
                Some(chat),
            ) => {
                self.chats.insert(chat.id.clone(), chat);
            }
            (_, _) => {}
        }
    }

    /// Takes what was listed in place of all that was shown.
    pub fn take(&mut self, listed: BTreeMap<String, Chat>) {
        self.chats = listed;
        self.listed = true;
    }

    /// Whether it shows the same as `listed`, but for what time alone changes.
    #[must_use]
    pub fn shows(&self, listed: &BTreeMap<String, Chat>) -> bool {
        self.differences(listed).is_empty()
    }

    /// The ids of the chats of which it shows something else than `listed`.
    #[must_use]
    pub fn differences(&self, listed: &BTreeMap<String, Chat>) -> Vec<String> {
        let ids = self.chats.keys().chain(listed.keys());
        let mut ids: Vec<_> = ids
            .filter(|id| self.chats.get(*id).map(settled) != listed.get(*id).map(settled))
            .cloned()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// The chat without what changes as time passes and by lookups that found nothing new, of which
/// there are no messages.
fn settled(chat: &Chat) -> Chat {
    let mut chat = chat.clone();
    for status in chat.diff_status.iter_mut().chain(&mut chat.diff_statuses) {
        status.freshness = 0;
        status.next_refresh_at = None;
        status.refreshed_at = None;
        status.problem = None;
    }
    chat
}

/// The chats that the watch of `request` is about, as they are now, by id.
///
/// # Errors
///
/// What the service refuses a page with.
pub async fn list(
    client: &mut ChatServiceClient<Authorized>,
    request: &WatchChatsRequest,
) -> Result<BTreeMap<String, Chat>, Status> {
    if !request.chat_ids.is_empty() {
        let request = BatchGetChatsRequest {
            chat_ids: request.chat_ids.clone(),
            view: ChatView::Full.into(),
        };
        let answer = client.batch_get_chats(request).await?.into_inner();
        return Ok(by_id(answer.chats).collect());
    }
    let mut page = GetChatsRequest {
        owner_id: request.owner_id.clone(),
        archived: request.archived,
        shared_with_me: request.shared_with_me,
        statuses: request.statuses.clone(),
        labels: request.labels.clone(),
        pull_request_states: request.pull_request_states.clone(),
        attention: request.attention.clone(),
        repository: request.repository.clone(),
        pull_request_number: request.pull_request_number,
        title: request.title.clone(),
        workspace_id: request.workspace_id.clone(),
        page_size: PAGE,
        view: ChatView::Full.into(),
        ..GetChatsRequest::default()
    };
    let mut listed = BTreeMap::new();
    loop {
        let answer = client.get_chats(page.clone()).await?.into_inner();
        listed.extend(by_id(answer.chats));
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            return Ok(listed);
        }
    }
}

fn by_id(chats: Vec<Chat>) -> impl Iterator<Item = (String, Chat)> {
    chats.into_iter().map(|chat| (chat.id.clone(), chat))
}
