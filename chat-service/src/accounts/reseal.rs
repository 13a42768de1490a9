//! Re-sealing: the last step of a rotation, after which the former keys can go.

use std::collections::BTreeMap;

use super::{BudgetKey, KeyRing, SealError, seal::Column};
use crate::store::{
    Store, StoreError,
    credential::{FIRST, StoredCredential},
    git_account::SealedTokens,
};

/// What sealing keys are used for, after a round of re-sealing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Credentials by the id of the key that seals them now.
    pub credentials: BTreeMap<String, u64>,
    /// Credentials that were sealed anew.
    pub resealed: u64,
    /// Credentials that do not open: their key is not in the ring, or they were altered.
    pub unopened: u64,
}

/// Seals every credential under the active key that another one seals, and counts which seals how
/// many; with `dry_run`, only counts. May be interrupted and run again, beside the running service.
///
/// # Errors
///
/// When the database is away. A credential that does not open is counted, and left as it is.
pub async fn reseal(store: &Store, keys: &KeyRing, dry_run: bool) -> Result<KeyUse, StoreError> {
    let mut usage = KeyUse::default();
    let mut after = FIRST;
    loop {
        let credentials = store.list_credentials(after).await?;
        let Some(last) = credentials.last() else {
            return Ok(usage);
        };
        after = last.account;
        for credential in &credentials {
            let key = if credential.tokens.key_id == keys.active_id() || dry_run {
                credential.tokens.key_id.clone()
            } else {
                reseal_one(store, keys, credential, &mut usage).await?
            };
            *usage.credentials.entry(key).or_default() += 1;
        }
    }
}

/// Returns the id of the key that seals it then.
async fn reseal_one(
    store: &Store,
    keys: &KeyRing,
    credential: &StoredCredential,
    usage: &mut KeyUse,
) -> Result<String, StoreError> {
    let former = credential.tokens.key_id.clone();
    match sealed_anew(keys, credential) {
        Ok((tokens, token_key)) => {
            // One that was linked meanwhile was sealed by a running service, which knows this key.
            let done = store
                .reseal_credential(credential, &tokens, &token_key.0)
                .await?;
            usage.resealed += u64::from(done);
            Ok(tokens.key_id)
        }
        Err(error) => {
            tracing::error!(git_account.id = %credential.account, %error, "a credential cannot be opened");
            usage.unopened += 1;
            Ok(former)
        }
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
    let access_token = open(Column::AccessToken, &tokens.access_token)?;
    let refresh_token = match &tokens.refresh_token {
        Some(sealed) => Some(open(Column::RefreshToken, sealed)?),
        None => None,
    };
    let token_key = BudgetKey::of_token(keys, api_host, &access_token).current;
    let tokens = SealedTokens {
        key_id: keys.active_id().to_owned(),
        access_token: keys.seal(*account, Column::AccessToken, &access_token)?,
        refresh_token: refresh_token
            .as_ref()
            .map(|token| keys.seal(*account, Column::RefreshToken, token))
            .transpose()?,
    };
    Ok((tokens, token_key))
}
