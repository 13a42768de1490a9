//! `UpdateChat`, `UpdateChatSharing` and `ReportGitRef`: from the request to what changes.

use std::collections::BTreeSet;

use policy::{Level, Subject};
use proto::{chat::v1, reason};

use super::convert;
use crate::{
    branch_name::{Branch, parse_commit},
    chat::{ChatChanges, MAX_LABELS, MAX_SUBJECTS},
    error::Error,
    git_ref::Target,
    id::{UserId, WorkspaceId},
    provider::{
        Providers,
        origin::{self, OriginError},
    },
    store::git_ref::NewGitRef,
};

/// Paths of a mask at most: every field, and every label of a chat replaced by another one.
const MAX_PATHS: usize = 4 + 2 * MAX_LABELS;

/// The changes that the mask names.
pub(crate) fn changes(request: v1::UpdateChatRequest) -> Result<ChatChanges, Error> {
    let paths = request
        .update_mask
        .map(|mask| mask.paths)
        .unwrap_or_default();
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
                let title = request.title.as_deref().ok_or_else(missing)?;
                changes.title = Some(convert::title("title", title)?);
            }
            "status" => {
                let status = request.status.ok_or_else(missing)?;
                changes.status = Some(convert::chat_status("status", status)?);
            }
            // An empty map takes all labels away.
            "labels" => {
                changes.labels = Some(convert::labels(
                    "labels",
                    request.labels.clone(),
                    MAX_LABELS,
                )?);
            }
            "archived" => changes.archived = Some(request.archived.ok_or_else(missing)?),
            _ => {
                let key = path.strip_prefix("labels.").ok_or_else(|| {
                    let shown: String = path.chars().take(100).collect();
                    let fields = "title, status, labels, labels.KEY, archived";
                    Error::invalid("update_mask", format!("{shown:?} is not one of {fields}"))
                })?;
                let key = label_key(key);
                let value = request.labels.get(&key).cloned();
                // The key of a label that is removed has the same bounds.
                let one = [(key.clone(), value.clone().unwrap_or_default())];
                convert::labels("labels", one.into(), 1)?;
                changes.single_labels.insert(key, value);
            }
        }
    }
    // `labels` replaces all of them, so that single ones change nothing more.
    if changes.labels.is_some() {
        changes.single_labels.clear();
    }
    Ok(changes)
}

/// The key that the rest of a path names: as it is, or in backticks.
fn label_key(text: &str) -> String {
    let quoted = text
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    quoted.map_or_else(|| text.to_owned(), |quoted| quoted.replace("``", "`"))
}

/// A change of a chat's shares.
pub(crate) struct ShareChange {
    /// The subjects to share with, at which level.
    pub(crate) add: Vec<(Subject, Level)>,
    /// The subjects to stop sharing with.
    pub(crate) remove: Vec<Subject>,
}

/// Reads the change of shares from the request; no subject is named twice.
pub(crate) fn sharing(request: &v1::UpdateChatSharingRequest) -> Result<ShareChange, Error> {
    let mut seen = BTreeSet::new();
    let mut parse = |field: &str, subjects: &[v1::Subject]| {
        if subjects.len() > MAX_SUBJECTS {
            return Err(Error::invalid(
                field,
                format!("has more than {MAX_SUBJECTS} subjects"),
            ));
        }
        convert::each(field, subjects, |field, subject| {
            convert::first_time(field, convert::subject(field, subject)?, &mut seen)
        })
    };
    let readers = parse("add_readers", &request.add_readers)?;
    let writers = parse("add_writers", &request.add_writers)?;
    let remove = parse("remove", &request.remove)?;
    if readers.is_empty() && writers.is_empty() && remove.is_empty() {
        return Err(Error::invalid("add_readers", "nothing to add or remove"));
    }
    let add = readers
        .into_iter()
        .map(|subject| (subject, Level::Reader))
        .chain(writers.into_iter().map(|subject| (subject, Level::Writer)))
        .collect();
    Ok(ShareChange { add, remove })
}

/// A share and its level, for the audit log.
pub(crate) fn shared_with((subject, level): &(Subject, Level)) -> String {
    format!("{} {}", subject_name(subject), level.name())
}

/// A user or a group, for the audit.
pub(crate) fn subject_name(subject: &Subject) -> String {
    match subject {
        Subject::User(id) => format!("user {id}"),
        Subject::Group(id) => format!("group {id}"),
    }
}

/// The pushed branch, and its chats.
pub(crate) fn report(
    request: v1::ReportGitRefRequest,
    providers: &Providers,
) -> Result<(Target, NewGitRef), Error> {
    let target = match request.target {
        Some(v1::report_git_ref_request::Target::ChatId(id)) => {
            Target::Chat(convert::chat_id(&id)?)
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
    let refused = |error: OriginError| Error::InvalidArgument {
        field: "git_remote_origin".to_owned(),
        problem: error.to_string(),
        reason: match error {
            OriginError::Invalid(_) => reason::FIELD_INVALID,
            OriginError::ProviderNotConfigured => reason::PROVIDER_NOT_CONFIGURED,
        },
    };
    let invalid = |field| move |problem| Error::invalid(field, problem);
    let git_ref = NewGitRef {
        origin: origin::parse(providers, &request.git_remote_origin).map_err(refused)?,
        branch: Branch::parse(&request.git_branch).map_err(invalid("git_branch"))?,
        commit: request
            .commit
            .map(|commit| parse_commit(&commit))
            .transpose()
            .map_err(invalid("commit"))?,
    };
    Ok((target, git_ref))
}
