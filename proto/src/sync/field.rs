//! Reading fields of messages: each that cannot be read is an error with its path.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

/// A field of a message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The path from the request, as in `outcomes[3].git_ref_id`.
    pub field: String,
    /// What is wrong with it, to follow the path in a sentence.
    pub problem: String,
}

impl FieldError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// The path of `field` within `path`.
pub(super) fn at(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

pub(super) fn uuid(path: &str, field: &str, text: &str) -> Result<Uuid, FieldError> {
    Uuid::parse_str(text).map_err(|_| FieldError::new(at(path, field), "is not a UUID"))
}

pub(super) fn required<T>(path: &str, field: &str, value: Option<T>) -> Result<T, FieldError> {
    value.ok_or_else(|| FieldError::new(at(path, field), "is required"))
}

/// A duration that may be absent, cut to `most`: what a host says must not plan anything beyond reason.
pub(super) fn maybe_duration(
    path: &str,
    field: &str,
    message: Option<prost_types::Duration>,
    most: Duration,
) -> Result<Option<Duration>, FieldError> {
    message
        .map(|message| {
            Duration::try_from(message)
                .map(|duration| duration.min(most))
                .map_err(|_| FieldError::new(at(path, field), "must be a duration of 0 or more"))
        })
        .transpose()
}

/// A duration that the other side computed. One that is absent or negative has passed.
pub(super) fn elapsed(message: Option<prost_types::Duration>) -> Duration {
    message
        .and_then(|message| Duration::try_from(message).ok())
        .unwrap_or_default()
}

/// A duration as a message.
#[must_use]
pub fn message_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A moment that may be absent. One that is out of range is not known.
pub(super) fn timestamp(message: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(message.seconds, message.nanos).ok()
}

pub(super) fn message_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// A count as a message has it. A negative one counts nothing.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(super) fn message_count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
