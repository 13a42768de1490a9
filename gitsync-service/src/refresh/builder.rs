//! Settings of a [`Refresher`].

use std::{sync::Arc, time::Duration};

use crate::{
    metrics::Metrics,
    pace,
    provider::{
        HttpClient, REQUEST_TIMEOUT,
        gate::{Shared, Slots},
    },
    schedule::Schedule,
};

use super::{CONCURRENCY, Refresher};

/// Settings of a [`Refresher`]; each has a public constant as its default.
#[derive(Clone, Debug)]
#[must_use]
pub struct RefresherBuilder {
    concurrency: usize,
    request_timeout: Duration,
    schedule: Schedule,
    pace: pace::Settings,
    graphql: bool,
    metrics: Arc<Metrics>,
}

impl Default for RefresherBuilder {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            request_timeout: REQUEST_TIMEOUT,
            schedule: Schedule::default(),
            pace: pace::Settings::default(),
            graphql: true,
            metrics: Arc::default(),
        }
    }
}

impl RefresherBuilder {
    /// Requests to git hosts on the wire at once; at least 1. Default [`CONCURRENCY`].
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// How long one request may take. Default [`REQUEST_TIMEOUT`].
    pub fn request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// All intervals at once. Default [`Schedule::default`].
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// See [`DIFF_STATUS_TTL`](crate::schedule::DIFF_STATUS_TTL).
    pub fn diff_status_ttl(mut self, interval: Duration) -> Self {
        self.schedule.diff_status_ttl = interval;
        self
    }

    /// See [`FAILURE_BACKOFF`](crate::schedule::FAILURE_BACKOFF).
    pub fn failure_backoff(mut self, interval: Duration) -> Self {
        self.schedule.failure_backoff = interval;
        self
    }

    /// See [`NO_TOKEN_BACKOFF`](crate::schedule::NO_TOKEN_BACKOFF).
    pub fn no_token_backoff(mut self, interval: Duration) -> Self {
        self.schedule.no_token_backoff = interval;
        self
    }

    /// See [`NO_PULL_REQUEST_INTERVAL`](crate::schedule::NO_PULL_REQUEST_INTERVAL).
    pub fn no_pull_request_interval(mut self, interval: Duration) -> Self {
        self.schedule.no_pull_request_interval = interval;
        self
    }

    /// How much is spent, and how fast. Default [`pace::Settings::default`].
    pub fn pace(mut self, pace: pace::Settings) -> Self {
        self.pace = pace;
        self
    }

    /// Whether hosts are asked for many refs at once, where they can be. Default: yes.
    pub fn graphql(mut self, graphql: bool) -> Self {
        self.graphql = graphql;
        self
    }

    /// Where to count. Default: counted and shown to nobody.
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Builds the refresher.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn build(self) -> Result<Refresher, RefresherError> {
        let Self {
            concurrency,
            request_timeout,
            schedule,
            pace,
            graphql,
            metrics,
        } = self;
        Ok(Refresher {
            http: HttpClient::new(request_timeout)
                .map_err(|source| RefresherError(Box::new(source)))?,
            schedule: Arc::new(schedule),
            concurrency,
            graphql,
            shared: Shared {
                slots: Arc::new(Slots::new(concurrency)),
                metrics,
                hosts: Arc::new(pace::Hosts::new(pace.clone())),
                keys: Arc::new(pace::Keys::new(pace.clone())),
                pace: Arc::new(pace),
            },
        })
    }
}

/// The refresher cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("git hosts cannot be asked")]
pub struct RefresherError(#[source] Box<dyn std::error::Error + Send + Sync>);
