//! Settings of the commands that call a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::sync::PullRequestState;
use service_runtime::{
    config::{ConfigError, count, is_private, token_file},
    token::TokenFile,
};
use url::Url;
use uuid::Uuid;

use crate::{
    attention::AttentionKind,
    chat::ChatStatus,
    chat_filter::{DEFAULT_PAGE_SIZE, PullRequestFilter},
};

/// Printed after the help of each command.
const EXIT_CODES: &str = "\
Exit codes: 64 a setting or an argument cannot be used, 66 the chat does not exist for the caller, 69 no
server answers or it cannot now, 75 a limit was met or another change came first, 77 the token is refused
or the caller may not do this, 70 anything else.";

/// The commands that call a running server.
#[derive(Subcommand)]
pub enum TerminalCommand {
    /// Lists chats of a running server, with their pull requests, the latest first
    #[command(after_help = EXIT_CODES)]
    List(Box<ListSettings>),
    /// Prints what changes of the chats of a running server, until Ctrl-C
    #[command(after_help = EXIT_CODES)]
    Watch(Box<WatchSettings>),
    /// Has the pull requests of a chat looked up now, and prints what the git host says
    #[command(after_help = EXIT_CODES)]
    Refresh(RefreshSettings),
    /// Prints the diff of the branch that a chat's agent reported last: of its pull request, if it
    /// has one
    #[command(after_help = EXIT_CODES)]
    Diff(DiffSettings),
    /// Prints what is due, leased and wrong with the lookups of pull requests; for site admins
    #[command(after_help = EXIT_CODES)]
    SyncState(ServerSettings),
}

impl TerminalCommand {
    /// Which server is asked.
    #[must_use]
    pub fn server(&self) -> &ServerSettings {
        match self {
            Self::List(settings) => &settings.server,
            Self::Watch(settings) => &settings.server,
            Self::Refresh(settings) => &settings.server,
            Self::Diff(settings) => &settings.server,
            Self::SyncState(server) => server,
        }
    }
}

/// Which server is called, in whose name, and how the answer is printed.
#[derive(Args)]
pub struct ServerSettings {
    /// URL of the running server, as in `https://chat.example`
    #[arg(long, env = "CHAT_URL", value_parser = server_url, hide_env_values = true)]
    #[arg(default_value = "http://127.0.0.1:50051")]
    pub url: Url,
    /// File with the bearer token (JWT) of the caller; watches read it again when it has expired
    #[arg(long = "token-file", env = "CHAT_TOKEN_FILE", value_parser = token_file)]
    #[arg(value_name = "FILE")]
    pub token: TokenFile,
    /// File with the authorities (PEM), one of which must have signed the server's certificate
    /// [default: those of the system]
    #[arg(long, env = "CHAT_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Allows `http://` to another machine, where all on the way can read the token
    #[arg(long)]
    pub plaintext: bool,
    /// Prints JSON, one message of the contract a line, in place of a table
    #[arg(long)]
    pub json: bool,
}

impl ServerSettings {
    /// The server's URL, if the token may be sent there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Problems`] when it would travel in plain text, and that was not asked for.
    pub fn checked_url(&self) -> Result<&Url, ConfigError> {
        if is_private(&self.url) || self.plaintext {
            return Ok(&self.url);
        }
        let problem = format!(
            "CHAT_URL is {:?}; it must begin with https://, since the token would travel in plain \
             text to another machine; --plaintext allows that",
            self.url.as_str()
        );
        Err(ConfigError::Problems(vec![problem]))
    }
}

