//! The two services as processes: their settings, their logs, their start and their end.

use std::{
    ffi::OsStr,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use testkit::process::{Process, Signal, command};
use tokio::time::{Instant, sleep};

use crate::{files::remove, say};

/// How long a service may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to end; longer than its own drain timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// This many of the last log lines are shown when a service ends by itself.
const SHOWN_LINES: usize = 20;

/// Variables by which the machine names the authorities that it trusts.
const PASSED_ON: [&str; 2] = ["SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Runs a command to its end, and returns what it wrote to standard output.
pub(crate) async fn run(what: &str, command: Command) -> anyhow::Result<String> {
    let output = testkit::process::output(command, Stdio::piped())
        .await
        .with_context(|| format!("{what} cannot be started"))?;
    if !output.status.success() {
        bail!(
            "{what} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A running service.
pub(crate) struct Service {
    name: &'static str,
    process: Process,
    /// Where its log goes.
    pub(crate) log: PathBuf,
}

/// A command for one of the services. It inherits the settings of both services from the
/// environment, so that any of them can be tried out, but nothing else: flags win over them.
pub(crate) fn program(path: &Path, prefix: &str) -> Command {
    let mut command = command(path);
    command.envs(std::env::vars_os().filter(|(name, _)| {
        let Some(name) = name.to_str() else {
            return false;
        };
        // The binaries' own places are no settings of theirs.
        PASSED_ON.contains(&name) || (name.starts_with(prefix) && !name.ends_with("_SERVICE_BIN"))
    }));
    command
}

impl Service {
    /// Starts a service, and waits until it writes its ready file; returns what that says.
    pub(crate) async fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
    ) -> anyhow::Result<(Self, Value)> {
        let ready_file = directory.join(format!("{name}.ready"));
        remove(&ready_file)?;
        command.args([OsStr::new("--ready-file"), ready_file.as_os_str()]);
        let log = directory.join(format!("{name}.log"));
        let mut file =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Process::spawn_with(name, command, move |line| {
            // The last lines are kept in memory too.
            let _ = writeln!(file, "{line}");
        })
        .with_context(|| format!("{name} cannot be started"))?;
        let mut service = Self { name, process, log };
        let ready = service.wait_until_ready(&ready_file).await?;
        Ok((service, ready))
    }

    async fn wait_until_ready(&mut self, ready_file: &Path) -> anyhow::Result<Value> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            self.check()?;
            if let Ok(text) = std::fs::read(ready_file) {
                return Ok(serde_json::from_slice(&text)?);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {START_TIMEOUT:?}; its log ends with:\n{}",
                    self.name,
                    self.process.tail(SHOWN_LINES)
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Fails, with the end of its log, if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.process.ended()? {
            bail!(
                "{} ended by itself ({status}); its log ends with:\n{}",
                self.name,
                self.process.tail(SHOWN_LINES)
            );
        }
        Ok(())
    }

    /// Asks it to end, waits for that, and kills it if it takes too long.
    pub(crate) async fn stop(mut self) {
        // A process that has ended by itself is sent no signal: its id may be reused by now.
        if let Ok(None) = self.process.ended()
            && let Err(error) = self.process.signal(Signal::Terminate)
        {
            say::line(&format!("{} cannot be stopped: {error}", self.name));
            return;
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            match self.process.ended() {
                Ok(Some(status)) if status.success() => {
                    say::line(&format!("{} stopped", self.name));
                    return;
                }
                Ok(Some(status)) => {
                    say::line(&format!("{} stopped with {status}", self.name));
                    return;
                }
                Ok(None) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                Ok(None) | Err(_) => {
                    say::line(&format!("{} does not stop and is killed", self.name));
                    return;
                }
            }
        }
    }
}
