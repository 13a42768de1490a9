//! The binary that is run.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use testkit::wait::until;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinSet,
};
use uuid::Uuid;

use crate::stack::{Caller, Stack};

/// The binary in the name of one caller, in an environment without other variables.
pub(super) struct Client {
    url: String,
    directory: Arc<Directory>,
    variables: Vec<(&'static str, String)>,
}

/// Is removed with the last client whose token is in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How a command ended.
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Client {
    pub(super) fn of(stack: &Stack, caller: &Caller) -> Self {
        let directory = std::env::temp_dir().join(format!("terminal-{}", Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let client = Self {
            url: stack.public_url.clone(),
            directory: Arc::new(Directory(directory)),
            variables: Vec::new(),
        };
        client.put_token(&caller.token());
        client
    }

    /// The same caller at another server.
    pub(super) fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            directory: Arc::clone(&self.directory),
            variables: self.variables.clone(),
        }
    }

    /// The same with another variable.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Replaces the token in the client's file.
    pub(super) fn put_token(&self, token: &str) {
        std::fs::write(self.file("token"), token).unwrap();
    }

    /// A file in the client's directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    fn variables(&self) -> Vec<(&str, String)> {
        let own = [
            ("CHAT_URL", self.url.clone()),
            ("CHAT_TOKEN_FILE", self.file("token").display().to_string()),
        ];
        own.into_iter().chain(self.variables.clone()).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-service"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().await.unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command, which must succeed; returns what it prints.
    pub(super) async fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        ran.out
    }

    /// Runs a command at a terminal, which must succeed; returns what the terminal gets.
    pub(super) async fn at_a_terminal(&self, arguments: &[&str]) -> String {
        let typescript = self.file("typescript");
        let binary = env!("CARGO_BIN_EXE_chat-service");
        let status = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("{binary} {}", arguments.join(" ")))
            .arg(&typescript)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| name == "PATH"))
            .envs(self.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(status.success(), "{status}");
        std::fs::read_to_string(typescript).unwrap()
    }

    /// Starts a command, and does not wait for its end.
    pub(super) fn start(&self, arguments: &[&str]) -> Going {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut readers = JoinSet::new();
        let out = collect(&mut readers, child.stdout.take().unwrap());
        let err = collect(&mut readers, child.stderr.take().unwrap());
        Going {
            child,
            out,
            err,
            _readers: readers,
            _directory: Arc::clone(&self.directory),
        }
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

fn collect(readers: &mut JoinSet<()>, from: impl AsyncRead + Send + Unpin + 'static) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    readers.spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            collected.lock().unwrap().push(line);
        }
    });
    lines
}

/// A running command.
pub(super) struct Going {
    child: Child,
    out: Lines,
    err: Lines,
    _readers: JoinSet<()>,
    /// Kept while it runs, since its token is in it.
    _directory: Arc<Directory>,
}

impl Going {
    /// Waits for a line on standard output that `wanted` accepts.
    pub(super) async fn prints(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.line(&self.out, what, wanted).await
    }

    /// Waits for a line on standard error with `part` in it.
    pub(super) async fn remarks(&self, part: &str) -> String {
        self.line(&self.err, part, |line| line.contains(part)).await
    }

    async fn line(&self, lines: &Lines, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        until(what, || async {
            let line = lines
                .lock()
                .unwrap()
                .iter()
                .find(|line| wanted(line))
                .cloned();
            line.ok_or_else(|| (self.printed(), self.err.lock().unwrap().clone()))
        })
        .await
    }

    /// Everything on standard output so far.
    pub(super) fn printed(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// Waits for its end; returns the exit code.
    pub(super) async fn ends(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Ends it as Ctrl-C does.
    pub(super) async fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        let kill = ["-c", "kill -s INT \"$1\"", "kill", &id];
        let sent = Command::new("sh").args(kill).status().await.unwrap();
        assert!(sent.success());
        self.ends().await
    }
}
