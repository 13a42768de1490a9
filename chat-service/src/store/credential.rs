//! Credentials as they are sealed, for their re-sealing under another key. Leases read them by
//! another statement.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    Sql, Store, StoreError,
    column::{Columns as _, column},
    git_account::SealedTokens,
    sql::sql,
};
use crate::id::GitAccountId;

const LIST_CREDENTIALS: Sql = sql!("list_credentials");
const RESEAL_CREDENTIALS: Sql = sql!("reseal_credentials");
const LIST_SEALING_KEYS: Sql = sql!("list_sealing_keys");

/// Credentials that are read, and sealed anew, at once: a user who links one of them waits for no
/// more.
const BATCH: i64 = 200;
/// Credentials that are counted at once.
const COUNTED: i64 = 10_000;

/// A credential as it is stored. Has no `Debug`.
pub(crate) struct StoredCredential {
    pub(crate) account: GitAccountId,
    pub(crate) tokens: SealedTokens,
    /// Where its token goes.
    pub(crate) api_host: String,
}

/// A credential that was sealed anew. Has no `Debug`.
pub(crate) struct ResealedCredential {
    pub(crate) former: StoredCredential,
    pub(crate) tokens: SealedTokens,
    /// The hash of its access token, by the key that seals now.
    pub(crate) token_key: String,
}

impl Store {
    /// The first credentials of accounts after `after`, by account; none when there are no more.
    pub(crate) async fn list_credentials(
        &self,
        after: GitAccountId,
    ) -> Result<Vec<StoredCredential>, StoreError> {
        let rows = self.read(LIST_CREDENTIALS, &[&after.0, &BATCH]).await?;
        rows.iter().map(stored).collect()
    }

    /// Replaces credentials by the same tokens sealed by the key `key_id`, and returns how many
    /// were. One that was replaced meanwhile stays, as does one that a transaction writes at the
    /// moment.
    pub(crate) async fn reseal_credentials(
        &self,
        key_id: &str,
        batch: &[ResealedCredential],
    ) -> Result<u64, StoreError> {
        if batch.is_empty() {
            return Ok(0);
        }
        let accounts: Vec<Uuid> = batch.iter().map(|of| of.former.account.0).collect();
        let column =
            |of: fn(&ResealedCredential) -> &[u8]| batch.iter().map(of).collect::<Vec<_>>();
        let former = column(|of| &of.former.tokens.access_token);
        let access = column(|of| &of.tokens.access_token);
        let refresh: Vec<Option<&[u8]>> = batch
            .iter()
            .map(|of| of.tokens.refresh_token.as_deref())
            .collect();
        let token_keys: Vec<&str> = batch.iter().map(|of| of.token_key.as_str()).collect();
        let rows = self
            .write(
                RESEAL_CREDENTIALS,
                &[&key_id, &accounts, &former, &access, &refresh, &token_keys],
            )
            .await?;
        Ok(rows.len() as u64)
    }

    /// How many credentials each key seals.
    pub(crate) async fn count_sealed(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut counts = BTreeMap::new();
        let mut after = FIRST;
        loop {
            let rows = self.read(LIST_SEALING_KEYS, &[&after.0, &COUNTED]).await?;
            let Some(last) = rows.last() else {
                return Ok(counts);
            };
            after = last.get_as("account_id")?;
            for key in column(&rows, "key_id")? {
                *counts.entry(key).or_default() += 1;
            }
        }
    }
}

fn stored(row: &Row) -> Result<StoredCredential, StoreError> {
    Ok(StoredCredential {
        account: row.get_as("account_id")?,
        tokens: SealedTokens {
            key_id: row.get_as("key_id")?,
            access_token: row.get_as("access_token_sealed")?,
            refresh_token: row.get_as::<Option<Vec<u8>>>("refresh_token_sealed")?,
        },
        api_host: row.get_as("api_host")?,
    })
}

/// Before every account.
pub(crate) const FIRST: GitAccountId = GitAccountId(Uuid::nil());
