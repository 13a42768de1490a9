//! `UpdateChat`, `UpdateChatSharing` and `ReportGitRef`: from the request to what changes.

use policy::{Level, Subject};
use proto::chat::v1;

use super::convert;
use crate::{
    chat::{ChatChanges, MAX_SUBJECTS},
    error::Error,
    git_ref::{ReportGitRef, Target},
    id::{ChatId, UserId, WorkspaceId},
};

/// Paths of a mask at most; there are four to name.
const MAX_PATHS: usize = 16;

/// The changes that the mask names.
pub(crate) fn changes(request: v1::UpdateChatRequest) -> Result<ChatChanges, Error> {
    let v1::UpdateChatRequest {
        chat_id: _,
        title,
        status,
        labels,
        archived,
        update_mask,
    } = request;
    let paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        return Err(Error::invalid(
            "update_mask",
            "must name at least one field",
        ));
    }
    if paths.len() > MAX_PATHS {
        return Err(Error::invalid(
            "update_mask",
            format!("has more than {MAX_PATHS} paths"),
        ));
    }
    let mut changes = ChatChanges::default();
    for path in &paths {
        let missing = || Error::invalid(path.as_str(), "is in update_mask but has no value");
        match path.as_str() {
            "title" => {
                let title = title.as_deref().ok_or_else(missing)?;
                changes.title = Some(convert::title("title", title)?);
            }
            "status" => {
                let status = status.ok_or_else(missing)?;
                changes.status = Some(convert::chat_status("status", status)?);
            }
            // An empty map takes all labels away.
            "labels" => changes.labels = Some(convert::chat_labels("labels", labels.clone())?),
            "archived" => changes.archived = Some(archived.ok_or_else(missing)?),
            _ => {
                let shown: String = path.chars().take(100).collect();
                return Err(Error::invalid(
                    "update_mask",
                    format!("{shown:?} is not one of title, status, labels, archived"),
                ));
            }
        }
    }
    Ok(changes)
}

/// Whom to share a chat with, and from whom to take it.
pub(crate) struct Sharing {
    /// Whom to share with, at which level.
    pub(crate) add: Vec<(Subject, Level)>,
    /// From whom to take it.
    pub(crate) remove: Vec<Subject>,
}

/// What the request says about sharing; nobody is named twice.
pub(crate) fn sharing(request: &v1::UpdateChatSharingRequest) -> Result<Sharing, Error> {
    let v1::UpdateChatSharingRequest {
        chat_id: _,
        add_readers,
        add_writers,
        remove,
    } = request;
    let mut seen = std::collections::BTreeSet::new();
    let mut parse = |field: &str, subjects: &[v1::Subject]| {
        if subjects.len() > MAX_SUBJECTS {
            return Err(Error::invalid(
                field,
                format!("has more than {MAX_SUBJECTS} subjects"),
            ));
        }
        subjects
            .iter()
            .enumerate()
            .map(|(index, subject)| {
                let field = format!("{field}[{index}]");
                let subject = convert::subject(&field, subject)?;
                if seen.insert(subject) {
                    Ok(subject)
                } else {
                    Err(Error::invalid(field, "is named twice"))
                }
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let readers = parse("add_readers", add_readers)?;
    let writers = parse("add_writers", add_writers)?;
    let remove = parse("remove", remove)?;
    if readers.is_empty() && writers.is_empty() && remove.is_empty() {
        return Err(Error::invalid("add_readers", "nothing to add or remove"));
    }
    let add = readers
        .into_iter()
        .map(|subject| (subject, Level::Reader))
        .chain(writers.into_iter().map(|subject| (subject, Level::Writer)))
        .collect();
    Ok(Sharing { add, remove })
}

/// What was pushed, for which chats.
pub(crate) fn report(request: v1::ReportGitRefRequest) -> Result<ReportGitRef, Error> {
    let v1::ReportGitRefRequest {
        target,
        git_remote_origin,
        git_branch,
        commit,
    } = request;
    let target = match target {
        Some(v1::report_git_ref_request::Target::ChatId(id)) => {
            Target::Chat(ChatId(convert::uuid("chat_id", &id)?))
        }
        Some(v1::report_git_ref_request::Target::Workspace(workspace)) => Target::Workspace {
            owner: UserId(convert::uuid("workspace.owner_id", &workspace.owner_id)?),
            workspace: WorkspaceId(convert::uuid(
                "workspace.workspace_id",
                &workspace.workspace_id,
            )?),
        },
        None => return Err(Error::invalid("target", "must be a chat_id or a workspace")),
    };
    Ok(ReportGitRef {
        target,
        origin: git_remote_origin,
        branch: git_branch,
        commit,
    })
}
