//! Looks up the branches of a real host, and reports what the worker found.

use std::time::Duration;

use anyhow::Context as _;
use proto::{
    chat::v1::{
        ChatDiffStatus, GetChatRequest, RefreshChatRequest, chat_service_client::ChatServiceClient,
    },
    reason,
};
use serde_json::{Value, json};
use testkit::clients::{Authorized, facts};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Status, transport::Channel};

use crate::{
    people::Tokens,
    sample::{Plan, Samples, chat_client},
    say,
};

/// How long the worker may take for all branches. That includes the timeouts and retries of
/// requests to a host that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// What the worker found of one branch.
pub(crate) struct Answer {
    repository: String,
    branch: String,
    chat: String,
    found: Found,
}

/// The result of a lookup.
enum Found {
    PullRequest {
        number: i32,
        state: String,
        title: String,
        url: String,
    },
    NoPullRequest,
    Problem(String),
}

/// Has every branch of the plan looked up, and prints each answer when it comes. A branch without
/// one in time has that as its problem.
pub(crate) async fn ask(
    plan: &Plan,
    samples: &Samples,
    channel: &Channel,
    tokens: &Tokens,
) -> anyhow::Result<Vec<Answer>> {
    let deadline = Instant::now() + PATIENCE;
    let mut asking = JoinSet::new();
    for (index, (git_ref, chat)) in samples.branches(plan).enumerate() {
        let caller = chat_client(channel, tokens, "internal_service")?;
        let mut answer = Answer {
            repository: git_ref.repository.clone(),
            branch: git_ref.branch.clone(),
            chat: chat.to_owned(),
            found: Found::Problem(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        asking.spawn(async move {
            let asked = tokio::time::timeout_at(deadline, look_up(caller, &answer.chat)).await;
            // Otherwise the problem above stands.
            if let Ok(found) = asked {
                answer.found = found?;
            }
            anyhow::Ok((index, answer))
        });
    }
    let all = asking.len();
    let mut answers = Vec::new();
    while let Some(answer) = asking.join_next().await {
        let (index, answer) = answer??;
        say::line(&format!("  {}", answer.text()));
        answers.push((index, answer));
        say::detail(format!("{} of {all}", answers.len()));
    }
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Asks for a lookup until a worker has done it, and returns its result.
async fn look_up(mut caller: ChatServiceClient<Authorized>, chat: &str) -> anyhow::Result<Found> {
    loop {
        let request = RefreshChatRequest {
            chat_id: chat.to_owned(),
        };
        let refused = match caller.refresh_chat(request).await {
            Err(status) if facts(&status).1 == reason::NO_WORKER_IN_TIME => {
                sleep(PAUSE).await;
                continue;
            }
            Err(status) => Some(status),
            Ok(_) => None,
        };
        let request = GetChatRequest {
            chat_id: chat.to_owned(),
            ..GetChatRequest::default()
        };
        let known = caller.get_chat(request).await.context("GetChat")?;
        let known = known.into_inner().chat.and_then(|chat| chat.diff_status);
        return Ok(Found::of(known.unwrap_or_default(), refused.as_ref()));
    }
}

impl Found {
    fn of(status: ChatDiffStatus, refused: Option<&Status>) -> Self {
        if let Some(problem) = status.problem {
            return Self::Problem(problem.message);
        }
        if let Some(refused) = refused {
            return Self::Problem(refused.message().to_owned());
        }
        let state = status.pull_request_state().as_str_name();
        let state = state
            .trim_start_matches("PULL_REQUEST_STATE_")
            .to_lowercase();
        match status.pr_number {
            Some(number) => Self::PullRequest {
                number,
                state,
                title: status.pull_request_title,
                url: status.url.unwrap_or_default(),
            },
            None => Self::NoPullRequest,
        }
    }
}

impl Answer {
    /// In one line.
    fn text(&self) -> String {
        let found = match &self.found {
            Found::PullRequest {
                number,
                state,
                title,
                url,
            } => format!("#{number} {state}, {title}, {url}"),
            Found::NoPullRequest => "no pull request".to_owned(),
            Found::Problem(problem) => problem.clone(),
        };
        let text = format!("{}, {}: {found}", self.repository, self.branch);
        // Titles come from the host.
        text.chars().filter(|c| !c.is_control()).collect()
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let mut answer = json!({
            "repository": self.repository,
            "branch": self.branch,
            "chat": self.chat,
        });
        match &self.found {
            Found::PullRequest {
                number,
                state,
                title,
                url,
            } => {
                answer["pull_request"] =
                    json!({ "number": number, "state": state, "title": title, "url": url });
            }
            Found::NoPullRequest => answer["pull_request"] = Value::Null,
            Found::Problem(problem) => answer["problem"] = problem.as_str().into(),
        }
        answer
    }
}
