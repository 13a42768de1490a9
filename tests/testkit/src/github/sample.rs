//! A believable organization, for demonstrations and for the launcher.

use super::{GitHub, ReviewState};

/// The organization's login.
pub const ORGANIZATION: &str = "acme";

/// The sample organization, as [`organization`] made it.
#[derive(Clone)]
pub struct Sample {
    /// Those who work there, each with a token.
    pub users: Vec<SampleUser>,
    /// The pull requests, open or not.
    pub pull_requests: Vec<SamplePullRequest>,
    /// Branches that have no pull request.
    pub branches: Vec<SampleBranch>,
}

/// A member of the sample organization. It has a secret and therefore no `Debug`.
#[derive(Clone)]
pub struct SampleUser {
    /// The login.
    pub login: String,
    /// The number that GitHub knows them by.
    pub id: u64,
    /// A token of theirs, with access to every repository of the organization.
    pub token: String,
}

/// A branch of a repository, and whose agent pushed it.
#[derive(Clone, Debug)]
pub struct SampleBranch {
    /// `owner/name` of the repository that has the branch; for a fork, of the fork.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The login of the [`SampleUser`] whose it is.
    pub author: String,
}

/// A pull request of the sample organization.
#[derive(Clone, Debug)]
pub struct SamplePullRequest {
    /// Where it comes from.
    pub head: SampleBranch,
    /// `owner/name` of the repository that it goes to.
    pub repository: String,
    /// Its number there.
    pub number: u64,
    /// What has become of it.
    pub state: SampleState,
    /// The title.
    pub title: String,
}

/// What has become of a sample pull request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SampleState {
    /// Open and ready for review.
    Open,
    /// Open, and not ready for review.
    Draft,
    /// Merged.
    Merged,
    /// Closed without being merged.
    Closed,
}

impl Sample {
    /// The user of that login.
    pub fn user(&self, login: &str) -> Option<&SampleUser> {
        self.users.iter().find(|user| user.login == login)
    }

    /// The pull requests of one author.
    pub fn pull_requests_of(&self, login: &str) -> impl Iterator<Item = &SamplePullRequest> {
        self.pull_requests
            .iter()
            .filter(move |pull_request| pull_request.head.author == login)
    }
}

struct Row {
    repository: &'static str,
    fork_owner: Option<&'static str>,
    branch: &'static str,
    author: &'static str,
    title: &'static str,
    state: SampleState,
    diff: (u64, u64, u64),
    commits: u64,
    reviews: &'static [(&'static str, ReviewState)],
}

const REPOSITORIES: [(&str, bool); 3] = [
    ("acme/web", true),
    ("acme/api", true),
    ("acme/mobile", false),
];
const USERS: [&str; 4] = ["ann", "bob", "carla", "dmitri"];
const BRANCHES: [(&str, &str, &str); 2] = [
    ("acme/web", "spike/web-components", "ann"),
    ("acme/api", "chore/bump-postgres", "carla"),
];

/// Commit statuses of the heads of branches, in the words of the GraphQL API.
const CHECKS: [(&str, &str, &str); 8] = [
    ("feat/dark-mode", "ci/build", "SUCCESS"),
    ("feat/dark-mode", "ci/unit-tests", "SUCCESS"),
    ("fix/login-redirect-loop", "ci/build", "SUCCESS"),
    ("fix/login-redirect-loop", "ci/unit-tests", "FAILURE"),
    ("refactor/settings-page", "ci/build", "PENDING"),
    ("fix/typo-in-footer", "ci/build", "SUCCESS"),
    ("feat/rate-limits", "ci/build", "FAILURE"),
    ("feat/offline-drafts", "ci/build", "PENDING"),
];

