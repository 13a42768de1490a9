//! What an operator does leaves a line in the log, with who did it.

use e2e::stack::{REPOSITORY, Stack};
use proto::chat::v1::{RequeueGitRefsRequest, ResumeBudgetRequest};
use testkit::clients::Caller;

#[tokio::test]
async fn what_an_operator_does_is_in_the_log_with_the_operators_name() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feat/x").await;
        let operator = Caller::user().site("admin");
        let mut admin = stack.sync_admin(&operator);
        let client = stack.database.client().await;
        let row = client
            .query_one("SELECT budget_key FROM git_budgets", &[])
            .await;
        let budget_key: String = row.unwrap().try_get(0).unwrap();
        let request = ResumeBudgetRequest {
            budget_key: budget_key.clone(),
        };
        admin.resume_budget(request).await.unwrap();
        let git_ref = stack.status(&owner, &chat).await.id;
        let request = RequeueGitRefsRequest {
            git_ref_ids: vec![git_ref.clone()],
        };
        admin.requeue_git_refs(request).await.unwrap();
        let name = format!("user:{}", operator.id());
        for (message, named) in [
            ("an operator ended the pauses of a budget", budget_key),
            ("an operator made git refs due", git_ref),
        ] {
            let wanted = |line: &serde_json::Value| {
                let text = line.to_string();
                text.contains(message) && text.contains(&name) && text.contains(&named)
            };
            stack.chat_service.wait_for_log(message, wanted).await;
        }
        Vec::new()
    })
    .await;
}
