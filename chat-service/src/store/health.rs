//! Whether the database can be used: checked once at the start, then polled on a session of its
//! own, so that a saturated pool is not mistaken for a database that is away.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use tokio_postgres::{Error as PgError, error::SqlState};

use super::{
    Sql, Store, StoreError,
    column::Columns as _,
    error::is_read_only,
    session::{MARK, Session, limits},
    sql::sql,
};

const LIST_SESSION_SETTINGS: Sql = sql!("list_session_settings");
const ASK_WRITABLE: Sql = sql!("ask_writable");

/// The oldest major version that the tests run on.
const OLDEST_VERSION: u32 = 14;
const VERSION: &str = "server_version_num";
/// The database answers within this, or it is away.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the database cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthFault {
    /// It is away.
    #[error("the database does not answer")]
    Away,
    /// It is a standby, or was demoted.
    #[error("the database is read-only")]
    ReadOnly,
}

impl Store {
    /// Whether the schema is new enough.
    ///
    /// # Errors
    ///
    /// When it is older than this binary wants, with both versions, or the database is away.
    pub async fn require_current_schema(&self) -> anyhow::Result<()> {
        let connection = self.connection().await?;
        migrations::require_current(connection.client()).await?;
        Ok(())
    }

    /// Checks the schema, the server, and the settings of sessions: behind a pooler the options of
    /// the startup packet do not arrive, and the role must have them.
    ///
    /// # Errors
    ///
    /// When the schema is older than this binary needs, the server is too old, a setting differs
    /// (the error names it), or the database is away. When it is behind a pooler and there is no
    /// direct URL for notifications.
    pub async fn require_fit(&self, has_direct_url: bool) -> anyhow::Result<()> {
        self.require_current_schema().await?;
        let wanted = limits(self.pool.statement_timeout());
        let mut names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        names.extend([VERSION, MARK.0]);
        let rows = self.read(LIST_SESSION_SETTINGS, &[&names]).await?;
        let mut found: HashMap<String, Option<String>> = HashMap::new();
        for row in &rows {
            found.insert(row.get_as("name")?, row.get_as("setting")?);
        }
        let setting = |name: &str| found.get(name).and_then(Option::as_deref).unwrap_or("");
        let version = setting(VERSION).parse().unwrap_or(0) / 10_000;
        if version < OLDEST_VERSION {
            anyhow::bail!("PostgreSQL {version} is too old: this needs {OLDEST_VERSION} or later");
        }
        let mut differing = String::new();
        for (name, wanted) in &wanted {
            let found = setting(name);
            if found != wanted {
                let _ = write!(differing, "\n  {name} is {found:?}; it must be {wanted:?}");
            }
        }
        if !differing.is_empty() {
            anyhow::bail!(
                "sessions do not run under the settings that they ask for, as behind a pooler; set \
                 them on its role (ALTER ROLE .. SET ..), and have it reconnect:{differing}"
            );
        }
        if setting(MARK.0) != MARK.1 && !has_direct_url {
            anyhow::bail!(
                "the database is behind a pooler: CHAT_DATABASE_DIRECT_URL is required, for \
                 notifications"
            );
        }
        Ok(())
    }

    /// Asks whether the database answers and takes writes.
    ///
    /// # Errors
    ///
    /// The fault of the database.
    pub async fn ping(&self) -> Result<(), HealthFault> {
        let asked = tokio::time::timeout(PING_TIMEOUT, self.ask_writable());
        let answer = asked.await.unwrap_or(Err(HealthFault::Away));
        self.pool.set_answers(answer != Err(HealthFault::Away));
        if answer == Err(HealthFault::ReadOnly) {
            self.pool.renew();
        }
        answer
    }

    async fn ask_writable(&self) -> Result<(), HealthFault> {
        let mut kept = self.health.lock().await;
        // It is kept only if it answers.
        let session = match kept.take().filter(Session::is_usable) {
            Some(session) => session,
            None => match self.pool.connect().await {
                Ok(session) => session,
                // The server has no connection left, so it is there: ask on one of the pool's own.
                Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                    return self.ask_writable_in_the_pool().await;
                }
                Err(error) => return Err(unfit(&error)),
            },
        };
        let row = session.client.query_one(ASK_WRITABLE.text, &[]).await;
        let writable = row.and_then(|row| row.try_get("writable"));
        if writable.map_err(|error| unfit(&error))? {
            *kept = Some(session);
            Ok(())
        } else {
            Err(HealthFault::ReadOnly)
        }
    }

    async fn ask_writable_in_the_pool(&self) -> Result<(), HealthFault> {
        let away = |_: StoreError| HealthFault::Away;
        let asked = self.reserved();
        let rows = asked.read(ASK_WRITABLE, &[]).await.map_err(away)?;
        let row = rows.first().ok_or(HealthFault::Away)?;
        match row.get_as("writable") {
            Ok(true) => Ok(()),
            Ok(false) => Err(HealthFault::ReadOnly),
            Err(_) => Err(HealthFault::Away),
        }
    }
}

fn unfit(error: &PgError) -> HealthFault {
    tracing::debug!(%error, "the database is not fit");
    if is_read_only(error) {
        HealthFault::ReadOnly
    } else {
        HealthFault::Away
    }
}
