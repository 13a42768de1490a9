//! The runner and the files, on a real PostgreSQL.

mod apply;
mod data;
mod lint;
mod race;
mod refusal;
