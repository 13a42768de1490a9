//! Re-sealing: the last step of a rotation, after which the former keys can go.

use std::collections::BTreeMap;

use super::{BudgetKey, KeyRing, SealError, seal::TokenColumn};
use crate::store::{
    Store, StoreError,
    credential::{FIRST, ResealedCredential, StoredCredential},
    git_account::SealedTokens,
};

/// Passes at most. Beside the first one, they find what running services linked or renewed
/// meanwhile under a former key, and what they were writing at the moment.
const PASSES: u32 = 5;

/// How often each key is used after a round of re-sealing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Credentials by the id of the key that seals them now.
    pub credentials: BTreeMap<String, u64>,
    /// Credentials that were sealed anew.
    pub resealed: u64,
    /// Credentials that do not open: their key is not in the ring, or they were altered.
    pub unopened: u64,
}

impl KeyUse {
    /// How many credentials another key than `active` seals.
    #[must_use]
    pub fn left(&self, active: &str) -> u64 {
        let others = self.credentials.iter().filter(|(key, _)| *key != active);
        others.map(|(_, count)| count).sum()
    }
}

/// Seals every credential under the active key that another one seals, and counts which seals how
/// many; with `dry_run`, only counts.
///
/// Tells `progress` after each batch how many were looked at and sealed anew. May be interrupted
/// and run again, beside the running service.
///
/// # Errors
///
/// When the database is away. A credential that does not open is counted, and left as it is.
pub async fn reseal(
    store: &Store,
    keys: &KeyRing,
    dry_run: bool,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<KeyUse, StoreError> {
    let mut usage = KeyUse::default();
    for _ in 0..PASSES {
        if !dry_run {
            pass(store, keys, &mut usage, progress).await?;
        }
        usage.credentials = store.count_sealed().await?;
        if dry_run || usage.left(keys.active_id()) <= usage.unopened {
            break;
        }
    }
    Ok(usage)
}

/// Seals anew what another key seals, batch by batch.
async fn pass(
    store: &Store,
    keys: &KeyRing,
    usage: &mut KeyUse,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), StoreError> {
    usage.unopened = 0;
    let mut after = FIRST;
    let mut looked_at = 0;
    loop {
        let credentials = store.list_credentials(after).await?;
        let Some(last) = credentials.last() else {
            return Ok(());
        };
        after = last.account;
        looked_at += credentials.len() as u64;
        let mut batch = Vec::new();
        for former in credentials {
            if former.tokens.key_id == keys.active_id() {
                continue;
            }
            match sealed_anew(keys, &former) {
                Ok((tokens, token_key)) => batch.push(ResealedCredential {
                    former,
                    tokens,
                    token_key: token_key.0,
                }),
                Err(error) => {
                    tracing::error!(git_account.id = %former.account, %error, "a credential cannot be opened");
                    usage.unopened += 1;
                }
            }
        }
        usage.resealed += match store.reseal_credentials(keys.active_id(), &batch).await {
            // Links of one token queue for its budget: the next pass comes back to the batch.
            Err(StoreError::Locked { .. }) => 0,
            resealed => resealed?,
        };
        progress(looked_at, usage.resealed);
    }
}

fn sealed_anew(
    keys: &KeyRing,
    credential: &StoredCredential,
) -> Result<(SealedTokens, BudgetKey), SealError> {
    let StoredCredential {
        account,
        tokens,
        api_host,
    } = credential;
    let open = |column, sealed: &[u8]| keys.open(&tokens.key_id, *account, column, sealed);
    let access_token = open(TokenColumn::AccessToken, &tokens.access_token)?;
    let refresh_token = match &tokens.refresh_token {
        Some(sealed) => Some(open(TokenColumn::RefreshToken, sealed)?),
        None => None,
    };
    let token_key = BudgetKey::of_token(keys, api_host, &access_token).current;
    let tokens = SealedTokens {
        key_id: keys.active_id().to_owned(),
        access_token: keys.seal(*account, TokenColumn::AccessToken, &access_token)?,
        refresh_token: refresh_token
            .as_ref()
            .map(|token| keys.seal(*account, TokenColumn::RefreshToken, token))
            .transpose()?,
    };
    Ok((tokens, token_key))
}
