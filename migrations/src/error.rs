//! Why a migration failed, or why the schema does not fit this build.

use std::borrow::Cow;

/// Why the schema is not, or could not be made, what this build needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A file was applied before with other content.
    #[error(
        "migration {name} differs from what was applied: an applied file is never edited; add a new one"
    )]
    Edited {
        /// The file's name without `.sql`.
        name: &'static str,
    },
    /// The database has another history: another file was applied in this one's place.
    #[error(
        "this database was made by a version from before the first release (its migration {applied_name} is \
         {name} here), whose data cannot be taken over: use an empty database"
    )]
    OtherHistory {
        /// The file's name without `.sql`.
        name: &'static str,
        /// The name that the database has in its place.
        applied_name: String,
    },
    /// The schema is older than this build needs.
    #[error(
        "the schema is at version {found}, this build needs version {needed}: run `chat-service migrate`"
    )]
    TooOld {
        /// The version of the database.
        found: usize,
        /// The version of this build.
        needed: usize,
    },
    /// A statement failed: of a file, or of the runner's own bookkeeping.
    #[error("migrations could not {doing}: {}", database_text(.source))]
    Database {
        /// The operation, as in `apply 0001_chats`.
        doing: Cow<'static, str>,
        /// PostgreSQL's error.
        source: tokio_postgres::Error,
    },
}

impl MigrationError {
    pub(crate) fn doing(
        doing: impl Into<Cow<'static, str>>,
    ) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database {
            doing: doing.into(),
            source,
        }
    }
}

/// `tokio_postgres::Error` prints as "db error"; what the database says is in its source.
fn database_text(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |db| format!("{} ({})", db.message(), db.code().code()),
    )
}
