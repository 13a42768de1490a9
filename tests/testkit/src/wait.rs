//! Waits for conditions, never for time, and says what was seen last when one does not come true.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

/// How long [`until`] waits. Generous: it is only ever used up by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often the condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `probe` returns `Ok`, and returns its value. `Err` says what was seen instead.
///
/// ```
/// # #[tokio::main] async fn main() {
/// let mut count = 0;
/// let seen = testkit::wait::until("the count is three", || {
///     count += 1;
///     let seen = count;
///     async move { if seen >= 3 { Ok(seen) } else { Err(format!("{seen} so far")) } }
/// })
/// .await;
/// assert_eq!(seen, 3);
/// # }
/// ```
pub async fn until<T, E, F, Fut>(what: &str, probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Debug,
{
    within(PATIENCE, what, probe).await
}

/// Like [`until`], with another limit.
pub async fn within<T, E, F, Fut>(limit: Duration, what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Debug,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => panic!(
                "waited {limit:?} until {what}, and the last look did not return; before that: {last:#?}"
            ),
        }
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} until {what}; last seen: {last:#?}"
        );
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "until the ship comes in; last seen: Some(\n    \"fog\",\n)")]
    async fn a_wait_in_vain_tells_what_was_seen_last() {
        within(Duration::from_millis(50), "the ship comes in", || async {
            Err::<(), _>("fog")
        })
        .await;
    }

    #[tokio::test]
    #[should_panic(expected = "the last look did not return")]
    async fn a_look_that_hangs_does_not_hang_the_test() {
        within(Duration::from_millis(50), "it answers", || async {
            std::future::pending::<Result<(), ()>>().await
        })
        .await;
    }
}