const ROWS: [Row; 10] = [
    Row {
        repository: "acme/web",
        fork_owner: None,
        branch: "feat/dark-mode",
        author: "ann",
        title: "Add a dark colour scheme",
        state: SampleState::Open,
        diff: (412, 87, 23),
        commits: 6,
        reviews: &[
            ("bob", ReviewState::Commented),
            ("carla", ReviewState::Approved),
        ],
    },
    Row {
        repository: "acme/web",
        fork_owner: None,
        branch: "fix/login-redirect-loop",
        author: "bob",
        title: "Stop the redirect loop after an expired login",
        state: SampleState::Open,
        diff: (38, 12, 3),
        commits: 2,
        reviews: &[("ann", ReviewState::ChangesRequested)],
    },
    Row {
        repository: "acme/web",
        fork_owner: None,
        branch: "refactor/settings-page",
        author: "ann",
        title: "Split the settings page into sections",
        state: SampleState::Draft,
        diff: (956, 1021, 41),
        commits: 11,
        reviews: &[],
    },
    Row {
        repository: "acme/web",
        fork_owner: None,
        branch: "feat/csv-export",
        author: "carla",
        title: "Export reports as CSV",
        state: SampleState::Merged,
        diff: (201, 4, 9),
        commits: 3,
        reviews: &[
            ("bob", ReviewState::ChangesRequested),
            ("bob", ReviewState::Approved),
        ],
    },
    Row {
        repository: "acme/web",
        fork_owner: Some("dmitri"),
        branch: "fix/typo-in-footer",
        author: "dmitri",
        title: "Fix a typo in the footer",
        state: SampleState::Open,
        diff: (1, 1, 1),
        commits: 1,
        reviews: &[],
    },
    Row {
        repository: "acme/api",
        fork_owner: None,
        branch: "feat/rate-limits",
        author: "carla",
        title: "Limit requests by account",
        state: SampleState::Open,
        diff: (634, 58, 17),
        commits: 9,
        reviews: &[
            ("ann", ReviewState::Approved),
            ("bob", ReviewState::Approved),
        ],
    },
    Row {
        repository: "acme/api",
        fork_owner: None,
        branch: "experiment/graphql",
        author: "bob",
        title: "Try GraphQL for the search endpoint",
        state: SampleState::Closed,
        diff: (1_840, 12, 29),
        commits: 14,
        reviews: &[("carla", ReviewState::Commented)],
    },
    Row {
        repository: "acme/api",
        fork_owner: None,
        branch: "perf/batch-writes",
        author: "ann",
        title: "Write events in batches",
        state: SampleState::Merged,
        diff: (148, 96, 7),
        commits: 4,
        reviews: &[("carla", ReviewState::Approved)],
    },
    Row {
        repository: "acme/mobile",
        fork_owner: None,
        branch: "feat/offline-drafts",
        author: "dmitri",
        title: "Keep drafts while offline",
        state: SampleState::Draft,
        diff: (523, 31, 18),
        commits: 5,
        reviews: &[("ann", ReviewState::Commented)],
    },
    Row {
        repository: "acme/mobile",
        fork_owner: None,
        branch: "fix/crash-on-rotate",
        author: "bob",
        title: "Do not crash when the screen rotates",
        state: SampleState::Open,
        diff: (27, 9, 2),
        commits: 1,
        reviews: &[
            ("dmitri", ReviewState::ChangesRequested),
            ("ann", ReviewState::Approved),
        ],
    },
];

/// Fills a stand-in with the organization `acme`.
///
/// It has three repositories, two of them private; four users with tokens; pull requests in every
/// state, one of them from a fork, with reviews and checks; and branches without a pull request.
pub fn organization(github: &GitHub) -> Sample {
    github.organization(ORGANIZATION);
    let handles = USERS.map(|login| github.user(login));
    for (full_name, private) in REPOSITORIES {
        let repository = github.repository(full_name);
        for user in &handles {
            repository.grant(user);
        }
        if !private {
            repository.public();
        }
    }
    let users = handles
        .iter()
        .map(|user| SampleUser {
            login: user.login(),
            id: user.id(),
            token: user.token(),
        })
        .collect();
    let branches = BRANCHES
        .map(|(repository, branch, author)| {
            github.repository(repository).push(branch);
            sample_branch(repository, branch, author)
        })
        .into();
    let pull_requests = ROWS.iter().map(|row| create(github, row)).collect();
    Sample {
        users,
        pull_requests,
        branches,
    }
}

fn create(github: &GitHub, row: &Row) -> SamplePullRequest {
    let Row {
        repository,
        fork_owner,
        branch,
        author,
        title,
        state,
        diff,
        commits,
        reviews,
    } = row;
    let (additions, deletions, changed_files) = *diff;
    let mut new = github
        .pull_request(repository)
        .head(branch)
        .author(author)
        .title(title)
        .diff(additions, deletions, changed_files)
        .commits(*commits);
    let mut source = (*repository).to_owned();
    if let Some(owner) = fork_owner {
        source = github.fork(repository, owner).full_name();
        new = new.from_fork(&source);
    }
    if *state == SampleState::Draft {
        new = new.draft();
    }
    let number = new.open();
    for (reviewer, verdict) in *reviews {
        github.review(repository, number, reviewer, *verdict);
    }
    for (_, context, state) in CHECKS.iter().filter(|(of, _, _)| of == branch) {
        github.commit_status(repository, number, context, state);
    }
    match state {
        SampleState::Merged => github.merge(repository, number),
        SampleState::Closed => github.close(repository, number),
        SampleState::Open | SampleState::Draft => {}
    }
    SamplePullRequest {
        head: sample_branch(&source, branch, author),
        repository: (*repository).to_owned(),
        number,
        state: *state,
        title: (*title).to_owned(),
    }
}

fn sample_branch(repository: &str, branch: &str, author: &str) -> SampleBranch {
    SampleBranch {
        repository: repository.to_owned(),
        branch: branch.to_owned(),
        author: author.to_owned(),
    }
}
