//! The runner and the files, on a real PostgreSQL.

mod apply;
