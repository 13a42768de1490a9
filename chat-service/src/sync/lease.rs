//! Leases, from the rows that were handed out to what a worker is handed.

use std::{collections::HashMap, iter::Peekable};

use proto::sync::{Credential, Lease, LeaseGroup, LeaseToken, Outcome, ProblemClass};

use crate::{
    accounts::{KeyRing, seal::TokenColumn},
    id::GitAccountId,
    provider::{Provider, Providers},
    store::sync::{LeaseRows, LeasedRow, SealedCredential, own_failure},
};

/// Refs of a lease that cannot be handed out.
pub(crate) struct UnopenedRefs {
    pub(crate) token: LeaseToken,
    pub(crate) outcomes: Vec<Outcome>,
    /// Nothing else is in the lease, and no more failures of it follow.
    pub(crate) whole_lease: bool,
}

/// The rows of a lease call, assembled into leases.
pub(crate) struct LeaseAssembly {
    pub(crate) leases: Vec<Lease>,
    pub(crate) failed: Vec<UnopenedRefs>,
}

/// Groups refs by lease and account, and opens the accounts' credentials. One that does not open
/// costs only the refs that need it, and is never taken for none.
pub(crate) fn assemble(
    handed_out: LeaseRows,
    keys: &KeyRing,
    providers: &Providers,
) -> LeaseAssembly {
    let LeaseRows {
        budgets,
        refs,
        credentials,
        expired: _,
    } = handed_out;
    let source = LeaseSource {
        credentials: credentials
            .iter()
            .map(|credential| (credential.account, credential))
            .collect(),
        keys,
        providers,
    };
    let mut by_budget: HashMap<_, Vec<LeasedRow>> = HashMap::new();
    for row in refs {
        // Without a budget, or with another, the account was unlinked or moved since: the refs stay
        // due.
        if let Some(budget) = row.budget {
            by_budget.entry(budget).or_default().push(row);
        }
    }
    let mut assembled = LeaseAssembly {
        leases: Vec::new(),
        failed: Vec::new(),
    };
    for budget in budgets {
        let rows = by_budget.remove(&budget.id).unwrap_or_default();
        let (groups, failed) = source.groups(rows.into_iter().peekable());
        // A lease of nothing is handed out, too: the worker gives it back.
        let whole_lease = groups.is_empty() && !failed.is_empty();
        if !failed.is_empty() {
            assembled.failed.push(UnopenedRefs {
                token: budget.lease.token,
                outcomes: failed,
                whole_lease,
            });
        }
        if !whole_lease {
            assembled.leases.push(Lease {
                groups,
                ..budget.lease
            });
        }
    }
    assembled
}

/// Where credentials and providers come from.
struct LeaseSource<'a> {
    credentials: HashMap<GitAccountId, &'a SealedCredential>,
    keys: &'a KeyRing,
    providers: &'a Providers,
}

impl LeaseSource<'_> {
    /// The groups of a lease, whose rows come ordered by account, and our own failures of those
    /// that cannot be handed out.
    fn groups(
        &self,
        mut rows: Peekable<impl Iterator<Item = LeasedRow>>,
    ) -> (Vec<LeaseGroup>, Vec<Outcome>) {
        let (mut groups, mut failed) = (Vec::new(), Vec::new());
        while let Some(first) = rows.next() {
            let account = first.account;
            let opened = self.open(&first);
            let mut refs = vec![first.git_ref];
            while let Some(row) = rows.next_if(|row| row.account == account) {
                refs.push(row.git_ref);
            }
            match opened {
                Ok((provider, credential)) => groups.push(LeaseGroup {
                    provider,
                    credential: Some(credential),
                    refs,
                }),
                Err(class) => failed.extend(
                    refs.iter()
                        .map(|git_ref| own_failure(git_ref.id, git_ref.fence, class)),
                ),
            }
        }
        (groups, failed)
    }

    fn open(&self, row: &LeasedRow) -> Result<(Provider, Credential), ProblemClass> {
        let (account, provider_id) = (row.account, &row.provider_id);
        let Some(provider) = self.providers.by_id(provider_id) else {
            tracing::error!(
                provider.id = provider_id,
                "refs wait at a provider that is not configured any more"
            );
            return Err(ProblemClass::ProviderUnsupported);
        };
        let Some(sealed) = self.credentials.get(&account) else {
            tracing::error!(
                provider.id = provider_id,
                git_account.id = %account,
                "a linked account has no credential to read"
            );
            return Err(ProblemClass::Internal);
        };
        let opened = self.keys.open(
            &sealed.key_id,
            account,
            TokenColumn::AccessToken,
            &sealed.sealed,
        );
        match opened {
            Ok(access_token) => {
                let credential = Credential {
                    account,
                    generation: sealed.generation,
                    access_token,
                    suspect: sealed.suspect,
                    expires_at: sealed.expires_at,
                };
                Ok((provider.clone(), credential))
            }
            Err(error) => {
                tracing::error!(
                    provider.id = provider_id,
                    git_account.id = %account,
                    %error,
                    "an access token cannot be opened"
                );
                Err(ProblemClass::Internal)
            }
        }
    }
}
