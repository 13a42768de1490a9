//! A command that is run to its end, and to no other end than its caller's.

use std::{
    io::Error,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tokio::sync::oneshot;

use super::guard::Guard;
use crate::secrets;

/// Runs `command` to its end, and returns what it wrote to standard output, and to standard error
/// where `stderr` is piped.
///
/// When the future is dropped, or this process is killed, the command is killed with everything
/// that it has started; the drop returns when nothing of it is left.
///
/// # Errors
///
/// When the program cannot be started.
pub async fn output(command: Command, stderr: Stdio) -> std::io::Result<Output> {
    output_in(command, stderr, None).await
}

/// Like [`output`]; and where the command is killed, the directory `remove` is removed.
pub(crate) async fn output_in(
    mut command: Command,
    stderr: Stdio,
    remove: Option<&Path>,
) -> std::io::Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        // Out of the reach of Ctrl-C, and so that all of it can be killed.
        .process_group(0)
        .spawn()?;
    let guard = Guard::over_group(child.id(), remove);
    if guard.is_err() {
        // Without a guard it would not end with us; on an error it has ended.
        let _ = child.kill();
    }
    let (ended, end) = oneshot::channel();
    // A thread and not a task: it reaps the child whatever becomes of the runtime.
    std::thread::spawn(move || {
        // The receiver is gone if the future was dropped.
        let _ = ended.send(child.wait_with_output());
    });
    let mut running = Running(Some(guard?));
    let output = end.await.map_err(Error::other)?;
    if let Some(guard) = running.0.take() {
        guard.release();
    }
    output.inspect(no_secret)
}

/// Runs `command` to its end, which must be a good one, and returns what it wrote to standard
/// output.
pub fn run(mut command: Command) -> String {
    let output = command.output().expect("run a command");
    no_secret(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails the test when a command printed a secret.
fn no_secret(output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let found = secrets::found_in(&String::from_utf8_lossy(bytes));
        assert!(
            found.is_none(),
            "a command printed a secret: {}",
            found.unwrap_or_default()
        );
    }
}

/// Kills when dropped before the end.
struct Running(Option<Guard>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin, task::Poll};

    use super::*;
    use crate::wait;

    fn sh(script: &str) -> Command {
        let mut command = super::super::command("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_a_command_wrote_and_how_it_ended_is_returned() {
        let output = output(sh("echo out; echo err >&2; exit 3"), Stdio::piped())
            .await
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[tokio::test]
    async fn a_dropped_command_is_gone_with_all_that_it_started_and_its_directory() {
        let directory = std::env::temp_dir().join(format!("output-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let mut command = sh("sleep 60 & echo $! >child; echo $$ >leader; wait");
        command.current_dir(&directory);
        let id = |name: &str| -> Result<u32, String> {
            let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
            text.trim().parse().map_err(|_| text)
        };
        let ids = {
            let mut running = pin!(output_in(command, Stdio::piped(), Some(&directory)));
            std::future::poll_fn(|context| {
                assert!(running.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            wait::until("both run", || async {
                Ok::<_, String>([id("leader")?, id("child")?])
            })
            .await
        };
        for id in ids {
            // Until its parent has heard of its end, it is still listed.
            wait::until("it is gone", || async {
                match crate::process::guard::send("0", id) {
                    Ok(()) => Err(id),
                    Err(_) => Ok(()),
                }
            })
            .await;
        }
        assert!(!directory.exists());
    }
}
