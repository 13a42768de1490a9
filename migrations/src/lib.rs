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
        name: "0003_chat_diff_statuses",
        sql: include_str!("../0003_chat_diff_statuses.sql"),
    },
    Migration {
        version: 4,
        name: "0004_change_events",
        sql: include_str!("../0004_change_events.sql"),
    },
    Migration {
        version: 5,
        name: "0005_ref_sort_key",
        sql: include_str!("../0005_ref_sort_key.sql"),
    },
    Migration {
        version: 6,
        name: "0006_chat_diff_statuses_repository_idx",
        sql: include_str!("../0006_chat_diff_statuses_repository_idx.sql"),
    },
    Migration {
        version: 7,
        name: "0007_chat_diff_statuses_pr_number_idx",
        sql: include_str!("../0007_chat_diff_statuses_pr_number_idx.sql"),
    },
    Migration {
        version: 8,
        name: "0008_chat_diff_statuses_state_idx",
        sql: include_str!("../0008_chat_diff_statuses_state_idx.sql"),
    },
    Migration {
        version: 9,
        name: "0009_chats_status_idx",
        sql: include_str!("../0009_chats_status_idx.sql"),
    },
    Migration {
        version: 10,
        name: "0010_chats_archived_idx",
        sql: include_str!("../0010_chats_archived_idx.sql"),
    },
    Migration {
        version: 11,
        name: "0011_pg_trgm",
        sql: include_str!("../0011_pg_trgm.sql"),
    },
    Migration {
        version: 12,
        name: "0012_chats_title_key",
        sql: include_str!("../0012_chats_title_key.sql"),
    },
    Migration {
        version: 13,
        name: "0013_chats_title_idx",
        sql: include_str!("../0013_chats_title_idx.sql"),
    },
    Migration {
        version: 14,
        name: "0014_chats_labels_idx",
        sql: include_str!("../0014_chats_labels_idx.sql"),
    },
    Migration {
        version: 15,
        name: "0015_sync_budgets",
        sql: include_str!("../0015_sync_budgets.sql"),
    },
    Migration {
        version: 16,
        name: "0016_sync_refs",
        sql: include_str!("../0016_sync_refs.sql"),
    },
    Migration {
        version: 17,
        name: "0017_chat_diff_statuses_pr_node_id_idx",
        sql: include_str!("../0017_chat_diff_statuses_pr_node_id_idx.sql"),
    },
    Migration {
        version: 18,
        name: "0018_chat_diff_statuses_owner_due_idx",
        sql: include_str!("../0018_chat_diff_statuses_owner_due_idx.sql"),
    },
    Migration {
        version: 19,
        name: "0019_chat_diff_statuses_lane_idx",
        sql: include_str!("../0019_chat_diff_statuses_lane_idx.sql"),
    },
    Migration {
        version: 20,
        name: "0020_git_budgets_queue_idx",
        sql: include_str!("../0020_git_budgets_queue_idx.sql"),
    },
    Migration {
        version: 21,
        name: "0021_git_budgets_account_id_idx",
        sql: include_str!("../0021_git_budgets_account_id_idx.sql"),
    },
    Migration {
        version: 22,
        name: "0022_share_owner",
        sql: include_str!("../0022_share_owner.sql"),
    },
    Migration {
        version: 23,
        name: "0023_share_owner_backfill",
        sql: include_str!("../0023_share_owner_backfill.sql"),
    },
    Migration {
        version: 24,
        name: "0024_chat_acl_owner_id_idx",
        sql: include_str!("../0024_chat_acl_owner_id_idx.sql"),
    },
    Migration {
        version: 25,
        name: "0025_chats_owner_organization_idx",
        sql: include_str!("../0025_chats_owner_organization_idx.sql"),
    },
    Migration {
        version: 26,
        name: "0026_chat_diff_statuses_problem_idx",
        sql: include_str!("../0026_chat_diff_statuses_problem_idx.sql"),
    },
    Migration {
        version: 27,
        name: "0027_canonical_repository",
        sql: include_str!("../0027_canonical_repository.sql"),
    },
    Migration {
        version: 28,
        name: "0028_leased_at",
        sql: include_str!("../0028_leased_at.sql"),
    },
    Migration {
        version: 29,
        name: "0029_git_budget_tokens",
        sql: include_str!("../0029_git_budget_tokens.sql"),
    },
    Migration {
        version: 30,
        name: "0030_merge_after",
        sql: include_str!("../0030_merge_after.sql"),
    },
];

/// The version that this build needs: that of the last migration.
pub const CURRENT: i32 = ALL[ALL.len() - 1].version;
