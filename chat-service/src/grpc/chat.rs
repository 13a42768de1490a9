//! `chat.v1.ChatService`: per RPC take the caller, parse, make one call, render.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prost::Message as _;
use proto::{
    chat::v1::{self, chat_service_server::ChatService},
    reason,
};
use service_runtime::{listener::ConnectionEnd, telemetry::AUDIT};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    call::Deadline,
    convert,
    diff::{self, DiffStream},
    list::ListChats,
    update::{self, ShareChange},
    viewer::Viewer,
    watch::{self, WatchStream},
};
use crate::{
    auth::Caller,
    authz::{Action, Authorizer, Principal},
    chat::{Chat, ChatStatus, DEFAULT_TITLE, MAX_LABELS, MAX_SUBJECTS, View},
    chat_filter::ListDetail,
    diff::chat_diff,
    error::Error,
    etag::Etag,
    events::{
        notifier::{Notifier, Topic},
        revision::Revisions,
        watch::Watchers,
    },
    git_ref,
    id::{ChatId, OrganizationId, RequestId, UserId, WorkspaceId},
    page_token::PageTokens,
    provider::Providers,
    refresh::{self, RefreshResult},
    store::{
        Store,
        chat::{NewChat, UpdateResult},
    },
    sync::viewed::Views,
};

/// Bytes of a chat in the details of an error at most. Base64 makes a third more of it, and gRPC's
/// own limit for all headers is 8 KiB in some clients.
const MAX_KNOWN_BYTES: usize = 5 * 1024;
/// The type of these details.
const KNOWN_TYPE: &str = "type.googleapis.com/chat.v1.GetChatResponse";

/// Serves chats.
#[derive(Clone)]
pub(crate) struct ChatGrpc {
    pub(crate) store: Store,
    pub(crate) authorizer: Authorizer,
    /// Wakes relay and workers.
    pub(crate) notifier: Notifier,
    pub(crate) watchers: Watchers,
    pub(crate) revisions: Revisions,
    /// Takes notice of who looks at what.
    pub(crate) views: Views,
    pub(crate) page_tokens: PageTokens,
    /// Where git refs can be.
    pub(crate) providers: Arc<Providers>,
    /// How long `RefreshChat` waits at most.
    pub(crate) refresh_timeout: Duration,
}

impl ChatGrpc {
    /// The chat as the caller sees it now.
    async fn visible(&self, principal: &Principal, id: ChatId) -> Result<Chat, Error> {
        let readable = self.authorizer.chats(principal, Action::ReadChat);
        let sample = self.authorizer.sample();
        let chat = self.store.get_chat(readable, id).await?;
        let chat = chat.ok_or(Error::NotVisible { resource: "chat" })?;
        let chats = std::slice::from_ref(&chat);
        self.authorizer
            .recheck(sample, principal, Action::ReadChat, chats)?;
        Ok(chat)
    }

    /// All that the caller may see of the chat now.
    async fn shown(&self, principal: &Principal, id: ChatId) -> Result<v1::Chat, Error> {
        let chat = self.visible(principal, id).await?;
        Ok(Viewer::of(&self.authorizer, principal).shown(chat, View::Full))
    }

    /// How long a call may wait for workers, as its client and the configuration have it.
    fn patience<T>(&self, request: &Request<T>) -> Duration {
        let deadline = request.extensions().get::<Deadline>();
        let left = deadline.map_or(self.refresh_timeout, |Deadline(at)| {
            at.saturating_duration_since(tokio::time::Instant::now())
                .min(self.refresh_timeout)
        });
        refresh::patience(left)
    }

    /// Tells watchers of a change; the chat as the caller sees it since.
    async fn changed(&self, principal: &Principal, id: ChatId) -> Result<v1::Chat, Error> {
        self.notifier.notify(Topic::Changes);
        self.shown(principal, id).await
    }
}

#[tonic::async_trait]
impl ChatService for ChatGrpc {
    type GetChatDiffStream = DiffStream;
    type WatchChatsStream = WatchStream;

