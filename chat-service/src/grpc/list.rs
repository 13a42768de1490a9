//! `GetChats`: from the request to a filter, which watches have too, and from a page to its token.

use prost::Message as _;
use proto::{chat::v1, sync::PullRequestState};

use super::convert;
use crate::{
    authz::Principal,
    chat::View,
    chat_filter::{ChatFilter, Cursor, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PullRequestFilter},
    error::Error,
    id::{UserId, WorkspaceId},
    page_token::{PageTokens, Scope},
};

/// Values of one repeated filter at most.
const MAX_FILTER_VALUES: usize = 10;
/// Label pairs of a filter at most.
const MAX_FILTER_LABELS: usize = 16;
/// Characters of a title filter; no title has more.
const TITLE_FILTER_CHARS: std::ops::RangeInclusive<usize> = 1..=crate::chat::MAX_TITLE_CHARS;
/// Bytes of a repository filter at most: hosts allow 39 for an owner and 100 for a name.
const MAX_REPOSITORY_BYTES: usize = 255;

/// A list request that was understood.
pub(crate) struct ListChats {
    pub(crate) filter: ChatFilter,
    pub(crate) shared_with_me: bool,
    pub(crate) view: View,
    pub(crate) page_size: usize,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) scope: Scope,
}

impl ListChats {
    /// Understands `request` of `principal`.
    pub(crate) fn parse(
        mut request: v1::GetChatsRequest,
        principal: &Principal,
        tokens: &PageTokens,
    ) -> Result<Self, Error> {
        let scope = scope(&request, principal);
        let page_token = std::mem::take(&mut request.page_token);
        let (shared_with_me, view, page_size) =
            (request.shared_with_me, request.view, request.page_size);
        Ok(Self {
            filter: filter(request)?,
            shared_with_me,
            view: convert::view("view", view, View::Basic)?,
            page_size: parse_page_size(page_size)?,
            cursor: tokens.decode(&scope, &page_token)?,
            scope,
        })
    }

    /// The token for the page after the chat with this sort key.
    pub(crate) fn token_after(&self, tokens: &PageTokens, last: &crate::chat::Chat) -> String {
        tokens.encode(
            &self.scope,
            &Cursor {
                updated_at: last.updated_at,
                id: last.id,
            },
        )
    }
}

/// The filter of `request`, without `shared_with_me`, which depends on the caller.
///
/// # Errors
///
/// [`Error::InvalidArgument`] with the field.
pub fn filter(request: v1::GetChatsRequest) -> Result<ChatFilter, Error> {
    few("statuses", request.statuses.len())?;
    few("pull_request_states", request.pull_request_states.len())?;
    few("attention", request.attention.len())?;
    Ok(ChatFilter {
        owner: convert::maybe_uuid("owner_id", request.owner_id.as_deref())?.map(UserId),
        workspace: convert::maybe_uuid("workspace_id", request.workspace_id.as_deref())?
            .map(WorkspaceId),
        archived: request.archived,
        statuses: convert::each("statuses", &request.statuses, |field, value| {
            convert::chat_status(field, *value)
        })?,
        labels: convert::labels("labels", request.labels, MAX_FILTER_LABELS)?,
        pull_requests: convert::each(
            "pull_request_states",
            &request.pull_request_states,
            |field, value| pull_request(field, *value),
        )?,
        attention: convert::each("attention", &request.attention, |field, value| {
            convert::attention_kind(field, *value)
        })?,
        repository: request
            .repository
            .map(|text| parse_repository(&text))
            .transpose()?,
        pull_request_number: request.pull_request_number.map(positive).transpose()?,
        title: request.title.map(parse_title).transpose()?,
    })
}

/// A page size in its bounds.
pub(crate) fn parse_page_size(size: i32) -> Result<usize, Error> {
    match usize::try_from(size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
    }
}

/// Whose list, narrowed to what: everything but page size, token and view.
fn scope(request: &v1::GetChatsRequest, principal: &Principal) -> Scope {
    let arguments = v1::GetChatsRequest {
        page_size: 0,
        page_token: String::new(),
        view: 0,
        ..request.clone()
    };
    Scope::new(&principal.name(), "chats", &arguments.encode_to_vec())
}

fn few(field: &str, count: usize) -> Result<(), Error> {
    if count > MAX_FILTER_VALUES {
        return Err(Error::invalid(
            field,
            format!("has more than {MAX_FILTER_VALUES} values"),
        ));
    }
    Ok(())
}

fn pull_request(field: &str, value: i32) -> Result<PullRequestFilter, Error> {
    match v1::PullRequestState::try_from(value) {
        Ok(v1::PullRequestState::Open) => Ok(PullRequestFilter::Open),
        Ok(v1::PullRequestState::Draft) => Ok(PullRequestFilter::Draft),
        Ok(v1::PullRequestState::Merged) => {
            Ok(PullRequestFilter::Settled(PullRequestState::Merged))
        }
        Ok(v1::PullRequestState::Closed) => {
            Ok(PullRequestFilter::Settled(PullRequestState::Closed))
        }
        Ok(v1::PullRequestState::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            format!("{value} is not a pull request state"),
        )),
    }
}

fn parse_repository(text: &str) -> Result<String, Error> {
    let field = "repository";
    convert::no_nul(field, text)?;
    if text.len() > MAX_REPOSITORY_BYTES {
        return Err(Error::invalid(
            field,
            format!("has more than {MAX_REPOSITORY_BYTES} bytes"),
        ));
    }
    match text.rsplit_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err(Error::invalid(field, "must be owner/name")),
    }
}

fn positive(number: i32) -> Result<i32, Error> {
    if number > 0 {
        Ok(number)
    } else {
        Err(Error::invalid("pull_request_number", "must be positive"))
    }
}

fn parse_title(text: String) -> Result<String, Error> {
    convert::no_nul("title", &text)?;
    if TITLE_FILTER_CHARS.contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Error::invalid(
            "title",
            format!("must have 1 to {} characters", TITLE_FILTER_CHARS.end()),
        ))
    }
}
