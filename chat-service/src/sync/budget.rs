//! What is known of a budget key, and what a worker's report adds to it.

use std::time::Duration;

/// A rate limit of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetWindow {
    /// Requests, or points, allowed per window.
    pub limit: Option<i64>,
    /// Left in it.
    pub remaining: Option<i64>,
    /// How long it still runs.
    pub reset_in: Option<Duration>,
    /// Nothing may be sent to this interface before this has passed.
    pub pause_for: Option<Duration>,
}

/// How many refs one request asks for, by what it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSizes {
    /// Whether something changed. None: not learned.
    pub probe: Option<i32>,
    /// Whole statuses.
    pub detail: Option<i32>,
    /// Pull requests of branches.
    pub discover: Option<i32>,
}

impl BatchSizes {
    /// None when nothing was learned.
    #[must_use]
    pub fn known(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// A budget key as all workers' reports together describe it, as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetView {
    /// The host's REST interface.
    pub rest: BudgetWindow,
    /// Its GraphQL interface.
    pub graphql: BudgetWindow,
    /// Secondary limits met, less one for each hour without any.
    pub strikes: i32,
    /// For how long to ask less and slower.
    pub cautious_for: Option<Duration>,
    /// Refs per second that its refs ask for at their base intervals.
    pub demand: f64,
    /// GraphQL requests sent lately; one is forgiven every 3 s.
    pub burst: f64,
    /// As last learned.
    pub batches: BatchSizes,
    /// The host has told whose account this is.
    pub account_known: bool,
}

/// What the host's answers said about a budget.
#[derive(Clone, Debug, Default)]
pub struct BudgetObservation {
    /// The account's id as the host itself told it.
    pub account_id: Option<String>,
    /// The REST interface.
    pub rest: BudgetWindow,
    /// The GraphQL interface.
    pub graphql: BudgetWindow,
    /// Nothing may be sent to either before this has passed.
    pub pause_for: Option<Duration>,
    /// Secondary limits met since the last report.
    pub secondary_refusals: i32,
    /// GraphQL requests sent since the last report.
    pub graphql_requests: i32,
    /// What was learned.
    pub batches: BatchSizes,
}

impl BudgetObservation {
    /// Whether something may not be sent for a while.
    pub(crate) fn pauses(&self) -> bool {
        self.pause_for.is_some()
            || self.rest.pause_for.is_some()
            || self.graphql.pause_for.is_some()
    }
}
