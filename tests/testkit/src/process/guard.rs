//! Ends a child process when this process is gone, however it went.
//!
//! A destructor does not run after SIGKILL, and what would (`PR_SET_PDEATHSIG`) needs `unsafe`.
//! A pipe does the same: a tiny shell waits for its standard input to end, which the kernel sees to
//! when this process dies, and then kills the child.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// `$1` signal, `$2` process or, below zero, process group, `$3` directory to remove afterwards, or
/// nothing, `$4` tenths of a second to wait at most. A line on standard input says that the child
/// was reaped. The wait is bounded: where nothing reaps orphans, signal 0 goes on to succeed on a
/// zombie.
const SCRIPT: &str = r#"
read -r _ && exit 0
kill -s "$1" -- "$2" 2>/dev/null
tries=0
while kill -s 0 -- "$2" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$4" ]; then kill -s KILL -- "$2" 2>/dev/null; break; fi
    sleep 0.1
done
if [ -n "$3" ]; then rm -rf -- "$3"; fi
"#;

/// Dropping it kills the child that it guards, and removes the directory, without waiting.
#[derive(Debug)]
pub(crate) struct Guard(Option<Child>);

impl Guard {
    /// Guards the process `id`. `signal` is what ends it, as in `KILL`.
    pub(crate) fn over(id: u32, signal: &str, remove: Option<&Path>) -> std::io::Result<Self> {
        Self::over_target(&id.to_string(), signal, remove, "100")
    }

    /// Guards the process group that `id` leads, with all that the leader starts in it; kills it.
    pub(crate) fn over_group(id: u32, remove: Option<&Path>) -> std::io::Result<Self> {
        Self::over_target(&format!("-{id}"), "KILL", remove, "20")
    }

    fn over_target(
        target: &str,
        signal: &str,
        remove: Option<&Path>,
        tenths: &str,
    ) -> std::io::Result<Self> {
        Command::new("sh")
            .args(["-c", SCRIPT, "guard", signal, target])
            .arg(remove.unwrap_or_else(|| Path::new("")))
            .arg(tenths)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: Ctrl-C at a terminal must not end the guard before its charge.
            .process_group(0)
            .spawn()
            .map(|child| Self(Some(child)))
    }

    /// Does what the drop does, and waits until that is done. The child must be reaped meanwhile.
    pub(crate) fn finish(mut self) {
        if let Some(mut shell) = self.0.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Says that the child was reaped, so that there is nothing left to kill.
    pub(crate) fn release(mut self) {
        if let Some(mut shell) = self.0.take() {
            if let Some(mut input) = shell.stdin.take() {
                // When the shell is gone already, there is nothing to tell it.
                let _ = input.write_all(b"\n");
            }
            let _ = shell.wait();
        }
    }
}

/// Sends a signal by process id. A shell does it, since `kill(2)` needs `unsafe` and not every
/// image has a program `kill`.
pub(crate) fn send(signal: &str, id: u32) -> std::io::Result<()> {
    let status = Command::new("sh")
        .args([
            "-c",
            r#"kill -s "$1" "$2""#,
            "kill",
            signal,
            &id.to_string(),
        ])
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!(
            "process {id} cannot be sent {signal}"
        )))
    }
}
