//! Leases, from the rows that were claimed to what a worker is handed.

use std::time::Duration;

use secrecy::SecretString;

use super::{Lane, budget::BudgetView};
use crate::{
    accounts::{BudgetKey, KeyRing, seal::Column},
    authz::{Action, Authorizer, Principal},
    diff_status::{ProblemClass, PullRequestState},
    error::Error,
    id::{GitAccountId, GitRefId, LeaseToken, RequestId, UserId},
    provider::{Provider, Providers},
    store::sync::{Leased, LeasedRow, SealedCredential},
};

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Makes a repeated call the same call.
    pub request: RequestId,
    /// Names the worker to operators.
    pub worker: String,
    /// Refs over all leases at most.
    pub max_refs: i64,
    /// How long to wait for some.
    pub wait: Duration,
}

/// The exclusive right to a budget key. Holds secrets, and has no `Debug`.
pub struct Lease {
    /// Proves the right.
    pub token: LeaseToken,
    /// Whose rate limit requests spend.
    pub budget_key: BudgetKey,
    /// How long it lasts.
    pub expires_in: Duration,
    /// What is known of the budget.
    pub budget: BudgetView,
    /// What to look up.
    pub groups: Vec<LeaseGroup>,
}

/// Refs that share a provider and a credential. Has no `Debug`.
pub struct LeaseGroup {
    /// Where to look.
    pub provider: Provider,
    /// None: their owner has linked no account.
    pub credential: Option<LeasedCredential>,
    /// What to look up.
    pub refs: Vec<LeasedRef>,
}

/// What refs are looked up with. Has no `Debug`.
pub struct LeasedCredential {
    /// Names it in reports.
    pub account: GitAccountId,
    /// The secret.
    pub access_token: SecretString,
    /// The host refused it once: one request may find out whether it does again.
    pub suspect: bool,
}

/// A ref to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedRef {
    /// Which.
    pub id: GitRefId,
    /// How often it was reported.
    pub report_seq: i64,
    /// As spelled.
    pub repository_owner: String,
    /// As spelled.
    pub repository_name: String,
    /// Which branch.
    pub branch: String,
    /// The commit that was pushed, if it was told.
    pub commit: Option<String>,
    /// Why it is due.
    pub lane: Lane,
    /// Since the last report.
    pub since_reported: Duration,
    /// Failures in a row.
    pub failures: i32,
    /// Refreshes in a row without a pull request, since the last report.
    pub misses: i32,
    /// Refreshes in a row, since the last report, that found the same merged or closed one.
    pub settled_count: i32,
    /// What its repository is a fork of; empty: of none.
    pub upstream_repository: Option<String>,
    /// The pull request as last known.
    pub known: Option<KnownPullRequest>,
    /// Since the pull request was last seen to change, or the last report.
    pub since_changed: Duration,
    /// Since something happened in the chat.
    pub since_active: Duration,
    /// Somebody looks at the chat.
    pub viewed: bool,
    /// Refreshes in a row that only confirmed what was known.
    pub unchanged_count: i32,
    /// Since the whole status was last told.
    pub since_found: Option<Duration>,
    /// As the last outcome gave it.
    pub fingerprint: Option<String>,
    /// As the last outcome gave it.
    pub validator: Option<String>,
    /// What the host calls the repository now; empty: as it was reported.
    pub canonical_repository: Option<String>,
}

/// A pull request as last known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPullRequest {
    /// `owner/name` that it is in.
    pub repository: String,
    /// Its number.
    pub number: i32,
    /// Where it stands.
    pub state: PullRequestState,
    /// Marked as a draft.
    pub draft: bool,
    /// The host's own id.
    pub node_id: Option<String>,
}

/// The right to read the credentials of what is leased. The store reads none without it.
pub(crate) struct CredentialAccess(());

impl CredentialAccess {
    /// Asks policy.
    pub(crate) fn of(authorizer: &Authorizer, principal: &Principal) -> Result<Self, Error> {
        authorizer.site(principal, Action::ReadGitCredential)?;
        Ok(Self(()))
    }
}

