//! What a worker is given: leases, the groups in them, and the refs to look up.
//!
//! Plain data. Nothing here says how to look anything up, and no type prints a secret.

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use crate::outcome::PullRequestState;

/// The exclusive right to a budget key and to some of its due refs.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Proves the right.
    pub token: LeaseToken,
    /// Opaque. Requests for it spend the same rate limit at the host.
    pub budget_key: BudgetKey,
    /// How long the lease runs, counted from when chat-service granted it.
    pub expires_in: Duration,
    /// The refs, by provider and credential.
    pub groups: Vec<LeaseGroup>,
    /// What all workers together have learned of the budget key.
    pub budget: BudgetView,
}

/// A budget key as all workers' reports together describe it, as of when it was leased.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BudgetView {
    /// The host's REST interface.
    pub rest: Window,
    /// Its GraphQL interface, in points.
    pub graphql: Window,
    /// Secondary limits met, less one for each hour without any.
    pub secondary_strikes: u32,
    /// For how long yet to ask less and slower, after a secondary limit.
    pub cautious_for: Option<Duration>,
    /// Refs per second that all refs of the key ask for at their base intervals.
    pub demand: f64,
    /// GraphQL requests sent lately: each counts one, and one is forgiven every 3 s.
    pub burst_spent: f64,
    /// How many refs to ask for at once, as last learned.
    pub batches: Option<BatchSizes>,
    /// The host has told whose account this is.
    pub account_known: bool,
}

/// A rate limit of one interface. All absent: not known, or the host has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Requests or points allowed.
    pub limit: Option<i64>,
    /// Of those, what is left.
    pub remaining: Option<i64>,
    /// How long the window still runs, by the host's clock.
    pub reset_in: Option<Duration>,
    /// Nothing may be sent to this interface before this has passed.
    pub pause_for: Option<Duration>,
}

/// How many refs one request asks for, by what it asks. 0: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSizes {
    /// Whether known pull requests changed.
    pub probe: u32,
    /// The whole status of known pull requests.
    pub detail: u32,
    /// The pull requests of branches.
    pub discover: u32,
}

impl Lease {
    /// How many refs this lease has.
    #[must_use]
    pub fn ref_count(&self) -> usize {
        self.groups.iter().map(|group| group.refs.len()).sum()
    }
}

/// Proves a lease. Whoever has it can write its outcomes, so `Debug` hides it.
#[derive(Clone)]
pub struct LeaseToken(SecretString);

impl LeaseToken {
    /// Takes the token as chat-service sent it.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(SecretString::from(token))
    }

    /// The token, to send to chat-service and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LeaseToken([REDACTED])")
    }
}

/// Names the account at a git host whose rate limit a request spends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey(pub String);

/// Refs that share a provider and a credential.
#[derive(Clone, Debug)]
pub struct LeaseGroup {
    /// The git host.
    pub provider: ProviderConfig,
    /// Absent: the refs' owner has linked no account at this provider.
    pub access_token: Option<SecretString>,
    /// What to look up.
    pub refs: Vec<LeasedRef>,
    /// Names the credential in reports. Absent with the token.
    pub credential_id: Option<String>,
    /// The host refused the token once: one request may find out whether it does again.
    pub credential_suspect: bool,
}

/// A git host as chat-service's configuration describes it.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Names the provider in logs.
    pub id: String,
    /// Which protocol the host speaks.
    pub kind: ProviderKind,
    /// The only base that may be dialled for this provider, as in `https://api.github.com`.
    pub api_base_url: String,
}

/// Which protocol a git host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// GitHub and GitHub Enterprise.
    Github,
    /// One that this worker does not speak.
    Unsupported,
}

/// One branch whose pull request is wanted.
#[derive(Clone, Debug)]
pub struct LeasedRef {
    /// Names the ref in its outcome.
    pub git_ref_id: String,
    /// Repeated in the outcome: a report that came meanwhile has a higher one.
    pub report_seq: i64,
    /// The repository that the branch is in.
    pub repository: Repository,
    /// The branch, case-sensitive.
    pub branch: String,
    /// The commit that was pushed, if it was told.
    pub commit: Option<String>,
    /// Why the ref is due.
    pub lane: Lane,
    /// Since the agent last reported this ref.
    pub since_reported: Duration,
    /// Since something was last seen to change: the pull request, or the branch by a report.
    pub since_changed: Duration,
    /// Since something happened in the chat: its content or a report.
    pub since_active: Duration,
    /// Somebody whose chat it is, or with whom it is shared, looked at it lately.
    pub viewed: bool,
    /// Refreshes in a row that failed.
    pub failures: u32,
    /// Refreshes in a row that found no pull request.
    pub misses: u32,
    /// Refreshes in a row that found the same merged or closed pull request.
    pub settled_count: u32,
    /// `owner/name` that the repository is a fork of; empty when the host said that it is none;
    /// absent when not known.
    pub upstream_repository: Option<String>,
    /// The pull request as last known.
    pub known: Option<KnownPullRequest>,
    /// Refreshes in a row that found nothing changed.
    pub unchanged_count: u32,
    /// Since the whole status was last asked for. Absent: never.
    pub since_found: Option<Duration>,
    /// As the last outcome gave it: tells whether the pull request changed since.
    pub fingerprint: Option<String>,
    /// As the last outcome gave it: lets the host answer that nothing changed.
    pub validator: Option<String>,
    /// What the host called the repository when it was last asked by a name from before a rename.
    pub canonical_repository: Option<Repository>,
}

