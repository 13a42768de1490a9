//! Leases and refs to look up, and what came of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gitsync_service::{
    budget,
    host::github,
    schedule::Schedule,
    worker::{LookupResult, Refresher, RefresherSettings, TICK_TIMEOUT},
};
use proto::sync::{
    BudgetKey, BudgetObservation, BudgetView, Credential, CredentialObservation, DiffResult,
    Finding, FoundPullRequest, GitAccountId, GitRefId, KnownPullRequest, Lease, LeaseGroup,
    LeaseToken, LeasedRef, Outcome, ProblemClass, Provider, ProviderKind, PullRequestState,
    RepositoryPath, Upstream, Window,
};
use secrecy::SecretString;
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
    Refresher::new(patient(Duration::ZERO)).unwrap()
}

/// The same settings, with `heavy_pause` after a query that the host failed to complete.
pub(crate) fn patient(heavy_pause: Duration) -> RefresherSettings {
    RefresherSettings {
        schedule: exact_schedule(),
        github: github::Settings {
            heavy_pause,
            ..github::Settings::default()
        },
        ..RefresherSettings::default()
    }
}

/// Asks for one ref at a time, over REST.
pub(crate) fn refresher() -> Refresher {
    Refresher::new(rest()).unwrap()
}

/// The same, to be set up further.
pub(crate) fn rest() -> RefresherSettings {
    RefresherSettings {
        schedule: exact_schedule(),
        github: github::Settings {
            graphql: false,
            ..github::Settings::default()
        },
        ..RefresherSettings::default()
    }
}

/// Keeps nothing of a budget for its owner.
pub(crate) fn without_reserve() -> budget::Settings {
    budget::Settings {
        reserve_percent: 0,
        reserve_least: 0,
        interactive_floor_percent: 0,
        ..budget::Settings::default()
    }
}

/// The id of a ref that a test calls by a name of at most 16 bytes.
pub(crate) fn ref_id(name: &str) -> GitRefId {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    GitRefId(Uuid::from_bytes(bytes))
}

/// What a test calls the ref of this id.
pub(crate) fn ref_name(id: GitRefId) -> String {
    let name = String::from_utf8(id.0.as_bytes().to_vec()).unwrap();
    name.trim_end_matches('\0').to_owned()
}

pub(crate) fn path(path: &str) -> RepositoryPath {
    RepositoryPath::parse(path).unwrap()
}

pub(crate) fn git_ref(name: &str, repository: &str, branch: &str) -> LeasedRef {
    let mut git_ref = LeasedRef::new(ref_id(name), path(repository), branch);
    git_ref.fence.report_seq = 7;
    // Most tests are not about forks.
    git_ref.upstream = Upstream::NoFork;
    git_ref
}

pub(crate) fn knowing(git_ref: LeasedRef, repository: &str, number: u64) -> LeasedRef {
    LeasedRef {
        known: Some(KnownPullRequest {
            repository: repository.to_owned(),
            number: i32::try_from(number).unwrap(),
            state: PullRequestState::Open,
            draft: false,
            host_id: None,
            checks_pending: false,
            merge_unknown: false,
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
            account: GitAccountId(account_of(token)),
            generation: 1,
            access_token: SecretString::from(token),
            suspect: false,
            expires_at: None,
        }),
        refs,
    }
}

/// Each token is of another account.
fn account_of(token: &str) -> Uuid {
    let mut bytes = [0; 16];
    let length = token.len().min(bytes.len());
    bytes[..length].copy_from_slice(&token.as_bytes()[..length]);
    Uuid::from_bytes(bytes)
}

pub(crate) fn lease(groups: Vec<LeaseGroup>) -> Arc<Lease> {
    lease_of("key", groups)
}

/// The same, of another budget.
pub(crate) fn lease_of(key: &str, groups: Vec<LeaseGroup>) -> Arc<Lease> {
    let budget = BudgetView {
        account_known: true,
        ..BudgetView::default()
    };
    lease_with(key, groups, budget)
}

/// The same, with what is known of the budget.
pub(crate) fn lease_with(key: &str, groups: Vec<LeaseGroup>, budget: BudgetView) -> Arc<Lease> {
    Arc::new(Lease {
        token: LeaseToken(Uuid::from_u128(0x1ea5_e5ec_4e70)),
        budget_key: BudgetKey(key.to_owned()),
        expires_in: Duration::from_secs(60),
        groups,
        budget,
    })
}

