//! Sharing chats, and what the subjects of a share may do.

use proto::chat::v1::{
    ChatStatus, GetChatsRequest, RefreshChatRequest, Subject, UpdateChatRequest,
    UpdateChatSharingRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    chats::update,
    sql::statement,
    stack::{Caller, Stack, refused, user},
};

#[tokio::test]
async fn a_writer_updates_content_and_neither_archives_nor_shares() {
    Stack::run(async |stack| {
        let (owner, writer, reader) = (Caller::user(), Caller::user(), Caller::user());
        let chat = stack.chat(&owner).await;
        let share = UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_readers: vec![user(&reader)],
            add_writers: vec![user(&writer)],
            ..UpdateChatSharingRequest::default()
        };
        let shared = stack
            .chats(&owner)
            .update_chat_sharing(share.clone())
            .await
            .unwrap()
            .into_inner();
        let shared = shared.chat.unwrap();
        assert_eq!(
            (shared.readers, shared.writers),
            (vec![user(&reader)], vec![user(&writer)])
        );
        assert_eq!(
            shared.updated_at, chat.updated_at,
            "sharing moved the chat in lists"
        );
        let denied = (
            Code::PermissionDenied,
            "ACTION_NOT_ALLOWED".to_owned(),
            None,
        );
        let content = update(&chat, &["title", "status", "labels"]);
        let updated = stack
            .chats(&writer)
            .update_chat(content.clone())
            .await
            .unwrap()
            .into_inner();
        let updated = updated.chat.unwrap();
        assert_eq!(
            (updated.title.as_str(), updated.status()),
            ("changed", ChatStatus::Running)
        );
        assert!(!updated.archived, "what the mask does not name was changed");
        assert_eq!(
            refused(stack.chats(&reader).update_chat(content).await),
            denied
        );
        for paths in [&["archived"][..], &["title", "archived"]] {
            let archive = update(&chat, paths);
            assert_eq!(
                refused(stack.chats(&writer).update_chat(archive).await),
                denied
            );
        }
        assert_eq!(
            refused(stack.chats(&writer).update_chat_sharing(share).await),
            denied
        );
        let refresh = RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        assert_eq!(
            refused(stack.chats(&reader).refresh_chat(refresh).await),
            denied
        );
    })
    .await;
}

#[tokio::test]
async fn a_chat_is_shared_with_a_hundred_subjects_and_no_more() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let share = |subjects: Vec<Subject>| UpdateChatSharingRequest {
            chat_id: chat.id.clone(),
            add_readers: subjects,
            ..UpdateChatSharingRequest::default()
        };
        let hundred: Vec<Subject> = (0..100).map(|_| user(&Caller::user())).collect();
        stack
            .chats(&owner)
            .update_chat_sharing(share(hundred.clone()))
            .await
            .unwrap();
        let one_more = share(vec![user(&Caller::user())]);
        assert_eq!(
            refused(stack.chats(&owner).update_chat_sharing(one_more).await),
            (
                Code::InvalidArgument,
                "TOO_MANY_SUBJECTS".to_owned(),
                Some("add_readers".to_owned())
            )
        );
        // In place of another there is room.
        let instead = UpdateChatSharingRequest {
            remove: hundred.iter().take(1).cloned().collect(),
            ..share(vec![user(&Caller::user())])
        };
        let shared = stack
            .chats(&owner)
            .update_chat_sharing(instead)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(shared.chat.unwrap().readers.len(), 100);
        let twice = UpdateChatSharingRequest {
            add_writers: hundred.iter().take(1).cloned().collect(),
            ..share(hundred.into_iter().take(1).collect())
        };
        let (code, _, field) = refused(stack.chats(&owner).update_chat_sharing(twice).await);
        assert_eq!(
            (code, field.as_deref()),
            (Code::InvalidArgument, Some("add_writers[0]"))
        );
    })
    .await;
}

mod race {
    use super::*;