/// The filter of chats: all set conditions must hold.
#[derive(Args)]
pub struct FilterSettings {
    /// Owner of the chats: a user's UUID
    #[arg(long, value_parser = uuid, value_name = "UUID")]
    pub owner: Option<Uuid>,
    /// Workspace of the chats: its UUID
    #[arg(long, value_parser = uuid, value_name = "UUID")]
    pub workspace: Option<Uuid>,
    /// Whether the chats are archived [default: both]
    #[arg(long, value_name = "BOOL")]
    pub archived: Option<bool>,
    /// Leaves out what is not shared with the caller or one of its groups
    #[arg(long)]
    pub shared_with_me: bool,
    /// Status of the chats; repeatable, any of them
    #[arg(long = "status", value_parser = chat_status, value_name = "STATUS")]
    pub statuses: Vec<ChatStatus>,
    /// Label of the chats; repeatable, all of them
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// State of the chats' pull requests; repeatable, any of them
    #[arg(long = "pull-request-state", value_parser = pull_request, value_name = "STATE")]
    pub pull_requests: Vec<PullRequestFilter>,
    /// What the chats' pull requests need attention for; repeatable, any of them
    #[arg(long, value_parser = attention, value_name = "KIND")]
    pub attention: Vec<AttentionKind>,
    /// Repository of the chats' branches, in any case
    #[arg(long, value_name = "OWNER/NAME")]
    pub repository: Option<String>,
    /// Number of the chats' pull request
    #[arg(long, value_parser = count(1..=i32::MAX), value_name = "NUMBER")]
    pub pull_request: Option<i32>,
    /// Part of the chats' titles, in any case
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
}

/// Settings of `list`.
#[derive(Args)]
pub struct ListSettings {
    /// Which server.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Which chats.
    #[command(flatten)]
    pub filter: FilterSettings,
    /// Chats to list at most, over as many pages as that takes
    #[arg(long, value_parser = count(1..=10_000_000_usize), default_value_t = DEFAULT_PAGE_SIZE)]
    pub limit: usize,
    /// Prints with --json all that the caller may see of each chat, in place of what a list shows
    #[arg(long, requires = "json")]
    pub full: bool,
}

/// Settings of `watch`.
#[derive(Args)]
pub struct WatchSettings {
    /// Which server.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Which chats.
    #[command(flatten)]
    pub filter: FilterSettings,
    /// Chat that is watched: its UUID; repeatable [default: all that the caller may read]
    #[arg(long = "chat", value_parser = uuid, value_name = "UUID")]
    pub chats: Vec<Uuid>,
    /// Revision of the last message of an earlier watch; what has changed since is printed first
    #[arg(long, value_name = "REVISION")]
    pub since: Option<String>,
}

/// Settings of `refresh`.
#[derive(Args)]
pub struct RefreshSettings {
    /// Which server.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Chat whose pull requests are looked up: its UUID
    #[arg(value_parser = uuid)]
    pub chat: Uuid,
}

/// Settings of `diff`.
#[derive(Args)]
pub struct DiffSettings {
    /// Which server.
    #[command(flatten)]
    pub server: ServerSettings,
    /// Chat whose diff is printed: its UUID
    #[arg(value_parser = uuid)]
    pub chat: Uuid,
}

fn server_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, as in https://chat.example")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the host or its port");
    }
    Ok(url)
}

fn uuid(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "must be a UUID")
}

fn chat_status(text: &str) -> Result<ChatStatus, String> {
    ChatStatus::parse(text).ok_or_else(|| {
        let names = ChatStatus::ALL.iter().map(|status| status.name());
        format!("must be one of {}", names.collect::<Vec<_>>().join(", "))
    })
}

fn pull_request(text: &str) -> Result<PullRequestFilter, &'static str> {
    match text {
        "open" => Ok(PullRequestFilter::Open),
        "draft" => Ok(PullRequestFilter::Draft),
        "merged" => Ok(PullRequestFilter::Settled(PullRequestState::Merged)),
        "closed" => Ok(PullRequestFilter::Settled(PullRequestState::Closed)),
        _ => Err("must be one of open, draft, merged, closed"),
    }
}

fn attention(text: &str) -> Result<AttentionKind, String> {
    AttentionKind::parse(text).ok_or_else(|| {
        let names = AttentionKind::ALL.iter().map(|kind| kind.name());
        format!("must be one of {}", names.collect::<Vec<_>>().join(", "))
    })
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("must be a key and a value, as in team=web")?;
    Ok((key.to_owned(), value.to_owned()))
}
