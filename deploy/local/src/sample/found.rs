//! Waits until the worker has found the pull requests of the stand-in.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use proto::chat::v1::{
    Chat, GetChatsRequest, RefreshChatRequest, chat_service_client::ChatServiceClient,
};
use testkit::clients::Authorized;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use super::{
    Samples, Stage, chat_client,
    plan::{Expected, GitRef, Plan},
};
use crate::{people::Tokens, say};

/// How long the worker may take. It needs a second.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A page can hold all sample chats.
const PAGE_SIZE: i32 = 200;

/// Asks for the pull requests that have settled now; the worker would look in a while anyway.
pub(crate) async fn refresh_settled(
    plan: &Plan,
    samples: &Samples,
    channel: &Channel,
    tokens: &Tokens,
) -> anyhow::Result<()> {
    let mut internal = chat_client(channel, tokens, "internal_service")?;
    for (git_ref, id) in samples.branches(plan) {
        if git_ref.settles() {
            let request = RefreshChatRequest {
                chat_id: id.to_owned(),
            };
            internal
                .refresh_chat(request)
                .await
                .context("RefreshChat")?;
        }
    }
    Ok(())
}

/// Waits until the worker has looked at every reported branch, and has found what it must.
pub(crate) async fn wait(
    plan: &Plan,
    samples: &Samples,
    channel: &Channel,
    tokens: &Tokens,
    stage: Stage,
) -> anyhow::Result<()> {
    let mut internal = chat_client(channel, tokens, "internal_service")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let chats = chats(&mut internal).await?;
        let all = samples.branches(plan).count();
        let missing: Vec<String> = samples
            .branches(plan)
            .filter_map(|(git_ref, id)| missing(git_ref, stage, chats.get(id)))
            .collect();
        say::detail(format!("{} of {all}", all - missing.len()));
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let missing = missing.join("\n  ");
            bail!("after {PATIENCE:?} the worker has not found:\n  {missing}");
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// What the worker has not found of a branch, with the chat's problem.
fn missing(git_ref: &GitRef, stage: Stage, chat: Option<&Chat>) -> Option<String> {
    let status = chat.and_then(|chat| chat.diff_status.as_ref());
    let problem = status.and_then(|status| status.problem.as_ref());
    let expected = git_ref.expected(stage);
    let found = status.is_some_and(|status| match expected {
        Expected::State(state) => status.pull_request_state() == state,
        Expected::NoPullRequest => status.refreshed_at.is_some() && problem.is_none(),
        Expected::Problem(class) => problem.is_some_and(|problem| problem.class() == class),
        Expected::Anything => status.refreshed_at.is_some() || problem.is_some(),
    });
    if found {
        return None;
    }
    let problem = problem.map_or_else(String::new, |problem| format!(" ({})", problem.message));
    let GitRef { origin, branch, .. } = git_ref;
    Some(format!("{origin} {branch}: {expected:?}{problem}"))
}

async fn chats(
    caller: &mut ChatServiceClient<Authorized>,
) -> anyhow::Result<BTreeMap<String, Chat>> {
    let mut found = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = GetChatsRequest {
            page_size: PAGE_SIZE,
            page_token,
            ..GetChatsRequest::default()
        };
        let page = caller
            .get_chats(request)
            .await
            .context("GetChats")?
            .into_inner();
        found.extend(page.chats.into_iter().map(|chat| (chat.id.clone(), chat)));
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}
