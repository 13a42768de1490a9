//! The commands, and the settings of those that do not serve.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Parser, Subcommand};
use service_runtime::{
    config::{Span, span},
    token::{AUDIENCE, Kind},
};
use uuid::Uuid;

use super::{
    DatabaseSettings, Settings, callers::LONGEST_TOKEN, terminal::TerminalCommand, value::key_ring,
};
use crate::accounts::KeyRing;

const SECOND: Duration = Duration::from_secs(1);

/// Lists chats and keeps the status of their pull requests.
#[derive(Parser)]
#[command(name = "chat-service", version)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the binary.
#[derive(Subcommand)]
pub enum Command {
    /// Serves gRPC until SIGTERM or SIGINT; what runs when no command is named
    Serve(Box<Settings>),
    /// Brings the database's schema up to this binary's version
    Migrate(DatabaseSettings),
    /// Has all watchers list again; to be run after the database was restored from a backup
    NewGeneration(DatabaseSettings),
    /// Prints a bearer token, for development and for services
    Token(TokenSettings),
    /// Checks and explains policies
    Policy {
        /// The command to run.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Makes keys, and rotates those that seal
    Keys {
        /// The command to run.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Commands that call a running server.
    #[command(flatten)]
    Terminal(TerminalCommand),
}

/// The commands on policies.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Shows that policies can go live: they load, and Cedar, the predicates in memory and their
    /// SQL decide alike about every abstract chat. PostgreSQL itself runs the SQL, in any database,
    /// also an empty one, of which it touches nothing
    Check(PolicyCheckSettings),
    /// Says what policies decide about a chat, and why
    Explain(PolicyExplainSettings),
}

/// Settings of `policy check`.
#[derive(Args)]
pub struct PolicyCheckSettings {
    /// Directory with the policies to check (*.cedar) [default: the policies of this binary]
    pub dir: Option<PathBuf>,
    /// The database in which the SQL runs, over made-up chats.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Checks without running the SQL, and so without a database: a third of the proof is missing
    #[arg(long)]
    pub without_sql: bool,
    /// Evaluations of single policies by Cedar at most, each of about a microsecond; of larger
    /// policies, each caller is asked about a sample of the chats, whose size is printed
    #[arg(long, default_value_t = MAX_EVALUATIONS)]
    pub max_evaluations: usize,
}

/// A minute or so, which a start may wait for.
pub const MAX_EVALUATIONS: usize = 60_000_000;

/// Settings of `policy explain`.
#[derive(Args)]
pub struct PolicyExplainSettings {
    /// Caller that the policies are asked about: a token, which is not verified, or its claims as
    /// JSON
    #[arg(long)]
    pub principal: String,
    /// Chat that the policies are asked about: its UUID
    #[arg(long)]
    pub chat: Uuid,
    /// Action that the policies are asked about, by its name in the schema, as in readChat
    #[arg(long)]
    pub action: String,
    /// Directory with the policies to explain (*.cedar) [default: the policies of this binary]
    #[arg(long, env = "CHAT_POLICY_DIR")]
    pub policy_dir: Option<PathBuf>,
    /// Where the chat is.
    #[command(flatten)]
    pub database: DatabaseSettings,
}

/// Settings of `keys reseal`.
#[derive(Args)]
pub struct ResealSettings {
    /// How to reach the database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// File with the keys that seal credentials; the first one seals what any of them opens
    #[arg(long = "keys-file", env = "CHAT_KEYS_FILE", value_parser = key_ring, value_name = "FILE")]
    pub keys: Arc<KeyRing>,
    /// Only counts which key seals how many credentials
    #[arg(long)]
    pub dry_run: bool,
}

/// The commands on keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Writes jwt.key and jwt.pub (Ed25519, PEM) and seal.keys into a directory; overwrites nothing
    Generate {
        /// Directory that receives the key files; it is made if it does not exist
        #[arg(long)]
        dir: PathBuf,
    },
    /// Seals every stored credential under the first key of the ring, and says which keys seal how
    /// many then: the last step of a rotation, after which a key that seals none can go
    Reseal(ResealSettings),
}

/// Settings of `token`.
#[derive(Args)]
pub struct TokenSettings {
    /// File with the Ed25519 private key (PEM) that signs the token
    #[arg(long, env = "CHAT_JWT_PRIVATE_KEY_FILE")]
    pub private_key_file: PathBuf,
    /// Subject of the token: a user's UUID or a service's name
    #[arg(long)]
    pub sub: String,
    /// Kind of the token's subject: user or service
    #[arg(long, value_parser = kind, default_value = "user")]
    pub kind: Kind,
    /// Organization of the user, as UUID or UUID=role; repeatable
    #[arg(long, value_parser = organization)]
    pub organization: Vec<(Uuid, String)>,
    /// Group of the user, as UUID; repeatable
    #[arg(long)]
    pub group: Vec<Uuid>,
    /// Site role of the user: admin or auditor; repeatable
    #[arg(long)]
    pub site_role: Vec<String>,
    /// Marks the user as suspended, who may do nothing
    #[arg(long)]
    pub suspended: bool,
    /// Issuer that the token names, if the services require one
    #[arg(long)]
    pub issuer: Option<String>,
    /// Audience that the token is for
    #[arg(long, default_value = AUDIENCE)]
    pub audience: String,
    /// Life of the token, as in 15m or 12h; services accept a day, unless they are set up otherwise
    #[arg(long, value_parser = span(SECOND, LONGEST_TOKEN), default_value = "1h")]
    pub ttl: Span,
}

fn kind(text: &str) -> Result<Kind, &'static str> {
    match text {
        "user" => Ok(Kind::User),
        "service" => Ok(Kind::Service),
        _ => Err("must be user or service"),
    }
}

/// An organization, and a role in it.
fn organization(text: &str) -> Result<(Uuid, String), uuid::Error> {
    let (id, role) = text.split_once('=').unwrap_or((text, "member"));
    Ok((id.parse()?, role.to_owned()))
}
