//! The meaning of a database failure for the caller: did it happen, and may it be retried?

use std::time::Duration;

use proto::reason;
use tokio_postgres::{Error as PgError, error::SqlState};

use crate::error::Error;

/// Why a statement failed, by consequence.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Rolled back because of another transaction; the whole of it may be tried again.
    #[error("the transaction conflicted with another")]
    Conflict {
        /// The server's error, or a change between two statements.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Did not happen: the database could not be reached or takes no work.
    #[error("the database is not available")]
    Unavailable {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Did not happen: all connections to the database are in use.
    #[error("all connections to the database are in use")]
    Saturated,
    /// The connection broke, or the server fell silent: it may have happened or not.
    #[error("the database did not say whether it did it")]
    Uncertain {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Did not happen: the chat does not exist for the caller.
    #[error("the chat does not exist for the caller")]
    NotVisible,
    /// Did not happen: the caller may see the chat, but not do this.
    #[error("not allowed: {action}")]
    NotAllowed {
        /// As in `updateChat`.
        action: &'static str,
    },
    /// Did not happen: the request id was used for a call of another kind.
    #[error("the request id was used for a call of another kind")]
    OtherKind,
    /// Did not happen: it took too long, as the server says.
    #[error("the statement {statement} took too long")]
    Timeout {
        /// Its name.
        statement: &'static str,
        /// The server's error.
        #[source]
        source: PgError,
    },
    /// Did not happen: a list took longer than lists may.
    #[error("the list took too long")]
    ListTooBroad {
        /// The server's error.
        #[source]
        source: Box<StoreError>,
    },
    /// Did not happen: another transaction held a lock for too long.
    #[error("the statement {statement} waited too long for a lock")]
    Locked {
        /// Its name.
        statement: &'static str,
        /// The server's error.
        #[source]
        source: PgError,
    },
    /// Did not happen: a value does not fit its column, or breaks a constraint.
    #[error("the data cannot be stored")]
    Data {
        /// The server's error.
        #[source]
        source: PgError,
    },
    /// The statement, the schema or the row is not as this binary thinks.
    #[error("bug: {doing}")]
    Bug {
        /// The operation.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// A failure that no caller can cause.
    pub(crate) fn bug(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Bug {
            doing,
            source: source.into(),
        }
    }

    /// A row that does not read as expected.
    pub(crate) fn row(source: PgError) -> Self {
        Self::bug("read a row", source)
    }

    /// Classifies the failure of a statement that changes nothing.
    pub(crate) fn from_read(source: PgError) -> Self {
        match Self::from_server(source) {
            Ok(error) => error,
            Err(source) => Self::Unavailable {
                source: Box::new(source),
            },
        }
    }

    /// Classifies the failure of a statement, or a commit, that changes something.
    pub(crate) fn from_write(source: PgError) -> Self {
        match Self::from_server(source) {
            Ok(error) => error,
            Err(source) => Self::uncertain(source),
        }
    }

    /// A failure after which the write may have happened.
    pub(super) fn uncertain(source: PgError) -> Self {
        Self::Uncertain {
            source: Box::new(source),
        }
    }

    /// The same, as the failure of the statement with that name.
    pub(super) fn of(mut self, name: &'static str) -> Self {
        if let Self::Timeout { statement, .. } | Self::Locked { statement, .. } = &mut self {
            *statement = name;
        }
        self
    }

    /// Classifies an error of the server; returns any other error unchanged.
    fn from_server(source: PgError) -> Result<Self, PgError> {
        let Some(state) = source.code().cloned() else {
            return Err(source);
        };
        Ok(
            // A foreign key fails where another transaction deletes what this one has just found.
            if state == SqlState::T_R_SERIALIZATION_FAILURE
                || state == SqlState::T_R_DEADLOCK_DETECTED
                || state == SqlState::FOREIGN_KEY_VIOLATION
            {
                Self::Conflict {
                    source: Box::new(source),
                }
            } else if state == SqlState::LOCK_NOT_AVAILABLE {
                Self::Locked {
                    statement: "",
                    source,
                }
            } else if state == SqlState::QUERY_CANCELED {
                Self::Timeout {
                    statement: "",
                    source,
                }
            } else if matches!(state.code().get(..2), Some("22" | "23")) {
                Self::Data { source }
            } else if matches!(
                state.code().get(..2),
                Some("08" | "25" | "28" | "3D" | "53" | "57")
            ) {
                // Connection exceptions, a transaction that may not write or was ended, refused
                // logins, a database that does not exist (yet), insufficient resources, operator
                // intervention (shutdown). A server that says so has rolled back.
                Self::Unavailable {
                    source: Box::new(source),
                }
            } else {
                Self::bug("run a statement", source)
            },
        )
    }
}

/// Whether the session is of no use after this error: it ended, or its server takes no writes.
pub(super) fn is_of_the_session(state: &SqlState) -> bool {
    matches!(state.code().get(..2), Some("08" | "25"))
}

/// Whether a connection was refused since the server takes no writes.
pub(super) fn is_read_only(error: &PgError) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::Conflict {
                source: Box::new(error),
            },
            StoreError::Unavailable { .. } | StoreError::Uncertain { .. } => Self::Unavailable {
                problem: "the database is not available",
                reason: reason::DEPENDENCY_UNAVAILABLE,
                retry_after: Some(Duration::from_secs(1)),
                source: Some(Box::new(error)),
            },
            StoreError::NotVisible => Self::NotVisible { resource: "chat" },
            StoreError::NotAllowed { action } => Self::NotAllowed { action },
            StoreError::OtherKind => {
                Self::invalid("request_id", "was used for a call of another kind")
            }
            StoreError::ListTooBroad { .. } => Self::ResourceExhausted {
                problem: "the list takes the database too long: narrow it".to_owned(),
                reason: reason::LIST_TOO_BROAD,
                retry_after: None,
            },
            StoreError::Saturated => Self::ResourceExhausted {
                problem: "all connections to the database are in use".to_owned(),
                reason: reason::DATABASE_SATURATED,
                retry_after: Some(Duration::from_secs(1)),
            },
            StoreError::Timeout { .. } => Self::SlowStatement {
                source: Box::new(error),
            },
            StoreError::Locked { .. } => Self::Locked {
                source: Box::new(error),
            },
            StoreError::Data { .. } | StoreError::Bug { .. } => Self::internal(error),
        }
    }
}
