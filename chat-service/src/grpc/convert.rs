//! Contract messages as domain values and back. Every conversion of input names the field at fault.

mod attention;
mod pull_request;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use policy::{Level, Subject};
use proto::{bounds::MAX_CHAT_IDS, chat::v1};
use uuid::Uuid;

pub(crate) use self::attention::attention_kind;
use crate::{
    chat::{Chat, ChatStatus, MAX_LABEL_KEY_CHARS, MAX_LABEL_VALUE_CHARS, View},
    diff_status::{DiffStatus, Freshness},
    error::Error,
    grpc::call,
    id::{ChatId, GroupId, UserId},
    title::parse_title,
};

/// A UUID in a field.
pub(crate) fn uuid(field: &str, text: &str) -> Result<Uuid, Error> {
    // Only the usual form: the parser would also take braces, `urn:` and no hyphens.
    match text.parse::<Uuid>() {
        Ok(id) if text.len() == 36 => Ok(id),
        _ => Err(Error::invalid(field, "must be a UUID")),
    }
}

/// The chat that a call is about.
pub(crate) fn chat_id(text: &str) -> Result<ChatId, Error> {
    let id = ChatId(uuid("chat_id", text)?);
    call::about("chat", id);
    Ok(id)
}

/// A UUID in a field that may be absent.
pub(crate) fn maybe_uuid(field: &str, text: Option<&str>) -> Result<Option<Uuid>, Error> {
    text.map(|text| uuid(field, text)).transpose()
}

/// The values of a repeated field, each parsed under the name of its place.
pub(crate) fn each<T, U>(
    field: &str,
    values: &[T],
    mut parse: impl FnMut(&str, &T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    values
        .iter()
        .enumerate()
        .map(|(index, value)| parse(&format!("{field}[{index}]"), value))
        .collect()
}

/// Adds `value` to those `seen`; fails if it is among them.
pub(crate) fn first_time<T: Copy + Ord>(
    field: &str,
    value: T,
    seen: &mut BTreeSet<T>,
) -> Result<T, Error> {
    if seen.insert(value) {
        Ok(value)
    } else {
        Err(Error::invalid(field, "is named twice"))
    }
}

/// 1 to [`MAX_CHAT_IDS`] UUIDs, none twice.
pub(crate) fn ids(field: &str, ids: &[String]) -> Result<Vec<Uuid>, Error> {
    if ids.is_empty() || ids.len() > MAX_CHAT_IDS {
        let problem = format!("must have 1 to {MAX_CHAT_IDS} ids");
        return Err(Error::invalid(field, problem));
    }
    let mut seen = BTreeSet::new();
    each(field, ids, |field, id| {
        first_time(field, uuid(field, id)?, &mut seen)
    })
}

/// A title.
pub(crate) fn title(field: &str, text: &str) -> Result<String, Error> {
    parse_title(text).map_err(|problem| Error::invalid(field, problem))
}

/// PostgreSQL's text holds every character but NUL.
pub(crate) fn no_nul(field: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "must not contain NUL"));
    }
    Ok(())
}

/// Labels that a chat can have, or be searched by.
pub(crate) fn labels(
    field: &str,
    labels: BTreeMap<String, String>,
    most: usize,
) -> Result<BTreeMap<String, String>, Error> {
    if labels.len() > most {
        return Err(Error::invalid(field, format!("has more than {most} pairs")));
    }
    for (key, value) in &labels {
        let name = || {
            format!("{field}[{key:?}]")
                .chars()
                .take(100)
                .collect::<String>()
        };
        if key.is_empty() || key.chars().count() > MAX_LABEL_KEY_CHARS {
            return Err(Error::invalid(
                name(),
                format!("a key must have 1 to {MAX_LABEL_KEY_CHARS} characters"),
            ));
        }
        if value.chars().count() > MAX_LABEL_VALUE_CHARS {
            return Err(Error::invalid(
                name(),
                format!("a value must have at most {MAX_LABEL_VALUE_CHARS} characters"),
            ));
        }
        no_nul(&name(), key)?;
        no_nul(&name(), value)?;
    }
    Ok(labels)
}

/// A chat status; unspecified is an error.
pub(crate) fn chat_status(field: &str, value: i32) -> Result<ChatStatus, Error> {
    match v1::ChatStatus::try_from(value) {
        Ok(v1::ChatStatus::Waiting) => Ok(ChatStatus::Waiting),
        Ok(v1::ChatStatus::Pending) => Ok(ChatStatus::Pending),
        Ok(v1::ChatStatus::Running) => Ok(ChatStatus::Running),
        Ok(v1::ChatStatus::Paused) => Ok(ChatStatus::Paused),
        Ok(v1::ChatStatus::Completed) => Ok(ChatStatus::Completed),
        Ok(v1::ChatStatus::Error) => Ok(ChatStatus::Error),
        Ok(v1::ChatStatus::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            format!("{value} is not a chat status"),
        )),
    }
}

/// A subject with exactly one id.
pub(crate) fn subject(field: &str, subject: &v1::Subject) -> Result<Subject, Error> {
    match &subject.subject {
        Some(v1::subject::Subject::UserId(id)) => Ok(Subject::User(UserId(uuid(
            &format!("{field}.user_id"),
            id,
        )?))),
        Some(v1::subject::Subject::GroupId(id)) => Ok(Subject::Group(GroupId(uuid(
            &format!("{field}.group_id"),
            id,
        )?))),
        None => Err(Error::invalid(field, "must have a user_id or a group_id")),
    }
}

