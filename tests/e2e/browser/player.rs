//! The script that plays a scenario in a browser: a process of Node's, with which this one talks in
//! lines of JSON.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A scenario that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Player {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
}

impl Player {
    pub(crate) fn start(scenario: &str, stage: &Value) -> Self {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chat-service/web");
        let mut child = Command::new("node")
            .arg(web.join("test/browser.mjs"))
            .arg(scenario)
            .env("STAGE", stage.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start node");
        let stdout = child.stdout.take().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stdin,
        }
    }

    /// The scenario's next command; none when it is over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next_line());
        let line = line.await.expect("the scenario goes on").unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    /// Answers a command that was performed.
    pub(crate) async fn tell(&mut self, answer: &Value) {
        let line = format!("{answer}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    pub(crate) async fn finish(mut self) {
        drop(self.stdin);
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("the scenario ends").unwrap();
        assert!(
            status.success(),
            "the scenario failed, as printed above: {status}"
        );
    }
}
