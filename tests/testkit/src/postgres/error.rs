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
    /// No server was found, and none could be fetched.
    #[error(
        "no PostgreSQL server was found (`initdb` and `postgres` in PATH, /usr/lib/postgresql/*/bin \
         or TESTKIT_POSTGRES_BIN), and none could be fetched: {cause}{}\n\
         Install one, as in: apt-get install postgresql",
        .passed_over.iter().map(|why| format!("\nPassed over: {why}")).collect::<String>()
    )]
    NoBinaries {
        /// Why none could be fetched.
        cause: String,
        /// Why each one that was found is of no use.
        passed_over: Vec<String>,
    },
    /// A directory that should have the programs has not.
    #[error("{} ({variable}) does not have `initdb` and `postgres`", .directory.display())]
    NotInDirectory {
        /// What names the directory.
        variable: &'static str,
        /// The directory.
        directory: PathBuf,
    },
    /// The user that PostgreSQL runs as, since it refuses root, cannot reach its directory.
    #[error(
        "PostgreSQL refuses to run as root and runs as the user with the id {uid}, who cannot enter {}: \
         {} must be below a directory that every user can enter, as in /var/lib",
        .closed.display(), .directory.display()
    )]
    Unreachable {
        /// The user's id.
        uid: u32,
        /// The directory on the way that it cannot enter.
        closed: PathBuf,
        /// Where the server would be.
        directory: PathBuf,
    },
    /// PostgreSQL does not run as root, and no other user exists.
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
    #[error("cannot {doing} {}: {cause}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says. No source of the error, whose text would say it again.
        cause: std::io::Error,
    },
}

impl StartError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { doing, path, cause }
    }
}
