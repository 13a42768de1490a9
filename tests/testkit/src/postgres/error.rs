//! Why there is no server, and what to do about it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a server may take to accept connections, or to stop. A busy machine is slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Why a server did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is none, and none could be fetched.
    #[error(
        "no PostgreSQL server was found (`initdb` and `postgres` in PATH, /usr/lib/postgresql/*/bin \
         or TESTKIT_POSTGRES_BIN), and none could be fetched: {source}\n\
         Install one, as in: apt-get install postgresql"
    )]
    NoBinaries {
        /// Why none could be fetched.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A directory that should have the programs has not.
    #[error("{} ({variable}) does not have `initdb` and `postgres`", .directory.display())]
    NotInDirectory {
        /// What names the directory.
        variable: &'static str,
        /// The directory.
        directory: PathBuf,
    },
    /// PostgreSQL does not run as root, and there is nobody else.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A new cluster is only made in an empty directory, which then changes hands.
    #[error("{} is not empty, and no former start made it", .directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    InitDb {
        /// What it printed.
        output: String,
    },
    /// The server ended instead of starting.
    #[error("PostgreSQL ended at its start ({status}); its log ends with:\n{log}")]
    Ended {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server does not answer, or does not end.
    #[error("PostgreSQL {what} within {PATIENCE:?}; its log ends with:\n{log}")]
    Slow {
        /// What it did not do.
        what: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A file or process could not be handled.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl StartError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
