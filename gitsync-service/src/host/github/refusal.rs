//! The meaning of an error status: which limit, or which problem.
//!
//! GitHub says one thing in many spellings, and the same status for many things. Everything that is
//! read of a refusal is read here, for REST and GraphQL alike.

use std::time::Duration;

use proto::sync::ProblemClass;

use super::rate_limit::LimitHeaders;

/// Bytes of a refusal that are read to classify it.
pub(super) const MAX_REFUSAL_BYTES: usize = 8 * 1024;

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The limit of this interface is spent, perhaps with the host's word for how long.
    Primary(Option<Duration>),
    /// A secondary limit, perhaps with the host's word for how long.
    Secondary(Option<Duration>),
    /// The token is refused.
    Credential,
    /// Nothing of this account is taken for a while.
    Locked,
    /// The query exceeded the host's time, or the host is overloaded: the response does not say
    /// which.
    Overloaded,
    /// Something else answered in the host's place: a proxy, or its own edge.
    NotTheHost,
    /// It does not exist for this token.
    Missing,
    /// Any other problem.
    Failed(ProblemClass),
}

/// Says what an answer with this `status` and `body` means. `sso` is the `X-GitHub-SSO` header.
pub(super) fn refusal(
    status: u16,
    limits: &LimitHeaders,
    sso: Option<&str>,
    body: &str,
) -> Refusal {
    let body = body.to_ascii_lowercase();
    // A refused token says nothing about limits: its headers are of the address it came from.
    if status == 401 {
        return if is_own(limits, &body) {
            Refusal::Credential
        } else {
            Refusal::NotTheHost
        };
    }
    if let Some(limit) = limit(status, limits, &body) {
        return limit;
    }
    match status {
        403 => forbidden(limits, sso, &body),
        404 if is_own(limits, &body) => Refusal::Missing,
        404 => Refusal::NotTheHost,
        451 => Refusal::Failed(ProblemClass::RepositoryBlocked),
        408 | 500 | 502 | 504 => Refusal::Overloaded,
        501..=599 => Refusal::Failed(ProblemClass::HostUnavailable),
        400 | 410 => Refusal::Failed(ProblemClass::HostIncompatible),
        406 | 422 if is_too_heavy(&body) => Refusal::Failed(ProblemClass::QueryTooHeavy),
        422 => Refusal::Failed(ProblemClass::HostIncompatible),
        _ => Refusal::Failed(ProblemClass::HostAnswerInvalid),
    }
}

/// Which limit it is, if it is one.
fn limit(status: u16, limits: &LimitHeaders, body: &str) -> Option<Refusal> {
    let refused = matches!(status, 403 | 429);
    // A server error with `retry-after` is maintenance of the host, no limit of the account.
    if !refused {
        return None;
    }
    if says_secondary(body) || limits.has_retry_after() {
        return Some(Refusal::Secondary(limits.retry_after()));
    }
    if limits.is_spent() || says_primary(body) {
        return Some(Refusal::Primary(limits.reset_in()));
    }
    (status == 429 || body.contains("rate limit")).then_some(Refusal::Secondary(None))
}

/// Whether the host does not make an answer for its size, as it says of diffs. In lower case.
fn is_too_heavy(body: &str) -> bool {
    ["too many files", "too_large", "too long to generate"]
        .iter()
        .any(|said| body.contains(said))
}

fn forbidden(limits: &LimitHeaders, sso: Option<&str>, body: &str) -> Refusal {
    // `partial-results` is of an answer that is one.
    if sso.is_some_and(|sso| sso.trim_start().starts_with("required")) {
        return Refusal::Failed(ProblemClass::SsoRequired);
    }
    if !is_own(limits, body) {
        return Refusal::NotTheHost;
    }
    if says_locked(body) {
        return Refusal::Locked;
    }
    Refusal::Failed(denied(body))
}

/// Whether the host itself refuses: its refusals are JSON objects with a message, or in an answer
/// that names its request. In lower case.
fn is_own(limits: &LimitHeaders, body: &str) -> bool {
    let names_itself = limits.request_id.is_some() || body.contains("\"message\"");
    body.trim_start().starts_with('{') && names_itself
}

/// Why something may not be seen, by the host's words in lower case.
pub(super) fn denied(message: &str) -> ProblemClass {
    if message.contains("ip allow list") {
        ProblemClass::AddressNotAllowed
    } else if message.contains("access blocked") {
        ProblemClass::RepositoryBlocked
    } else if message.contains("saml") {
        ProblemClass::SsoRequired
    } else {
        ProblemClass::AccessDenied
    }
}

/// In lower case.
pub(super) fn says_secondary(message: &str) -> bool {
    // An organization's name, which some refusals quote, may hold "abuse".
    message.contains("secondary rate limit") || message.contains("abuse detection")
}

/// In lower case.
pub(super) fn says_primary(message: &str) -> bool {
    message.contains("api rate limit") && message.contains("exceeded")
}

