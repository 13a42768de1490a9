//! What the launcher prints: progress on standard error, the result on standard output.
//!
//! At a terminal the last line, the live line, shows the current step and is drawn again and again;
//! elsewhere each step prints a line when it begins and one when it is done.

use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

/// How often the live line is drawn.
const FRAME: Duration = Duration::from_millis(100);
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// A line that a terminal wraps cannot be drawn over.
const LONGEST: usize = 76;
/// Moves to the beginning of the line, and clears it.
const CLEAR: &str = "\r\u{1b}[K";

/// The live line, while there is one.
static LIVE: Mutex<Option<Live>> = Mutex::new(None);

struct Live {
    what: String,
    detail: String,
    began: Instant,
    frame: usize,
}

impl Live {
    fn text(&self) -> String {
        let spinner = SPINNER[self.frame % SPINNER.len()];
        let seconds = self.began.elapsed().as_secs();
        let mut text = format!("{spinner} {}", self.what);
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        if seconds > 0 {
            text.push_str(&format!(" ({seconds} s)"));
        }
        text.chars().take(LONGEST).collect()
    }

    fn draw(&self) {
        redraw(&self.text());
    }
}

/// Replaces the last line.
fn redraw(text: &str) {
    let mut out = std::io::stderr();
    // A terminal that was closed shows nothing more.
    let _ = write!(out, "{CLEAR}{text}").and_then(|()| out.flush());
}

fn live() -> MutexGuard<'static, Option<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there can be a live line: only at a terminal that knows escape sequences.
fn lives() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Prints a line of progress.
pub(crate) fn line(text: &str) {
    let live = live();
    let clear = if live.is_some() { CLEAR } else { "" };
    // A terminal that was closed shows nothing more.
    let _ = writeln!(std::io::stderr(), "{clear}{text}");
    if let Some(live) = &*live {
        live.draw();
    }
}

/// Sets how far the current step has come, which only the live line shows.
pub(crate) fn detail(text: String) {
    if let Some(live) = &mut *live() {
        live.detail = text;
    }
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

/// Does a step: prints its name, and how long it took.
pub(crate) async fn doing<T>(
    what: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    if !lives() {
        return doing_aloud(what, work).await;
    }
    let began = Instant::now();
    let shown = Shown::begin(what, began);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = pin!(work);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            _ = frames.tick() => Shown::next_frame(),
        }
    };
    drop(shown);
    let done = done?;
    line(&format!(
        "✓ {what} ({:.1} s)",
        began.elapsed().as_secs_f32()
    ));
    Ok(done)
}

/// The same for a step that prints a progress of its own.
pub(crate) async fn doing_aloud<T>(
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

/// The live line is there until this is dropped, so that an aborted step clears it too.
struct Shown;

impl Shown {
    fn begin(what: &str, began: Instant) -> Self {
        let new = Live {
            what: what.to_owned(),
            detail: String::new(),
            began,
            frame: 0,
        };
        new.draw();
        *live() = Some(new);
        Self
    }

    fn next_frame() {
        if let Some(live) = &mut *live() {
            live.frame += 1;
            live.draw();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if live().take().is_some() {
            redraw("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_lives_says_what_how_far_and_for_how_long_and_is_never_wrapped() {
        let began = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
        let mut live = Live {
            what: "Pull requests".to_owned(),
            detail: "7 of 12".to_owned(),
            began,
            frame: 11,
        };
        assert_eq!(live.text(), "⠙ Pull requests: 7 of 12 (3 s)");
        live.detail = "x".repeat(200);
        assert_eq!(live.text().chars().count(), LONGEST);
    }
}
