//! The schema: numbered SQL files, embedded, forward only. A library; `chat-service migrate` runs it.
//!
//! [`apply`] takes an advisory lock, so any number of runners may start at once; each file is one
//! transaction, recorded with its checksum in `schema_migrations`. A file that was applied is never
//! edited: a runner that finds another checksum refuses to go on.
//!
//! Services do not migrate. They ask [`require_current`] before they serve, which refuses an older
//! schema and accepts a newer one, since old pods run beside a new schema during a rollout.

mod error;
mod runner;

pub use self::{
    error::MigrationError,
    runner::{Applied, apply, apply_list, require_current, version},
};

/// One numbered file.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The number that the file's name begins with.
    pub version: i32,
    /// The file's name without `.sql`, as in `0001_chats`.
    pub name: &'static str,
    /// What it executes.
    pub sql: &'static str,
}

/// Every migration, in order. A test compares it with the directory.
pub const ALL: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_chats",
        sql: include_str!("../0001_chats.sql"),
    },
    Migration {
        version: 2,
        name: "0002_git_accounts",
        sql: include_str!("../0002_git_accounts.sql"),
    },
    Migration {
        version: 3,
        name: "0003_git_refs",
        sql: include_str!("../0003_git_refs.sql"),
    },
    Migration {
        version: 4,
        name: "0004_change_events",
        sql: include_str!("../0004_change_events.sql"),
    },
];

/// The version that this build needs: that of the last migration.
pub const CURRENT: i32 = ALL[ALL.len() - 1].version;
