//! Leases and refs to look up, and what came of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gitsync_service::{
    lease::{
        BudgetKey, BudgetView, KnownPullRequest, Lease, LeaseGroup, LeaseToken, LeasedRef,
        ProviderConfig, ProviderKind, Repository,
    },
    outcome::{BudgetObservation, CredentialObservation, Found, Outcome, Problem, PullRequest},
    pace,
    refresh::{Refresher, RefresherBuilder},
    schedule::Schedule,
    worker::TICK_TIMEOUT,
};
use secrecy::SecretString;
use testkit::github::GitHub;
use tokio::{sync::mpsc, time::Instant};

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

pub(crate) fn git_ref(id: &str, repository: &str, branch: &str) -> LeasedRef {
    LeasedRef {
        report_seq: 7,
        // Most tests are not about forks.
        upstream_repository: Some(String::new()),
        ..LeasedRef::new(id, Repository::parse(repository).unwrap(), branch)
    }
}

pub(crate) fn knowing(git_ref: LeasedRef, repository: &str, number: u64) -> LeasedRef {
    LeasedRef {
        known: Some(KnownPullRequest::open(
            repository,
            i32::try_from(number).unwrap(),
        )),
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
        provider: ProviderConfig {
            id: "github".to_owned(),
            kind: ProviderKind::Github,
            api_base_url: api_base_url.to_owned(),
        },
        access_token: token.map(SecretString::from),
        refs,
        credential_id: token.map(|_| "credential".to_owned()),
        credential_suspect: false,
    }
}

pub(crate) fn lease(groups: Vec<LeaseGroup>) -> Arc<Lease> {
    Arc::new(Lease {
        token: LeaseToken::new("lease-secret".to_owned()),
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
        order.push(outcome.git_ref_id.clone());
        let again = outcomes.insert(outcome.git_ref_id.clone(), outcome);
        assert!(again.is_none(), "two outcomes of one ref: {again:?}");
    }
    let refreshed = Refreshed {
        outcomes,
        order,
        budget: refresh.budget(),
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
    let id = git_ref.git_ref_id.clone();
    let lease = lease(vec![group(github, token, vec![git_ref])]);
    let mut refreshed = refresh(&refresher(), lease).await;
    refreshed.outcomes.remove(&id).unwrap()
}

impl Refreshed {
    pub(crate) fn result(&self, id: &str) -> &Result<Found, Problem> {
        &self.outcomes[id].result
    }

    pub(crate) fn found(&self, id: &str) -> &PullRequest {
        found(&self.outcomes[id])
    }

    pub(crate) fn next(&self, id: &str) -> Option<Duration> {
        self.outcomes[id].next.refresh_in
    }
}

pub(crate) fn found(outcome: &Outcome) -> &PullRequest {
    match &outcome.result {
        Ok(Found::PullRequest(found)) => found,
        other => panic!("a pull request should have been found, but: {other:?}"),
    }
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
