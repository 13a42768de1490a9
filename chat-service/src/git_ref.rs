//! Reports of git refs: what the agent pushed, for one chat or for all of an owner in a workspace.

use policy::ChatFacts;
use proto::reason;

use crate::{
    authz::{Action, Authorizer, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::{ChatId, UserId, WorkspaceId},
    store::{
        Store,
        git_ref::{NewGitRef, ReportedRefs},
    },
};

/// Unarchived chats of one workspace to which a push can belong at most.
pub const MAX_WORKSPACE_CHATS: usize = 1_000;
/// Chats that one transaction reports a ref of at most: other writers of them wait for no more.
const BATCH: usize = 100;

/// Which chats a push belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Chat(ChatId),
    /// All unarchived chats of an owner in a workspace.
    Workspace {
        owner: UserId,
        workspace: WorkspaceId,
    },
}

/// Records that an agent pushed `git_ref`: the ref becomes the primary of the chats, is due at
/// once, and watchers see it. Returns those chats. Those of a workspace are written in batches:
/// what was written before a failure stays, and a repeated report writes the rest.
///
/// # Errors
///
/// [`Error::NotVisible`], [`Error::NotAllowed`], and [`Error::FailedPrecondition`] for a workspace
/// with more than [`MAX_WORKSPACE_CHATS`]: nothing is written then.
pub(crate) async fn report(
    store: &Store,
    authorizer: &Authorizer,
    notifier: &Notifier,
    principal: &Principal,
    target: Target,
    git_ref: &NewGitRef,
) -> Result<Vec<ChatId>, Error> {
    let allowed = authorizer.chats(principal, Action::ReportGitRef);
    let notify = |reported: &ReportedRefs| {
        if reported.changed {
            notifier.notify(Topic::Changes);
        }
        if reported.due {
            notifier.notify(Topic::Due);
        }
    };
    let (owner, workspace) = match target {
        Target::Chat(chat) => {
            let readable = authorizer.chats(principal, Action::ReadChat);
            let reported = store
                .report_chat_ref(readable, allowed, chat, git_ref)
                .await?;
            notify(&reported);
            return Ok(reported.chats);
        }
        Target::Workspace { owner, workspace } => (owner, workspace),
    };
    let listed = store
        .list_workspace_chats(&allowed, owner, workspace, MAX_WORKSPACE_CHATS + 1)
        .await?;
    // None of this owner's chats would match, and an empty answer would look like success.
    if listed.is_empty() && !allowed.holds(&ChatFacts::of_owner(owner)) {
        return Err(Error::NotAllowed {
            action: Action::ReportGitRef.name(),
        });
    }
    if listed.len() > MAX_WORKSPACE_CHATS {
        return Err(Error::FailedPrecondition {
            problem: "the workspace has more than 1,000 unarchived chats",
            reason: reason::TOO_MANY_CHATS,
        });
    }
    let mut chats = Vec::new();
    for batch in listed.chunks(BATCH) {
        let reported = store
            .report_workspace_ref(&allowed, owner, workspace, batch, git_ref)
            .await?;
        notify(&reported);
        chats.extend(reported.chats);
    }
    Ok(chats)
}
