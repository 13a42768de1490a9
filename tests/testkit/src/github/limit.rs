//! Rate limits: one bucket per account and resource, whichever token is used.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::model::AccountId;

/// How long a window lasts.
const WINDOW_SECONDS: i64 = 3600;
/// Requests an hour with a token.
const AUTHENTICATED: u64 = 5000;
/// Requests an hour without one.
const ANONYMOUS: u64 = 60;

/// What a request is counted against.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Resource {
    /// The REST API.
    Core,
    /// The GraphQL API, in points.
    Graphql,
}

impl Resource {
    /// The name in `x-ratelimit-resource`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Graphql => "graphql",
        }
    }
}

/// One bucket as it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Requests allowed in a window.
    pub limit: u64,
    /// Requests left in this one.
    pub remaining: u64,
    /// Requests spent in this one.
    pub used: u64,
    /// When the next one begins, in Unix seconds.
    pub reset: i64,
}

/// All buckets of a stand-in. Without an account it is the bucket of those without a token,
/// which the real host keeps for each address.
#[derive(Default)]
pub(crate) struct Limits {
    buckets: HashMap<(Option<AccountId>, Resource), RateLimit>,
    disabled: bool,
    unheaded: bool,
}

impl Limits {
    /// The bucket as it stands at `now`; a window that is over begins anew.
    pub(crate) fn bucket(
        &mut self,
        account: Option<AccountId>,
        resource: Resource,
        now: Timestamp,
    ) -> &mut RateLimit {
        let fresh_reset = now.as_second() + WINDOW_SECONDS;
        let bucket = self.buckets.entry((account, resource)).or_insert_with(|| {
            let limit = if account.is_some() {
                AUTHENTICATED
            } else {
                ANONYMOUS
            };
            RateLimit {
                limit,
                remaining: limit,
                used: 0,
                reset: fresh_reset,
            }
        });
        if now.as_second() >= bucket.reset {
            bucket.remaining = bucket.limit;
            bucket.used = 0;
            bucket.reset = fresh_reset;
        }
        bucket
    }

    pub(crate) fn set_disabled(&mut self, disabled: bool) {
        self.disabled = disabled;
    }

    pub(crate) fn set_headers(&mut self, shown: bool) {
        self.unheaded = !shown;
    }

    pub(crate) fn has_headers(&self) -> bool {
        !self.disabled && !self.unheaded
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled
    }
}

impl RateLimit {
    pub(crate) fn is_spent(&self) -> bool {
        self.remaining == 0
    }

    pub(crate) fn spend(&mut self, cost: u64) {
        self.remaining = self.remaining.saturating_sub(cost);
        self.used += cost;
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.remaining = self.remaining.min(limit);
        self.used = limit - self.remaining;
    }

    pub(crate) fn set_remaining(&mut self, remaining: u64) {
        self.limit = self.limit.max(remaining);
        self.remaining = remaining;
        self.used = self.limit - remaining;
    }

    pub(crate) fn set_reset(&mut self, now: Timestamp, after: Duration) {
        self.reset = now.as_second().saturating_add_unsigned(after.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(at).unwrap()
    }

    #[test]
    fn a_window_that_is_over_begins_anew() {
        let mut limits = Limits::default();
        let bucket = limits.bucket(Some(1), Resource::Core, second(1000));
        bucket.set_remaining(0);
        bucket.set_reset(second(1000), Duration::from_secs(30));
        assert!(
            limits
                .bucket(Some(1), Resource::Core, second(1029))
                .is_spent()
        );

        let bucket = limits.bucket(Some(1), Resource::Core, second(1030));

        assert_eq!(
            *bucket,
            RateLimit {
                limit: 5000,
                remaining: 5000,
                used: 0,
                reset: 4630
            }
        );
    }

    #[test]
    fn a_bucket_never_claims_more_left_than_allowed() {
        let mut limits = Limits::default();
        let bucket = limits.bucket(None, Resource::Core, second(0));
        bucket.set_limit(10);
        assert_eq!((bucket.limit, bucket.remaining, bucket.used), (10, 10, 0));
        bucket.set_remaining(15);
        assert_eq!((bucket.limit, bucket.remaining, bucket.used), (15, 15, 0));
    }
}