/// What a refresh brought.
#[derive(Debug)]
pub(crate) struct Refreshed {
    /// By the refs' names.
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// Those that were wanted.
    pub(crate) diffs: BTreeMap<String, DiffResult>,
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
    let refresh = refresher.begin(lease, Instant::now() + timeout);
    let (found, mut finished) = mpsc::unbounded_channel();
    refresh.run(&found).await;
    drop(found);
    let mut outcomes = BTreeMap::new();
    let mut diffs = BTreeMap::new();
    let mut order = Vec::new();
    while let Some(LookupResult { outcome, diff }) = finished.recv().await {
        let name = ref_name(outcome.git_ref);
        if let Some(diff) = diff {
            assert_eq!((diff.git_ref, diff.fence), (outcome.git_ref, outcome.fence));
            diffs.insert(name.clone(), diff.result);
        }
        order.push(name.clone());
        let again = outcomes.insert(name, outcome);
        assert!(again.is_none(), "two outcomes of one ref: {again:?}");
    }
    Refreshed {
        outcomes,
        diffs,
        order,
        budget: refresh.observation(),
        credentials: refresh.credentials(),
    }
}

/// Refreshes the one ref over REST with a fresh refresher.
pub(crate) async fn refresh_one(github: &GitHub, token: &str, git_ref: LeasedRef) -> Outcome {
    refresh_one_by(&refresher(), github, token, git_ref).await
}

/// What `refresher` finds of one ref.
pub(crate) async fn refresh_one_by(
    refresher: &Refresher,
    github: &GitHub,
    token: &str,
    git_ref: LeasedRef,
) -> Outcome {
    let name = ref_name(git_ref.id);
    let lease = lease(vec![group(github, token, vec![git_ref])]);
    let mut refreshed = refresh(refresher, lease).await;
    refreshed.outcomes.remove(&name).unwrap()
}

impl Refreshed {
    pub(crate) fn finding(&self, name: &str) -> &Finding {
        match self.outcomes.get(name) {
            Some(outcome) => &outcome.finding,
            None => panic!("{name} has no outcome: {self:?}"),
        }
    }

    pub(crate) fn found(&self, name: &str) -> &FoundPullRequest {
        found_in(self.finding(name))
    }

    /// The class of what is wrong with a ref.
    pub(crate) fn class(&self, name: &str) -> ProblemClass {
        class_of(self.finding(name))
    }

    /// What keeps a ref from its answer: the class of its finding, or of the pause or rest of its
    /// budget, or of what was observed of a credential.
    pub(crate) fn problem(&self, name: &str) -> ProblemClass {
        if !self.is_unsent(name) {
            return self.class(name);
        }
        let budget = self.budget.as_ref();
        let pause = budget.and_then(|budget| budget.pause.or(budget.rest));
        let mut credentials = self.credentials.iter();
        let refused = credentials.any(|seen| seen.refused);
        let credential = refused.then_some(ProblemClass::CredentialSuspect);
        let class = credential.or(pause.map(|pause| pause.class));
        class.unwrap_or_else(|| panic!("{name} has no reason: {self:?}"))
    }

    /// A ref was withheld: it stays due.
    pub(crate) fn is_unsent(&self, name: &str) -> bool {
        !self.outcomes.contains_key(name)
    }

    pub(crate) fn next(&self, name: &str) -> Option<Duration> {
        self.outcomes[name].next.refresh_in
    }

    /// The reported window of this name; the default if no response described it.
    pub(crate) fn window(&self, name: &str) -> Window {
        let budget = self.budget.as_ref();
        let mut windows = budget.iter().flat_map(|budget| &budget.windows);
        let window = windows.find(|window| window.name == name);
        window.cloned().unwrap_or_default()
    }
}

pub(crate) fn found(outcome: &Outcome) -> &FoundPullRequest {
    found_in(&outcome.finding)
}

fn found_in(finding: &Finding) -> &FoundPullRequest {
    let Finding::PullRequest(found) = finding else {
        panic!("a pull request should have been found, but: {finding:?}");
    };
    found
}

pub(crate) fn class_of(finding: &Finding) -> ProblemClass {
    let Finding::Failed { class, .. } = finding else {
        panic!("it should have failed, but: {finding:?}");
    };
    *class
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

/// The finding without the parts that REST cannot report and GraphQL's value is kept for: the
/// review decision by the rules, threads, the merge queue, and which checks are required.
pub(crate) fn in_both_interfaces(finding: &Finding) -> Finding {
    let mut finding = finding.clone();
    if let Finding::PullRequest(found) = &mut finding {
        let shown = &mut Arc::make_mut(found).shown;
        shown.progress.review_decision = None;
        shown.progress.unresolved_threads = None;
        shown.progress.unresolved_bot_threads = None;
        shown.progress.queue_position = None;
        let checks = shown.head.checks.iter_mut();
        for check in checks.flat_map(|checks| &mut checks.failed_checks) {
            check.required = false;
        }
    }
    finding
}

/// The paths of all requests so far but for those of checks, with what matters of their queries.
pub(crate) fn paths(github: &GitHub) -> Vec<String> {
    github
        .requests()
        .iter()
        .filter(|request| !request.path.contains("/commits/") || request.path.ends_with("/pulls"))
        .map(|request| match request.query_value("head") {
            Some(head) => format!("{}?head={head}", request.path),
            None => request.path.clone(),
        })
        .collect()
}
