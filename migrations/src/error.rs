//! Why a migration failed, or why the schema does not fit this build.

use tokio_postgres::error::ErrorPosition;

/// Why the schema is not, or could not be made, what this build needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A statement of a file failed. Nothing of that file is applied, unless it says
    /// `-- no-transaction`.
    #[error("migration {name}{} failed: {}", at_line(.line), database_text(.source))]
    Statement {
        /// The file's name without `.sql`.
        name: &'static str,
        /// The line that PostgreSQL points at, if it points at one.
        line: Option<usize>,
        /// What PostgreSQL says.
        source: tokio_postgres::Error,
    },
    /// A file was applied before with other content.
    #[error(
        "migration {name} differs from what was applied: an applied file is never edited; add a new one"
    )]
    Edited {
        /// The file's name without `.sql`.
        name: &'static str,
    },
    /// The database has another history: a version was applied under another name.
    #[error(
        "this database was made by a version from before the first release (its migration {applied_name} is \
         {name} here), whose data cannot be taken over: use an empty database"
    )]
    OtherHistory {
        /// The file's name without `.sql`.
        name: &'static str,
        /// The name that the database has for this version.
        applied_name: String,
    },
    /// A file was never applied, although a later one was.
    #[error("migration {name} was never applied, although version {applied} was")]
    OutOfOrder {
        /// The file's name without `.sql`.
        name: &'static str,
        /// The latest version in the database.
        applied: i32,
    },
    /// The schema is older than this build needs.
    #[error(
        "the schema is at version {found}, this build needs version {needed}: run `chat-service migrate`"
    )]
    TooOld {
        /// The version of the database.
        found: i32,
        /// The version of this build, [`crate::CURRENT`].
        needed: i32,
    },
    /// The runner's own bookkeeping failed.
    #[error("migrations could not {doing}: {}", database_text(.source))]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What PostgreSQL says.
        source: tokio_postgres::Error,
    },
}

impl MigrationError {
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    pub(crate) fn statement(name: &'static str, sql: &str, source: tokio_postgres::Error) -> Self {
        Self::Statement {
            name,
            line: line(sql, &source),
            source,
        }
    }
}

/// The line of `sql` that the error's position, counted in characters from 1, is on.
fn line(sql: &str, error: &tokio_postgres::Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(position) => {
            let before = sql
                .chars()
                .take(usize::try_from(*position).ok()?.saturating_sub(1));
            Some(1 + before.filter(|character| *character == '\n').count())
        }
        ErrorPosition::Internal { .. } => None,
    }
}

fn at_line(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line},"))
}

/// `tokio_postgres::Error` prints as "db error"; what the database says is in its source.
fn database_text(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |db| format!("{} ({})", db.message(), db.code().code()),
    )
}
