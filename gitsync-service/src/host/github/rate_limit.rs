//! Rate limits in a response, and how long the host wants no requests.
//!
//! Every time is taken from the answer itself: the reset minus the answer's own `Date`. The local
//! clock has no part in it.

use std::time::Duration;

use jiff::Timestamp;
use proto::bounds::MAX_PAUSE;

use proto::sync::Window;

/// From one reset of a window to the next.
const LENGTH: Duration = Duration::from_secs(60 * 60);

/// The rate limit headers, and those that the host's support asks for, as text.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitHeaders {
    pub(super) date: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) remaining: Option<String>,
    pub(super) reset: Option<String>,
    /// Which limit was met, in the host's words for its support.
    pub(super) limited_by: Option<String>,
    /// Names the request to the host's support.
    pub(super) request_id: Option<String>,
}

impl LimitHeaders {
    /// The window of this name in these headers; `None` if they have none, as on an Enterprise host
    /// without limits.
    pub(super) fn window(&self, name: &'static str) -> Option<Window> {
        let (remaining, reset_in) = (self.remaining(), self.reset_in());
        let limit = number(self.limit.as_deref());
        let tells = limit.is_some() || remaining.is_some() || reset_in.is_some();
        tells.then(|| window(name, limit, remaining, reset_in))
    }

    /// Whether these headers say that nothing is left. An Enterprise host whose limits are off may
    /// say that nothing is left of nothing.
    pub(super) fn is_spent(&self) -> bool {
        is_spent(number(self.limit.as_deref()), self.remaining())
    }

    /// Whether these headers say what is left.
    pub(super) fn tell_what_is_left(&self) -> bool {
        self.remaining().is_some()
    }

    fn remaining(&self) -> Option<i64> {
        number(self.remaining.as_deref())
    }

    /// How far away the moment `at` is, by the answer's own clock.
    pub(super) fn until(&self, at: Timestamp) -> Option<Duration> {
        self.until_second(at.as_second())
    }

    /// How long ago the moment `at` was, by the answer's own clock.
    pub(super) fn since(&self, at: Timestamp) -> Option<Duration> {
        let ago = self.now()?.as_second().saturating_sub(at.as_second());
        Some(Duration::from_secs(u64::try_from(ago).unwrap_or(0)))
    }

    /// When the window ends, if these headers say so.
    pub(super) fn reset_in(&self) -> Option<Duration> {
        self.until_second(number(self.reset.as_deref())?)
    }

    fn until_second(&self, second: i64) -> Option<Duration> {
        let left = second.saturating_sub(self.now()?.as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        Some(left.min(MAX_PAUSE))
    }

    /// Whether there is a `retry-after`. One that cannot be read says as much.
    pub(super) fn has_retry_after(&self) -> bool {
        self.retry_after.is_some()
    }

    /// `retry-after` in either of its forms.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => http_date(text).and_then(|then| self.until(then)),
        };
        wait.map(|wait| wait.min(MAX_PAUSE))
    }

    fn now(&self) -> Option<Timestamp> {
        http_date(self.date.as_deref()?)
    }
}

/// A window from headers or a body. Negative numbers become zero: a report has no others.
pub(super) fn window(
    name: &'static str,
    limit: Option<i64>,
    remaining: Option<i64>,
    reset_in: Option<Duration>,
) -> Window {
    Window {
        name: name.to_owned(),
        limit: limit.map(|limit| limit.max(0)),
        remaining: remaining.map(|remaining| remaining.max(0)),
        reset_in,
        length: Some(LENGTH),
        pause_for: None,
    }
}

/// Whether nothing is left. Of no limit nothing is left, either.
pub(super) fn is_spent(limit: Option<i64>, remaining: Option<i64>) -> bool {
    limit.is_none_or(|limit| limit > 0) && remaining.is_some_and(|left| left <= 0)
}

fn number(text: Option<&str>) -> Option<i64> {
    text?.trim().parse().ok()
}

/// An HTTP date in its preferred form, which is RFC 2822's with `GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim())
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::github::CORE;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    /// [`DATE`] in seconds since 1970.
    const NOW: i64 = 784_111_777;

    fn headers(retry_after: Option<&str>, remaining: Option<&str>, reset: i64) -> LimitHeaders {
        LimitHeaders {
            date: Some(DATE.to_owned()),
            retry_after: retry_after.map(str::to_owned),
            limit: Some("5000".to_owned()),
            remaining: remaining.map(str::to_owned),
            reset: Some(reset.to_string()),
            ..LimitHeaders::default()
        }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_reset_without_a_date_or_far_in_the_future_is_bounded() {
        let undated = LimitHeaders {
            date: None,
            ..headers(None, Some("0"), NOW + 1800)
        };
        assert_eq!((undated.is_spent(), undated.reset_in()), (true, None));
        let reset = |reset| headers(None, Some("0"), reset).reset_in();
        assert_eq!(reset(i64::MAX), Some(MAX_PAUSE));
        assert_eq!(reset(0), seconds(0));
        assert!(!headers(None, Some("7"), NOW + 1800).is_spent());
    }

    #[test]
    fn a_negative_limit_is_no_limit_and_a_negative_remainder_is_zero() {
        let wait = |limit: &str, remaining: &str| {
            let headers = LimitHeaders {
                limit: Some(limit.to_owned()),
                ..headers(None, Some(remaining), NOW + 60)
            };
            let seen = headers.window(CORE).unwrap();
            (seen.limit, seen.remaining, headers.is_spent())
        };
        assert_eq!(wait("-1", "-1"), (Some(0), Some(0), false));
        assert_eq!(wait("5000", "-3"), (Some(5000), Some(0), true));
    }

    #[test]
    fn headers_that_say_nothing_are_no_observation() {
        assert_eq!(LimitHeaders::default().window(CORE), None);
        let seen = headers(None, Some("4999"), NOW + 60).window(CORE);
        assert_eq!(
            seen,
            Some(Window {
                name: "core".to_owned(),
                limit: Some(5000),
                remaining: Some(4999),
                reset_in: seconds(60),
                length: Some(LENGTH),
                pause_for: None,
            })
        );
    }
}
