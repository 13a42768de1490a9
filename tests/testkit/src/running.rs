//! A service in the test's own process: it is stopped and waited for however the test ends, and the
//! test fails if the service ends early or with an error.

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the tasks may take to stop: longer than a service drains.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The tasks of a service under test.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use testkit::running::Running;
/// use tokio_util::sync::CancellationToken;
///
/// let stop = CancellationToken::new();
/// let running = Running::new(stop.clone());
/// running.spawn("service", async move { Ok::<(), String>(stop.cancelled().await) });
/// running.during(async { assert_eq!(1 + 1, 2) }).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
    failures: watch::Sender<Vec<String>>,
}

impl Running {
    /// No task yet. `stop` is what tells the tasks to stop.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            tasks: TaskTracker::new(),
            failures: watch::Sender::default(),
        }
    }

    /// Runs a task of the service. `name` is for messages.
    pub fn spawn<E: Debug>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (stop, failures) = (self.stop.clone(), self.failures.clone());
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            let failure = match ended {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => format!("{name} ended before it was stopped"),
                Ok(Err(error)) => format!("{name} failed: {error:?}"),
                Err(_) => format!("{name} panicked, as printed above"),
            };
            failures.send_modify(|failures| failures.push(failure));
        });
    }

    /// Waits until all tasks have ended.
    pub async fn ended(&self) {
        let failures = self.join().await;
        assert!(failures.is_empty(), "{}", failures.join("; "));
    }

    /// Tells the tasks to stop, and waits until they have.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Runs `body` while the tasks run, and then stops them, also when `body` panics. Fails at once
    /// when a task does, or ends early.
    pub async fn during<T>(&self, body: impl Future<Output = T>) -> T {
        let mut seen = self.failures.subscribe();
        let outcome = tokio::select! {
            biased;
            _ = seen.wait_for(|failures| !failures.is_empty()) => None,
            outcome = AssertUnwindSafe(body).catch_unwind() => Some(outcome),
        };
        self.stop.cancel();
        let failures = self.join().await.join("; ");
        match outcome {
            Some(Ok(value)) if failures.is_empty() => value,
            Some(Err(panic)) if failures.is_empty() => std::panic::resume_unwind(panic),
            Some(Err(_)) => panic!("the test panicked, as printed above; besides, {failures}"),
            Some(Ok(_)) | None => panic!("{failures}"),
        }
    }

    /// Waits for all tasks, and returns what went wrong.
    async fn join(&self) -> Vec<String> {
        self.tasks.close();
        let stopped = timeout(STOP_LIMIT, self.tasks.wait()).await;
        self.tasks.reopen();
        let mut failures = self.failures.borrow().clone();
        if stopped.is_err() {
            failures.push(format!("{} tasks did not end", self.tasks.len()));
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    /// A service that ends when it is asked to, and whether it has ended.
    fn obedient() -> (Running, Arc<AtomicBool>) {
        let stop = CancellationToken::new();
        let running = Running::new(stop.clone());
        let ended = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&ended);
        running.spawn("service", async move {
            stop.cancelled().await;
            note.store(true, Ordering::SeqCst);
            Ok::<(), String>(())
        });
        (running, ended)
    }

    /// What `during` panics with.
    async fn panic_of(running: &Running, body: impl Future<Output = ()>) -> String {
        let panic = AssertUnwindSafe(running.during(body))
            .catch_unwind()
            .await
            .unwrap_err();
        match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
        }
    }

    #[tokio::test]
    async fn a_body_that_panics_is_not_the_end_before_the_service_has_ended() {
        let (running, ended) = obedient();
        assert_eq!(panic_of(&running, async { panic!("early") }).await, "early");
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_task_that_fails_ends_a_body_that_would_wait_for_ever() {
        let (running, ended) = obedient();
        running.spawn("second", async { Err("no port") });
        let text = panic_of(&running, std::future::pending()).await;
        assert_eq!(text, "second failed: \"no port\"");
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_task_that_ends_unasked_or_panics_fails_the_test() {
        let running = Running::new(CancellationToken::new());
        running.spawn("service", async { Ok::<(), String>(()) });
        let text = panic_of(&running, std::future::pending()).await;
        assert_eq!(text, "service ended before it was stopped");

        let running = Running::new(CancellationToken::new());
        running.spawn("service", async { panic!("a bug") as Result<(), String> });
        let text = panic_of(&running, std::future::pending()).await;
        assert_eq!(text, "service panicked, as printed above");
    }

    #[tokio::test]
    async fn an_error_while_it_stops_fails_the_test() {
        let stop = CancellationToken::new();
        let running = Running::new(stop.clone());
        running.spawn("service", async move {
            stop.cancelled().await;
            Err("a lost connection")
        });
        let text = panic_of(&running, async {}).await;
        assert_eq!(text, "service failed: \"a lost connection\"");
    }
}