/// In lower case. GitHub refuses good tokens, too, after too many bad ones, and then says 403 of
/// what is otherwise 401.
fn says_locked(message: &str) -> bool {
    message.contains("login attempts exceeded")
        // An installation is suspended by one organization, and the account is not.
        || (message.contains("suspended") && !message.contains("installation"))
        || message.contains("bad credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(remaining: &str, retry_after: Option<&str>) -> LimitHeaders {
        LimitHeaders {
            date: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            retry_after: retry_after.map(str::to_owned),
            limit: Some("5000".to_owned()),
            remaining: Some(remaining.to_owned()),
            // Half an hour after the date.
            reset: Some((784_111_777 + 1800).to_string()),
            ..LimitHeaders::default()
        }
    }

    /// As the host itself says it.
    fn own(message: &str) -> String {
        serde_json::json!({ "message": message }).to_string()
    }

    fn of(status: u16, message: &str) -> Refusal {
        refusal(status, &headers("4999", None), None, &own(message))
    }

    #[test]
    fn an_ordinary_403_is_no_rate_limit_though_it_carries_a_reset() {
        assert_eq!(
            of(403, "Resource not accessible by integration"),
            Refusal::Failed(ProblemClass::AccessDenied)
        );
    }

    #[test]
    fn a_spent_budget_lasts_until_the_reset_by_the_hosts_own_clock() {
        for status in [403, 429] {
            assert_eq!(
                refusal(status, &headers("0", None), None, ""),
                Refusal::Primary(Some(Duration::from_secs(1800)))
            );
        }
    }

    #[test]
    fn a_secondary_limit_is_recognised_in_every_spelling_and_whatever_remains() {
        let seconds = |wait| Refusal::Secondary(Some(Duration::from_secs(wait)));
        for status in [403, 429] {
            for body in [
                "You have exceeded a secondary rate limit.",
                "You have triggered an abuse detection mechanism.",
            ] {
                assert_eq!(of(status, body), Refusal::Secondary(None), "{body}");
                let wait = headers("0", Some("120"));
                assert_eq!(refusal(status, &wait, None, body), seconds(120));
            }
        }
        assert_eq!(of(429, ""), Refusal::Secondary(None));
        let wait = headers("4999", Some("7"));
        let maintenance = refusal(503, &wait, None, "");
        assert_eq!(maintenance, Refusal::Failed(ProblemClass::HostUnavailable));
        let date = headers("10", Some("Sun, 06 Nov 1994 08:51:37 GMT"));
        assert_eq!(refusal(403, &date, None, ""), seconds(120));
        let garbled = headers("10", Some("soon"));
        assert_eq!(refusal(403, &garbled, None, ""), Refusal::Secondary(None));
    }

    #[test]
    fn each_reason_for_a_403_has_its_own_class() {
        for (sso, body, expected) in [
            (
                Some("required; url=x"),
                "Resource protected",
                ProblemClass::SsoRequired,
            ),
            (
                Some("partial-results; organizations=1"),
                "no",
                ProblemClass::AccessDenied,
            ),
            (
                None,
                "an IP allow list enabled",
                ProblemClass::AddressNotAllowed,
            ),
            (
                None,
                "Repository access blocked",
                ProblemClass::RepositoryBlocked,
            ),
            (None, "Resource not accessible", ProblemClass::AccessDenied),
        ] {
            let limits = headers("4999", None);
            let found = refusal(403, &limits, sso, &own(body));
            assert_eq!(found, Refusal::Failed(expected), "{body}");
        }
        for body in [
            "Maximum number of login attempts exceeded. Please try again later.",
            "Sorry. Your account was suspended.",
            "Bad credentials",
        ] {
            assert_eq!(of(403, body), Refusal::Locked, "{body}");
        }
    }

    #[test]
    fn a_suspended_installation_and_an_organization_named_abuse_pause_no_account() {
        for (body, class) in [
            (
                "This installation has been suspended",
                ProblemClass::AccessDenied,
            ),
            (
                "the `stop-abuse-org` organization has an IP allow list enabled",
                ProblemClass::AddressNotAllowed,
            ),
        ] {
            assert_eq!(of(403, body), Refusal::Failed(class), "{body}");
        }
    }

    #[test]
    fn a_403_or_404_that_is_not_the_hosts_json_is_of_no_repository_and_no_account() {
        let refused = |status, body| refusal(status, &headers("4999", None), None, body);
        for body in ["", "<html>Your account was suspended</html>", "{}", "no"] {
            for status in [403, 404] {
                assert_eq!(
                    refused(status, body),
                    Refusal::NotTheHost,
                    "{status} {body}"
                );
            }
        }
        assert_eq!(of(404, "Not Found"), Refusal::Missing);
    }

    #[test]
    fn other_statuses_say_which_problem_it_is() {
        assert_eq!(of(401, "Bad credentials"), Refusal::Credential);
        let html = refusal(401, &headers("4999", None), None, "<html>Sign in</html>");
        assert_eq!(html, Refusal::NotTheHost);
        // GitHub has refused tokens without a word, in an answer that names its request.
        let named = LimitHeaders {
            request_id: Some("EE6F:3AF2".to_owned()),
            ..headers("58", None)
        };
        assert_eq!(refusal(401, &named, None, "{}"), Refusal::Credential);
        for status in [408, 500, 502, 504] {
            assert_eq!(of(status, ""), Refusal::Overloaded, "{status}");
        }
        for (status, body, class) in [
            (503, "", ProblemClass::HostUnavailable),
            (451, "", ProblemClass::RepositoryBlocked),
            (400, "", ProblemClass::HostIncompatible),
            (410, "", ProblemClass::HostIncompatible),
            (422, "", ProblemClass::HostIncompatible),
            (
                422,
                "Validation Failed: too many files changed",
                ProblemClass::QueryTooHeavy,
            ),
            (
                406,
                "Sorry, the diff exceeded the maximum number of files (300). too_large",
                ProblemClass::QueryTooHeavy,
            ),
            (
                422,
                "Sorry, this diff is taking too long to generate.",
                ProblemClass::QueryTooHeavy,
            ),
            (406, "", ProblemClass::HostAnswerInvalid),
            (204, "", ProblemClass::HostAnswerInvalid),
        ] {
            assert_eq!(of(status, body), Refusal::Failed(class), "{status}");
        }
    }
}
