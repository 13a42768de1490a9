//! Faults: what the stand-in does wrong on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::matching::Matching;
use super::record::RecordedRequest;
use super::state::Shared;

/// What goes wrong with a whole answer, REST or GraphQL; a [`Barrier`](super::Barrier) is for a
/// part of one.
///
/// None of them but [`Fault::Delay`], [`Fault::TruncatedJson`], [`Fault::InPart`],
/// [`Fault::HalfBody`] and [`Fault::LargeJson`], which spoil the ordinary answer, is counted
/// against the primary rate limit.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with an error body in GitHub's form.
    Status(u16),
    /// Exactly this answer.
    Answer {
        /// The status.
        status: u16,
        /// Headers to set, besides those that every answer has.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// 200 with a page of HTML, as a proxy in between would send it.
    Html,
    /// 200 with the first half of the ordinary JSON, as a complete answer.
    TruncatedJson,
    /// The ordinary answer of GraphQL without these parts of its data (JSON pointers below `data`):
    /// a list is empty, anything else null. An error without a path is all that tells.
    InPart {
        /// What is left out.
        without: Vec<&'static str>,
        /// The error's `type`, if it has one.
        kind: Option<&'static str>,
        /// The error's message.
        message: &'static str,
    },
    /// The ordinary headers and half of the body; then the connection is closed.
    HalfBody,
    /// The ordinary answer, valid JSON, blown up to at least this many bytes.
    LargeJson {
        /// The least size.
        bytes: usize,
    },
    /// A redirect to this address; one that begins with `/` is on this host.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// The value of `Location`.
        location: String,
    },
    /// A redirect to the same path and query on another host.
    RedirectHost {
        /// 301, 302, 307 or 308.
        status: u16,
        /// Scheme, host and port of the other host.
        base: String,
    },
    /// The ordinary answer, later.
    Delay(Duration),
    /// The request is carried out, and this status is returned, as of a proxy that timed out.
    Lost(u16),
    /// The connection is reset without an answer.
    Reset,
    /// No answer, ever; the connection stays open.
    Hang,
    /// The secondary rate limit, with budget left in the primary one.
    SecondaryLimit {
        /// 403 or 429; GitHub uses both. 200 in GraphQL, where it is an error in the body.
        status: u16,
        /// Seconds in `retry-after`; GitHub sometimes leaves it out.
        retry_after: Option<u64>,
    },
    /// 403 for lack of permission, which is no rate limit although its headers tell of one.
    Forbidden,
    /// 403 because the organization wants single sign-on first.
    SsoRequired,
    /// 401 for a valid token, as GitHub sometimes returns during outages: the headers show the
    /// limit of unauthenticated requests.
    BadCredentials,
    /// A query that took too long or too much; nothing of it is answered.
    Overloaded(Overload),
    /// 200 with an error that the token lacks a scope; GraphQL only.
    InsufficientScopes,
    /// 403 after too many bad credentials, also for good ones.
    LockedOut,
    /// 403 for a user who is suspended.
    Suspended,
    /// 403 for an address that the organization does not allow.
    AddressNotAllowed,
    /// The repository is blocked for legal reasons.
    Blocked {
        /// 451, or 403 with the same words.
        status: u16,
    },
    /// The API version of the request is too old, or unknown.
    UnsupportedVersion {
        /// 410 or 400.
        status: u16,
    },
    /// 422, as for a pull request with too many files.
    Unprocessable,
}

/// How the host gives up on a query.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overload {
    /// 502, with an error in GraphQL's form.
    #[default]
    BadGateway,
    /// 504, with a page of HTML.
    GatewayTimeout,
    /// 200 with `We couldn't respond to your request in time` as the only message.
    NoTime,
    /// 200 with `Something went wrong while executing your query` as the only error.
    SomethingWrong,
    /// 200 with the error `RESOURCE_LIMITS_EXCEEDED`. By weight, what was answered until then is
    /// there, and each of the rest is null with that error at its path.
    ResourceLimits,
}

/// A fault in the making: which requests, how many of them. Made by
/// [`GitHub::fault`](super::GitHub::fault); nothing happens before
/// [`respond`](FaultScript::respond).
#[must_use = "nothing goes wrong before respond() is called"]
pub struct FaultScript {
    shared: Arc<Shared>,
    matching: Matching,
    skip: u64,
    times: Option<u64>,
}

impl FaultScript {
    pub(crate) fn new(shared: Arc<Shared>, matching: Matching) -> Self {
        Self {
            shared,
            matching,
            skip: 0,
            times: None,
        }
    }

    /// Limits the fault to `times` requests; otherwise it lasts until
    /// [`GitHub::clear_faults`](super::GitHub::clear_faults).
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Only one request goes wrong.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Lets the first `skip` matching requests succeed.
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Puts the fault in place. Of several that match a request, the one placed first that is
    /// not used up is taken.
    pub fn respond(self, fault: Fault) -> FaultHandle {
        let Self {
            shared,
            matching,
            skip,
            times,
        } = self;
        let hits = Arc::new(AtomicU64::new(0));
        let handle = FaultHandle {
            hits: Arc::clone(&hits),
        };
        shared.lock().faults.rules.push(Rule {
            matching,
            skip,
            left: times,
            fault,
            hits,
        });
        handle
    }
}

/// Tells how often a fault has happened.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    hits: Arc<AtomicU64>,
}

impl FaultHandle {
    /// How many requests it has spoiled so far.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }
}

/// The faults in place.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
}

struct Rule {
    matching: Matching,
    skip: u64,
    left: Option<u64>,
    fault: Fault,
    hits: Arc<AtomicU64>,
}

impl Faults {
    /// The fault for this request, used up by one.
    pub(crate) fn take(&mut self, request: &RecordedRequest) -> Option<Fault> {
        for rule in &mut self.rules {
            if rule.left == Some(0) || !rule.matching.matches(request) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            rule.hits.fetch_add(1, Ordering::SeqCst);
            return Some(rule.fault.clone());
        }
        None
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }
}
