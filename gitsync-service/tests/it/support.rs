//! Leases and refs to look up, and what came of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gitsync_service::{
    lease::{
        BudgetKey, BudgetView, Credential, KnownPullRequest, Lease, LeaseGroup, LeaseToken,
        LeasedRef, Provider, ProviderKind, RepositoryPath, Upstream, Window,
    },
    outcome::{
        BudgetObservation, CredentialObservation, CredentialState, Finding, FoundPullRequest,
        Outcome, Pause, ProblemClass, ProblemName as _, PullRequestState,
    },
    pace,
    refresh::{Refresher, RefresherBuilder},
    schedule::Schedule,
    worker::TICK_TIMEOUT,
};
use proto::sync::{Fence, GitAccountId, GitRefId};
use testkit::github::GitHub;
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

/// Without jitter, so that intervals are exact.
pub(crate) fn exact_schedule() -> Schedule {
    Schedule {
        jitter_percent: 0,
        failure_jitter_percent: 0,
        ..Schedule::default()
    }
}

/// Asks for many refs at once, and for the next as soon as it has an answer.
pub(crate) fn engine() -> Refresher {
    patient_engine(Duration::ZERO).build().unwrap()
}

/// The same, to be set up further; waits for so long after a query that the host gave up on.
pub(crate) fn patient_engine(heavy_pause: Duration) -> RefresherBuilder {
    Refresher::builder()
        .schedule(exact_schedule())
        .pace(pace::Settings {
            burst: 1000,
            pauses: pace::Pauses {
                heavy_pause,
                heavy_spread: Duration::ZERO,
                ..pace::Pauses::default()
            },
            ..pace::Settings::default()
        })
}

/// Asks for one ref at a time, over REST.
pub(crate) fn refresher() -> Refresher {
    rest().build().unwrap()
}

/// The same, to be set up further.
pub(crate) fn rest() -> RefresherBuilder {
    Refresher::builder()
        .schedule(exact_schedule())
        .graphql(false)
}

/// Keeps nothing of a budget for anybody else.
pub(crate) fn without_reserve() -> pace::Settings {
    pace::Settings {
        reserve_percent: 0,
        reserve_least: 0,
        interactive_floor_percent: 0,
        ..pace::Settings::default()
    }
}

/// The id of what a test calls by this name.
pub(crate) fn id(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

/// What a test calls it.
pub(crate) fn name(id: Uuid) -> String {
    let bytes = id.as_bytes().iter().copied();
    String::from_utf8(bytes.take_while(|byte| *byte != 0).collect()).unwrap()
}

/// As all refs are leased by default.
pub(crate) const FENCE: Fence = Fence {
    report_seq: 7,
    looks: 3,
    generation: 4,
};

pub(crate) fn git_ref(name: &str, repository: &str, branch: &str) -> LeasedRef {
    let repository = RepositoryPath::parse(repository).unwrap();
    LeasedRef {
        fence: FENCE,
        // Most tests are not about forks.
        upstream: Upstream::NoFork,
        ..LeasedRef::new(GitRefId(id(name)), repository, branch)
    }
}

pub(crate) fn knowing(git_ref: LeasedRef, repository: &str, number: u64) -> LeasedRef {
    LeasedRef {
        known: Some(KnownPullRequest {
            repository: repository.to_owned(),
            number: i32::try_from(number).unwrap(),
            state: PullRequestState::Open,
            draft: false,
            host_id: None,
        }),
        ..git_ref
    }
}

pub(crate) fn group(github: &GitHub, token: &str, refs: Vec<LeasedRef>) -> LeaseGroup {
    group_at(&github.api_base_url(), Some(token), refs)
}

pub(crate) fn group_at(
    api_base_url: &str,
    token: Option<&str>,
    refs: Vec<LeasedRef>,
) -> LeaseGroup {
    LeaseGroup {
        provider: Provider {
            id: "github".to_owned(),
            kind: ProviderKind::Github,
            host: "github.com".to_owned(),
            api_base_url: api_base_url.to_owned(),
        },
        credential: token.map(|token| Credential {
            account: GitAccountId(id("account")),
            generation: FENCE.generation,
            access_token: token.into(),
            suspect: false,
        }),
        refs,
    }
}

/// The same, with a credential that was refused once.
pub(crate) fn suspect(mut group: LeaseGroup) -> LeaseGroup {
    group.credential.as_mut().unwrap().suspect = true;
    group
}

/// A budget of which these windows are known.
pub(crate) fn budget_of(windows: Vec<Window>) -> BudgetView {
    BudgetView {
        windows,
        account_known: true,
        ..BudgetView::default()
    }
}

pub(crate) fn lease(groups: Vec<LeaseGroup>) -> Arc<Lease> {
    Arc::new(Lease {
        token: LeaseToken(id("lease-secret")),
        budget_key: BudgetKey("key".to_owned()),
        expires_in: Duration::from_secs(60),
        groups,
        budget: BudgetView {
            account_known: true,
            ..BudgetView::default()
        },
    })
}

/// The same, of another budget key.
pub(crate) fn lease_of(key: &str, groups: Vec<LeaseGroup>) -> Arc<Lease> {
    Arc::new(Lease {
        budget_key: BudgetKey(key.to_owned()),
        ..Lease::clone(&lease(groups))
    })
}

/// What a refresh brought.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// In the order in which they came.
    pub(crate) order: Vec<String>,
    pub(crate) budget: Option<BudgetObservation>,
    pub(crate) credentials: Vec<CredentialObservation>,
}

