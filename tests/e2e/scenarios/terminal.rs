//! The commands for operators, with a real worker.

use e2e::stack::Stack;
use testkit::clients::Caller;

#[tokio::test]
async fn a_refresh_at_the_terminal_shows_what_the_worker_just_found_and_lists_show_it_too() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let number = stack.github.pull_request("acme/web").head("feature").open();
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        let opened = stack.terminal(&owner, &["refresh", &chat.id]).await;
        assert!(opened.contains("#1 open"), "{opened}");
        stack.github.merge("acme/web", number);
        let merged = stack.terminal(&owner, &["refresh", &chat.id]).await;
        assert!(merged.contains("#1 merged"), "{merged}");
        let listed = stack
            .terminal(&owner, &["list", "--pull-request-state=merged"])
            .await;
        assert!(
            listed.contains(&chat.id) && listed.contains("synced "),
            "{listed}"
        );
        let operator = Caller::user().site("admin");
        let state = stack.terminal(&operator, &["sync-state"]).await;
        for part in ["BUDGET", "github", "known", "of 5000"] {
            assert!(state.contains(part), "{part} is not in {state}");
        }
        vec![worker]
    })
    .await;
}
