//! `chat.v1.ChatService`: per RPC authenticate, parse, make one call, render.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use proto::{
    chat::v1::{self, chat_service_server::ChatService},
    reason,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    call::Deadline,
    convert,
    list::ListChats,
    update::{self, Sharing},
    watch::{self, WatchStream},
};
use crate::{
    auth::Auth,
    authz::{Action, Authorizer, Principal},
    chat::{Chat, ChatStatus, DEFAULT_TITLE, MAX_SUBJECTS},
    error::{Error, Known},
    events::{
        bell::{Bell, Ring},
        watch::Watchers,
    },
    git_ref,
    id::{ChatId, OrganizationId, RequestId, UserId, WorkspaceId},
    page_token::PageTokens,
    provider::Providers,
    refresh::{self, Refreshed},
    store::{
        Store,
        chat::{Guarded, NewChat},
        share::Shared,
    },
    sync::viewed::Views,
};

/// Bytes of a chat in the details of an error at most. Base64 makes a third more of it, and gRPC's own
/// limit for all headers is 8 KiB in some clients.
const MAX_KNOWN_BYTES: usize = 5 * 1024;

/// Serves chats.
#[derive(Clone)]
pub(crate) struct ChatGrpc {
    /// The database.
    pub(crate) store: Store,
    /// Decides.
    pub(crate) authorizer: Authorizer,
    /// Authenticates.
    pub(crate) auth: Auth,
    /// Wakes relay and workers.
    pub(crate) bell: Bell,
    /// Who watches.
    pub(crate) watchers: Watchers,
    /// Takes notice of who looks at what.
    pub(crate) views: Views,
    /// Signs page tokens.
    pub(crate) page_tokens: PageTokens,
    /// Where git refs can be.
    pub(crate) providers: Arc<Providers>,
    /// How long `RefreshChat` waits at most.
    pub(crate) refresh_timeout: Duration,
    /// Ends streams when the server drains.
    pub(crate) stop: CancellationToken,
}

impl ChatGrpc {
    /// The chat as the caller sees it now.
    async fn visible(&self, principal: &Principal, id: ChatId) -> Result<Chat, Error> {
        let readable = self.authorizer.chats(principal, Action::ReadChat);
        let read = || async {
            self.store
                .get_chat(readable.clone(), id)
                .await?
                .ok_or(Error::NotVisible { resource: "chat" })
        };
        self.authorizer
            .rechecked(principal, Action::ReadChat, read, std::slice::from_ref)
            .await
    }

    async fn list(
        &self,
        principal: &Principal,
        request: v1::GetChatsRequest,
    ) -> Result<v1::GetChatsResponse, Error> {
        let list = ListChats::parse(request, principal, &self.page_tokens)?;
        let readable = if list.shared_with_me {
            self.authorizer.shared_chats(principal)
        } else {
            self.authorizer.chats(principal, Action::ReadChat)
        };
        let read = || async {
            let readable = readable.clone();
            Ok(self
                .store
                .list_chats(readable, &list.filter, list.cursor, list.page_size)
                .await?)
        };
        let (chats, more) = self
            .authorizer
            .rechecked(principal, Action::ReadChat, read, |(chats, _)| chats)
            .await?;
        let next_page_token = match chats.last() {
            Some(last) if more => list.token_after(&self.page_tokens, last),
            _ => String::new(),
        };
        Ok(v1::GetChatsResponse {
            chats: chats.into_iter().map(convert::chat).collect(),
            next_page_token,
        })
    }

    async fn create(
        &self,
        principal: &Principal,
        request: v1::CreateChatRequest,
    ) -> Result<Chat, Error> {
        let chat = new_chat(principal, request)?;
        self.authorizer.create_chat(principal, &chat.facts())?;
        let id = self.store.insert_chat(&chat).await?;
        self.bell.ring(Ring::Changes);
        self.visible(principal, id).await
    }

