//! Real processes: the services' binaries, started, watched, signalled and ended by a test.
//!
//! A [`Process`] collects what its child writes to standard error, is killed when it is dropped,
//! and does not outlive this process even if that is killed. If it printed a secret that was noted
//! ([`crate::secrets`]), to its log or its metrics, its drop panics: no test has to think of that.

mod binaries;
pub(crate) mod guard;
mod leaks;
mod output;
mod warnings;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

pub(crate) use self::output::output_in;
pub use self::{
    binaries::{Binaries, BuildError, binaries, build},
    output::{output, run},
    warnings::{DATABASE_AWAY, Warnings},
};
use self::{
    guard::Guard,
    leaks::{EndOfLog, Leaks, end_of_log},
};
use crate::{lock::lock, wait};

/// This many of the last lines of standard error are kept.
const KEPT_LINES: usize = 50_000;

/// A signal to send to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGKILL: it gets no say.
    Kill,
    /// SIGSTOP: it hangs, and its connections stay open.
    Stop,
    /// SIGCONT: it goes on after SIGSTOP.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A line of `/proc/<id>/status` that counts KiB, as `VmHWM:`, which is the most memory that the
/// process `id` ever had. `None` once the process is gone.
pub fn status_kib(id: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// A command in an environment that has nothing but `PATH` and `HOME`: what the machine's user has
/// set does not decide a test.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command
}

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Set when the process was reaped: from then on its id may be reused.
    end: Option<ExitStatus>,
    guard: Option<Guard>,
    lines: Arc<Mutex<VecDeque<String>>>,
    leaks: Leaks,
    end_of_log: EndOfLog,
    expects_errors: bool,
    warnings: Warnings,
}

