//! The schema: numbered SQL files, embedded, forward only. A library; `chat-service migrate` runs
//! it.
//!
//! [`apply`] takes an advisory lock, so any number of runners may start at once; each file is one
//! transaction, recorded with its checksum in `schema_migrations`. A file that was applied is never
//! edited: a runner that finds another checksum refuses to go on.
//!
//! Services do not migrate. They ask [`require_current`] before they serve, which refuses an older
//! schema and accepts a newer one, since old pods run beside a new schema during a rollout.

mod error;

use std::time::Duration;

use tokio_postgres::{Client, error::SqlState};

pub use self::error::MigrationError;

/// One numbered file. Its version is its place in the list, from 1 on.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The file's name without `.sql`, as in `0001_chats`.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(Migration { name: $name, sql: include_str!(concat!("../", $name, ".sql")) }),*]
    };
}

/// Every migration, in order. A test compares it with the directory.
pub const ALL: &[Migration] = files![
    "0001_chats",
    "0002_git_accounts",
    "0003_git_refs",
    "0004_change_events",
    "0005_git_diffs",
];

/// The advisory lock that names the one runner: the bytes of "migrate\0".
const LOCK: i64 = 0x6d69_6772_6174_6500;

/// How often a runner that waits for another one asks again.
const LOCK_RETRY: Duration = Duration::from_millis(200);

/// Lock timeout of a migration. A statement that waits for a table's lock blocks every later
/// reader: it is cancelled after a second, well before the services' own timeouts, and retried
/// after they have passed.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";

/// The backoff after the first try for a lock that failed; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two tries for a lock.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// Tries for the locks of a file: some ten minutes, in which a dump of a large database may end.
const LOCK_TRIES: u32 = 45;

/// The server notices within a quarter of a minute that this host is gone, and frees the lock.
const SESSION: &str = "
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";

/// The first line of a file that cannot run in a transaction (`CREATE INDEX CONCURRENTLY`).
const NO_TRANSACTION: &str = "-- no-transaction";

const CREATE_RECORDS: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version integer NOT NULL CONSTRAINT schema_migrations_pkey PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// The applied migrations, and whether the checksum of each equals that of its file here.
const LIST_RECORDS: &str = "
    SELECT name, checksum = encode(sha256(convert_to(sql, 'UTF8')), 'hex')
    FROM schema_migrations
    LEFT JOIN unnest($1::text[]) WITH ORDINALITY AS files (sql, version) USING (version)
    ORDER BY version";

const INSERT_RECORD: &str = "
    INSERT INTO schema_migrations (version, name, checksum)
    SELECT coalesce(max(version), 0) + 1, $1, encode(sha256(convert_to($2, 'UTF8')), 'hex')
    FROM schema_migrations";

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigrations {
    /// The version before: how many files had been applied.
    pub from: usize,
    /// The files that were applied, in order; empty when there was nothing to do.
    pub names: Vec<&'static str>,
}

/// Brings the schema to that of [`ALL`]. A schema that is newer is left as it is.
///
/// Waits for another runner to end. The connection must be a direct one: the lock belongs to the
/// session, which a transaction-pooling proxy does not keep. Not cancellation safe for the caller's
/// connection: when the future is dropped, close the connection, which also frees the lock.
///
/// # Errors
///
/// See [`MigrationError`]. The files before the one that failed stay applied.
pub async fn apply(client: &mut Client) -> Result<AppliedMigrations, MigrationError> {
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
) -> Result<AppliedMigrations, MigrationError> {
    let session = client.batch_execute(SESSION).await;
    session.map_err(MigrationError::doing("set up the session"))?;
    lock(client).await?;
    let result = apply_locked(client, list).await;
    let unlocked = client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await;
    let applied = result?;
    unlocked.map_err(MigrationError::doing("release the lock"))?;
    Ok(applied)
}

/// Checks that the schema is of the same history, and not older than this build needs. Newer is
/// fine.
///
/// # Errors
///
/// [`MigrationError::TooOld`] with both versions, [`MigrationError::OtherHistory`],
/// [`MigrationError::Edited`], or [`MigrationError::Database`].
pub async fn require_current(client: &Client) -> Result<(), MigrationError> {
    let exists = "SELECT to_regclass('schema_migrations') IS NOT NULL";
    let row = client.query_one(exists, &[]).await;
    let exists = row.and_then(|row| row.try_get(0));
    let found = if exists.map_err(MigrationError::doing("look for schema_migrations"))? {
        applied(client, ALL).await?
    } else {
        0
    };
    let needed = ALL.len();
    if found < needed {
        return Err(MigrationError::TooOld { found, needed });
    }
    Ok(())
}

