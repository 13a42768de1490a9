//! The table of settings: what there is, what each means, and what it may be.

use std::time::Duration;

use crate::{
    pace::{self, batches, hosts, keys, pause},
    provider, refresh, schedule, worker,
};

/// One setting. `name` is the flag without its dashes; the variable is the prefix and the name in
/// capitals.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

/// What a setting may be, and what it is when nobody says.
pub(super) enum Kind {
    Required,
    Optional,
    Text(&'static str),
    /// Default, least and most.
    Count(usize, usize, usize),
    /// Default, least and most.
    Span(Duration, Duration, Duration),
}

impl Kind {
    pub(super) fn default(&self) -> Option<String> {
        match self {
            Self::Required | Self::Optional => None,
            Self::Text(text) => Some((*text).to_owned()),
            Self::Count(count, ..) => Some(count.to_string()),
            Self::Span(span, ..) => Some(super::format_duration(*span)),
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Half a lease of 60 s: a call that waited longer would come back with a lease that is nearly over.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

macro_rules! settings {
    ($($name:literal $variable:literal = $kind:expr, $help:literal;)*) => {
        &[$(Setting {
            name: $name,
            variable: concat!("GITSYNC_", $variable),
            help: $help,
            kind: $kind,
        }),*]
    };
}

use Kind::{Count, Optional, Required, Span, Text};

/// All settings, in the order of the help text.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = settings! {
    "chat-service-url" "CHAT_SERVICE_URL" = Required,
        "chat-service's listener for SyncService, as in http://127.0.0.1:50052";
    "token-file" "TOKEN_FILE" = Required,
        "File with this service's own JWT";
    "jwt-public-key-file" "JWT_PUBLIC_KEY_FILE" = Required,
        "File with the Ed25519 public key (PEM) of callers' tokens";
    "listen" "LISTEN" = Text("127.0.0.1:50061"),
        "Address for WorkerService, health and reflection; port 0 takes any";
    "ops-listen" "OPS_LISTEN" = Text("127.0.0.1:9061"),
        "Address for /livez, /readyz and /metrics; port 0 takes any";
    "worker-id" "WORKER_ID" = Optional,
        "Names this worker for operators [default: host name and a random suffix]";

    "concurrency" "CONCURRENCY" = Count(refresh::CONCURRENCY, 1, 1_000),
        "Requests to git hosts at once";
    "batch-size" "BATCH_SIZE" = Count(worker::BATCH_SIZE, 1, 500),
        "Refs per lease call";
    "interval" "INTERVAL" = Span(worker::INTERVAL, TENTH, LONGEST_INTERVAL),
        "How long a lease call waits for something to become due";
    "tick-timeout" "TICK_TIMEOUT" = Span(worker::TICK_TIMEOUT, TENTH, HOUR),
        "How long the refs of a lease may be looked up";
    "request-timeout" "REQUEST_TIMEOUT" = Span(provider::REQUEST_TIMEOUT, TENTH, HOUR),
        "How long one request to a git host may take";
    "graphql" "GRAPHQL" = Text("true"),
        "Whether hosts are asked for many refs at once, where they can be: true or false";
    "drain-timeout" "DRAIN_TIMEOUT" = Span(worker::DRAIN_TIMEOUT, TENTH, HOUR),
        "How long a stop may take";

    "diff-status-ttl" "DIFF_STATUS_TTL"
        = Span(schedule::DIFF_STATUS_TTL, TENTH, DAY),
        "How long an open pull request's status is fresh while its chat is active; the least otherwise";
    "viewed-interval" "VIEWED_INTERVAL"
        = Span(schedule::VIEWED_INTERVAL, TENTH, DAY),
        "The same while somebody is looking at the chat";
    "active-window" "ACTIVE_WINDOW"
        = Span(schedule::ACTIVE_WINDOW, Duration::ZERO, MONTH),
        "How long a chat in which something happened is active";
    "open-cap" "OPEN_CAP"
        = Span(schedule::OPEN_CAP, TENTH, MONTH),
        "How far the interval of an open pull request stretches with its age";
    "quiet-after" "QUIET_AFTER"
        = Span(schedule::QUIET_AFTER, TENTH, YEAR),
        "After how long without activity an open pull request is quiet";
    "quiet-cap" "QUIET_CAP"
        = Span(schedule::QUIET_CAP, TENTH, MONTH),
        "How far the interval of a quiet one stretches";
    "draft-factor" "DRAFT_FACTOR" = Count(DRAFT_FACTOR, 1, 100),
        "How many times more rarely drafts are looked up";
    "no-pull-request-interval" "NO_PULL_REQUEST_INTERVAL"
        = Span(schedule::NO_PULL_REQUEST_INTERVAL, TENTH, DAY),
        "When to look for a pull request right after a push; doubles";
    "no-pull-request-window" "NO_PULL_REQUEST_WINDOW"
        = Span(schedule::NO_PULL_REQUEST_WINDOW, Duration::ZERO, DAY),
        "How long after the push that goes on";
    "no-pull-request-cap" "NO_PULL_REQUEST_CAP"
        = Span(schedule::NO_PULL_REQUEST_CAP, TENTH, MONTH),
        "How far that interval stretches";
    "no-pull-request-old-cap" "NO_PULL_REQUEST_OLD_CAP"
        = Span(schedule::NO_PULL_REQUEST_OLD_CAP, TENTH, MONTH),
        "How far it stretches later, with the branch's age";
    "abandoned-after" "ABANDONED_AFTER"
        = Span(schedule::ABANDONED_AFTER, TENTH, YEAR),
        "After how long a branch without an open pull request is left alone";
    "merged-first-confirmation" "MERGED_FIRST_CONFIRMATION"
        = Span(schedule::MERGED_FIRST_CONFIRMATION, TENTH, DAY),
        "When a merged pull request is confirmed first";
    "merged-second-confirmation" "MERGED_SECOND_CONFIRMATION"
        = Span(schedule::MERGED_SECOND_CONFIRMATION, TENTH, DAY),
        "When a merged pull request is confirmed last";
    "closed-interval" "CLOSED_INTERVAL"
        = Span(schedule::CLOSED_INTERVAL, TENTH, DAY),
        "When a closed pull request is looked at again; doubles";
    "closed-cap" "CLOSED_CAP"
        = Span(schedule::CLOSED_CAP, TENTH, MONTH),
        "How far that interval stretches";
    "gone-interval" "GONE_INTERVAL"
        = Span(schedule::GONE_INTERVAL, TENTH, MONTH),
        "When to look again for a pull request that is gone";
    "failure-backoff" "FAILURE_BACKOFF"
        = Span(schedule::FAILURE_BACKOFF, TENTH, DAY),
        "When to try again after an ordinary failure; doubles";
    "failure-cap" "FAILURE_CAP"
        = Span(schedule::FAILURE_CAP, TENTH, DAY),
        "How far that stretches";
    "no-token-backoff" "NO_TOKEN_BACKOFF"
        = Span(schedule::NO_TOKEN_BACKOFF, TENTH, DAY),
        "When to try again for an owner without an account";
    "access-backoff" "ACCESS_BACKOFF"
        = Span(schedule::ACCESS_BACKOFF, TENTH, DAY),
        "When to ask again for what the token has no right to; doubles";
    "access-cap" "ACCESS_CAP"
        = Span(schedule::ACCESS_CAP, TENTH, MONTH),
        "How far that stretches";
    "policy-backoff" "POLICY_BACKOFF"
        = Span(schedule::POLICY_BACKOFF, TENTH, MONTH),
        "When to ask again for what an organization's rules forbid";
    "jitter-percent" "JITTER_PERCENT" = Count(JITTER_PERCENT, 0, 100),
        "How much the intervals of budget keys differ";
    "failure-jitter-percent" "FAILURE_JITTER_PERCENT" = Count(FAILURE_JITTER_PERCENT, 0, 100),
        "How much sooner an attempt after an ordinary failure may come";

    "reserve-percent" "RESERVE_PERCENT" = Count(RESERVE_PERCENT, 0, 100),
        "Percent of a rate limit that is left to the account's owner";
    "reserve-least" "RESERVE_LEAST" = Count(RESERVE_LEAST, 0, 100000),
        "Requests or points that are left to them in any case";
    "interactive-floor-percent" "INTERACTIVE_FLOOR_PERCENT" = Count(INTERACTIVE_FLOOR_PERCENT, 0, 100),
        "Percent of it that stays when somebody is looking, too";
    "burst" "BURST" = Count(BURST, 1, 100),
        "GraphQL requests of a budget key that need not wait for one another";
    "burst-gap" "BURST_GAP"
        = Span(pace::BURST_GAP, Duration::ZERO, HOUR),
        "How far apart they are after that";
    "cautious-gap" "CAUTIOUS_GAP"
        = Span(pace::CAUTIOUS_GAP, Duration::ZERO, HOUR),
        "The same for some time after a secondary limit";
    "gap-jitter-percent" "GAP_JITTER_PERCENT" = Count(GAP_JITTER_PERCENT, 0, 100),
        "How much more or less they are apart";
    "local-ceiling" "LOCAL_CEILING" = Count(LOCAL_CEILING, 0, 1_000_000),
        "Requests a minute of a budget key to a host that tells no limit; 0 means any number";
    "probe-batch" "PROBE_BATCH" = Count(PROBE_BATCH, 25, 100),
        "Pull requests that one request asks about, whether they changed";
    "detail-batch" "DETAIL_BATCH" = Count(DETAIL_BATCH, 5, 50),
        "Pull requests whose status one request asks for, to begin with";
    "discover-batch" "DISCOVER_BATCH" = Count(DISCOVER_BATCH, 1, 20),
        "Branches that one request looks up, to begin with";
    "quick-answer" "QUICK_ANSWER" = Span(batches::QUICK, MILLISECOND, HOUR),
        "An answer that takes no longer lets a batch grow";
    "slow-answer" "SLOW_ANSWER" = Span(batches::SLOW, MILLISECOND, HOUR),
        "An answer that takes longer makes it a quarter smaller";
    "slow-detail" "SLOW_DETAIL" = Span(keys::SLOW_DETAIL, MILLISECOND, HOUR),
        "After a status that took longer, a budget key is asked first what changed, for as long as BATCH_HOLD";
    "clean-answers" "CLEAN_ANSWERS" = Count(CLEAN_ANSWERS, 1, 10_000),
        "How many quick answers in a row let a batch grow";
    "batch-hold" "BATCH_HOLD" = Span(batches::HOLD, Duration::ZERO, DAY),
        "For how long a batch that was too much does not grow";

    "host-trouble-keys" "HOST_TROUBLE_KEYS" = Count(KEYS_IN_TROUBLE, 1, 1_000),
        "So many budget keys in trouble are the host's trouble";
    "host-trouble-window" "HOST_TROUBLE_WINDOW" = Span(hosts::TROUBLE_WINDOW, TENTH, HOUR),
        "Within how long";
    "host-probe-after" "HOST_PROBE_AFTER" = Span(hosts::PROBE_AFTER, TENTH, HOUR),
        "When a host that is down is first tried again; doubles";
    "host-probe-cap" "HOST_PROBE_CAP" = Span(hosts::PROBE_CAP, TENTH, HOUR),
        "How far that grows";
    "host-pause" "HOST_PAUSE" = Span(hosts::HOST_PAUSE, TENTH, HOUR),
        "How long a host is left alone that wants several budget keys to pause";
    "host-ramp" "HOST_RAMP" = Span(hosts::HOST_RAMP, Duration::ZERO, HOUR),
        "Over how long they come back after that";
    "capability-ttl" "CAPABILITY_TTL" = Span(hosts::CAPABILITY_TTL, TENTH, MONTH),
        "How long a host is taken to be without GraphQL, or to have another version of it";

    "reset-padding" "RESET_PADDING" = Span(pause::RESET_PADDING, MILLISECOND, HOUR),
        "Added to the end of a rate limit's window";
    "reset-spread" "RESET_SPREAD" = Span(pause::RESET_SPREAD, Duration::ZERO, HOUR),
        "Over how long budget keys whose windows end together come back";
    "secondary-pause" "SECONDARY_PAUSE" = Span(pause::SECONDARY, TENTH, DAY),
        "The least pause after a secondary limit; doubles each time";
    "secondary-cap" "SECONDARY_CAP" = Span(pause::SECONDARY_CAP, TENTH, DAY),
        "How far that grows; a host may ask for more";
    "confirmation" "CONFIRMATION" = Span(pause::CONFIRMATION, TENTH, DAY),
        "When a token that was refused once is tried again";
    "confirmation-spread" "CONFIRMATION_SPREAD"
        = Span(pause::CONFIRMATION_SPREAD, Duration::ZERO, DAY),
        "Over how long such tries are spread";
    "locked-pause" "LOCKED_PAUSE" = Span(pause::LOCKED, TENTH, DAY),
        "When an account that is suspended or locked is tried again; doubles";
    "heavy-pause" "HEAVY_PAUSE" = Span(pause::HEAVY, Duration::ZERO, HOUR),
        "When a query that the host gave up on is asked again, in smaller parts";
    "heavy-spread" "HEAVY_SPREAD" = Span(pause::HEAVY_SPREAD, Duration::ZERO, HOUR),
        "Over how long such tries are spread";

    "log-format" "LOG_FORMAT" = Text("json"),
        "json or text";
    "log-filter" "LOG_FILTER" = Text("info"),
        "Which log lines, as in info,gitsync_service=debug";
    "ready-file" "READY_FILE" = Optional,
        "Written, as JSON, once the process is ready";
};

const FAILURE_JITTER_PERCENT: usize = schedule::FAILURE_JITTER_PERCENT as usize;
const GAP_JITTER_PERCENT: usize = pace::GAP_JITTER_PERCENT as usize;
const CLEAN_ANSWERS: usize = batches::CLEAN_ANSWERS as usize;
const KEYS_IN_TROUBLE: usize = hosts::KEYS_IN_TROUBLE as usize;
const DRAFT_FACTOR: usize = schedule::DRAFT_FACTOR as usize;
const JITTER_PERCENT: usize = schedule::JITTER_PERCENT as usize;
const RESERVE_PERCENT: usize = pace::RESERVE_PERCENT as usize;
const RESERVE_LEAST: usize = pace::RESERVE_LEAST as usize;
const INTERACTIVE_FLOOR_PERCENT: usize = pace::INTERACTIVE_FLOOR_PERCENT as usize;
const BURST: usize = pace::BURST as usize;
const LOCAL_CEILING: usize = keys::LOCAL_CEILING as usize;
const PROBE_BATCH: usize = pace::PROBE_BATCH as usize;
const DETAIL_BATCH: usize = pace::DETAIL_BATCH as usize;
const DISCOVER_BATCH: usize = pace::DISCOVER_BATCH as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_the_variable_of_the_same_name() {
        for setting in SETTINGS {
            let name = setting.name.to_uppercase().replace('-', "_");
            assert_eq!(setting.variable, format!("GITSYNC_{name}"));
        }
    }

    #[test]
    fn every_default_is_within_its_range() {
        for setting in SETTINGS {
            match setting.kind {
                Count(default, least, most) => {
                    assert!((least..=most).contains(&default), "{}", setting.name);
                }
                Span(default, least, most) => {
                    assert!((least..=most).contains(&default), "{}", setting.name);
                }
                Required | Optional | Text(_) => {}
            }
        }
    }
}
