//! The page in a real browser, before both real binaries.
//!
//! A scenario is played by `chat-service/web/test/browser.mjs`, which drives Chromium and looks at
//! the page. It asks this side, the stage, for what people, agents and operators do meanwhile.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod cast;
mod player;

use std::path::PathBuf;

use e2e::stack::Stack;
use proto::chat::v1::{ChatDiffStatus, ChatStatus, Freshness};
use serde_json::{Value, json};
use testkit::{
    clients::Caller,
    github::{Mergeable, Resource, ReviewState, RunState},
};

use self::{
    cast::{Cast, check, ended},
    player::Player,
};

/// Variables of every scenario's service: the page is on, and a refresh waits only briefly.
const VARIABLES: [(&str, &str); 2] = [("CHAT_WEB", "true"), ("CHAT_REFRESH_TIMEOUT", "1s")];

/// Plays a scenario to its end.
async fn play(scenario: &str, cast: &mut Cast<'_>, stage: Value) {
    let mut player = Player::start(scenario, &stage);
    while let Some(command) = player.next().await {
        let answer = cast.perform(&command).await;
        player.tell(&answer).await;
    }
    player.finish().await;
}

/// An owner with chats whose pull requests are in every state, as a worker that runs has found
/// them; and the stage with them.
async fn owner_of_every_state(stack: &Stack) -> (Caller, Value) {
    let owner = stack.linked_user("ann").await;
    stack.github.user("bob");
    let rows = [
        ("Add a dark colour scheme", "feat/dark-mode", 412, 87),
        ("Retry uploads that time out", "fix/upload-retry", 56, 12),
        ("Split the settings page", "refactor/settings", 1204, 980),
        ("Drop the legacy exporter", "chore/drop-exporter", 0, 2311),
        ("Cache avatars at the edge", "perf/avatars", 93, 4),
        ("Stream answers as they come", "feat/stream", 318, 120),
        ("Move the guide into the tree", "docs/guide", 640, 2),
        ("Count what the cache saves", "feat/cache-metrics", 48, 9),
    ];
    let mut numbers = Vec::new();
    let mut chats = Vec::new();
    for (title, branch, additions, deletions) in rows {
        let request = stack.github.pull_request("acme/web");
        let request = request.head(branch).author("ann").title(title);
        let request = request.diff(additions, deletions, 7).commits(3);
        numbers.push(request.open());
        let chat = cast::chat(stack, &owner, title, ChatStatus::Completed).await;
        stack.report(&owner, &chat, "acme/web", branch).await;
        cast::found(stack, &owner, &chat).await;
        chats.push(chat);
    }
    let repository = "acme/web";
    settle(stack, repository, numbers[..].try_into().unwrap());
    for chat in &chats {
        cast::refresh(stack, &owner, &chat.id).await;
    }
    stack
        .github
        .repository(repository)
        .push("spike/web-components");
    // Activity comes first, and keeps its icon. The first branch has a pull request: a push would
    // give it a head without checks.
    let mut active = Vec::new();
    for (status, title, branch) in [
        (
            ChatStatus::Running,
            "Speed up the test suite",
            Some("feat/dark-mode"),
        ),
        (ChatStatus::Pending, "Write the release notes", None),
        (ChatStatus::Paused, "Rotate the signing keys", None),
        (ChatStatus::Error, "Migrate the billing tables", None),
        (ChatStatus::Waiting, "Explain the build pipeline", None),
        (
            ChatStatus::Completed,
            "Try web components",
            Some("spike/web-components"),
        ),
    ] {
        let chat = cast::chat(stack, &owner, title, status).await;
        if let Some(branch) = branch {
            stack.report(&owner, &chat, repository, branch).await;
            let looked_up = |status: &ChatDiffStatus| status.freshness() == Freshness::Fresh;
            stack
                .status_when(&owner, &chat, "it is looked up", looked_up)
                .await;
        }
        active.push(chat.id);
    }
    let chats: Vec<_> = chats.into_iter().map(|chat| chat.id).collect();
    let stage = json!({
        "url": stack.grpc_url(),
        "token": stack.token(&owner),
        "chats": { "pull_requests": chats, "active": active, "numbers": numbers },
    });
    (owner, stage)
}

