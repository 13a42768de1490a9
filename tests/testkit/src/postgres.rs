//! Real PostgreSQL, one database per test.
//!
//! The first test of a process starts a private server (see [`Server`]); every test then gets a
//! copy of a migrated template: real isolation, also for `LISTEN`/`NOTIFY` and advisory locks.
//! `TEST_DATABASE_URL` names an existing server instead, whose user must be allowed to create
//! databases; `TESTKIT_POSTGRES_BIN` names the directory of the programs, or is `embedded` for the
//! prebuilt server, or `embedded-14` to `embedded-18` for one of another version. A missing server
//! is a panic, never a skip.
//!
//! ```no_run
//! # async fn test() {
//! let db = testkit::postgres::database().await;
//! let client = db.client().await;
//! client.execute("DELETE FROM chats", &[]).await.unwrap();
//! println!("also by address: {}", db.url());
//! # }
//! ```

mod binaries;
mod database;
mod debian;
mod embedded;
mod error;
mod fetch;
mod pgbouncer;
mod secure;
mod server;
mod user;

pub use self::{
    database::{Client, Database},
    error::StartError,
    pgbouncer::PgBouncer,
    server::{Durability, Options, Server},
};
pub(crate) use self::{debian::Debian, fetch::Aside, server::free_port};

/// Returns a migrated database of its own.
pub async fn database() -> Database {
    database::migrated().await
}

/// Returns a migrated database on a server that the test started, to do with it what it likes.
pub async fn database_on(server: &Server) -> Database {
    database::migrated_on(server).await
}

/// Returns an empty database of its own: no tables, no migrations.
pub async fn empty_database() -> Database {
    database::empty().await
}
