//! What people, agents, a git host and operators do while a page is open.

use e2e::{
    stack::{Stack, Worker},
    warnings,
};
use prost_types::FieldMask;
use proto::chat::v1::{
    self, Chat, ChatDiffStatus, ChatStatus, CreateChatRequest, RefreshChatRequest, Subject,
    UpdateChatRequest, UpdateChatSharingRequest, subject,
};
use serde_json::{Value, json};
use testkit::{clients::Caller, github::RunState, process::Signal};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// $1 chats of the owner $2, each a minute older than the one before.
const MANY: &str = "
    INSERT INTO chats (id, owner_id, title, status, updated_at, created_at)
    SELECT gen_random_uuid(), $2, 'Chat number ' || n, 'waiting', t.at, t.at
    FROM generate_series(1, $1) n
    CROSS JOIN LATERAL (SELECT now() - n * interval '1 minute') t (at)";

pub(crate) struct Cast<'a> {
    pub(crate) stack: &'a mut Stack,
    owner: Caller,
    workers: Vec<Worker>,
}

impl<'a> Cast<'a> {
    pub(crate) fn new(stack: &'a mut Stack, owner: Caller, workers: Vec<Worker>) -> Self {
        // Scenarios restart and kill what they like.
        stack.expect_warnings(warnings::ANY);
        Self {
            stack,
            owner,
            workers,
        }
    }

    /// The workers that are left, for the end.
    pub(crate) fn leave(self) -> Vec<Worker> {
        self.workers
    }

    /// Does what a scenario asks for.
    pub(crate) async fn perform(&mut self, command: &Value) -> Value {
        let text = |name: &str| command[name].as_str().map(str::to_owned);
        let chat = text("chat").unwrap_or_default();
        match command["do"].as_str().unwrap() {
            "update" => {
                let status = |name: String| ChatStatus::from_str_name(&name).unwrap().into();
                let request = UpdateChatRequest {
                    chat_id: chat,
                    title: text("title"),
                    status: text("status").map(status),
                    ..UpdateChatRequest::default()
                };
                self.update(request).await;
            }
            "archive" => {
                let request = UpdateChatRequest {
                    chat_id: chat,
                    archived: Some(true),
                    ..UpdateChatRequest::default()
                };
                self.update(request).await;
            }
            "share" => self.share(chat, text("with").unwrap(), true).await,
            "unshare" => self.share(chat, text("with").unwrap(), false).await,
            "create" => {
                let title = text("title").unwrap();
                let chat = self::chat(self.stack, &self.owner, &title, ChatStatus::Waiting).await;
                return json!({ "chat": chat.id });
            }
            "merge" => {
                let number = command["number"].as_u64().unwrap();
                self.stack.github.merge("acme/web", number);
            }
            "fail" => {
                let number = command["number"].as_u64().unwrap();
                check(self.stack, number, &text("name").unwrap(), ended("FAILURE"));
            }
            "stop worker" => {
                for worker in self.workers.drain(..) {
                    worker.process.stop().await;
                }
            }
            "start worker" => self.workers.push(self.stack.worker().await),
            "lookup" => refresh(self.stack, &self.owner, &chat).await,
            "stop" => {
                self.stack.chat_service.signal(Signal::Terminate).unwrap();
                assert!(self.stack.chat_service.wait().await.success());
            }
            "kill" => {
                self.stack.chat_service.signal(Signal::Kill).unwrap();
                self.stack.chat_service.wait().await;
            }
            "start" => self.stack.restart_chat_service().await,
            "token" => {
                let seconds = command["seconds"].as_i64().unwrap();
                let owner = self.owner.clone().expires_in(seconds);
                return json!({ "token": self.stack.token(&owner) });
            }
            other => panic!("no such command: {other}"),
        }
        json!({})
    }

    /// Changes all that `request` has of a chat.
    async fn update(&self, mut request: UpdateChatRequest) {
        let fields = [
            ("title", request.title.is_some()),
            ("status", request.status.is_some()),
            ("archived", request.archived.is_some()),
        ];
        let given = fields.iter().filter(|(_, given)| *given);
        request.update_mask = Some(FieldMask {
            paths: given.map(|(name, _)| (*name).to_owned()).collect(),
        });
        let updated = self.stack.chats(&self.owner).update_chat(request).await;
        updated.unwrap();
    }

    async fn share(&self, chat: String, with: String, is_added: bool) {
        let subjects = vec![Subject {
            subject: Some(subject::Subject::UserId(with)),
        }];
        let mut request = UpdateChatSharingRequest {
            chat_id: chat,
            ..UpdateChatSharingRequest::default()
        };
        if is_added {
            request.add_readers = subjects;
        } else {
            request.remove = subjects;
        }
        self.stack
            .chats(&self.owner)
            .update_chat_sharing(request)
            .await
            .unwrap();
    }
}

/// A check of a pull request's head in `acme/web`.
pub(crate) fn check(stack: &Stack, number: u64, name: &str, state: RunState) {
    let check = (Some("CI"), name);
    stack.github.check_run("acme/web", number, check, state);
}

pub(crate) fn ended(conclusion: &'static str) -> RunState {
    RunState::Ended("2026-08-01T01:00:00Z".parse().unwrap(), conclusion)
}

/// Waits until the worker has found the chat's pull request.
pub(crate) async fn found(stack: &Stack, owner: &Caller, chat: &Chat) {
    let what = "the pull request is found";
    let is_found = |status: &ChatDiffStatus| status.pr_number.is_some();
    stack.status_when(owner, chat, what, is_found).await;
}

/// A new chat of `owner`.
pub(crate) async fn chat(stack: &Stack, owner: &Caller, title: &str, status: ChatStatus) -> Chat {
    let request = CreateChatRequest {
        title: title.to_owned(),
        status: status.into(),
        ..CreateChatRequest::default()
    };
    let response = stack.chats(owner).create_chat(request).await.unwrap();
    response.into_inner().chat.unwrap()
}

/// Has the worker look a chat up now.
pub(crate) async fn refresh(stack: &Stack, owner: &Caller, chat: &str) {
    let request = RefreshChatRequest {
        chat_id: chat.to_owned(),
    };
    let response = stack.chats(owner).refresh_chat(request).await.unwrap();
    let v1::RefreshChatResponse { chat } = response.into_inner();
    assert!(chat.unwrap().diff_status.unwrap().problem.is_none());
}

/// Chats that no client made: that would take long.
pub(crate) async fn many_chats(stack: &Stack, owner: &Caller, number: i32) {
    let client = stack.database.client().await;
    let statement = client
        .prepare_typed(MANY, &[Type::INT4, Type::UUID])
        .await
        .unwrap();
    let owner: Uuid = owner.id().parse().unwrap();
    client
        .execute(&statement, &[&number, &owner])
        .await
        .unwrap();
}