    /// What `chat_acl` carries of the chat is the chat's, whatever shares and updates come
    /// together.
    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_shares_and_updates_never_let_what_a_share_carries_drift() {
        Stack::run(async |stack| {
            let owner = Caller::user();
            let chat = stack.chat(&owner).await;
            for _ in 0..20 {
                let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(6));
                let mut tasks = tokio::task::JoinSet::new();
                for index in 0..6 {
                    let mut client = stack.chats(&owner);
                    let chat = chat.clone();
                    let barrier = barrier.clone();
                    tasks.spawn(async move {
                        barrier.wait().await;
                        if index % 2 == 0 {
                            let request = UpdateChatSharingRequest {
                                chat_id: chat.id,
                                add_readers: vec![user(&Caller::user())],
                                ..UpdateChatSharingRequest::default()
                            };
                            client.update_chat_sharing(request).await.map(|_| ())
                        } else {
                            let title = Some(Uuid::now_v7().to_string());
                            let request = UpdateChatRequest {
                                title,
                                status: Some(index % 4 + 2),
                                archived: Some(index == 3),
                                ..update(&chat, &["title", "status", "archived"])
                            };
                            client.update_chat(request).await.map(|_| ())
                        }
                    });
                }
                while let Some(result) = tasks.join_next().await {
                    result.unwrap().unwrap();
                }
            }
            let client = stack.database.client().await;
            let drifted = client
                .query(
                    "SELECT a.subject_id FROM chat_acl a JOIN chats c ON c.id = a.chat_id \
                     WHERE (a.chat_updated_at, a.chat_archived, a.chat_status, a.chat_pr, \
                         a.chat_attention) \
                     <> (c.updated_at, c.archived, c.list_status, c.list_pr, c.primary_attention)",
                    &[],
                )
                .await
                .unwrap();
            assert_eq!(drifted.len(), 0);
            let shares = client.query("SELECT FROM chat_acl", &[]).await.unwrap();
            assert_eq!(shares.len(), 60);
        })
        .await;
    }
}

#[tokio::test]
async fn a_share_is_found_in_lists_of_its_owners_chats() {
    Stack::run(async |stack| {
        let (owner, other, reader) = (Caller::user(), Caller::user(), Caller::user());
        let shared = stack.chat(&owner).await;
        stack.chat(&owner).await;
        let of_other = stack.chat(&other).await;
        for (by, chat) in [(&owner, &shared), (&other, &of_other)] {
            stack.share(by, &chat.id, vec![user(&reader)]).await;
        }
        let listed = async |of: &Caller, shared_with_me| {
            let request = GetChatsRequest {
                owner_id: Some(of.id()),
                shared_with_me,
                ..GetChatsRequest::default()
            };
            let page = stack.chats(&reader).get_chats(request).await.unwrap();
            let ids = page.into_inner().chats.into_iter().map(|chat| chat.id);
            ids.collect::<Vec<_>>()
        };
        for shared_with_me in [false, true] {
            assert_eq!(listed(&owner, shared_with_me).await, [&*shared.id]);
            assert_eq!(listed(&other, shared_with_me).await, [&*of_other.id]);
            let stranger = Caller::user();
            assert_eq!(listed(&stranger, shared_with_me).await, [""; 0]);
        }
    })
    .await;
}

/// Each share carries what lists sort and filter by, and is written anew.
#[tokio::test]
async fn a_status_change_of_a_chat_with_a_hundred_shares_writes_at_most_66_kb() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let mut chats = Vec::new();
        for _ in 0..10 {
            let chat = stack.chat(&owner).await;
            let readers = (0..100).map(|_| user(&Caller::user())).collect();
            stack.share(&owner, &chat.id, readers).await;
            chats.push(chat.id);
        }
        let client = stack.database.client().await;
        let text = statement("update_chat");
        client
            .batch_execute(&format!("PREPARE update_chat AS {text}"))
            .await
            .unwrap();
        let mut written = Vec::new();
        for status in ["running", "completed", "running"] {
            for chat in &chats {
                let explain = format!(
                    "EXPLAIN (ANALYZE, WAL, FORMAT JSON) \
                     EXECUTE update_chat \
                     ('{chat}', NULL, '{status}', NULL, NULL, NULL, '{{}}', '{{}}', 32)"
                );
                let row = client.query_one(&explain, &[]).await.unwrap();
                let mut wal = Wal::default();
                wal.add(&row.try_get::<_, serde_json::Value>(0).unwrap()[0]["Plan"]);
                // Whole pages follow a checkpoint, and are not what this is about.
                if wal.pages == 0 {
                    written.push(wal.bytes);
                }
            }
        }
        assert!(written.len() > 5, "{written:?}");
        let mean = written.iter().sum::<u64>() / u64::try_from(written.len()).unwrap();
        assert!(mean <= 66 * 1024, "{mean} bytes: {written:?}");
        assert!(mean > 20 * 1024, "{mean} bytes: {written:?}");
    })
    .await;
}

/// What a plan wrote to the write-ahead log.
#[derive(Default)]
struct Wal {
    bytes: u64,
    pages: u64,
}

impl Wal {
    /// Of each write what it wrote itself: what it reads may be the rows of another write.
    fn add(&mut self, node: &serde_json::Value) {
        let parts = node["Plans"].as_array().map_or(&[][..], Vec::as_slice);
        if node["Node Type"] == "ModifyTable" {
            let own = |name: &str| {
                let of = |node: &serde_json::Value| node[name].as_u64().unwrap_or(0);
                let read: u64 = parts
                    .iter()
                    .filter(|part| part["Parent Relationship"] == "Outer")
                    .map(of)
                    .sum();
                of(node) - read
            };
            self.bytes += own("WAL Bytes");
            self.pages += own("WAL FPI");
        }
        for part in parts {
            self.add(part);
        }
    }
}
