//! When an answer is a rate limit, and how long the host wants to be left alone.
//!
//! Every time is taken from the answer itself: the reset minus the answer's own `Date`. The local
//! clock has no part in it.

use std::time::Duration;

use jiff::Timestamp;

use crate::lease::Window;

/// GitHub: after a secondary limit without `retry-after`, "wait for at least one minute".
pub(super) const SECONDARY_PAUSE: Duration = Duration::from_secs(60);
/// A window is one hour. Anything beyond a day is not a limit but a mistake.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The headers that limits are told by, as text.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitHeaders {
    pub(super) date: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) remaining: Option<String>,
    pub(super) reset: Option<String>,
}

impl LimitHeaders {
    /// What these headers say about the budget; `None` when they say nothing, as on an Enterprise
    /// host without limits.
    pub(super) fn budget(&self) -> Option<Window> {
        let observation = Window {
            limit: number(self.limit.as_deref()),
            remaining: number(self.remaining.as_deref()),
            reset_in: self.reset_in(),
            pause_for: None,
        };
        (observation != Window::default()).then_some(observation)
    }

    /// How long to wait, when an answer with status 403 or 429 and this `body` is a rate limit.
    /// `None`: an ordinary refusal, whatever headers it carries beside.
    pub(super) fn pause(&self, status: u16, body: &str) -> Option<Duration> {
        let body = body.to_ascii_lowercase();
        let secondary = body.contains("secondary rate limit") || body.contains("abuse");
        let spent = self.spent_for();
        let asked = self.retry_after();
        let pause = match (asked, spent) {
            // Coming back before either has passed earns another refusal.
            (Some(asked), Some(spent)) => asked.max(spent),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) if status == 429 || secondary || body.contains("rate limit") => {
                SECONDARY_PAUSE
            }
            (None, None) => return None,
        };
        let least = if secondary {
            SECONDARY_PAUSE
        } else {
            Duration::ZERO
        };
        Some(pause.max(least).min(MAX_PAUSE))
    }

    /// How long nothing is left, when these headers say that nothing is. An Enterprise host whose
    /// limits are off may say that nothing is left of nothing.
    pub(super) fn spent_for(&self) -> Option<Duration> {
        if number(self.limit.as_deref()) == Some(0) || number(self.remaining.as_deref())? != 0 {
            return None;
        }
        Some(self.reset_in().unwrap_or(SECONDARY_PAUSE).min(MAX_PAUSE))
    }

    fn reset_in(&self) -> Option<Duration> {
        let reset = number(self.reset.as_deref())?;
        let now = self.now()?.as_second();
        Some(Duration::from_secs(
            u64::try_from(reset.saturating_sub(now)).unwrap_or(0),
        ))
    }

    /// `retry-after` in either of its forms. One that cannot be read still says that this is a
    /// limit.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = http_date(text).zip(self.now()).map(|(then, now)| {
            let seconds = then.as_second().saturating_sub(now.as_second());
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        });
        Some(until.unwrap_or(SECONDARY_PAUSE))
    }

    fn now(&self) -> Option<Timestamp> {
        http_date(self.date.as_deref()?)
    }
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
        }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn an_ordinary_403_is_no_rate_limit_though_it_carries_a_reset() {
        let ordinary = headers(None, Some("4999"), NOW + 1800);
        assert_eq!(ordinary.pause(403, "Resource not accessible"), None);
    }

    #[test]
    fn a_spent_budget_lasts_until_the_reset_by_the_hosts_own_clock() {
        assert_eq!(
            headers(None, Some("0"), NOW + 1800).pause(403, ""),
            seconds(1800)
        );
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(
            headers(Some("120"), Some("10"), NOW + 1800).pause(429, ""),
            seconds(120)
        );
        let date = headers(
            Some("Sun, 06 Nov 1994 08:51:37 GMT"),
            Some("10"),
            NOW + 1800,
        );
        assert_eq!(date.pause(403, ""), seconds(120));
    }

    #[test]
    fn garbage_in_retry_after_is_still_a_rate_limit() {
        assert_eq!(
            headers(Some("soon"), Some("10"), NOW).pause(403, ""),
            Some(SECONDARY_PAUSE)
        );
    }

    #[test]
    fn a_secondary_limit_lasts_a_minute_at_least() {
        let body = "You have exceeded a secondary rate limit.";
        assert_eq!(
            headers(None, Some("4000"), NOW + 9).pause(403, body),
            Some(SECONDARY_PAUSE)
        );
        assert_eq!(
            headers(Some("5"), Some("4000"), NOW + 9).pause(403, body),
            Some(SECONDARY_PAUSE)
        );
        assert_eq!(
            headers(Some("300"), Some("4000"), NOW + 9).pause(403, body),
            seconds(300)
        );
        assert_eq!(
            LimitHeaders::default().pause(403, "abuse detection"),
            Some(SECONDARY_PAUSE)
        );
    }

    #[test]
    fn a_429_is_a_rate_limit_without_any_header() {
        assert_eq!(
            LimitHeaders::default().pause(429, ""),
            Some(SECONDARY_PAUSE)
        );
    }

    #[test]
    fn a_reset_without_a_date_or_far_in_the_future_is_bounded() {
        let undated = LimitHeaders {
            date: None,
            ..headers(None, Some("0"), NOW + 1800)
        };
        assert_eq!(undated.pause(403, ""), Some(SECONDARY_PAUSE));
        assert_eq!(
            headers(None, Some("0"), i64::MAX).pause(403, ""),
            Some(MAX_PAUSE)
        );
        assert_eq!(headers(None, Some("0"), 0).pause(403, ""), seconds(0));
    }

    #[test]
    fn headers_that_say_nothing_are_no_observation() {
        assert_eq!(LimitHeaders::default().budget(), None);
        let seen = headers(None, Some("4999"), NOW + 60).budget();
        assert_eq!(
            seen,
            Some(Window {
                limit: Some(5000),
                remaining: Some(4999),
                reset_in: seconds(60),
                pause_for: None,
            })
        );
    }
}
