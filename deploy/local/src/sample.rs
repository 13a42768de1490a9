//! Chats to look at, made as a platform would: an internal service creates them, links accounts and
//! reports branches; the worker finds the pull requests.

mod found;
mod plan;

use std::collections::BTreeMap;

use anyhow::Context as _;
use proto::chat::v1::{
    CreateChatRequest, LinkGitAccountRequest, ReportGitRefRequest, Subject, UpdateChatRequest,
    UpdateChatSharingRequest, chat_service_client::ChatServiceClient,
    report_git_ref_request::Target, subject,
};
use testkit::clients::{self, Authorized, Bearer};
use tonic::transport::Channel;
use uuid::Uuid;

use self::plan::{PlannedChat, Share};
pub(crate) use self::{
    found::{refresh_settled, wait},
    plan::{GitRef, Plan, of_organization, of_repository},
};
use crate::{
    host::PROVIDER,
    people::{COLLEAGUE, OWNER, REVIEWERS, Tokens},
    say,
};

/// How far the pull requests have come.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// All are open, as every pull request is at first: that is how a worker finds one.
    Opened,
    /// Some have been merged or closed.
    Settled,
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

    /// The branches of a plan, with the ids of their chats.
    pub(crate) fn branches<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (&'a GitRef, &'a str)> {
        let chats = plan.chats.iter().zip(&self.ids);
        chats.filter_map(|(chat, (_, id))| Some((chat.git_ref.as_ref()?, id.as_str())))
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
        let id = create(&mut internal, chat, number).await?;
        if chat.archived {
            archive(&mut internal, &id).await?;
        }
        if let Some(git_ref) = &chat.git_ref {
            report(&mut internal, &id, git_ref).await?;
        }
        if let Some(share) = chat.share {
            let mut owner = chat_client(channel, tokens, chat.role)?;
            share_chat(&mut owner, &id, share).await?;
        }
        samples.ids.push((chat.role, id));
        let (made, all) = (samples.ids.len(), plan.chats.len());
        say::detail(format!("{made} of {all}"));
    }
    Ok(samples)
}

/// `ChatService` in the name of `role`.
pub(crate) fn chat_client(
    channel: &Channel,
    tokens: &Tokens,
    role: &str,
) -> anyhow::Result<ChatServiceClient<Authorized>> {
    let bearer = Bearer::new(tokens.of(role)?)?;
    Ok(clients::chats(channel.clone(), bearer))
}

/// Returns the new chat's id.
async fn create(
    internal: &mut ChatServiceClient<Authorized>,
    chat: &PlannedChat,
    number: u128,
) -> anyhow::Result<String> {
    let request = CreateChatRequest {
        owner_id: Some(chat.owner.to_string()),
        organization_id: chat.organization.map(|id| id.to_string()),
        workspace_id: None,
        title: chat.title.clone(),
        status: chat.status.into(),
        labels: [("sample".to_owned(), chat.role.to_owned())].into(),
        request_id: Some(Uuid::from_u128(OWNER.as_u128() + 0x1000 + number).to_string()),
    };
    let created = internal.create_chat(request).await.context("CreateChat")?;
    let created = created.into_inner().chat;
    Ok(created.context("CreateChat returned no chat")?.id)
}

async fn archive(internal: &mut ChatServiceClient<Authorized>, id: &str) -> anyhow::Result<()> {
    let request = UpdateChatRequest {
        chat_id: id.to_owned(),
        archived: Some(true),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["archived".to_owned()],
        }),
        ..UpdateChatRequest::default()
    };
    internal.update_chat(request).await.context("UpdateChat")?;
    Ok(())
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

/// Shares a chat, in its owner's name.
async fn share_chat(
    owner: &mut ChatServiceClient<Authorized>,
    id: &str,
    share: Share,
) -> anyhow::Result<()> {
    let subject = |subject| {
        vec![Subject {
            subject: Some(subject),
        }]
    };
    let user = |id: Uuid| subject(subject::Subject::UserId(id.to_string()));
    let (add_readers, add_writers) = match share {
        Share::ReviewersRead => {
            let group = subject::Subject::GroupId(REVIEWERS.to_string());
            (subject(group), Vec::new())
        }
        Share::OwnerReads => (user(OWNER), Vec::new()),
        Share::ColleagueWrites => (Vec::new(), user(COLLEAGUE)),
    };
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
    Ok(())
}