    async fn get_chats(
        &self,
        request: Request<v1::GetChatsRequest>,
    ) -> Result<Response<v1::GetChatsResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let list = ListChats::parse(request.into_inner(), &principal, &self.page_tokens)?;
        let readable = if list.shared_with_me {
            self.authorizer.shared_chats(&principal)
        } else {
            self.authorizer.chats(&principal, Action::ReadChat)
        };
        let sample = self.authorizer.sample();
        let mut listed = ListDetail::of(list.view);
        listed.shares |= sample.is_taken();
        let (chats, more) = self
            .store
            .list_chats(readable, &list.filter, list.cursor, list.page_size, listed)
            .await
            .map_err(Error::from)?;
        self.authorizer
            .recheck(sample, &principal, Action::ReadChat, &chats)?;
        let next_page_token = match chats.last() {
            Some(last) if more => list.token_after(&self.page_tokens, last),
            _ => String::new(),
        };
        let viewer = Viewer::of(&self.authorizer, &principal);
        Ok(Response::new(v1::GetChatsResponse {
            chats: chats
                .into_iter()
                .map(|chat| viewer.shown(chat, list.view))
                .collect(),
            next_page_token,
        }))
    }

    async fn get_chat(
        &self,
        request: Request<v1::GetChatRequest>,
    ) -> Result<Response<v1::GetChatResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let request = request.into_inner();
        let id = convert::chat_id(&request.chat_id)?;
        let view = convert::view("view", request.view, View::Full)?;
        let chat = self.visible(&principal, id).await?;
        self.views.read(&principal, &chat);
        let chat = Some(Viewer::of(&self.authorizer, &principal).shown(chat, view));
        Ok(Response::new(v1::GetChatResponse { chat }))
    }

    async fn batch_get_chats(
        &self,
        request: Request<v1::BatchGetChatsRequest>,
    ) -> Result<Response<v1::BatchGetChatsResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let request = request.into_inner();
        let ids = convert::ids("chat_ids", &request.chat_ids)?;
        let view = convert::view("view", request.view, View::Full)?;
        let ids: Vec<ChatId> = ids.into_iter().map(ChatId).collect();
        let readable = self.authorizer.chats(&principal, Action::ReadChat);
        let sample = self.authorizer.sample();
        let found = self.store.get_chats(readable, &ids).await;
        let found = found.map_err(Error::from)?;
        self.authorizer
            .recheck(sample, &principal, Action::ReadChat, &found)?;
        let viewer = Viewer::of(&self.authorizer, &principal);
        let mut found: BTreeMap<ChatId, Chat> =
            found.into_iter().map(|chat| (chat.id, chat)).collect();
        let mut response = v1::BatchGetChatsResponse::default();
        for id in ids {
            match found.remove(&id) {
                Some(chat) => response.chats.push(viewer.shown(chat, view)),
                None => response.missing_chat_ids.push(id.to_string()),
            }
        }
        Ok(Response::new(response))
    }

    async fn create_chat(
        &self,
        request: Request<v1::CreateChatRequest>,
    ) -> Result<Response<v1::CreateChatResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let chat = new_chat(&principal, request.into_inner())?;
        self.authorizer.create_chat(&principal, &chat.facts())?;
        let id = self.store.insert_chat(&chat).await.map_err(Error::from)?;
        let chat = Some(self.changed(&principal, id).await?);
        Ok(Response::new(v1::CreateChatResponse { chat }))
    }

    async fn update_chat(
        &self,
        request: Request<v1::UpdateChatRequest>,
    ) -> Result<Response<v1::UpdateChatResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let request = request.into_inner();
        let id = convert::chat_id(&request.chat_id)?;
        let etag = request.etag.as_deref().map(Etag::parse);
        let changes = update::changes(request)?;
        let archives = changes.archived.is_some();
        let changes_content = changes.title.is_some()
            || changes.status.is_some()
            || changes.labels.is_some()
            || !changes.single_labels.is_empty();
        let readable = self.authorizer.chats(&principal, Action::ReadChat);
        let updating = self.authorizer.chats(&principal, Action::UpdateChat);
        let archiving = self.authorizer.chats(&principal, Action::ArchiveChat);
        let allowed = match (archives, changes_content) {
            (true, true) => archiving.and(updating),
            (true, false) => archiving,
            (false, _) => updating,
        };
        let updated = self
            .store
            .update_chat(readable, allowed, id, &changes, etag)
            .await
            .map_err(Error::from)?;
        match updated {
            UpdateResult::Done { due: true } => self.notifier.notify(Topic::Due),
            UpdateResult::Done { due: false } => {}
            UpdateResult::Outdated => return Err(Status::from(Error::Outdated)),
            UpdateResult::TooManyLabels => {
                let problem = format!("the chat would have more than {MAX_LABELS}");
                return Err(Status::from(Error::invalid("labels", problem)));
            }
        }
        let chat = Some(self.changed(&principal, id).await?);
        Ok(Response::new(v1::UpdateChatResponse { chat }))
    }

    async fn delete_chat(
        &self,
        request: Request<v1::DeleteChatRequest>,
    ) -> Result<Response<v1::DeleteChatResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let request = request.into_inner();
        let id = convert::chat_id(&request.chat_id)?;
        let etag = request.etag.as_deref().map(Etag::parse);
        let readable = self.authorizer.chats(&principal, Action::ReadChat);
        let allowed = self.authorizer.chats(&principal, Action::DeleteChat);
        let deleted = self.store.delete_chat(readable, allowed, id, etag).await;
        if !deleted.map_err(Error::from)? {
            return Err(Status::from(Error::Outdated));
        }
        let action = Action::DeleteChat.name();
        tracing::info!(target: AUDIT, action, decision = "allowed", "a chat was deleted");
        self.notifier.notify(Topic::Changes);
        // RefreshChat may wait for its refs.
        self.notifier.notify(Topic::Outcomes);
        Ok(Response::new(v1::DeleteChatResponse {}))
    }

    async fn update_chat_sharing(
        &self,
        request: Request<v1::UpdateChatSharingRequest>,
    ) -> Result<Response<v1::UpdateChatSharingResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let request = request.into_inner();
        let id = convert::chat_id(&request.chat_id)?;
        let ShareChange { add, remove } = update::sharing(&request)?;
        let readable = self.authorizer.chats(&principal, Action::ReadChat);
        let allowed = self.authorizer.chats(&principal, Action::ShareChat);
        let shared = self
            .store
            .update_sharing(readable, allowed, id, &add, &remove);
        if !shared.await.map_err(Error::from)? {
            return Err(Status::from(Error::InvalidArgument {
                field: "add_readers".to_owned(),
                problem: format!("a chat can be shared with at most {MAX_SUBJECTS} subjects"),
                reason: reason::TOO_MANY_SUBJECTS,
            }));
        }
        tracing::info!(
            target: AUDIT,
            action = Action::ShareChat.name(),
            decision = "allowed",
            added = ?add.iter().map(update::shared_with).collect::<Vec<_>>(),
            removed = ?remove.iter().map(update::subject_name).collect::<Vec<_>>(),
            "the sharing of a chat was changed"
        );
        let chat = Some(self.changed(&principal, id).await?);
        Ok(Response::new(v1::UpdateChatSharingResponse { chat }))
    }

    async fn refresh_chat(
        &self,
        request: Request<v1::RefreshChatRequest>,
    ) -> Result<Response<v1::RefreshChatResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let patience = self.patience(&request);
        let id = convert::chat_id(&request.into_inner().chat_id)?;
        let refreshed = refresh::refresh_chat(
            &self.store,
            &self.authorizer,
            &self.notifier,
            &principal,
            id,
            patience,
        )
        .await?;
        let chat = self.shown(&principal, id).await?;
        match refreshed {
            RefreshResult::Fresh => Ok(Response::new(v1::RefreshChatResponse { chat: Some(chat) })),
            RefreshResult::Failed(error) => Err(error.with_known(KNOWN_TYPE, &known(chat))),
        }
    }

    async fn get_chat_diff(
        &self,
        request: Request<v1::GetChatDiffRequest>,
    ) -> Result<Response<DiffStream>, Status> {
        let principal = Caller::of(&request)?.principal;
        let patience = self.patience(&request);
        let id = convert::chat_id(&request.into_inner().chat_id)?;
        self.visible(&principal, id).await?;
        let head = chat_diff(
            &self.store,
            &self.authorizer,
            &self.notifier,
            &principal,
            id,
            patience,
        )
        .await?;
        // The right to read it may have been lost during the wait.
        self.visible(&principal, id).await?;
        Ok(Response::new(diff::parts(self.store.clone(), head)))
    }

    async fn report_git_ref(
        &self,
        request: Request<v1::ReportGitRefRequest>,
    ) -> Result<Response<v1::ReportGitRefResponse>, Status> {
        let principal = Caller::of(&request)?.principal;
        let (target, git_ref) = update::report(request.into_inner(), &self.providers)?;
        let chats = git_ref::report(
            &self.store,
            &self.authorizer,
            &self.notifier,
            &principal,
            target,
            &git_ref,
        )
        .await?;
        Ok(Response::new(v1::ReportGitRefResponse {
            chat_ids: chats.iter().map(ChatId::to_string).collect(),
        }))
    }

    async fn watch_chats(
        &self,
        request: Request<v1::WatchChatsRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let caller = Caller::of(&request)?;
        // A call that came over no connection, as in a test, has no end but its own.
        let closing = request.extensions().get::<ConnectionEnd>().cloned();
        let streams = watch::Streams {
            authorizer: &self.authorizer,
            watchers: &self.watchers,
            revisions: &self.revisions,
            views: &self.views,
            closing: closing.map_or_else(CancellationToken::new, |ConnectionEnd(token)| token),
        };
        let stream = watch::start(streams, &caller, request.into_inner())?;
        Ok(Response::new(stream))
    }
}

