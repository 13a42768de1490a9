//! Faults under load: each happens to everything twice, with callers, watchers and workers at work.
//! Afterwards nothing is lost and nothing is there twice, and the time that this took is printed.
//!
//! `cargo test -p e2e --test faults`; the disk that runs full needs root. What shorter tests show
//! of faults is in `scenarios`; `tests/README.md` lists both.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod clocks;
mod database;
mod disk;
mod host;
mod network;
mod overload;
mod processes;
mod rolling;
mod schema;

use std::time::Duration;

/// How long a fault lasts: longer than all attempts of a call together.
const OUTAGE: Duration = Duration::from_secs(5);
