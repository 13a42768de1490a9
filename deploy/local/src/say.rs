//! What the launcher prints: progress on standard error, the result on standard output.

use std::{future::Future, io::Write as _, time::Instant};

/// Prints a line of progress.
pub(crate) fn line(text: &str) {
    // Nobody is left to hear of a closed terminal.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints the result.
pub(crate) fn result(text: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints why it failed, with all causes.
pub(crate) fn problem(error: &anyhow::Error) {
    line(&format!("error: {error:#}"));
}

/// Says what is being done, does it, and says how long that took.
pub(crate) async fn doing<T>(
    what: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    line(&format!("{what} ..."));
    let began = Instant::now();
    let done = work.await?;
    line(&format!(
        "{what}: done in {:.1} s",
        began.elapsed().as_secs_f32()
    ));
    Ok(done)
}
