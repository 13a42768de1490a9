//! Credentials as they are sealed, for their re-sealing under another key. Leases read them by another
//! statement.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Sql, Store, StoreError, column::Columns as _, git_account::SealedTokens, sql::sql};
use crate::id::GitAccountId;

const LIST_CREDENTIALS: Sql = sql!("list_credentials");
const RESEAL_CREDENTIAL: Sql = sql!("reseal_credential");

/// Credentials that are read at once.
const BATCH: i64 = 500;

/// A credential as it is stored. Has no `Debug`.
pub(crate) struct StoredCredential {
    pub(crate) account: GitAccountId,
    pub(crate) tokens: SealedTokens,
    /// Where its token goes.
    pub(crate) api_host: String,
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

    /// Replaces `former` by the same tokens sealed anew, of which the access token has the hash
    /// `token_key` now. False when another credential was linked meanwhile, or none is left.
    pub(crate) async fn reseal_credential(
        &self,
        former: &StoredCredential,
        resealed: &SealedTokens,
        token_key: &str,
    ) -> Result<bool, StoreError> {
        let rows = self
            .write(
                RESEAL_CREDENTIAL,
                &[
                    &former.account.0,
                    &former.tokens.access_token,
                    &resealed.key_id,
                    &resealed.access_token,
                    &resealed.refresh_token,
                    &token_key,
                ],
            )
            .await?;
        Ok(!rows.is_empty())
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