pub(crate) async fn refresh(refresher: &Refresher, lease: Arc<Lease>) -> Refreshed {
    refresh_until(refresher, lease, TICK_TIMEOUT).await
}

pub(crate) async fn refresh_until(
    refresher: &Refresher,
    lease: Arc<Lease>,
    timeout: Duration,
) -> Refreshed {
    run(refresher, lease, timeout).await.0
}

async fn run(
    refresher: &Refresher,
    lease: Arc<Lease>,
    timeout: Duration,
) -> (Refreshed, Vec<CredentialObservation>) {
    let refresh = refresher.open(lease);
    let (found, mut finished) = mpsc::unbounded_channel();
    refresh.run(Instant::now() + timeout, &found).await;
    drop(found);
    let mut outcomes = BTreeMap::new();
    let mut order = Vec::new();
    while let Some(outcome) = finished.recv().await {
        let name = name(outcome.git_ref.0);
        order.push(name.clone());
        let again = outcomes.insert(name, outcome);
        assert!(again.is_none(), "two outcomes of one ref: {again:?}");
    }
    let refreshed = Refreshed {
        outcomes,
        order,
        budget: refresh.budget(),
        credentials: refresh.credentials(),
    };
    (refreshed, refresh.credentials())
}

/// The same, with what was learned of the credentials.
pub(crate) async fn refresh_with_credentials(
    refresher: &Refresher,
    lease: Arc<Lease>,
) -> (Refreshed, Vec<CredentialObservation>) {
    run(refresher, lease, TICK_TIMEOUT).await
}

/// Refreshes the one ref with a fresh refresher.
pub(crate) async fn refresh_one(github: &GitHub, token: &str, git_ref: LeasedRef) -> Outcome {
    let id = name(git_ref.id.0);
    let lease = lease(vec![group(github, token, vec![git_ref])]);
    let mut refreshed = refresh(&refresher(), lease).await;
    refreshed.outcomes.remove(&id).unwrap()
}

impl Refreshed {
    pub(crate) fn result(&self, name: &str) -> Result<Finding, ProblemClass> {
        result(&self.outcomes[name])
    }

    pub(crate) fn found(&self, name: &str) -> &FoundPullRequest {
        found(&self.outcomes[name])
    }

    pub(crate) fn next(&self, name: &str) -> Option<Duration> {
        self.outcomes[name].next.refresh_in
    }

