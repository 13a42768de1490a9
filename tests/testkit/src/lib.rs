//! What tests need of the world, for real where that is possible: a PostgreSQL server with a database
//! per test, the services' binaries as processes, connections that break on command, and waits that
//! say what they waited for.
//!
//! It knows no service; it depends on `migrations` alone. The local launcher uses it too.

pub mod github;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod wait;