    async fn update(
        &self,
        principal: &Principal,
        request: v1::UpdateChatRequest,
    ) -> Result<Chat, Error> {
        let id = ChatId(convert::uuid("chat_id", &request.chat_id)?);
        let changes = update::changes(request)?;
        let archives = changes.archived.is_some();
        let changes_content =
            changes.title.is_some() || changes.status.is_some() || changes.labels.is_some();
        let updating = self.authorizer.chats(principal, Action::UpdateChat);
        let archiving = self.authorizer.chats(principal, Action::ArchiveChat);
        let allowed = match (archives, changes_content) {
            (true, true) => archiving.and(updating),
            (true, false) => archiving,
            (false, _) => updating,
        };
        let action = allowed.action();
        let readable = self.authorizer.chats(principal, Action::ReadChat);
        let updated = guarded(
            self.store
                .update_chat(readable, allowed, id, &changes)
                .await?,
            action,
        )?;
        self.bell.ring(Ring::Changes);
        if updated.unarchived {
            self.bell.ring(Ring::Due);
        }
        self.visible(principal, id).await
    }

    async fn share(
        &self,
        principal: &Principal,
        request: v1::UpdateChatSharingRequest,
    ) -> Result<Chat, Error> {
        let id = ChatId(convert::uuid("chat_id", &request.chat_id)?);
        let Sharing { add, remove } = update::sharing(&request)?;
        let readable = self.authorizer.chats(principal, Action::ReadChat);
        let allowed = self.authorizer.chats(principal, Action::ShareChat);
        let result = self
            .store
            .update_sharing(readable, allowed, id, &add, &remove)
            .await?;
        match guarded(result, Action::ShareChat)? {
            Shared::Done => {}
            Shared::TooMany => {
                return Err(Error::InvalidArgument {
                    field: "add_readers".to_owned(),
                    problem: format!("a chat can be shared with at most {MAX_SUBJECTS} subjects"),
                    reason: reason::TOO_MANY_SUBJECTS,
                });
            }
        }
        self.bell.ring(Ring::Changes);
        self.visible(principal, id).await
    }

    async fn refresh(
        &self,
        principal: &Principal,
        id: ChatId,
        deadline: Option<Deadline>,
    ) -> Result<Chat, Error> {
        let left = deadline.map_or(self.refresh_timeout, |Deadline(at)| {
            at.saturating_duration_since(tokio::time::Instant::now())
                .min(self.refresh_timeout)
        });
        let refreshed = refresh::refresh_chat(
            &self.store,
            &self.authorizer,
            &self.bell,
            principal,
            id,
            refresh::patience(left),
        )
        .await?;
        let chat = self.visible(principal, id).await?;
        match refreshed {
            Refreshed::Fresh => Ok(chat),
            Refreshed::Failed(error) => Err(error.with_known(known(&chat))),
        }
    }

    async fn report(
        &self,
        principal: &Principal,
        request: v1::ReportGitRefRequest,
    ) -> Result<Vec<ChatId>, Error> {
        let report = update::report(request)?;
        git_ref::report(
            &self.store,
            &self.authorizer,
            &self.bell,
            &self.providers,
            principal,
            report,
        )
        .await
    }
}

#[tonic::async_trait]
impl ChatService for ChatGrpc {
    type WatchChatsStream = WatchStream;