/// How many migrations were applied, after a check that they are those of the list.
async fn applied(client: &Client, list: &[Migration]) -> Result<usize, MigrationError> {
    let files: Vec<&str> = list.iter().map(|migration| migration.sql).collect();
    let rows = client.query(LIST_RECORDS, &[&files]).await;
    let records = rows.and_then(|rows| {
        let records = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        records.collect::<Result<Vec<(String, Option<bool>)>, _>>()
    });
    let records = records.map_err(MigrationError::doing("read schema_migrations"))?;
    for (Migration { name, .. }, (applied_name, is_same)) in list.iter().zip(&records) {
        if applied_name != name {
            return Err(MigrationError::OtherHistory {
                name,
                applied_name: applied_name.clone(),
            });
        }
        if *is_same != Some(true) {
            return Err(MigrationError::Edited { name });
        }
    }
    Ok(records.len())
}

/// Asks again and again instead of waiting inside `pg_advisory_lock`: a session that waits there
/// holds a snapshot, `CREATE INDEX CONCURRENTLY` waits for old snapshots, and the two deadlock.
async fn lock(client: &Client) -> Result<(), MigrationError> {
    let mut waiting = false;
    loop {
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await;
        let locked = row.and_then(|row| row.try_get(0));
        if locked.map_err(MigrationError::doing("take the lock"))? {
            return Ok(());
        }
        if !waiting {
            tracing::info!("waiting for another migration run to end");
            waiting = true;
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

async fn apply_locked(
    client: &mut Client,
    list: &[Migration],
) -> Result<AppliedMigrations, MigrationError> {
    let created = client.batch_execute(CREATE_RECORDS).await;
    created.map_err(MigrationError::doing("create schema_migrations"))?;
    let from = applied(client, list).await?;
    let mut names = Vec::new();
    for migration in list.iter().skip(from) {
        let name = migration.name;
        let ran = apply_with_retries(client, migration).await;
        ran.map_err(MigrationError::doing(format!("apply {name}")))?;
        tracing::info!(migration.name = name, "migration applied");
        names.push(name);
    }
    Ok(AppliedMigrations { from, names })
}

/// Tries again with backoff while a table's lock is not to be had.
async fn apply_with_retries(
    client: &mut Client,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        let ran = apply_one(client, migration).await;
        let locked = ran.as_ref().err().and_then(tokio_postgres::Error::code)
            == Some(&SqlState::LOCK_NOT_AVAILABLE);
        if !locked || tries == LOCK_TRIES {
            return ran;
        }
        tracing::info!(
            migration.name = migration.name,
            pause_ms = pause.as_millis(),
            "a table is in use by a long transaction; trying again after a pause"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
        tries += 1;
    }
}

/// When this fails, nothing of the file is applied, unless it says `-- no-transaction`.
async fn apply_one(
    client: &mut Client,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    let Migration { name, sql } = migration;
    if sql.lines().next() == Some(NO_TRANSACTION) {
        // A crash between the two leaves the statement done but unrecorded, or an invalid index.
        if !is_built(client, sql).await? {
            client.batch_execute(sql).await?;
        }
        client.execute(INSERT_RECORD, &[name, sql]).await?;
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    transaction.batch_execute(sql).await?;
    transaction.execute(INSERT_RECORD, &[name, sql]).await?;
    transaction.commit().await
}

/// Whether the index that a file builds concurrently is there already, by a run that ended before
/// it was recorded. One that such a run left invalid is dropped.
async fn is_built(client: &Client, sql: &str) -> Result<bool, tokio_postgres::Error> {
    let Some((index, table)) = concurrent_index(sql) else {
        return Ok(false);
    };
    let rows = client.query(FIND_INDEX, &[&index, &table]).await?;
    let Some(row) = rows.first() else {
        return Ok(false);
    };
    let is_valid = row.try_get(0)?;
    if is_valid {
        tracing::info!(
            index,
            "the index was built by a run that ended before it was recorded"
        );
    } else {
        tracing::info!(
            index,
            "the index was left invalid by a run that ended; building it anew"
        );
        let drop = format!("DROP INDEX CONCURRENTLY {index}");
        client.batch_execute(&drop).await?;
    }
    Ok(is_valid)
}

const FIND_INDEX: &str = "
    SELECT indisvalid FROM pg_index
    WHERE indexrelid = to_regclass($1) AND indrelid = to_regclass($2)";

/// The names of the index and of its table, in `CREATE [UNIQUE] INDEX CONCURRENTLY index ON table`.
fn concurrent_index(sql: &str) -> Option<(&str, &str)> {
    let code = sql.lines().filter(|line| !line.starts_with("--"));
    let words = code.flat_map(|line| line.split([' ', '(']));
    let mut words = words.filter(|word| !word.is_empty());
    words.find(|word| word.eq_ignore_ascii_case("CONCURRENTLY"))?;
    let index = words.next()?;
    words.find(|word| word.eq_ignore_ascii_case("ON"))?;
    Some((index, words.next()?))
}
