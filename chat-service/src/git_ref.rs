//! Reports of git refs: what the agent pushed, for one chat or for all of an owner in a workspace.

use policy::ChatFacts;

use crate::{
    authz::{Action, Authorizer, Principal},
    error::Error,
    events::notifier::{Notifier, Topic},
    id::{ChatId, UserId, WorkspaceId},
    store::{Store, git_ref::NewGitRef},
};

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

/// Records that an agent pushed `git_ref`: the ref becomes the primary of the chats, is due at once, and
/// watchers see it. Returns those chats.
///
/// # Errors
///
/// [`Error::NotVisible`] and [`Error::NotAllowed`].
pub(crate) async fn report(
    store: &Store,
    authorizer: &Authorizer,
    notifier: &Notifier,
    principal: &Principal,
    target: Target,
    git_ref: &NewGitRef,
) -> Result<Vec<ChatId>, Error> {
    let allowed = authorizer.chats(principal, Action::ReportGitRef);
    let reported = match target {
        Target::Chat(chat) => {
            let readable = authorizer.chats(principal, Action::ReadChat);
            store
                .report_chat_ref(readable, allowed, chat, git_ref)
                .await?
        }
        Target::Workspace { owner, workspace } => {
            // Nobody's chats would match, and an empty answer would look like success.
            let hopeless = !allowed.holds(&ChatFacts::of_owner(owner));
            let reported = store
                .report_workspace_ref(allowed, owner, workspace, git_ref)
                .await?;
            if reported.chats.is_empty() && hopeless {
                return Err(Error::NotAllowed {
                    action: Action::ReportGitRef.name(),
                });
            }
            reported
        }
    };
    if reported.changed {
        notifier.notify(Topic::Changes);
    }
    if reported.due {
        notifier.notify(Topic::Due);
    }
    Ok(reported.chats)
}