    async fn get_chats(
        &self,
        request: Request<v1::GetChatsRequest>,
    ) -> Result<Response<v1::GetChatsResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        Ok(Response::new(
            self.list(&caller.principal, request.into_inner()).await?,
        ))
    }

    async fn get_chat(
        &self,
        request: Request<v1::GetChatRequest>,
    ) -> Result<Response<v1::GetChatResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let id = ChatId(convert::uuid("chat_id", &request.into_inner().chat_id)?);
        let chat = self.visible(&caller.principal, id).await?;
        self.views.read(&caller.principal, &chat);
        Ok(Response::new(v1::GetChatResponse {
            chat: Some(convert::chat(chat)),
        }))
    }

    async fn create_chat(
        &self,
        request: Request<v1::CreateChatRequest>,
    ) -> Result<Response<v1::CreateChatResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let chat = self.create(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::CreateChatResponse {
            chat: Some(convert::chat(chat)),
        }))
    }

    async fn update_chat(
        &self,
        request: Request<v1::UpdateChatRequest>,
    ) -> Result<Response<v1::UpdateChatResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let chat = self.update(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::UpdateChatResponse {
            chat: Some(convert::chat(chat)),
        }))
    }

    async fn update_chat_sharing(
        &self,
        request: Request<v1::UpdateChatSharingRequest>,
    ) -> Result<Response<v1::UpdateChatSharingResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let chat = self.share(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::UpdateChatSharingResponse {
            chat: Some(convert::chat(chat)),
        }))
    }

    async fn refresh_chat(
        &self,
        request: Request<v1::RefreshChatRequest>,
    ) -> Result<Response<v1::RefreshChatResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let deadline = request.extensions().get::<Deadline>().copied();
        let id = ChatId(convert::uuid("chat_id", &request.into_inner().chat_id)?);
        let chat = self.refresh(&caller.principal, id, deadline).await?;
        Ok(Response::new(v1::RefreshChatResponse {
            chat: Some(convert::chat(chat)),
        }))
    }

    async fn report_git_ref(
        &self,
        request: Request<v1::ReportGitRefRequest>,
    ) -> Result<Response<v1::ReportGitRefResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let chats = self.report(&caller.principal, request.into_inner()).await?;
        Ok(Response::new(v1::ReportGitRefResponse {
            chat_ids: chats.iter().map(ChatId::to_string).collect(),
        }))
    }

    async fn watch_chats(
        &self,
        request: Request<v1::WatchChatsRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        Ok(Response::new(
            watch::start(
                watch::Streams {
                    authorizer: &self.authorizer,
                    watchers: &self.watchers,
                    views: &self.views,
                    stop: &self.stop,
                },
                caller,
                request.into_inner(),
            )
            .await?,
        ))
    }
}

/// What is known of a chat, for the details of an error.
/// Details travel in a header, of which clients take 8 to 16 KiB in all: what is least missed goes first.
fn known(chat: &Chat) -> Known {
    let mut chat = convert::chat(chat.clone());
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
    let known = v1::GetChatResponse { chat: Some(chat) };
    Known {
        type_url: "type.googleapis.com/chat.v1.GetChatResponse",
        value: known.encode_to_vec(),
    }
}

fn guarded<T>(result: Guarded<T>, action: Action) -> Result<T, Error> {
    match result {
        Guarded::Done(value) => Ok(value),
        Guarded::NotVisible => Err(Error::NotVisible { resource: "chat" }),
        Guarded::NotAllowed => Err(Error::NotAllowed {
            action: action.name(),
        }),
    }
}

fn new_chat(principal: &Principal, request: v1::CreateChatRequest) -> Result<NewChat, Error> {
    let v1::CreateChatRequest {
        owner_id,
        organization_id,
        workspace_id,
        title,
        status,
        labels,
        request_id,
    } = request;
    let owner = match convert::maybe_uuid("owner_id", owner_id.as_deref())? {
        Some(id) => UserId(id),
        None => principal
            .user_id()
            .ok_or_else(|| Error::invalid("owner_id", "a service must name the owner"))?,
    };
    Ok(NewChat {
        id: ChatId::new(),
        owner,
        organization: convert::maybe_uuid("organization_id", organization_id.as_deref())?
            .map(OrganizationId),
        workspace: convert::maybe_uuid("workspace_id", workspace_id.as_deref())?.map(WorkspaceId),
        title: if title.trim().is_empty() {
            DEFAULT_TITLE.to_owned()
        } else {
            convert::title("title", &title)?
        },
        status: if status == i32::from(v1::ChatStatus::Unspecified) {
            ChatStatus::Waiting
        } else {
            convert::chat_status("status", status)?
        },
        labels: convert::chat_labels("labels", labels)?,
        request: convert::maybe_uuid("request_id", request_id.as_deref())?.map(RequestId),
    })
}