impl LeasedRef {
    /// What the host called its repository last, if that is another name than it was reported by.
    pub(crate) fn renamed(&self) -> Option<&Repository> {
        let renamed = self.canonical_repository.as_ref();
        renamed.filter(|renamed| **renamed != self.repository)
    }

    /// Whether it may be looked up in another repository than the reported one: in that which this one is
    /// a fork of, also if that was only `learned` now, in that of its pull request, or by another name.
    pub(crate) fn is_also_elsewhere(&self, learned: Option<&str>) -> bool {
        let known = self.known.as_ref();
        let of_known = known.and_then(|known| Repository::parse(&known.repository));
        let upstreams = [self.upstream_repository.as_deref(), learned];
        self.renamed().is_some()
            || of_known.is_some_and(|of_known| of_known != self.repository)
            || upstreams.into_iter().flatten().any(|name| !name.is_empty())
    }

    /// A ref that was just reported and of which nothing else is known.
    #[must_use]
    pub fn new(git_ref_id: &str, repository: Repository, branch: &str) -> Self {
        Self {
            git_ref_id: git_ref_id.to_owned(),
            report_seq: 1,
            repository,
            branch: branch.to_owned(),
            commit: None,
            lane: Lane::Active,
            since_reported: Duration::ZERO,
            since_changed: Duration::ZERO,
            since_active: Duration::ZERO,
            viewed: false,
            failures: 0,
            misses: 0,
            settled_count: 0,
            upstream_repository: None,
            known: None,
            unchanged_count: 0,
            since_found: None,
            fingerprint: None,
            validator: None,
            canonical_repository: None,
        }
    }
}

/// A pull request that an earlier refresh found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPullRequest {
    /// `owner/name` of the repository that it is in.
    pub repository: String,
    /// Its number there, as stored.
    pub number: i32,
    /// Where it stood.
    pub state: PullRequestState,
    /// Whether it was a draft.
    pub draft: bool,
    /// The host's own id, which survives renames.
    pub node_id: Option<String>,
}

impl KnownPullRequest {
    /// An open one of which no more than its number is known.
    #[must_use]
    pub fn open(repository: &str, number: i32) -> Self {
        Self {
            repository: repository.to_owned(),
            number,
            state: PullRequestState::Open,
            draft: false,
            node_id: None,
        }
    }
}

/// Why a ref is due, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for the answer.
    Interactive,
    /// Somebody is looking at the chat.
    Viewed,
    /// The agent just pushed, or the pull request is open.
    Active,
    /// Nothing is expected to happen.
    Idle,
}

/// A repository's owner and name. GitHub compares them without regard to case, and so does this.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The user or organization.
    pub owner: String,
    /// The name within the owner.
    pub name: String,
}

impl Repository {
    /// Parses `owner/name`.
    #[must_use]
    pub fn parse(full_name: &str) -> Option<Self> {
        let (owner, name) = full_name.split_once('/')?;
        if owner.is_empty() || name.is_empty() || name.contains('/') {
            return None;
        }
        Some(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The form in which two spellings of one repository are equal.
    #[must_use]
    pub fn key(&self) -> RepositoryKey {
        RepositoryKey(self.to_string().to_lowercase())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Repository {}

/// A repository's name without its case, to compare and to look up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryKey(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_equal_whatever_their_case() {
        assert_eq!(Repository::parse("Acme/Web"), Repository::parse("acme/web"));
        assert_ne!(Repository::parse("acme/web"), Repository::parse("acme/api"));
    }

    #[test]
    fn a_name_that_is_not_owner_and_name_is_no_repository() {
        for name in ["", "acme", "acme/", "/web", "acme/web/x"] {
            assert_eq!(Repository::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_lease_prints_neither_its_token_nor_a_credential() {
        let lease = Lease {
            token: LeaseToken::new("lease-secret".to_owned()),
            budget_key: BudgetKey("k".to_owned()),
            expires_in: Duration::from_secs(60),
            groups: vec![LeaseGroup {
                provider: ProviderConfig {
                    id: "github".to_owned(),
                    kind: ProviderKind::Github,
                    api_base_url: "https://api.github.com".to_owned(),
                },
                access_token: Some(SecretString::from("host-secret")),
                refs: Vec::new(),
                credential_id: None,
                credential_suspect: false,
            }],
            budget: BudgetView::default(),
        };
        let printed = format!("{lease:?}");
        assert!(!printed.contains("lease-secret") && !printed.contains("host-secret"));
    }
}
