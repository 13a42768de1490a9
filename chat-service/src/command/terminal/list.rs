//! `chat-service list`.

use proto::{
    chat::v1::{
        AttentionKind as Kind, ChatStatus as Status, ChatView, GetChatsRequest,
        PullRequestState as State,
    },
    sync::PullRequestState,
};

use super::{
    connection::{ANSWER_LIMIT, ServerConnection},
    output::Output,
};
use crate::{
    attention::AttentionKind,
    chat::ChatStatus,
    chat_filter::{MAX_PAGE_SIZE, PullRequestFilter},
    config::{FilterSettings, ListSettings},
};

/// Prints chats, page by page.
pub(super) async fn list(settings: &ListSettings, output: &mut Output<'_>) -> anyhow::Result<()> {
    let connection = ServerConnection::new(&settings.server)?;
    let mut request = request(settings);
    let mut left = settings.limit;
    loop {
        let call = connection.request(request.clone());
        let page = connection
            .answer(ANSWER_LIMIT, connection.chats().get_chats(call))
            .await?
            .map_err(|status| connection.failure(&status))?;
        let shown = page.chats.len().min(left);
        left -= shown;
        output.chats(&page.chats[..shown])?;
        if page.next_page_token.is_empty() && shown == page.chats.len() {
            return Ok(output.end()?);
        }
        if left == 0 {
            output.end()?;
            return Ok(output.note("there are more chats; --limit lists them")?);
        }
        request.page_token = page.next_page_token;
    }
}

fn request(settings: &ListSettings) -> GetChatsRequest {
    let view = if settings.full {
        ChatView::Full
    } else {
        ChatView::Basic
    };
    GetChatsRequest {
        page_size: i32::try_from(settings.limit.min(MAX_PAGE_SIZE)).unwrap_or(i32::MAX),
        view: view.into(),
        ..filtered(&settings.filter)
    }
}

/// A request for the chats that a filter accepts.
pub(super) fn filtered(filter: &FilterSettings) -> GetChatsRequest {
    let FilterSettings {
        owner,
        workspace,
        archived,
        shared_with_me,
        statuses,
        labels,
        pull_requests,
        attention,
        repository,
        pull_request,
        title,
    } = filter;
    GetChatsRequest {
        owner_id: owner.map(|id| id.to_string()),
        archived: *archived,
        shared_with_me: *shared_with_me,
        statuses: statuses.iter().map(|one| status(*one).into()).collect(),
        labels: labels.iter().cloned().collect(),
        pull_request_states: pull_requests.iter().map(|one| state(*one).into()).collect(),
        attention: attention.iter().map(|one| kind(*one).into()).collect(),
        repository: repository.clone(),
        pull_request_number: *pull_request,
        title: title.clone(),
        workspace_id: workspace.map(|id| id.to_string()),
        page_size: 0,
        page_token: String::new(),
        view: ChatView::Unspecified.into(),
    }
}

/// A status as the contract has it.
fn status(status: ChatStatus) -> Status {
    match status {
        ChatStatus::Unspecified => Status::Unspecified,
        ChatStatus::Waiting => Status::Waiting,
        ChatStatus::Pending => Status::Pending,
        ChatStatus::Running => Status::Running,
        ChatStatus::Paused => Status::Paused,
        ChatStatus::Completed => Status::Completed,
        ChatStatus::Error => Status::Error,
    }
}

/// A pull request's state as the contract has it.
fn state(filter: PullRequestFilter) -> State {
    match filter {
        PullRequestFilter::Open | PullRequestFilter::Settled(PullRequestState::Open) => State::Open,
        PullRequestFilter::Draft => State::Draft,
        PullRequestFilter::Settled(PullRequestState::Merged) => State::Merged,
        PullRequestFilter::Settled(PullRequestState::Closed) => State::Closed,
    }
}

/// A kind of attention as the contract has it.
fn kind(kind: AttentionKind) -> Kind {
    match kind {
        AttentionKind::Conflicting => Kind::Conflicting,
        AttentionKind::ChecksFailed => Kind::ChecksFailed,
        AttentionKind::ChangesRequested => Kind::ChangesRequested,
        AttentionKind::ReadyToMerge => Kind::ReadyToMerge,
    }
}
