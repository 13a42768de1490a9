//! Applies the files under one lock, and remembers what it applied.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use tokio_postgres::Client;

use crate::{ALL, CURRENT, Migration, MigrationError};

/// The advisory lock that names the one runner: the bytes of "migrate\0".
const LOCK: i64 = 0x6d69_6772_6174_6500;

/// How often a runner that waits for another one asks again.
const LOCK_RETRY: Duration = Duration::from_millis(200);

/// A statement that waits for a table's lock makes every later reader wait behind it. Rather fail,
/// and let the job run again.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '10s'";

/// The first line of a file that cannot run in a transaction (`CREATE INDEX CONCURRENTLY`).
const NO_TRANSACTION: &str = "-- no-transaction";

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version before.
    pub from: i32,
    /// The version after.
    pub to: i32,
    /// The files that were applied, in order; empty when there was nothing to do.
    pub names: Vec<&'static str>,
}

/// Brings the schema to [`CURRENT`]. A schema that is newer is left alone.
///
/// Waits for another runner to end. The connection must be a direct one: the lock belongs to the
/// session, which a transaction-pooling proxy does not keep. Not cancellation safe for the caller's
/// connection: when the future is dropped, close the connection, which also frees the lock.
///
/// # Errors
///
/// See [`MigrationError`]. The files before the one that failed stay applied.
pub async fn apply(client: &mut Client) -> Result<Applied, MigrationError> {
    apply_list(client, ALL).await
}

/// Like [`apply`], for a given list; for tests that stop half way.
///
/// # Errors
///
/// As [`apply`].
pub async fn apply_list(
    client: &mut Client,
    list: &[Migration],
) -> Result<Applied, MigrationError> {
    lock(client).await?;
    let result = apply_locked(client, list).await;
    let unlocked = client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await;
    let applied = result?;
    unlocked.map_err(MigrationError::doing("release the lock"))?;
    Ok(applied)
}

/// Checks that the schema is not older than this build needs, and of the same history. Newer is fine.
///
/// # Errors
///
/// [`MigrationError::TooOld`] with both versions, [`MigrationError::OtherHistory`], or
/// [`MigrationError::Database`].
pub async fn require_current(client: &Client) -> Result<(), MigrationError> {
    let found = version(client).await?;
    if found > 0 {
        same_history(ALL, &records(client).await?)?;
    }
    if found < CURRENT {
        return Err(MigrationError::TooOld {
            found,
            needed: CURRENT,
        });
    }
    Ok(())
}

/// The version of the schema: that of the latest migration applied, 0 when there is none.
///
/// # Errors
///
/// [`MigrationError::Database`].
pub async fn version(client: &Client) -> Result<i32, MigrationError> {
    let doing = "read the schema's version";
    let exists: bool = client
        .query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(MigrationError::doing(doing))?;
    if !exists {
        return Ok(0);
    }
    client
        .query_one(
            "SELECT coalesce(max(version), 0) FROM schema_migrations",
            &[],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(MigrationError::doing(doing))
}

/// Asks again and again instead of waiting inside `pg_advisory_lock`: a session that waits there
/// holds a snapshot, `CREATE INDEX CONCURRENTLY` waits for old snapshots, and the two deadlock.
async fn lock(client: &Client) -> Result<(), MigrationError> {
    let mut waiting = false;
    loop {
        let locked: bool = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(MigrationError::doing("take the lock"))?;
        if locked {
            return Ok(());
        }
        if !waiting {
            tracing::info!("waiting for another migration run to end");
            waiting = true;
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

async fn apply_locked(client: &mut Client, list: &[Migration]) -> Result<Applied, MigrationError> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                version integer NOT NULL CONSTRAINT schema_migrations_pkey PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )",
        )
        .await
        .map_err(MigrationError::doing("create schema_migrations"))?;
    let before = records(client).await?;
    let from = before.keys().next_back().copied().unwrap_or(0);
    let pending = pending(list, &before, from)?;

    let mut applied = Applied {
        from,
        to: from,
        names: Vec::new(),
    };
    for migration in pending {
        apply_one(client, migration).await?;
        tracing::info!(migration.name = migration.name, "migration applied");
        applied.to = migration.version;
        applied.names.push(migration.name);
    }
    Ok(applied)
}

struct Record {
    name: String,
    checksum: String,
}

async fn records(client: &Client) -> Result<BTreeMap<i32, Record>, MigrationError> {
    let doing = "read schema_migrations";
    client
        .query("SELECT version, name, checksum FROM schema_migrations", &[])
        .await
        .map_err(MigrationError::doing(doing))?
        .iter()
        .map(|row| {
            let record = Record {
                name: row.try_get(1)?,
                checksum: row.try_get(2)?,
            };
            Ok((row.try_get(0)?, record))
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(MigrationError::doing(doing))
}

/// Checks that what was applied has the names that it has here.
fn same_history(list: &[Migration], applied: &BTreeMap<i32, Record>) -> Result<(), MigrationError> {
    for migration in list {
        if let Some(record) = applied.get(&migration.version)
            && record.name != migration.name
        {
            return Err(MigrationError::OtherHistory {
                name: migration.name,
                applied_name: record.name.clone(),
            });
        }
    }
    Ok(())
}

/// The files still to apply, after a check of those that were.
fn pending<'a>(
    list: &'a [Migration],
    applied: &BTreeMap<i32, Record>,
    latest: i32,
) -> Result<Vec<&'a Migration>, MigrationError> {
    same_history(list, applied)?;
    let mut pending = Vec::new();
    for migration in list {
        match applied.get(&migration.version) {
            Some(record) => {
                if record.checksum != checksum(migration.sql) {
                    return Err(MigrationError::Edited {
                        name: migration.name,
                    });
                }
            }
            None if migration.version < latest => {
                return Err(MigrationError::OutOfOrder {
                    name: migration.name,
                    applied: latest,
                });
            }
            None => pending.push(migration),
        }
    }
    Ok(pending)
}

async fn apply_one(client: &mut Client, migration: &Migration) -> Result<(), MigrationError> {
    const RECORD: &str =
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)";
    let failed = |source| MigrationError::statement(migration.name, migration.sql, source);
    let checksum = checksum(migration.sql);
    if migration.sql.lines().next() == Some(NO_TRANSACTION) {
        // A crash between the two leaves the statement done but unrecorded. The next run then fails
        // on the name that exists, which is better than taking an invalid index for a good one.
        client.batch_execute(migration.sql).await.map_err(failed)?;
        return client
            .execute(RECORD, &[&migration.version, &migration.name, &checksum])
            .await
            .map(drop)
            .map_err(failed);
    }
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute(LOCK_TIMEOUT)
        .await
        .map_err(failed)?;
    transaction
        .batch_execute(migration.sql)
        .await
        .map_err(failed)?;
    transaction
        .execute(RECORD, &[&migration.version, &migration.name, &checksum])
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// SHA-256 in hex.
fn checksum(sql: &str) -> String {
    digest(&SHA256, sql.as_bytes()).as_ref().iter().fold(
        String::with_capacity(64),
        |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_sha_256_in_hex() {
        assert_eq!(
            checksum("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