/// The known part of a chat, for the details of an error. Details travel in a header, of which
/// clients accept 8 to 16 KiB in all: the least important fields are dropped first.
fn known(mut chat: v1::Chat) -> v1::GetChatResponse {
    let drops: [fn(&mut v1::Chat); 3] = [
        |chat| {
            chat.labels.clear();
            chat.readers.clear();
            chat.writers.clear();
        },
        |chat| chat.diff_statuses.clear(),
        |chat| chat.diff_status = None,
    ];
    for drop in drops {
        if chat.encoded_len() <= MAX_KNOWN_BYTES {
            break;
        }
        drop(&mut chat);
    }
    v1::GetChatResponse { chat: Some(chat) }
}

fn new_chat(principal: &Principal, request: v1::CreateChatRequest) -> Result<NewChat, Error> {
    let owner = match convert::maybe_uuid("owner_id", request.owner_id.as_deref())? {
        Some(id) => UserId(id),
        None => principal
            .user_id()
            .ok_or_else(|| Error::invalid("owner_id", "a service must name the owner"))?,
    };
    Ok(NewChat {
        id: ChatId::new(),
        owner,
        organization: convert::maybe_uuid("organization_id", request.organization_id.as_deref())?
            .map(OrganizationId),
        workspace: convert::maybe_uuid("workspace_id", request.workspace_id.as_deref())?
            .map(WorkspaceId),
        title: if request.title.trim().is_empty() {
            DEFAULT_TITLE.to_owned()
        } else {
            convert::title("title", &request.title)?
        },
        status: if request.status == i32::from(v1::ChatStatus::Unspecified) {
            ChatStatus::Waiting
        } else {
            convert::chat_status("status", request.status)?
        },
        labels: convert::labels("labels", request.labels, MAX_LABELS)?,
        request: convert::maybe_uuid("request_id", request.request_id.as_deref())?.map(RequestId),
    })
}
