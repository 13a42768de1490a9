//! The chats to make, so that each thing that a list can show is there once.

use anyhow::Context as _;
use proto::chat::v1::{ChatStatus, ProblemClass, PullRequestState};
use testkit::github::sample::{Sample, SampleBranch, SampleState};
use uuid::Uuid;

use super::Stage;
use crate::{
    host::GitHost,
    options::Options,
    people::{COLLEAGUE, NEWCOMER, ORGANIZATION, OWNER, STRANGER},
};

/// The chats to make, and the accounts that their owners link.
#[derive(Default)]
pub(crate) struct Plan {
    pub(super) accounts: Vec<Account>,
    pub(super) chats: Vec<PlannedChat>,
}

pub(super) struct Account {
    pub(super) user: Uuid,
    pub(super) token: String,
}

pub(super) struct PlannedChat {
    pub(super) role: &'static str,
    pub(super) owner: Uuid,
    pub(super) organization: Option<Uuid>,
    pub(super) title: String,
    pub(super) status: ChatStatus,
    pub(super) archived: bool,
    pub(super) share: Option<Share>,
    pub(super) git_ref: Option<GitRef>,
}

/// The subject that a chat is shared with.
#[derive(Clone, Copy)]
pub(super) enum Share {
    ReviewersRead,
    ColleagueWrites,
    OwnerReads,
}

/// A branch that is reported.
pub(crate) struct GitRef {
    /// The remote's URL.
    pub(crate) origin: String,
    /// `owner/name`.
    pub(crate) repository: String,
    /// The branch.
    pub(crate) branch: String,
    expected: Expected,
}

/// What the worker must find in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A pull request in this state.
    State(PullRequestState),
    /// No pull request.
    NoPullRequest,
    /// A problem of this class.
    Problem(ProblemClass),
    /// What a real host has is not known.
    Anything,
}

impl GitRef {
    /// What the worker must find at this stage.
    pub(super) fn expected(&self, stage: Stage) -> Expected {
        match stage {
            Stage::Opened if self.settles() => Expected::State(PullRequestState::Open),
            Stage::Opened | Stage::Settled => self.expected,
        }
    }

    /// Whether its pull request is merged or closed in the end.
    pub(super) fn settles(&self) -> bool {
        use PullRequestState::{Closed, Merged};
        matches!(self.expected, Expected::State(Merged | Closed))
    }
}

/// Statuses of the chats of the sample's pull requests, in their order: each icon of a pull request
/// and each icon of a status shows.
const STATUSES: [ChatStatus; 10] = [
    ChatStatus::Waiting,
    ChatStatus::Running,
    ChatStatus::Completed,
    ChatStatus::Completed,
    ChatStatus::Pending,
    ChatStatus::Waiting,
    ChatStatus::Waiting,
    ChatStatus::Paused,
    ChatStatus::Error,
    ChatStatus::Completed,
];

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
    let mut plan = Plan {
        accounts: vec![
            account(OWNER, "ann")?,
            account(STRANGER, "dmitri")?,
            account(COLLEAGUE, "bob")?,
        ],
        chats: Vec::new(),
    };
    let shares = [Share::ReviewersRead, Share::ColleagueWrites];
    let statuses = STATUSES.into_iter().cycle();
    for ((index, pull_request), status) in sample.pull_requests.iter().enumerate().zip(statuses) {
        let git_ref = branch(host, &pull_request.head, state(pull_request.state));
        let chat = plan.add("owner", &pull_request.title, status);
        chat.git_ref = Some(git_ref);
        chat.share = shares.get(index).copied();
    }
    for of in &sample.branches {
        let title = format!("Work on {}", of.branch);
        let chat = plan.add("owner", &title, ChatStatus::Waiting);
        chat.git_ref = Some(branch(host, of, Expected::NoPullRequest));
    }
    plan.add("owner", "Explain the build pipeline", ChatStatus::Completed);
    let missing = Expected::Problem(ProblemClass::RepositoryNotFound);
    plan.add("owner", "Count overtime by the hour", ChatStatus::Waiting)
        .git_ref = Some(git_ref(host, "acme/payroll", "feat/overtime", missing));
    plan.add("owner", "Try another test runner", ChatStatus::Completed)
        .archived = true;

    for (role, login) in [("stranger", "dmitri"), ("colleague", "bob")] {
        for pull_request in sample.pull_requests_of(login) {
            let git_ref = branch(host, &pull_request.head, state(pull_request.state));
            plan.add(role, &pull_request.title, ChatStatus::Waiting)
                .git_ref = Some(git_ref);
        }
        plan.add(role, "Explain the build pipeline", ChatStatus::Waiting);
    }
    let shared = plan.add("colleague", "Review the release notes", ChatStatus::Running);
    shared.share = Some(Share::OwnerReads);
    // Of a user who has linked no account.
    let unlinked = Expected::Problem(ProblemClass::NoAccount);
    let chat = plan.add("newcomer", "Fix my first bug", ChatStatus::Waiting);
    chat.git_ref = Some(git_ref(host, "acme/web", "fix/first-bug", unlinked));
    chat.share = Some(Share::OwnerReads);
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
        let title = format!("{repository}, {branch}");
        plan.add("owner", &title, ChatStatus::Waiting).git_ref =
            Some(git_ref(host, repository, branch, Expected::Anything));
    }
    for role in ["owner", "stranger", "colleague"] {
        plan.add(role, "Explain the build pipeline", ChatStatus::Waiting);
    }
    plan
}

impl Plan {
    /// Whether a branch is to be looked up.
    pub(crate) fn has_branches(&self) -> bool {
        self.chats.iter().any(|chat| chat.git_ref.is_some())
    }

    fn add(&mut self, role: &'static str, title: &str, status: ChatStatus) -> &mut PlannedChat {
        let (owner, organization) = match role {
            "stranger" => (STRANGER, None),
            "colleague" => (COLLEAGUE, Some(ORGANIZATION)),
            "newcomer" => (NEWCOMER, Some(ORGANIZATION)),
            _ => (OWNER, Some(ORGANIZATION)),
        };
        let index = self.chats.len();
        self.chats.push(PlannedChat {
            role,
            owner,
            organization,
            title: title.to_owned(),
            status,
            archived: false,
            share: None,
            git_ref: None,
        });
        &mut self.chats[index]
    }
}

fn branch(host: &GitHost, of: &SampleBranch, expected: Expected) -> GitRef {
    git_ref(host, &of.repository, &of.branch, expected)
}

fn git_ref(host: &GitHost, repository: &str, branch: &str, expected: Expected) -> GitRef {
    GitRef {
        origin: host.origin(repository),
        repository: repository.to_owned(),
        branch: branch.to_owned(),
        expected,
    }
}

fn state(state: SampleState) -> Expected {
    Expected::State(match state {
        SampleState::Open => PullRequestState::Open,
        SampleState::Draft => PullRequestState::Draft,
        SampleState::Merged => PullRequestState::Merged,
        SampleState::Closed => PullRequestState::Closed,
    })
}
