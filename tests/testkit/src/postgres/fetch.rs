//! Programs that are fetched for tests: kept in a cache directory, and unpacked aside until they
//! are whole.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::user::we_are_root;
use crate::process::output_in;

/// Why programs could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("there are no prebuilt programs for this platform")]
    Platform,
    #[error("no cache directory: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    #[error("`{command}` failed: {detail}")]
    Command {
        command: &'static str,
        detail: String,
    },
    #[error("the package's archive does not have the pinned digest")]
    Digest,
    #[error("the package's list of symbolic links is malformed")]
    Links,
    #[error("cannot {doing} {}: {cause}", .path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        cause: std::io::Error,
    },
}

pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.to_owned();
    move |cause| FetchError::Io { doing, path, cause }
}

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Aside(pub(crate) PathBuf);

impl Aside {
    pub(crate) fn within(parent: &Path) -> Result<Self, FetchError> {
        let aside = Self(parent.join(format!("partial-{}", uuid::Uuid::now_v7().simple())));
        std::fs::create_dir(&aside.0).map_err(io("create", &aside.0))?;
        Ok(aside)
    }

    /// Renames the unpacked directory, so that a half-done one is never used, and so that several
    /// test processes may do it at once.
    pub(super) fn keep(&self, unpacked: &Path, ready: &Path) -> Result<(), FetchError> {
        std::fs::rename(unpacked, ready)
            .or_else(|error| if ready.exists() { Ok(()) } else { Err(error) })
            .map_err(io("rename", unpacked))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A directory that cannot be removed does no harm: it is only a cache's or a temporary one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A directory that the user who runs the server can reach: as root that is another user, who
/// cannot look into root's home.
pub(super) fn cache_directory() -> Result<PathBuf, FetchError> {
    let base = if we_are_root() {
        PathBuf::from("/var/cache")
    } else if let Some(cache) = std::env::var_os("XDG_CACHE_HOME") {
        PathBuf::from(cache)
    } else {
        std::env::home_dir()
            .ok_or(FetchError::NoCache)?
            .join(".cache")
    };
    let cache = base.join("chat-testkit");
    std::fs::create_dir_all(&cache).map_err(io("create", &cache))?;
    Ok(cache)
}

/// Runs a command that succeeds, in `directory`.
pub(super) async fn run(
    name: &'static str,
    mut command: Command,
    directory: &Path,
) -> Result<Output, FetchError> {
    let failed = |detail: String| FetchError::Command {
        command: name,
        detail,
    };
    command.current_dir(directory);
    let output = output_in(command, Stdio::piped(), Some(directory))
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}
