//! What the launcher reports once all is ready: text for people, a file for programs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    answers::Answer,
    files::{quoted, remove, write_private},
    page::Page,
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
    pub(crate) page: Page,
    pub(crate) tokens: Tokens,
    pub(crate) samples: Samples,
    /// What the worker found of the branches of a real host.
    pub(crate) answers: Vec<Answer>,
    /// Where the tokens go, and where the logs are.
    pub(crate) directory: PathBuf,
    /// chat-service's own program, which is a client too.
    pub(crate) program: PathBuf,
    pub(crate) logs: Vec<PathBuf>,
}

/// The file for programs. It says that the system runs, and holds tokens: it goes with the system.
pub(crate) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Removes what an earlier start left.
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        remove(&path)?;
        Ok(Self(path))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            say::line(&format!("{error:#}"));
        }
    }
}

impl Ready {
    /// Writes the files: the tokens for people, and everything for programs if that is wanted.
    pub(crate) fn write(&self, file: Option<&ReadyFile>) -> anyhow::Result<()> {
        let tokens = self.directory.join("tokens");
        std::fs::create_dir_all(&tokens)
            .with_context(|| format!("cannot make {}", tokens.display()))?;
        for person in people::all_people() {
            write_private(&self.token_file(person.role), self.tokens.of(person.role)?)?;
        }
        write_private(&self.script(), &self.shell()?)?;
        match file {
            Some(file) => write_private(&file.0, &format!("{:#}\n", self.json())),
            None => Ok(()),
        }
    }

    /// The file that a shell can source.
    fn script(&self) -> PathBuf {
        self.directory.join("tokens.sh")
    }

    fn token_file(&self, role: &str) -> PathBuf {
        self.directory.join("tokens").join(role)
    }

    /// The variables: a token for each role, and what chat-service's own commands read.
    fn shell(&self) -> anyhow::Result<String> {
        let mut text = "# Bearer tokens, good for a week, and where chat-service is.\n".to_owned();
        for person in people::all_people() {
            let token = self.tokens.of(person.role)?;
            text.push_str(&format!("export {}={token}\n", person.role.to_uppercase()));
        }
        text.push_str(&format!("export CHAT_URL={}\n", self.chat_service));
        let file = self.token_file("owner");
        text.push_str(&format!("export CHAT_TOKEN_FILE={}\n", quoted(&file)));
        Ok(text)
    }

    fn json(&self) -> Value {
        json!({
            "chat_service": self.chat_service,
            "gitsync_service": self.gitsync_service,
            "sync_service": self.sync_service,
            "pages": self.page.json(&self.chat_service),
            "tokens_file": self.script().display().to_string(),
            "database_url": self.database_url,
            "github_api": self.github_api,
            "tokens": self.tokens.json(),
            "users": people::json(),
            "organization": people::ORGANIZATION,
            "chats": self.samples.of("owner"),
            "chats_by_role": self.samples.by_role(),
            "answers": self.answers.iter().map(Answer::json).collect::<Value>(),
        })
    }

    /// What is printed.
    pub(crate) fn text(&self) -> String {
        let chat = authority(&self.chat_service);
        let gitsync = authority(&self.gitsync_service);
        let kind = if self.stand_in {
            "the stand-in"
        } else {
            "a real host"
        };
        let owned = self.samples.of("owner");
        let example = owned.first().copied().unwrap_or_default();
        let program = quoted(&self.program);
        let operator = quoted(&self.token_file("operator"));

        let mut text = "\nReady. Everything listens on this machine only.\n\n".to_owned();
        for (role, address) in self.page.addresses(&self.chat_service) {
            text.push_str(&format!("  the page, as {role:<10} {address}\n"));
        }
        text.push_str(&format!(
            "  (each address signs in once)\n\n  \
             chat-service     {}\n  \
             gitsync-service  {}\n  \
             PostgreSQL       {}\n  \
             GitHub API       {} ({kind})\n",
            self.chat_service, self.gitsync_service, self.database_url, self.github_api,
        ));
        for log in &self.logs {
            text.push_str(&format!("  log              {}\n", log.display()));
        }
        text.push_str(&format!(
            "\nIn a shell:\n\n  \
             source {}\n  \
             {program} list\n  \
             {program} watch\n  \
             {program} refresh {example}\n  \
             {program} sync-state --token-file {operator}\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OWNER\" -d '{{\"page_size\": 5}}' \
             {chat} chat.v1.ChatService/GetChats\n  \
             grpcurl -plaintext -H \"authorization: Bearer $OPERATOR\" \
             {gitsync} gitsync.v1.WorkerService/GetWorkerState\n\n\
             Ctrl-C stops everything.",
            quoted(&self.script()),
        ));
        text
    }
}

/// Host and port of an `http://` address, as `grpcurl` wants them.
fn authority(url: &str) -> &str {
    url.trim_start_matches("http://")
}
