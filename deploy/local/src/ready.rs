//! What the launcher tells once all is ready: to people as text, to programs as a file.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    people::{self, Tokens},
    sample::Samples,
    say,
};

/// Addresses, tokens and ids of what runs.
pub(crate) struct Ready {
    pub(crate) chat_service: String,
    pub(crate) sync_service: String,
    pub(crate) gitsync_service: String,
    pub(crate) database_url: String,
    pub(crate) github_api: String,
    pub(crate) stand_in: bool,
    pub(crate) tokens: Tokens,
    pub(crate) samples: Samples,
    pub(crate) logs: Vec<PathBuf>,
}

/// The file for programs. It says that the system runs, and holds tokens: it goes with the system.
pub(crate) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Removes what an earlier start left.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let file = Self(std::path::absolute(path)?);
        file.remove()
            .with_context(|| format!("cannot remove {}", path.display()))?;
        Ok(file)
    }

    fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            say::line(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

impl Ready {
    /// Writes the file, whole or not at all. Only its owner may read it.
    pub(crate) fn write(&self, file: &ReadyFile) -> anyhow::Result<()> {
        let path = &file.0;
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&partial)?;
            writeln!(file, "{:#}", self.json())?;
            file.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    fn json(&self) -> Value {
        json!({
            "chat_service": self.chat_service,
            "gitsync_service": self.gitsync_service,
            "sync_service": self.sync_service,
            "database_url": self.database_url,
            "github_api": self.github_api,
            "tokens": self.tokens.json(),
            "users": people::json(),
            "organization": people::ORGANIZATION,
            "chats": self.samples.of("owner"),
            "chats_by_role": self.samples.by_role(),
        })
    }

    /// What is printed.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        let chat = authority(&self.chat_service);
        let gitsync = authority(&self.gitsync_service);
        let kind = if self.stand_in {
            "the stand-in"
        } else {
            "a real host"
        };
        let owned = self.samples.of("owner");
        let example = owned.first().copied().unwrap_or_default();
        let owner = people::OWNER;

        let mut text = format!(
            "\nReady. Everything listens on this machine only.\n\n  \
             chat-service     {}\n  \
             gitsync-service  {}\n  \
             PostgreSQL       {}\n  \
             GitHub API       {} ({kind})\n",
            self.chat_service, self.gitsync_service, self.database_url, self.github_api,
        );
        for log in &self.logs {
            text.push_str(&format!("  log              {}\n", log.display()));
        }
        text.push_str("\nBearer tokens, good for a week:\n\n");
        for person in people::everybody() {
            let token = self.tokens.of(person.role)?;
            text.push_str(&format!("  {}={token}\n", person.role.to_uppercase()));
        }
        text.push_str(&format!(
            "\nPaste the lines above into a shell, and then:\n\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OWNER\" -d '{{\"owner_id\": \"{owner}\"}}' \
             {chat} chat.v1.ChatService/GetChats\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OWNER\" -d '{{\"chat_id\": \"{example}\"}}' \
             {chat} chat.v1.ChatService/RefreshChat\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OWNER\" -d '{{}}' \
             {chat} chat.v1.ChatService/WatchChats\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OPERATOR\" \
             {gitsync} gitsync.v1.WorkerService/GetWorkerState\n\n  \
             buf curl --http2-prior-knowledge --protocol grpc -H \"authorization: Bearer $OWNER\" \
             -d '{{\"page_size\": 5}}' {}/chat.v1.ChatService/GetChats\n\n\
             Ctrl-C stops everything.",
            self.chat_service,
        ));
        Ok(text)
    }
}

/// Host and port of an `http://` address, as `grpcurl` wants them.
fn authority(url: &str) -> &str {
    url.trim_start_matches("http://")
}
