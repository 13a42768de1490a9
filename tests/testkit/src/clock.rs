//! A process whose clock is wrong.

use crate::postgres::Debian;

/// libfaketime, which a program loads before the C library.
const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The variables that have a process see the time of day `offset` seconds from now.
///
/// What does it is fetched from Debian at first. Clocks that only measure durations are as they
/// are, as on a host whose time of day is wrong.
///
/// # Panics
///
/// When it cannot be fetched.
pub async fn shifted(offset: i64) -> [(&'static str, String); 3] {
    let fetched = Debian::fetch("libfaketime", "bookworm", &["libfaketime"]).await;
    let debian = fetched.unwrap_or_else(|error| panic!("no libfaketime: {error}"));
    let library = debian.file(LIBRARY);
    assert!(library.exists(), "{} is not there", library.display());
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{offset:+}")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{command, run};

    #[tokio::test]
    async fn a_shifted_clock_tells_another_time_of_day() {
        let now = jiff::Timestamp::now().as_second();
        for offset in [-3600, 3600] {
            let mut date = command("date");
            date.arg("+%s").envs(shifted(offset).await);
            let shown: i64 = run(date).trim().parse().unwrap();
            assert!((shown - now - offset).abs() < 60, "{shown} at {now}");
        }
    }
}
