//! Secondary limits: too many requests at once, or too much in a minute. They stop REST and GraphQL
//! alike, whatever is left of the primary limits.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::limit::Resource;
use super::model::AccountId;

const MINUTE_SECONDS: i64 = 60;

/// When the host calls it too much, and what it then says. The default has GitHub's published
/// numbers.
#[derive(Clone, Copy, Debug)]
pub struct SecondaryRules {
    /// Requests of one user under way at once, REST and GraphQL together.
    pub concurrent: usize,
    /// Points of one user in a minute for REST; a read is one.
    pub rest_points: u64,
    /// Points of one user in a minute for GraphQL; a query is one, whatever it costs otherwise.
    pub graphql_points: u64,
    /// How long the user is refused everything then.
    pub pause: Duration,
    /// Whether the answer says how long, in `retry-after`; GitHub sometimes leaves it out.
    pub tells_when: bool,
    /// The status in REST: 403 or 429.
    pub rest_status: u16,
    /// The status in GraphQL: 200 or 403.
    pub graphql_status: u16,
}

impl Default for SecondaryRules {
    fn default() -> Self {
        Self {
            concurrent: 100,
            rest_points: 900,
            graphql_points: 2000,
            pause: Duration::from_secs(60),
            tells_when: true,
            rest_status: 403,
            graphql_status: 403,
        }
    }
}

/// What is enforced, and who is paused.
#[derive(Default)]
pub(crate) struct Secondary {
    pub(crate) rules: SecondaryRules,
    /// Whether too much leads to a pause by itself.
    pub(crate) enforced: bool,
    usage: HashMap<Option<AccountId>, Usage>,
}

#[derive(Default)]
struct Usage {
    /// When the minute began, in Unix seconds.
    minute: i64,
    rest: u64,
    graphql: u64,
    paused_until: Option<i64>,
}

/// The refusal of a request.
pub(crate) struct Pause {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
}

impl Secondary {
    /// Counts a request, and refuses it if that is too much.
    pub(crate) fn admit(
        &mut self,
        account: Option<AccountId>,
        resource: Resource,
        in_flight: usize,
        now: Timestamp,
    ) -> Result<(), Pause> {
        if !self.enforced && self.usage.is_empty() {
            return Ok(());
        }
        let rules = self.rules;
        let enforced = self.enforced;
        let now = now.as_second();
        let usage = self.usage.entry(account).or_default();
        let paused_until = match usage.paused_until.filter(|until| now < *until) {
            Some(until) => until,
            None => {
                usage.paused_until = None;
                if !enforced || !usage.is_too_much(rules, resource, in_flight, now) {
                    return Ok(());
                }
                let until = now.saturating_add_unsigned(rules.pause.as_secs());
                usage.paused_until = Some(until);
                until
            }
        };
        let left = u64::try_from(paused_until - now).unwrap_or(0);
        Err(Pause {
            status: match resource {
                Resource::Core => rules.rest_status,
                Resource::Graphql => rules.graphql_status,
            },
            retry_after: rules.tells_when.then_some(left),
        })
    }

    /// Refuses everything of this account for so long.
    pub(crate) fn pause(&mut self, account: AccountId, now: Timestamp, pause: Duration) {
        let until = now.as_second().saturating_add_unsigned(pause.as_secs());
        self.usage.entry(Some(account)).or_default().paused_until = Some(until);
    }

    pub(crate) fn is_paused(&self, account: AccountId, now: Timestamp) -> bool {
        let usage = self.usage.get(&Some(account));
        usage
            .and_then(|usage| usage.paused_until)
            .is_some_and(|until| now.as_second() < until)
    }
}

impl Usage {
    fn is_too_much(
        &mut self,
        rules: SecondaryRules,
        resource: Resource,
        in_flight: usize,
        now: i64,
    ) -> bool {
        if now >= self.minute + MINUTE_SECONDS {
            (self.minute, self.rest, self.graphql) = (now, 0, 0);
        }
        let (points, limit) = match resource {
            Resource::Core => (&mut self.rest, rules.rest_points),
            Resource::Graphql => (&mut self.graphql, rules.graphql_points),
        };
        *points += 1;
        *points > limit || in_flight > rules.concurrent
    }
}