impl Process {
    /// Starts `command`. `name` is for messages.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn(name: &str, command: Command) -> std::io::Result<Self> {
        Self::spawn_with(name, command, |_| ())
    }

    /// Like [`Process::spawn`], and calls `on_line` for each line of standard error.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn_with(
        name: &str,
        mut command: Command,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Out of the reach of Ctrl-C: the test decides when the process ends.
            .process_group(0)
            .spawn()?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let leaks = Leaks::default();
        let (reading, end_of_log) = end_of_log();
        if let Some(stderr) = child.stderr.take() {
            let (lines, leaks) = (Arc::clone(&lines), leaks.clone());
            // A thread and not a task: a child whose log is not read stops at a full pipe, and a
            // test's runtime may be busy.
            std::thread::spawn(move || {
                let _reading = reading;
                collect(stderr, &lines, &leaks, on_line);
            });
        }
        let guard = Guard::over(child.id(), Signal::Kill.name(), None);
        let mut process = Self {
            name: name.to_owned(),
            child,
            end: None,
            guard: None,
            lines,
            leaks,
            end_of_log,
            expects_errors: false,
            warnings: Warnings::default(),
        };
        // On an error the child is dropped with `process`, and so killed.
        process.guard = Some(guard?);
        Ok(process)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match self.end {
            Some(status) => Err(std::io::Error::other(format!("it has ended ({status})"))),
            None => guard::send(signal.name(), self.child.id()),
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.end.is_none() {
            self.end = self.child.try_wait()?;
            if self.end.is_some()
                && let Some(guard) = self.guard.take()
            {
                guard.release();
            }
        }
        Ok(self.end)
    }

    /// What it wrote to standard error so far, line by line.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).iter().cloned().collect()
    }

    /// Its log so far: the lines that are JSON objects.
    pub fn log(&self) -> Vec<Value> {
        lock(&self.lines)
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect()
    }

    /// The last `count` lines of standard error.
    pub fn tail(&self, count: usize) -> String {
        let lines = lock(&self.lines);
        let skipped = lines.len().saturating_sub(count);
        let tail: Vec<&str> = lines.iter().skip(skipped).map(String::as_str).collect();
        tail.join("\n")
    }

    /// Waits for a log line that `wanted` accepts, past ones included, and returns it.
    pub async fn wait_for_log(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_while_alive(what, |process| {
            process.log().into_iter().find(|line| wanted(line))
        })
        .await
    }

    /// Waits for a log line whose field `event` is `event`, and returns it.
    pub async fn wait_for_event(&mut self, event: &str) -> Value {
        self.wait_for_log(&format!("logs event {event}"), |line| {
            line["event"].as_str() == Some(event)
        })
        .await
    }

    /// Waits for a file with JSON, as `--ready-file` writes it, and returns what is in it.
    pub async fn wait_for_ready_file(&mut self, path: &Path) -> Value {
        self.wait_while_alive(&format!("writes {}", path.display()), |_| {
            serde_json::from_slice(&std::fs::read(path).ok()?).ok()
        })
        .await
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        wait::until(&what, || {
            let ended = self.ended().expect("a child of ours");
            let tail = self.tail(20);
            async move { ended.ok_or(tail) }
        })
        .await
    }

    /// Says that lines of level ERROR are what the test is about. Elsewhere they are bugs.
    pub fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// Expects warnings that begin so, past ones included. Others are bugs.
    pub fn expect_warnings(&self, texts: &[&'static str]) {
        self.warnings.expect(texts);
    }

    /// The same process, which may write the warnings that `warnings` expects.
    pub fn warning_as(mut self, warnings: &Warnings) -> Self {
        self.warnings = warnings.clone();
        self
    }

    /// Sends SIGTERM, waits for its end, and asserts that it was an orderly one: exit code 0, and
    /// no line of level WARN or ERROR that was not expected.
    pub async fn stop(mut self) {
        self.leaks.search_metrics();
        self.signal(Signal::Terminate)
            .unwrap_or_else(|error| panic!("{} cannot be stopped: {error}", self.name));
        let status = self.wait().await;
        assert!(
            status.success(),
            "{} ended with {status} after SIGTERM:\n{}",
            self.name,
            self.tail(40)
        );
        self.end_of_log.wait();
        let log = self.log();
        let mut unexpected = self.warnings.unexpected(&log);
        if !self.expects_errors {
            unexpected.extend(log.iter().filter(|line| line["level"] == "ERROR"));
        }
        assert!(
            unexpected.is_empty(),
            "{} warned of what its test does not expect (expect_warnings, expect_errors): \
             {unexpected:#?}",
            self.name
        );
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    async fn wait_while_alive<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let what = format!("{} {what}", self.name);
        let found = wait::until(&what, || {
            // Asked before looking, so that a last line before the end is not missed.
            let ended = self.ended().expect("a child of ours");
            let found = look(self);
            let tail = self.tail(20);
            async move {
                match (found, ended) {
                    (Some(found), _) => Ok(Ok(found)),
                    (None, Some(status)) => Ok(Err(format!("it ended ({status}):\n{tail}"))),
                    (None, None) => Err(tail),
                }
            }
        })
        .await;
        found.unwrap_or_else(|ended| panic!("waited until {what}, and {ended}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if self.end.is_none() && !panicking {
            self.leaks.search_metrics();
        }
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(guard) = self.guard.take() {
            guard.release();
        }
        if !panicking {
            self.end_of_log.wait();
            let leaks = self.leaks.all();
            assert!(
                leaks.is_empty(),
                "{} printed a secret: {}",
                self.name,
                leaks.join("; ")
            );
        }
    }
}

fn collect(
    stderr: ChildStderr,
    lines: &Mutex<VecDeque<String>>,
    leaks: &Leaks,
    mut on_line: impl FnMut(&str),
) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes) {
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches('\n');
        leaks.search(line);
        on_line(line);
        let mut lines = lock(lines);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
        drop(lines);
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Process {
        let mut command = command("sh");
        command.args(["-c", script]);
        Process::spawn("script", command).unwrap()
    }

    fn alive(id: u32) -> bool {
        guard::send("0", id).is_ok()
    }

    #[tokio::test]
    async fn a_log_line_is_found_by_its_event_whatever_else_is_written() {
        let mut process = sh(
            r#"echo hello >&2; echo '{"event":"listening","address":"127.0.0.1:1"}' >&2; exec sleep 60"#,
        );
        let line = process.wait_for_event("listening").await;
        assert_eq!(line["address"], "127.0.0.1:1");
        assert_eq!(process.lines()[0], "hello");
        assert_eq!(process.log().len(), 1);
    }

    #[tokio::test]
    #[should_panic(expected = "it ended (exit status: 3):\nno such flag")]
    async fn a_wait_fails_at_once_when_the_process_ends() {
        sh("echo no such flag >&2; sleep 0.1; exit 3")
            .wait_for_event("listening")
            .await;
    }

    #[tokio::test]
    async fn an_orderly_end_is_one_with_code_0() {
        let mut process =
            sh("trap 'exit 0' TERM; echo '{\"event\":\"up\"}' >&2; while :; do sleep 0.01; done");
        process.wait_for_event("up").await;
        process.stop().await;
    }

    #[tokio::test]
    #[should_panic(expected = "script warned of what its test does not expect")]
    async fn a_warning_that_no_test_expects_fails_it() {
        let script = r#"trap 'exit 0' TERM; echo '{"level":"WARN","message":"the disk is full","error":"3 blocks left"}' >&2;
            echo '{"event":"up"}' >&2; while :; do sleep 0.01; done"#;
        let expecting = sh(script);
        expecting.expect_warnings(&["the disk is full: 3 blocks left"]);
        for mut process in [expecting, sh(script)] {
            process.wait_for_event("up").await;
            process.stop().await;
        }
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let process = sh("exec sleep 60");
        let id = process.id();
        assert!(alive(id));
        drop(process);
        assert!(!alive(id));
    }

    #[tokio::test]
    async fn a_process_that_has_ended_is_sent_nothing_since_its_id_may_be_anothers() {
        let mut process = sh("exit 4");
        process.wait().await;
        let error = process.signal(Signal::Terminate).unwrap_err();
        assert_eq!(error.to_string(), "it has ended (exit status: 4)");
        assert_eq!(process.ended().unwrap().unwrap().code(), Some(4));
    }

    #[tokio::test]
    async fn a_guard_whose_holder_is_gone_kills_its_charge_and_removes_its_directory() {
        let directory = std::env::temp_dir().join(format!("guard-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        // The kernel closes the pipe of a killed process as a drop does.
        drop(Guard::over(child.id(), "TERM", Some(&directory)).unwrap());
        wait::until("the child is gone", || {
            let ended = child.try_wait().unwrap();
            async move { ended.ok_or("alive") }
        })
        .await;
        wait::until("the directory is gone", || {
            let exists = directory.exists();
            async move { if exists { Err("there") } else { Ok(()) } }
        })
        .await;
    }
}