/// Refs that cannot be handed out.
pub(crate) struct Unopened {
    pub(crate) token: LeaseToken,
    pub(crate) refs: Vec<(GitRefId, i64)>,
    /// Nothing else is in the lease.
    pub(crate) whole_lease: bool,
    pub(crate) problem: ProblemClass,
}

/// What was claimed, sorted out.
pub(crate) struct SortedOut {
    pub(crate) leases: Vec<Lease>,
    pub(crate) failed: Vec<Unopened>,
}

/// Groups claimed refs by lease, provider and owner, and opens their credentials. One that does not
/// open costs only the refs that need it, and is never taken for none.
pub(crate) fn sort_out(leased: Leased, keys: &KeyRing, providers: &Providers) -> SortedOut {
    let Leased {
        rows,
        credentials,
        budgets,
        events: _,
    } = leased;
    let mut sorted = SortedOut {
        leases: Vec::new(),
        failed: Vec::new(),
    };
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.next() {
        let mut lease = Lease {
            token: first.token,
            budget_key: first.budget_key.clone(),
            expires_in: first.expires_in,
            budget: budgets.get(&first.token).copied().unwrap_or_default(),
            groups: Vec::new(),
        };
        let mut failed = Vec::new();
        let mut next = Some(first);
        // Rows come ordered by lease, provider and owner.
        while let Some(first) = next {
            let same_group =
                |row: &LeasedRow| row.token == first.token && row.source() == first.source();
            let mut refs = vec![first.git_ref.clone()];
            while let Some(row) = rows.next_if(same_group) {
                refs.push(row.git_ref);
            }
            match credential(&first, &credentials, keys, providers) {
                Ok((provider, credential)) => lease.groups.push(LeaseGroup {
                    provider,
                    credential,
                    refs,
                }),
                Err(problem) => failed.push((problem, refs)),
            }
            next = rows.next_if(|row| row.token == lease.token);
        }
        let whole_lease = lease.groups.is_empty();
        let last = failed.len().saturating_sub(1);
        for (index, (problem, refs)) in failed.into_iter().enumerate() {
            sorted.failed.push(Unopened {
                token: lease.token,
                refs: refs
                    .iter()
                    .map(|git_ref| (git_ref.id, git_ref.report_seq))
                    .collect(),
                // The last report gives the lease back.
                whole_lease: whole_lease && index == last,
                problem,
            });
        }
        if !whole_lease {
            sorted.leases.push(lease);
        }
    }
    sorted
}

fn credential(
    row: &LeasedRow,
    credentials: &[SealedCredential],
    keys: &KeyRing,
    providers: &Providers,
) -> Result<(Provider, Option<LeasedCredential>), ProblemClass> {
    let (provider_id, owner) = row.source();
    let Some(provider) = providers.by_id(provider_id) else {
        tracing::error!(
            provider_id,
            "refs wait at a provider that is not configured any more"
        );
        return Err(ProblemClass::ProviderUnsupported);
    };
    if !row.linked {
        return Ok((provider.clone(), None));
    }
    let sealed = credentials
        .iter()
        .find(|sealed| sealed.user == owner && sealed.provider_id == provider_id);
    let Some(sealed) = sealed else {
        tracing::error!(provider_id, user.id = %owner, "a linked account has no credential to read");
        return Err(ProblemClass::Internal);
    };
    match keys.open(
        &sealed.key_id,
        sealed.account,
        Column::AccessToken,
        &sealed.sealed,
    ) {
        Ok(access_token) => {
            let credential = LeasedCredential {
                account: sealed.account,
                access_token,
                suspect: sealed.suspect,
            };
            Ok((provider.clone(), Some(credential)))
        }
        Err(error) => {
            tracing::error!(
                provider_id,
                user.id = %owner,
                git_account.id = %sealed.account,
                %error,
                "an access token cannot be opened"
            );
            Err(ProblemClass::Internal)
        }
    }
}

impl LeasedRow {
    /// Whose credential at which provider looks it up.
    fn source(&self) -> (&str, UserId) {
        (&self.provider_id, self.owner)
    }
}
