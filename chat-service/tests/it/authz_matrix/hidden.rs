//! What a caller may not read does not exist for it: not by code, text or details, and not by what
//! was asked of the database, so that not even the time tells.

use std::collections::BTreeSet;

use proto::chat::v1::{self, UpdateChatSharingRequest, report_git_ref_request::Target, subject};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    Cast,
    call::{some_uuid, title},
    recorder::Recorder,
    rpcs,
};
use crate::stack::{Caller, Stack};

/// All RPCs that name a chat, with what can be asked of them.
pub(super) const NAMING_A_CHAT: [(&str, &str); 8] = [
    ("chat.v1.ChatService.GetChat", ""),
    ("chat.v1.ChatService.UpdateChat", "title"),
    ("chat.v1.ChatService.UpdateChat", "archived"),
    ("chat.v1.ChatService.DeleteChat", ""),
    ("chat.v1.ChatService.UpdateChatSharing", ""),
    ("chat.v1.ChatService.RefreshChat", ""),
    ("chat.v1.ChatService.GetChatDiff", ""),
    ("chat.v1.ChatService.ReportGitRef", ""),
];

/// The error of a call about a chat.
pub(super) async fn refusal(
    stack: &Stack,
    caller: &Caller,
    rpc: &str,
    what: &str,
    id: Uuid,
) -> Status {
    let mut client = stack.chats(caller);
    let chat_id = id.to_string();
    let method = rpc.trim_start_matches("chat.v1.ChatService.");
    let result = match method {
        "GetChat" => client
            .get_chat(v1::GetChatRequest {
                chat_id,
                ..v1::GetChatRequest::default()
            })
            .await
            .map(|_| ()),
        "UpdateChat" => {
            let mut request = title(&v1::Chat {
                id: chat_id,
                ..v1::Chat::default()
            });
            if what == "archived" {
                request.update_mask = Some(prost_types::FieldMask {
                    paths: vec!["archived".to_owned(), "title".to_owned()],
                });
            }
            client.update_chat(request).await.map(|_| ())
        }
        "UpdateChatSharing" => {
            let request = UpdateChatSharingRequest {
                chat_id,
                remove: vec![v1::Subject {
                    subject: Some(subject::Subject::UserId(some_uuid())),
                }],
                ..UpdateChatSharingRequest::default()
            };
            client.update_chat_sharing(request).await.map(|_| ())
        }
        "DeleteChat" => {
            let etag = None;
            let request = v1::DeleteChatRequest { chat_id, etag };
            client.delete_chat(request).await.map(|_| ())
        }
        "RefreshChat" => client
            .refresh_chat(v1::RefreshChatRequest { chat_id })
            .await
            .map(|_| ()),
        "GetChatDiff" => client
            .get_chat_diff(v1::GetChatDiffRequest { chat_id })
            .await
            .map(|_| ()),
        "ReportGitRef" => {
            let request = v1::ReportGitRefRequest {
                target: Some(Target::ChatId(chat_id)),
                git_remote_origin: "https://github.com/acme/web".to_owned(),
                git_branch: "feat/x".to_owned(),
                commit: None,
            };
            client.report_git_ref(request).await.map(|_| ())
        }
        _ => panic!("{rpc} is never called"),
    };
    result.expect_err(rpc)
}

/// All that a caller can see of an error, and the statements that it took.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    code: Code,
    text: String,
    details: Vec<u8>,
    statements: Vec<String>,
}

#[test]
fn every_rpc_that_names_a_chat_is_tried_on_a_hidden_one() {
    let tried: BTreeSet<String> = NAMING_A_CHAT.map(|(rpc, _)| rpc.to_owned()).into();
    let naming = rpcs(|request| request.fields().any(|field| field.name() == "chat_id"));
    assert_eq!(naming, tried);
}

#[tokio::test]
async fn a_chat_that_may_not_be_read_answers_as_one_that_does_not_exist() {
    let database = testkit::postgres::database().await;
    let url = database.url().to_owned();
    let authority = url.split('/').nth(2).unwrap();
    let server = authority.rsplit('@').next().unwrap().to_owned();
    let recorder = Recorder::start(server.clone()).await;
    let recorded = url.replacen(&server, &recorder.address().to_string(), 1);
    assert_ne!(recorded, url);
    // In plain text, which is read on its way.
    let recorded = format!("{recorded}?sslmode=disable");
    Stack::run_on(
        database,
        |settings, _| {
            settings.database.database_url = Some(recorded.into());
        },
        async |stack| {
            let cast = Cast::new();
            let hidden: Uuid = cast.chat(stack).await.id.parse().unwrap();
            let missing = Uuid::now_v7();
            for name in [
                "stranger",
                "organization member",
                "suspended owner",
                "gitsync",
                "another service",
            ] {
                let caller = cast.caller(name);
                for (rpc, what) in NAMING_A_CHAT {
                    let mut traces = Vec::new();
                    for id in [hidden, missing] {
                        recorder.forget();
                        let status = refusal(stack, caller, rpc, what, id).await;
                        traces.push(Trace {
                            code: status.code(),
                            text: status.message().to_owned(),
                            details: status.details().to_vec(),
                            statements: recorder.with_value(id.as_bytes()),
                        });
                    }
                    let [hidden, missing] = traces.try_into().unwrap();
                    assert_eq!(hidden.code, Code::NotFound, "{name}, {rpc} {what}");
                    assert_ne!(hidden.statements, Vec::<String>::new(), "{rpc} {what}");
                    assert_eq!(hidden, missing, "{name}, {rpc} {what}");
                }
            }
        },
    )
    .await;
}
