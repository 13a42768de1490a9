//! Chats to look at, made as a platform would: an internal service creates them, links accounts and
//! reports branches; the worker finds the pull requests.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use proto::chat::v1::{
    Chat, ChatStatus, CreateChatRequest, GetChatsRequest, LinkGitAccountRequest, PullRequestState,
    RefreshChatRequest, ReportGitRefRequest, Subject, UpdateChatSharingRequest,
    chat_service_client::ChatServiceClient, report_git_ref_request::Target, subject,
};
use testkit::{
    clients::{self, Authorized, Bearer},
    github::sample::{Sample, SampleBranch, SampleState},
};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    host::{GitHost, PROVIDER},
    options::Options,
    people::{COLLEAGUE, ORGANIZATION, OWNER, REVIEWERS, STRANGER, Tokens},
};

/// How long the worker may take. It needs a second; a first request to a real host a few.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A page can hold all sample chats of one owner.
const PAGE_SIZE: i32 = 200;

/// So that icons of every status can be seen.
const STATUSES: [ChatStatus; 6] = [
    ChatStatus::Waiting,
    ChatStatus::Completed,
    ChatStatus::Running,
    ChatStatus::Paused,
    ChatStatus::Error,
    ChatStatus::Pending,
];

/// What is to be made.
#[derive(Default)]
pub(crate) struct Plan {
    accounts: Vec<Account>,
    chats: Vec<PlannedChat>,
}

struct Account {
    user: Uuid,
    token: String,
}

struct PlannedChat {
    role: &'static str,
    owner: Uuid,
    organization: Option<Uuid>,
    title: String,
    git_ref: Option<GitRef>,
}

struct GitRef {
    origin: String,
    branch: String,
    /// What the worker must find in the end; `None` when that is not known.
    state: Option<PullRequestState>,
}

/// How far the pull requests have come.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// All are open, as every pull request is at first: that is how a worker finds one.
    Opened,
    /// Some have been merged or closed.
    Settled,
}

impl GitRef {
    /// What the worker must find at this stage; `None` when that is not known.
    fn expected(&self, stage: Stage) -> Option<PullRequestState> {
        match stage {
            Stage::Opened if self.settles() => Some(PullRequestState::Open),
            Stage::Opened | Stage::Settled => self.state,
        }
    }

    fn settles(&self) -> bool {
        matches!(
            self.state,
            Some(PullRequestState::Merged | PullRequestState::Closed)
        )
    }
}

/// What was made: the chats' ids, in the order of the plan.
pub(crate) struct Samples {
    ids: Vec<(&'static str, String)>,
}

impl Samples {
    /// The ids of one role's chats.
    pub(crate) fn of(&self, role: &str) -> Vec<&str> {
        self.ids
            .iter()
            .filter(|(of, _)| *of == role)
            .map(|(_, id)| id.as_str())
            .collect()
    }

