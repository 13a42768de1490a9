//! What a worker is given, in the words of the contract, and what this service reads in a leased ref.

pub use proto::sync::{
    BudgetKey, BudgetView, Credential, KnownPullRequest, Lane, Lease, LeaseGroup, LeaseToken,
    LeasedRef, Provider, ProviderKind, RepositoryPath, Upstream, Window,
};

/// What the host called the ref's repository last, if that is another name than it was reported by.
pub(crate) fn renamed(git_ref: &LeasedRef) -> Option<&RepositoryPath> {
    let renamed = git_ref.canonical_repository.as_ref();
    renamed.filter(|renamed| **renamed != git_ref.repository)
}

/// Whether the ref may be looked up in another repository than the reported one: in that which this one is
/// a fork of, also if that was only `learned` now, in that of its pull request, or by another name.
pub(crate) fn is_also_elsewhere(git_ref: &LeasedRef, learned: &Upstream) -> bool {
    let known = git_ref.known.as_ref();
    let of_known = known.and_then(|known| RepositoryPath::parse(&known.repository));
    let is_fork = |upstream: &Upstream| matches!(upstream, Upstream::Of(_));
    renamed(git_ref).is_some()
        || of_known.is_some_and(|of_known| of_known != git_ref.repository)
        || is_fork(&git_ref.upstream)
        || is_fork(learned)
}

/// An open pull request of which no more than its number is known.
#[cfg(test)]
pub(crate) fn known_open(repository: &str, number: i32) -> KnownPullRequest {
    KnownPullRequest {
        repository: repository.to_owned(),
        number,
        state: proto::sync::PullRequestState::Open,
        draft: false,
        host_id: None,
    }
}

/// A ref that was just reported.
#[cfg(test)]
pub(crate) fn reported(repository: &str, branch: &str) -> LeasedRef {
    let repository = RepositoryPath::parse(repository).unwrap();
    LeasedRef::new(proto::sync::GitRefId(uuid::Uuid::nil()), repository, branch)
}

/// A lease of refs at one host, with a token.
#[cfg(test)]
pub(crate) fn lease_of(key: &str, api_base_url: &str, refs: Vec<LeasedRef>) -> Lease {
    Lease {
        token: LeaseToken(uuid::Uuid::nil()),
        budget_key: BudgetKey(key.to_owned()),
        expires_in: std::time::Duration::from_secs(60),
        groups: vec![LeaseGroup {
            provider: Provider {
                id: "github".to_owned(),
                kind: ProviderKind::Github,
                host: "github.com".to_owned(),
                api_base_url: api_base_url.to_owned(),
            },
            credential: Some(Credential {
                account: proto::sync::GitAccountId(uuid::Uuid::nil()),
                generation: 1,
                access_token: "token".into(),
                suspect: false,
            }),
            refs,
        }],
        budget: BudgetView::default(),
    }
}
