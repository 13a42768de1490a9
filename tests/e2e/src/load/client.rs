//! A client of `ChatService` as `proto/README.md` shows it: a deadline, and the retry policy of
//! `proto/clients/service_config.json`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::chat::v1::chat_service_client::ChatServiceClient;
use testkit::clients::{Authorized, facts};
use tokio::time::{sleep, timeout};
use tonic::{Code, Response, Status};

const SERVICE_CONFIG: &str = include_str!("../../../../proto/clients/service_config.json");

/// A call's deadline, with all its attempts.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the service config says of repeated calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    attempts: u32,
    first: Duration,
    most: Duration,
    factor: f64,
}

impl RetryPolicy {
    /// The documented one.
    pub(super) fn documented() -> Self {
        let config: serde_json::Value =
            serde_json::from_str(SERVICE_CONFIG).expect("the service config is JSON");
        let policy = &config["methodConfig"][0]["retryPolicy"];
        let seconds = |name: &str| {
            let text = policy[name]
                .as_str()
                .and_then(|text| text.strip_suffix('s'));
            let number = text.and_then(|text| text.parse().ok());
            Duration::from_secs_f64(number.unwrap_or_else(|| panic!("{name} in seconds")))
        };
        let codes = policy["retryableStatusCodes"].as_array();
        let only_unavailable = codes.is_some_and(|codes| codes == &["UNAVAILABLE"]);
        assert!(only_unavailable, "another code is repeated: {policy}");
        let attempts = policy["maxAttempts"].as_u64().expect("a number");
        Self {
            attempts: attempts.try_into().expect("a small number"),
            first: seconds("initialBackoff"),
            most: seconds("maxBackoff"),
            factor: policy["backoffMultiplier"].as_f64().expect("a number"),
        }
    }

    /// The backoff after each attempt but the last.
    fn pauses(self) -> impl Iterator<Item = Duration> {
        let next = move |pause: &Duration| Some(pause.mul_f64(self.factor).min(self.most));
        let attempts = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        std::iter::successors(Some(self.first), next).take(attempts.saturating_sub(1))
    }
}

/// Knows several addresses of the service, and stays with one until that is unavailable.
#[derive(Clone)]
pub(super) struct Client {
    addresses: Arc<[ChatServiceClient<Authorized>]>,
    current: Arc<AtomicUsize>,
    policy: RetryPolicy,
}

impl Client {
    pub(super) fn new(addresses: Vec<ChatServiceClient<Authorized>>) -> Self {
        assert!(!addresses.is_empty(), "a client has an address");
        Self {
            addresses: addresses.into(),
            current: Arc::default(),
            policy: RetryPolicy::documented(),
        }
    }

    /// Calls, and repeats as the policy says. The number is how often it was sent.
    pub(super) async fn call<T, F>(
        &self,
        call: impl Fn(ChatServiceClient<Authorized>) -> F,
    ) -> (usize, Result<T, Status>)
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempts = 0;
        let answer = timeout(DEADLINE, self.attempts(call, &mut attempts)).await;
        let late = || Err(Status::deadline_exceeded("no answer before the deadline"));
        let answer = answer.unwrap_or_else(|_| late());
        (attempts, answer)
    }

    async fn attempts<T, F>(
        &self,
        call: impl Fn(ChatServiceClient<Authorized>) -> F,
        attempts: &mut usize,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut pauses = self.policy.pauses();
        loop {
            let current = self.current.load(Ordering::SeqCst);
            let client = self.addresses[current % self.addresses.len()].clone();
            *attempts += 1;
            let status = match call(client).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if is_unavailable(&status) => status,
                Err(status) => return Err(status),
            };
            let next = current.wrapping_add(1);
            // Unless another call has found out already.
            let _ =
                self.current
                    .compare_exchange(current, next, Ordering::SeqCst, Ordering::SeqCst);
            match pauses.next() {
                Some(pause) => sleep(pause).await,
                None => return Err(status),
            }
        }
    }
}

fn is_unavailable(status: &Status) -> bool {
    status.code() == Code::Unavailable || broke(status)
}

/// Whether the connection broke. Of that a client of gRPC's own says UNAVAILABLE, and tonic now and
/// then UNKNOWN or INTERNAL, but without a reason of the contract.
pub(super) fn broke(status: &Status) -> bool {
    let (code, reason, _) = facts(status);
    reason.is_empty() && code != Code::DeadlineExceeded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_policy_sends_five_times_within_the_deadline() {
        let pauses: Vec<_> = RetryPolicy::documented().pauses().collect();
        let expected = [200, 400, 800, 1600].map(Duration::from_millis);
        assert_eq!(pauses, expected);
        assert!(pauses.iter().sum::<Duration>() < DEADLINE);
    }
}