/// A time of the database.
pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    // Floor, so that nanoseconds are never negative, as the contract's type wants.
    let nanoseconds = at.as_nanosecond();
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    let rest = nanoseconds.rem_euclid(1_000_000_000);
    prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: i32::try_from(rest).unwrap_or(0),
    }
}

/// How much of a chat a client asks for; `unspecified` if it does not say.
pub(crate) fn view(field: &str, value: i32, unspecified: View) -> Result<View, Error> {
    match v1::ChatView::try_from(value) {
        Ok(v1::ChatView::Unspecified) => Ok(unspecified),
        Ok(v1::ChatView::Basic) => Ok(View::Basic),
        Ok(v1::ChatView::Full) => Ok(View::Full),
        Err(_) => Err(Error::invalid(field, format!("{value} is not a view"))),
    }
}

/// A chat as clients see it; its shares only if `shares`. It is passed by value: a page has
/// thousands of texts, which need not be copied.
pub(crate) fn chat(chat: Chat, view: View, shares: bool) -> v1::Chat {
    let icon = chat.icon().to_owned();
    let etag = chat.etag().to_string();
    let (primary, all) = match view {
        View::Basic => {
            let mut refs = chat.diff_statuses.into_iter();
            (refs.find(|status| status.primary), Vec::new())
        }
        View::Full => (chat.primary().cloned(), chat.diff_statuses),
    };
    let subjects = |wanted: Level| {
        chat.shares
            .iter()
            .filter(|(_, level)| shares && *level == wanted)
            .map(|(subject, _)| render_subject(*subject))
            .collect()
    };
    v1::Chat {
        id: chat.id.to_string(),
        owner_id: chat.owner.to_string(),
        organization_id: chat.organization.map(|id| id.to_string()),
        workspace_id: chat.workspace.map(|id| id.to_string()),
        title: chat.title,
        status: render_chat_status(chat.status).into(),
        labels: chat.labels,
        archived: chat.archived,
        created_at: Some(timestamp(chat.created_at)),
        updated_at: Some(timestamp(chat.updated_at)),
        diff_status: primary.map(diff_status).map(|status| match view {
            View::Basic => list_row(status),
            View::Full => status,
        }),
        diff_statuses: all.into_iter().map(diff_status).collect(),
        readers: subjects(Level::Reader),
        writers: subjects(Level::Writer),
        icon,
        etag,
    }
}

fn render_subject(subject: Subject) -> v1::Subject {
    v1::Subject {
        subject: Some(match subject {
            Subject::User(id) => v1::subject::Subject::UserId(id.to_string()),
            Subject::Group(id) => v1::subject::Subject::GroupId(id.to_string()),
        }),
    }
}

fn render_chat_status(status: ChatStatus) -> v1::ChatStatus {
    match status {
        ChatStatus::Unspecified => v1::ChatStatus::Unspecified,
        ChatStatus::Waiting => v1::ChatStatus::Waiting,
        ChatStatus::Pending => v1::ChatStatus::Pending,
        ChatStatus::Running => v1::ChatStatus::Running,
        ChatStatus::Paused => v1::ChatStatus::Paused,
        ChatStatus::Completed => v1::ChatStatus::Completed,
        ChatStatus::Error => v1::ChatStatus::Error,
    }
}

fn diff_status(status: DiffStatus) -> v1::ChatDiffStatus {
    let icon = status.icon();
    let attention = attention::shown(&status);
    let problem_message = status.problem_message();
    // Destructured, so that a new fact does not compile until it is shown or left out on purpose.
    let DiffStatus {
        id,
        chat,
        git_remote_origin,
        git_branch,
        provider_id,
        repository,
        primary,
        reported_at,
        pull_request,
        attention: _,
        refreshed_at,
        freshness,
        next_refresh_at,
        problem,
    } = status;
    let mut message = v1::ChatDiffStatus {
        id: id.to_string(),
        chat_id: chat.to_string(),
        git_remote_origin,
        git_branch,
        provider_id,
        repository,
        primary,
        reported_at: Some(timestamp(reported_at)),
        refreshed_at: refreshed_at.map(timestamp),
        freshness: render_freshness(freshness).into(),
        next_refresh_at: next_refresh_at.map(timestamp),
        problem: problem.map(|problem| v1::Problem {
            class: problem.class.into(),
            message: problem_message.unwrap_or_default(),
            since: problem.since.map(timestamp),
        }),
        icon: icon.map(|icon| icon.name.to_owned()),
        icon_color: icon.map(|icon| icon.color.to_owned()),
        attention,
        ..v1::ChatDiffStatus::default()
    };
    if let Some(pull_request) = pull_request {
        pull_request::fill(&mut message, pull_request);
    }
    message
}

/// Without what no row of a list shows.
fn list_row(status: v1::ChatDiffStatus) -> v1::ChatDiffStatus {
    v1::ChatDiffStatus {
        chat_id: String::new(),
        git_remote_origin: String::new(),
        reported_at: None,
        head_branch: None,
        base_branch: None,
        head_sha: None,
        author_login: None,
        author_avatar_url: None,
        commits: None,
        ..status
    }
}

fn render_freshness(freshness: Freshness) -> v1::Freshness {
    match freshness {
        Freshness::Unspecified | Freshness::Unknown => v1::Freshness::Unspecified,
        Freshness::Fresh => v1::Freshness::Fresh,
        Freshness::Due => v1::Freshness::Due,
        Freshness::Refreshing => v1::Freshness::Refreshing,
        Freshness::Paused => v1::Freshness::Paused,
    }
}
