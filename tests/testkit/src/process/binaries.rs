//! Where the services' binaries are: built once per process, or named by the environment.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// Name a binary that is built already, one from an image for example.
const CHAT_SERVICE_VARIABLE: &str = "CHAT_SERVICE_BIN";
const GITSYNC_SERVICE_VARIABLE: &str = "GITSYNC_SERVICE_BIN";

/// The two services' binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `chat-service`.
    pub chat_service: PathBuf,
    /// `gitsync-service`.
    pub gitsync_service: PathBuf,
}

/// Why the binaries could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo could not be run.
    #[error("cargo cannot be run: {0}")]
    Run(std::io::Error),
    /// The build failed.
    #[error("`cargo build` of the services failed ({status})\n{stderr}")]
    Failed {
        /// How Cargo ended.
        status: std::process::ExitStatus,
        /// What it said, unless it said it to the terminal.
        stderr: String,
    },
    /// The build worked, and yet there is no such binary.
    #[error("`cargo build` made no binary {0}")]
    Missing(&'static str),
}

/// With the services' tests selected too, Cargo chooses the features that `cargo test --workspace`
/// had chosen, and finds everything built; without them it builds both services a second time.
const AS_FOR_TESTS: &[&str] = &["--test", "it"];

/// Builds the binaries at the first call; later calls of the process return the same.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let binaries = named_all().map_or_else(
            || {
                let output = cargo(AS_FOR_TESTS)
                    .stdin(Stdio::null())
                    .output()
                    .map_err(BuildError::Run)?;
                built(&output)
            },
            Ok,
        );
        binaries.unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Builds the binaries, with Cargo's progress on standard error. Dropped, it ends Cargo and its
/// compilers.
///
/// # Errors
///
/// [`BuildError`].
pub async fn build() -> Result<Binaries, BuildError> {
    if let Some(binaries) = named_all() {
        return Ok(binaries);
    }
    let output = super::output(cargo(&[]), Stdio::inherit())
        .await
        .map_err(BuildError::Run)?;
    built(&output)
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// The binaries, if both are named and so need not be built.
fn named_all() -> Option<Binaries> {
    Some(Binaries {
        chat_service: named(CHAT_SERVICE_VARIABLE)?,
        gitsync_service: named(GITSYNC_SERVICE_VARIABLE)?,
    })
}

/// The command that builds both. Cargo holds no lock while it runs tests or a program, so that this
/// does not wait for itself.
fn cargo(further: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "-p", "chat-service"])
        .args(["-p", "gitsync-service", "--bins"])
        .args(further)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command
}

/// What a build has made.
fn built(output: &Output) -> Result<Binaries, BuildError> {
    if !output.status.success() {
        return Err(BuildError::Failed {
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = |name| executable(&messages, name).ok_or(BuildError::Missing(name));
    Ok(Binaries {
        chat_service: named(CHAT_SERVICE_VARIABLE).map_or_else(|| built("chat-service"), Ok)?,
        gitsync_service: named(GITSYNC_SERVICE_VARIABLE)
            .map_or_else(|| built("gitsync-service"), Ok)?,
    })
}

/// The path of binary `name`, as Cargo's messages tell it.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|message| {
            message["target"]["name"] == name && message["target"]["kind"][0] == "bin"
        })?["executable"]
        .as_str()
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_found_among_cargos_messages_and_not_its_library() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"chat-service"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"chat-service"},"executable":"/t/chat-service"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(
            executable(messages, "chat-service"),
            Some(PathBuf::from("/t/chat-service"))
        );
        assert_eq!(executable(messages, "gitsync-service"), None);
    }
}
