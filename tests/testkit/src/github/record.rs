//! Recorded requests: what was asked, with which token, and the response.

use std::collections::{HashMap, VecDeque};

use axum::http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::Value;

/// How many requests are remembered; older ones are forgotten first.
pub const RECORD_CAPACITY: usize = 100_000;

/// Who sent a request. The token itself is never kept.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Caller {
    /// There was no token.
    Anonymous,
    /// There was a token that this host does not know, or knows no longer.
    Unknown,
    /// The token is this user's.
    User(String),
}

/// One request, as it came in.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// Counts the requests since the start, from 0.
    pub sequence: u64,
    /// The method.
    pub method: Method,
    /// The path as sent, without a leading `/api/v3`; `/graphql` for the GraphQL API.
    pub path: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers; the value of `authorization` is replaced.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// Whose token it carried.
    pub caller: Caller,
    /// When it arrived, by the stand-in's clock.
    pub arrived_at: Timestamp,
    /// The status answered; none while it is under way, or when no answer was given.
    pub status: Option<u16>,
    /// Whether the stand-in has no such endpoint, or no such field.
    pub unexpected: bool,
    /// What was asked, if it came to the GraphQL API.
    pub graphql: Option<RecordedQuery>,
}

/// One request to the GraphQL API.
#[derive(Clone, Debug, Default)]
pub struct RecordedQuery {
    /// The name of the operation.
    pub operation: Option<String>,
    /// What it costs in points, by GitHub's formula.
    pub cost: u64,
    /// How many nodes it may touch, by GitHub's formula.
    pub node_count: u64,
    /// How many fields, aliased or not, it asks of the query itself.
    pub aliases: usize,
    /// How many ids it names in `nodes` and `node`.
    pub ids: usize,
    /// The variables.
    pub variables: Value,
    /// How heavy the answer was; [`GitHub::set_weight_limit`](super::GitHub::set_weight_limit) says
    /// what that is.
    pub weight: u64,
    /// The types of the errors answered, or their codes where they have no type.
    pub errors: Vec<String>,
}

/// What is known of a GraphQL answer only once it is made.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) weight: u64,
    pub(crate) errors: Vec<String>,
}

impl RecordedRequest {
    /// The login of the user whose token it carried.
    pub fn login(&self) -> Option<&str> {
        match &self.caller {
            Caller::User(login) => Some(login),
            Caller::Anonymous | Caller::Unknown => None,
        }
    }

    /// The first query parameter of that name.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// The header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How many requests were inside at the same time.
#[derive(Clone, Copy, Debug, Default)]
struct Crowd {
    now: usize,
    most: usize,
}

impl Crowd {
    fn enter(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
    }

    fn leave(&mut self) {
        self.now = self.now.saturating_sub(1);
    }
}

/// The requests of one stand-in.
#[derive(Default)]
pub(crate) struct Record {
    requests: VecDeque<RecordedRequest>,
    next_sequence: u64,
    overall: Crowd,
    by_caller: HashMap<Caller, Crowd>,
}

impl Record {
    /// Notes an arrival and returns its number.
    pub(crate) fn enter(&mut self, mut request: RecordedRequest) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.overall.enter();
        self.by_caller
            .entry(request.caller.clone())
            .or_default()
            .enter();
        if self.requests.len() == RECORD_CAPACITY {
            self.requests.pop_front();
        }
        request.sequence = sequence;
        self.requests.push_back(request);
        sequence
    }

    /// Notes what a request was answered.
    pub(crate) fn answered(&mut self, sequence: u64, status: u16, unexpected: bool, noted: Noted) {
        let found = self
            .requests
            .binary_search_by_key(&sequence, |request| request.sequence);
        if let Some(request) = found.ok().and_then(|index| self.requests.get_mut(index)) {
            request.status = Some(status);
            request.unexpected = unexpected;
            if let Some(query) = &mut request.graphql {
                (query.weight, query.errors) = (noted.weight, noted.errors);
            }
        }
    }

    /// Notes that a request is over, answered or not.
    pub(crate) fn leave(&mut self, caller: &Caller) {
        self.overall.leave();
        if let Some(crowd) = self.by_caller.get_mut(caller) {
            crowd.leave();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RecordedRequest> {
        self.requests.iter()
    }

    pub(crate) fn max_in_flight(&self) -> usize {
        self.overall.most
    }

    pub(crate) fn max_in_flight_by(&self, caller: &Caller) -> usize {
        self.by_caller.get(caller).map_or(0, |crowd| crowd.most)
    }

    /// Forgets the requests so far; those still inside keep counting.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.overall.most = self.overall.now;
        for crowd in self.by_caller.values_mut() {
            crowd.most = crowd.now;
        }
    }
}
