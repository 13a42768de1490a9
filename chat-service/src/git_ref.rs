//! Reports of git refs: what the agent pushed, for one chat or for all of an owner in a workspace.

use policy::ChatFacts;

use crate::{
    authz::{Action, Authorizer, Principal},
    branch_name::{Branch, parse_commit},
    error::Error,
    events::bell::{Bell, Ring},
    id::{ChatId, UserId, WorkspaceId},
    provider::{
        Providers,
        origin::{self, OriginError},
    },
    store::{Store, chat::Guarded, git_ref::NewGitRef},
};

/// What an agent pushed, as it was reported.
#[derive(Clone)]
pub struct ReportGitRef {
    /// Which chats the push belongs to.
    pub target: Target,
    /// The remote's URL. May hold a token, so that this has no `Debug`.
    pub origin: String,
    /// The branch.
    pub branch: String,
    /// The commit, if it was told.
    pub commit: Option<String>,
}

/// Which chats a push belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Chat(ChatId),
    /// All unarchived chats of an owner in a workspace.
    Workspace {
        /// Whose.
        owner: UserId,
        /// Where.
        workspace: WorkspaceId,
    },
}

/// Records that an agent pushed: the ref becomes the primary of the chats, is due at once, and
/// watchers see it. Returns those chats.
///
/// # Errors
///
/// [`Error::InvalidArgument`] for an origin, branch or commit that cannot be one, and (reason
/// `PROVIDER_NOT_CONFIGURED`) for a foreign host; [`Error::NotVisible`] and [`Error::NotAllowed`].
pub async fn report(
    store: &Store,
    authorizer: &Authorizer,
    bell: &Bell,
    providers: &Providers,
    principal: &Principal,
    report: ReportGitRef,
) -> Result<Vec<ChatId>, Error> {
    let ReportGitRef {
        target,
        origin,
        branch,
        commit,
    } = report;
    let git_ref = NewGitRef {
        origin: origin::parse(providers, &origin).map_err(refused)?,
        branch: Branch::parse(&branch).map_err(|problem| Error::invalid("git_branch", problem))?,
        commit: commit
            .map(|commit| parse_commit(&commit))
            .transpose()
            .map_err(|problem| Error::invalid("commit", problem))?,
    };
    let allowed = authorizer.chats(principal, Action::ReportGitRef);
    let reported = match target {
        Target::Chat(chat) => {
            let readable = authorizer.chats(principal, Action::ReadChat);
            let done = store
                .report_chat_ref(readable, allowed, chat, &git_ref)
                .await?;
            match done {
                Guarded::Done(reported) => reported,
                Guarded::NotVisible => return Err(Error::NotVisible { resource: "chat" }),
                Guarded::NotAllowed => return Err(not_allowed()),
            }
        }
        Target::Workspace { owner, workspace } => {
            // Nobody's chats would match, and an empty answer would look like success.
            let hopeless = !allowed.holds(&ChatFacts::of_owner(owner));
            let reported = store
                .report_workspace_ref(allowed, owner, workspace, &git_ref)
                .await?;
            if reported.chats.is_empty() && hopeless {
                return Err(not_allowed());
            }
            reported
        }
    };
    if reported.changed {
        bell.ring(Ring::Changes);
        bell.ring(Ring::Due);
    }
    Ok(reported.chats)
}

fn not_allowed() -> Error {
    Error::NotAllowed {
        action: Action::ReportGitRef.name(),
    }
}

fn refused(error: OriginError) -> Error {
    let reason = match error {
        OriginError::Invalid(_) => proto::reason::FIELD_INVALID,
        OriginError::ProviderNotConfigured => proto::reason::PROVIDER_NOT_CONFIGURED,
    };
    Error::InvalidArgument {
        field: "git_remote_origin".to_owned(),
        problem: error.to_string(),
        reason,
    }
}