    /// The ids by role.
    pub(crate) fn by_role(&self) -> BTreeMap<&str, Vec<&str>> {
        self.ids
            .iter()
            .map(|(role, _)| (*role, self.of(role)))
            .collect()
    }
}

/// Chats about the pull requests of the stand-in's organization.
pub(crate) fn of_organization(host: &GitHost, sample: &Sample) -> anyhow::Result<Plan> {
    let account = |user, login: &str| {
        let token = sample
            .user(login)
            .with_context(|| format!("the sample organization has no user {login}"))?
            .token
            .clone();
        anyhow::Ok(Account { user, token })
    };
    let reference = |branch: &SampleBranch, state| GitRef {
        origin: host.origin(&branch.repository),
        branch: branch.branch.clone(),
        state,
    };
    let mut plan = Plan {
        accounts: vec![
            account(OWNER, "ann")?,
            account(STRANGER, "dmitri")?,
            account(COLLEAGUE, "bob")?,
        ],
        chats: Vec::new(),
    };
    for pull_request in &sample.pull_requests {
        let state = Some(state(pull_request.state));
        let git_ref = reference(&pull_request.head, state);
        plan.add("owner", &pull_request.title, Some(git_ref));
    }
    for branch in &sample.branches {
        let title = format!("Work on {}", branch.branch);
        plan.add("owner", &title, Some(reference(branch, None)));
    }
    for (role, login) in [("stranger", "dmitri"), ("colleague", "bob")] {
        for pull_request in sample.pull_requests_of(login) {
            let state = Some(state(pull_request.state));
            let git_ref = reference(&pull_request.head, state);
            plan.add(role, &pull_request.title, Some(git_ref));
        }
        plan.add(role, "Explain the build pipeline", None);
    }
    Ok(plan)
}

/// Chats about branches of a repository at another host.
pub(crate) fn of_repository(host: &GitHost, options: &Options) -> Plan {
    let mut plan = Plan::default();
    if let Some(token) = options.token() {
        plan.accounts.push(Account {
            user: OWNER,
            token: token.to_owned(),
        });
    }
    for branch in &options.branch {
        let repository = options.repo.as_deref().unwrap_or_default();
        let git_ref = GitRef {
            origin: host.origin(repository),
            branch: branch.clone(),
            state: None,
        };
        plan.add("owner", &format!("{repository}, {branch}"), Some(git_ref));
    }
    for role in ["owner", "stranger", "colleague"] {
        plan.add(role, "Explain the build pipeline", None);
    }
    plan
}

impl Plan {
    fn add(&mut self, role: &'static str, title: &str, git_ref: Option<GitRef>) {
        let (owner, organization) = match role {
            "stranger" => (STRANGER, None),
            "colleague" => (COLLEAGUE, Some(ORGANIZATION)),
            _ => (OWNER, Some(ORGANIZATION)),
        };
        self.chats.push(PlannedChat {
            role,
            owner,
            organization,
            title: title.to_owned(),
            git_ref,
        });
    }
}

fn state(state: SampleState) -> PullRequestState {
    match state {
        SampleState::Open => PullRequestState::Open,
        SampleState::Draft => PullRequestState::Draft,
        SampleState::Merged => PullRequestState::Merged,
        SampleState::Closed => PullRequestState::Closed,
    }
}

/// Makes the plan's chats; those of an earlier start on the same database are found again.
pub(crate) async fn make(
    plan: &Plan,
    channel: &Channel,
    tokens: &Tokens,
) -> anyhow::Result<Samples> {
    let bearer = Bearer::new(tokens.of("internal_service")?)?;
    let mut accounts = clients::accounts(channel.clone(), bearer.clone());
    for account in &plan.accounts {
        let request = LinkGitAccountRequest {
            user_id: Some(account.user.to_string()),
            provider_id: PROVIDER.to_owned(),
            access_token: account.token.clone(),
            ..LinkGitAccountRequest::default()
        };
        accounts
            .link_git_account(request)
            .await
            .context("LinkGitAccount")?;
    }
    let mut internal = clients::chats(channel.clone(), bearer);
    let mut samples = Samples { ids: Vec::new() };
    for (number, chat) in (0_u128..).zip(&plan.chats) {
        let status = STATUSES
            .iter()
            .cycle()
            .nth(samples.ids.len() % STATUSES.len());
        let request = CreateChatRequest {
            owner_id: Some(chat.owner.to_string()),
            organization_id: chat.organization.map(|id| id.to_string()),
            workspace_id: None,
            title: chat.title.clone(),
            status: status.copied().unwrap_or(ChatStatus::Waiting).into(),
            labels: [("sample".to_owned(), chat.role.to_owned())].into(),
            request_id: Some(Uuid::from_u128(OWNER.as_u128() + 0x1000 + number).to_string()),
        };
        let created = internal
            .create_chat(request)
            .await
            .context("CreateChat")?
            .into_inner()
            .chat
            .context("CreateChat returned no chat")?;
        if let Some(git_ref) = &chat.git_ref {
            report(&mut internal, &created.id, git_ref).await?;
        }
        samples.ids.push((chat.role, created.id));
    }
    share(&samples, channel, tokens).await?;
    Ok(samples)
}

/// `ChatService` in the name of `role`.
fn chat_client(
    channel: &Channel,
    tokens: &Tokens,
    role: &str,
) -> anyhow::Result<ChatServiceClient<Authorized>> {
    let bearer = Bearer::new(tokens.of(role)?)?;
    Ok(clients::chats(channel.clone(), bearer))
}

async fn report(
    internal: &mut ChatServiceClient<Authorized>,
    chat_id: &str,
    git_ref: &GitRef,
) -> anyhow::Result<()> {
    let request = ReportGitRefRequest {
        target: Some(Target::ChatId(chat_id.to_owned())),
        git_remote_origin: git_ref.origin.clone(),
        git_branch: git_ref.branch.clone(),
        commit: None,
    };
    internal
        .report_git_ref(request)
        .await
        .with_context(|| format!("ReportGitRef {} {}", git_ref.origin, git_ref.branch))?;
    Ok(())
}

/// The owner shares one chat with a group, and one with a colleague who may write.
async fn share(samples: &Samples, channel: &Channel, tokens: &Tokens) -> anyhow::Result<()> {
    let mut owner = chat_client(channel, tokens, "owner")?;
    let subject = |subject| Subject {
        subject: Some(subject),
    };
    let group = subject(subject::Subject::GroupId(REVIEWERS.to_string()));
    let colleague = subject(subject::Subject::UserId(COLLEAGUE.to_string()));
    let shares = [(vec![group], vec![]), (vec![], vec![colleague])];
    for (id, (add_readers, add_writers)) in samples.of("owner").into_iter().zip(shares) {
        let request = UpdateChatSharingRequest {
            chat_id: id.to_owned(),
            add_readers,
            add_writers,
            remove: Vec::new(),
        };
        owner
            .update_chat_sharing(request)
            .await
            .context("UpdateChatSharing")?;
    }
    Ok(())
}

/// Asks for the pull requests that have settled now; the worker would look in a while anyway.
pub(crate) async fn refresh_settled(
    plan: &Plan,
    samples: &Samples,
    channel: &Channel,
    tokens: &Tokens,
) -> anyhow::Result<()> {
    let mut internal = chat_client(channel, tokens, "internal_service")?;
    for (planned, (_, id)) in plan.chats.iter().zip(&samples.ids) {
        if planned.git_ref.as_ref().is_some_and(GitRef::settles) {
            let request = RefreshChatRequest {
                chat_id: id.clone(),
            };
            internal
                .refresh_chat(request)
                .await
                .context("RefreshChat")?;
        }
    }
    Ok(())
}

/// Waits until the worker has looked at every reported branch. `strict`: and has found what it must.
pub(crate) async fn wait(
    plan: &Plan,
    samples: &Samples,
    channel: &Channel,
    tokens: &Tokens,
    stage: Stage,
    strict: bool,
) -> anyhow::Result<()> {
    let mut internal = chat_client(channel, tokens, "internal_service")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let chats = chats(&mut internal).await?;
        let missing: Vec<String> = plan
            .chats
            .iter()
            .zip(&samples.ids)
            .filter_map(|(planned, (_, id))| missing(planned, stage, chats.get(id)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let missing = missing.join("\n  ");
            if strict {
                bail!("after {PATIENCE:?} the worker has not found:\n  {missing}");
            }
            crate::say::line(&format!("not yet looked at:\n  {missing}"));
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// What is still to be found about a chat, and what stands in the way.
fn missing(planned: &PlannedChat, stage: Stage, chat: Option<&Chat>) -> Option<String> {
    let git_ref = planned.git_ref.as_ref()?;
    let status = chat.and_then(|chat| chat.diff_status.as_ref());
    let found = status.is_some_and(|status| match git_ref.expected(stage) {
        Some(state) => status.pull_request_state() == state,
        None => status.refreshed_at.is_some() || status.problem.is_some(),
    });
    if found {
        return None;
    }
    let problem = status
        .and_then(|status| status.problem.as_ref())
        .map_or_else(String::new, |problem| format!(" ({})", problem.message));
    Some(format!("{} {}{problem}", git_ref.origin, git_ref.branch))
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
