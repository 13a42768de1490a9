//! The launcher as a process: what it leaves behind, whenever it ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where; clippy exempts test functions only"
)]

mod interrupted;
mod kept;
mod launcher;
mod progress;
mod ready;
mod real_host;