/// Brings pull requests into every state, and their checks, reviews and conflicts.
fn settle(stack: &Stack, repository: &str, numbers: [u64; 8]) {
    let [
        ready,
        draft,
        merged,
        closed,
        asked,
        failing,
        conflicting,
        behind,
    ] = numbers;
    let github = &stack.github;
    github.review(repository, ready, "bob", ReviewState::Approved);
    github.set_draft(repository, draft, true);
    github.merge(repository, merged);
    github.close(repository, closed);
    github.review(repository, asked, "bob", ReviewState::ChangesRequested);
    github.edit_pull_request(repository, conflicting, |pull_request| {
        pull_request.mergeable = Mergeable::Conflicting;
    });
    github.edit_pull_request(repository, behind, |pull_request| {
        pull_request.behind = true;
    });
    check(stack, draft, "build", RunState::Queued);
    for (number, name, conclusion) in [
        (ready, "build", "SUCCESS"),
        (ready, "unit tests", "SUCCESS"),
        (failing, "build", "SUCCESS"),
        (failing, "lint", "FAILURE"),
        (failing, "unit tests", "TIMED_OUT"),
        (conflicting, "build", "FAILURE"),
        (behind, "build", "SUCCESS"),
    ] {
        check(stack, number, name, ended(conclusion));
    }
}

#[tokio::test]
async fn every_state_has_its_icon_in_both_themes() {
    Stack::run_with(&VARIABLES, async |stack| {
        let worker = stack.worker().await;
        let (owner, stage) = owner_of_every_state(stack).await;
        let mut cast = Cast::new(stack, owner, vec![worker]);
        play("icons", &mut cast, stage).await;
        cast.leave()
    })
    .await;
}

#[tokio::test]
async fn changes_arrive_without_a_reload_also_after_a_restart_and_a_title_is_text() {
    Stack::run_with(&VARIABLES, async |stack| {
        let worker = stack.worker().await;
        let (owner, mut stage) = owner_of_every_state(stack).await;
        let reader = Caller::user();
        stage["reader"] = json!({ "id": reader.id(), "token": stack.token(&reader) });
        let mut cast = Cast::new(stack, owner, vec![worker]);
        play("live", &mut cast, stage).await;
        cast.leave()
    })
    .await;
}

#[tokio::test]
async fn five_thousand_chats_scroll_and_are_filtered() {
    Stack::run_with(&VARIABLES, async |stack| {
        let owner = Caller::user();
        cast::many_chats(stack, &owner, 5000).await;
        let stage = json!({ "url": stack.grpc_url(), "token": stack.token(&owner) });
        let mut cast = Cast::new(stack, owner, Vec::new());
        play("many", &mut cast, stage).await;
        cast.leave()
    })
    .await;
}

#[tokio::test]
async fn whatever_keeps_the_list_empty_has_a_view_of_its_own() {
    let codes = Codes::new();
    let variables = [&VARIABLES[..], &[("CHAT_WEB_SIGN_IN_FILE", codes.path())]].concat();
    Stack::run_with(&variables, async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let newcomer = Caller::user();
        let unlinked = Caller::user();
        let paused = stack.linked_user("dan").await;
        let number = stack
            .github
            .pull_request("acme/web")
            .head("feature")
            .author("ann")
            .open();
        let chat = cast::chat(stack, &owner, "A chat of the owner", ChatStatus::Waiting).await;
        stack.report(&owner, &chat, "acme/web", "feature").await;
        cast::found(stack, &owner, &chat).await;
        for resource in [Resource::Core, Resource::Graphql] {
            stack.github.budget_of("dan", resource).spend_all();
        }
        for (caller, title) in [(&unlinked, "Not linked"), (&paused, "Out of requests")] {
            let chat = cast::chat(stack, caller, title, ChatStatus::Waiting).await;
            stack.report(caller, &chat, "acme/web", "feature").await;
            let stopped = |status: &ChatDiffStatus| status.problem.is_some();
            stack
                .status_when(caller, &chat, "a problem is shown", stopped)
                .await;
        }
        let code = codes.write(&stack.token(&owner));
        let mut cast = Cast::new(stack, owner, vec![worker]);
        // Codes are read at the start.
        for command in ["stop", "start"] {
            cast.perform(&json!({ "do": command })).await;
        }
        let stage = json!({
            "url": cast.stack.grpc_url(),
            "code": code,
            "number": number,
            "chat": chat.id,
            "newcomer": cast.stack.token(&newcomer),
            "unlinked": cast.stack.token(&unlinked),
            "paused": cast.stack.token(&paused),
        });
        play("views", &mut cast, stage).await;
        cast.leave()
    })
    .await;
}

/// The file of one-time codes, gone at the end.
struct Codes(PathBuf);

impl Codes {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("browser-codes-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, "{}").unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Makes a code for a token.
    fn write(&self, token: &str) -> String {
        let code = uuid::Uuid::now_v7().simple().to_string();
        std::fs::write(&self.0, json!({ &code: token }).to_string()).unwrap();
        code
    }
}

impl Drop for Codes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
