//! Reports of git refs for all chats of a workspace: how many, and how many at once.

use chat_service::git_ref::MAX_WORKSPACE_CHATS;
use proto::chat::v1::{self, report_git_ref_request::Target};
use tonic::Code;
use uuid::Uuid;

use crate::{
    stack::{Caller, Stack, refused},
    worker::{Owner, git_ref, value},
};

/// $3 unarchived chats of the owner $1 in the workspace $2.
const CHATS: &str = "INSERT INTO chats (id, owner_id, workspace_id, title, status)
    SELECT gen_random_uuid(), $1, $2, 'chat', 'waiting' FROM generate_series(1, $3::int)";

#[tokio::test]
async fn a_push_reaches_a_thousand_chats_in_transactions_of_a_hundred_and_no_more() {
    Stack::run(async |stack| {
        let owner = Owner {
            stack,
            caller: Caller::user(),
        };
        let workspace = Uuid::now_v7();
        let push = || v1::ReportGitRefRequest {
            target: Some(Target::Workspace(v1::WorkspaceChats {
                owner_id: owner.caller.id(),
                workspace_id: workspace.to_string(),
            })),
            ..git_ref("", "https://github.com/acme/web", "feat/x")
        };
        let client = stack.database.client().await;
        let owner_id: Uuid = owner.caller.id().parse().unwrap();
        let most = i32::try_from(MAX_WORKSPACE_CHATS).unwrap();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&owner_id, &workspace, &(most + 1)];
        client.execute(CHATS, &values).await.unwrap();
        let refusal = refused(stack.chats(&owner.caller).report_git_ref(push()).await);
        let too_many = (
            Code::FailedPrecondition,
            "TOO_MANY_CHATS".to_owned(),
            None,
        );
        assert_eq!(refusal, too_many);
        let written: i64 = value(stack, "SELECT count(*) FROM git_refs").await;
        assert_eq!(written, 0, "nothing is written then");
        client
            .execute(
                "UPDATE chats SET archived = TRUE WHERE id = (SELECT min(id::text)::uuid FROM chats)",
                &[],
            )
            .await
            .unwrap();
        let reached = owner.try_report(push()).await.unwrap();
        assert_eq!(reached.len(), MAX_WORKSPACE_CHATS);
        let at_once = "SELECT max(t.refs) FROM (
            SELECT count(*) AS refs FROM git_refs r GROUP BY r.xmin::text
        ) AS t";
        assert_eq!(value::<i64>(stack, at_once).await, 100);
    })
    .await;
}