    /// Of what the answers said of this limit.
    pub(crate) fn window(&self, name: &str) -> Option<Window> {
        let budget = self.budget.as_ref()?;
        let mut windows = budget.windows.iter();
        windows.find(|window| window.name == name).cloned()
    }

    /// Why the host wants no requests for the whole budget.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.budget.as_ref().and_then(|budget| budget.pause)
    }

    /// Why something was chosen not to be sent.
    pub(crate) fn rest(&self) -> Option<Pause> {
        self.budget.as_ref().and_then(|budget| budget.rest)
    }

    /// The class of a ref's problem: of its outcome, or where it has none, as it must where the budget or the
    /// credential has the problem, of what is said of these.
    pub(crate) fn class(&self, name: &str) -> &'static str {
        let observed = self.observed();
        let Some(outcome) = self.outcomes.get(name) else {
            let class = observed.unwrap_or_else(|| panic!("nothing is said of {name}: {self:?}"));
            return class.name();
        };
        match result(outcome) {
            Err(class) => {
                assert!(!OF_THE_BUDGET.contains(&class), "{name} failed: {class:?}");
                class.name()
            }
            Ok(found) => {
                assert_eq!(found, Finding::Gone, "{name} should have failed");
                "gone"
            }
        }
    }

    /// That the ref has no outcome, and what is said in its place.
    pub(crate) fn withheld(&self, name: &str) -> ProblemClass {
        let outcome = self.outcomes.get(name);
        assert!(outcome.is_none(), "{outcome:?}");
        self.observed().unwrap()
    }

    fn observed(&self) -> Option<ProblemClass> {
        let refused = self.credentials.iter().find_map(|seen| match seen.state {
            CredentialState::Accepted => None,
            CredentialState::Suspect => Some(ProblemClass::CredentialSuspect),
            CredentialState::Rejected => Some(ProblemClass::CredentialRejected),
        });
        let pause = self.pause().or(self.rest());
        refused.or(pause.map(|pause| pause.class))
    }
}

/// What the host calls the ref's repository, if that was learned.
pub(crate) fn canonical(outcome: &Outcome) -> Option<&str> {
    let learned = &outcome.learned.canonical_repository;
    learned.as_ref().map(RepositoryPath::as_str)
}

/// What no ref has an outcome of.
const OF_THE_BUDGET: [ProblemClass; 6] = [
    ProblemClass::RateLimited,
    ProblemClass::LimitReserved,
    ProblemClass::SecondaryLimited,
    ProblemClass::AccountLocked,
    ProblemClass::CredentialSuspect,
    ProblemClass::CredentialRejected,
];

pub(crate) fn result(outcome: &Outcome) -> Result<Finding, ProblemClass> {
    if let Finding::Failed { class, .. } = &outcome.finding {
        return Err(*class);
    }
    Ok(outcome.finding.clone())
}

/// Whether all refs of the repository have the problem.
pub(crate) fn repository_wide(outcome: &Outcome) -> bool {
    matches!(
        outcome.finding,
        Finding::Failed {
            repository_wide: true,
            ..
        }
    )
}

pub(crate) fn found(outcome: &Outcome) -> &FoundPullRequest {
    let Finding::PullRequest(found) = &outcome.finding else {
        panic!("a pull request should have been found, but: {outcome:?}");
    };
    found
}

pub(crate) fn number(number: u64) -> i32 {
    i32::try_from(number).unwrap()
}

/// A world with one user, who may see `acme/web`, and a token of theirs.
pub(crate) async fn world() -> (GitHub, String) {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    let token = ann.token();
    (github, token)
}

/// The paths of all requests so far, with what matters of their queries.
pub(crate) fn paths(github: &GitHub) -> Vec<String> {
    github
        .requests()
        .iter()
        .map(|request| match request.query_value("head") {
            Some(head) => format!("{}?head={head}", request.path),
            None => request.path.clone(),
        })
        .collect()
}
