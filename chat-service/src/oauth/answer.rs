//! Responses of token endpoints. The body decides, whatever the status: GitHub sends errors with
//! status 200.

use std::{collections::BTreeMap, time::Duration};

use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use url::form_urlencoded;

/// An access token that is said to live for less is one of which nothing is known: it would be
/// renewed without an end.
const LEAST_LIFE: Duration = Duration::from_secs(2 * 60);

/// The refresh token is used up, expired or revoked, or its user or app is gone: no repetition
/// changes that.
const REFUSED: [&str; 7] = [
    "access_denied",
    "bad_refresh_token",
    "bad_verification_code",
    "expired_token",
    "invalid_grant",
    "unauthorized_client",
    "unverified_user_email",
];
/// This service's own client id or secret, or its request, is not accepted.
const MISCONFIGURED: [&str; 7] = [
    "application_suspended",
    "incorrect_client_credentials",
    "invalid_client",
    "invalid_request",
    "redirect_uri_mismatch",
    "unsupported_grant_type",
    // GitHub's for an unknown client id.
    "not found",
];

/// The result of sending a refresh token.
pub(super) enum TokenAnswer {
    /// It was exchanged.
    Renewed(Pair),
    /// It is worth nothing.
    Refused,
    /// This service may not exchange it.
    Misconfigured,
    /// Nothing is known: the endpoint failed, or did not answer.
    Failed {
        /// Why, for the log.
        why: &'static str,
        /// When the host wants to be asked again.
        retry_after: Option<Duration>,
    },
}

/// Tokens as they were answered. Has no `Debug`.
pub(super) struct Pair {
    pub(super) access_token: SecretString,
    /// `None`: the one that was sent stays good.
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<Duration>,
    pub(super) refresh_expires_in: Option<Duration>,
}

impl TokenAnswer {
    pub(super) fn failed(why: &'static str) -> Self {
        Self::Failed {
            why,
            retry_after: None,
        }
    }

    /// Reads the body of an answer with this status: JSON, or a form.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let fields = fields(body);
        let field = |name: &str| fields.get(name).map(String::as_str);
        if let Some(error) = field("error") {
            let error = error.to_ascii_lowercase();
            return if REFUSED.contains(&error.as_str()) {
                Self::Refused
            } else if MISCONFIGURED.contains(&error.as_str()) {
                Self::Misconfigured
            } else {
                Self::failed("an error that is not known")
            };
        }
        if status == StatusCode::UNAUTHORIZED {
            return Self::Misconfigured;
        }
        if !status.is_success() {
            return Self::failed(if status.is_server_error() {
                "the host failed"
            } else {
                "a status that is not expected"
            });
        }
        let token = |name| field(name).filter(|token| is_token(token));
        let Some(access_token) = token("access_token") else {
            return Self::failed("an answer without a token");
        };
        let seconds = |name| {
            let seconds = field(name)?.parse().ok()?;
            Some(Duration::from_secs(seconds))
        };
        Self::Renewed(Pair {
            access_token: access_token.into(),
            refresh_token: token("refresh_token").map(SecretString::from),
            expires_in: seconds("expires_in").filter(|life| *life >= LEAST_LIFE),
            refresh_expires_in: seconds("refresh_token_expires_in"),
        })
    }
}

/// It goes into a header, so nothing else may be in it.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The fields of a body. Hosts that do not look at `Accept` answer with a form.
fn fields(body: &[u8]) -> BTreeMap<String, String> {
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let fields = object.into_iter();
        return fields
            .filter_map(|(name, value)| Some((name, text(value)?)))
            .collect();
    }
    form_urlencoded::parse(body).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(status: u16, body: &str) -> TokenAnswer {
        TokenAnswer::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn name(answer: &TokenAnswer) -> &'static str {
        match answer {
            TokenAnswer::Renewed(_) => "renewed",
            TokenAnswer::Refused => "refused",
            TokenAnswer::Misconfigured => "misconfigured",
            TokenAnswer::Failed { .. } => "failed",
        }
    }

    #[test]
    fn a_pair_is_read_from_json_and_from_a_form_with_every_character_that_tokens_have() {
        let access = format!("ghu_{}.{}-{}", "a".repeat(500), "_".repeat(8), "Z9");
        let json = format!(
            r#"{{"access_token":"{access}","expires_in":28800,"refresh_token":"ghr_1",
                "refresh_token_expires_in":15897600,"scope":"","token_type":"bearer"}}"#
        );
        let form = format!(
            "access_token={access}&expires_in=28800&refresh_token=ghr_1\
             &refresh_token_expires_in=15897600&scope=&token_type=bearer"
        );
        for body in [json, form] {
            let TokenAnswer::Renewed(pair) = read(200, &body) else {
                panic!("{body}");
            };
            assert_eq!(pair.access_token.expose_secret(), access);
            assert_eq!(pair.refresh_token.unwrap().expose_secret(), "ghr_1");
            assert_eq!(pair.expires_in, Some(Duration::from_secs(28800)));
            assert_eq!(
                pair.refresh_expires_in,
                Some(Duration::from_secs(15_897_600))
            );
        }
    }

    #[test]
    fn what_a_host_leaves_out_is_not_known() {
        let TokenAnswer::Renewed(pair) = read(200, r#"{"access_token":"gho_1","expires_in":0}"#)
        else {
            panic!("no pair");
        };
        assert!(pair.refresh_token.is_none());
        assert_eq!((pair.expires_in, pair.refresh_expires_in), (None, None));
    }

    #[test]
    fn only_what_no_repetition_changes_is_a_refusal() {
        for (status, body, expected) in [
            (
                200,
                r#"{"error":"bad_refresh_token","error_description":"..."}"#,
                "refused",
            ),
            (400, r#"{"error":"invalid_grant"}"#, "refused"),
            (200, r#"{"error":"unauthorized_client"}"#, "refused"),
            (
                200,
                "error=bad_refresh_token&error_description=x",
                "refused",
            ),
            (
                200,
                r#"{"error":"incorrect_client_credentials"}"#,
                "misconfigured",
            ),
            (401, r#"{"error":"invalid_client"}"#, "misconfigured"),
            (404, r#"{"error":"Not Found"}"#, "misconfigured"),
            (401, "", "misconfigured"),
            (200, r#"{"error":"slow_down"}"#, "failed"),
            (200, r#"{"error":"of_next_year"}"#, "failed"),
            (502, "<html>Unicorn!</html>", "failed"),
            (502, r#"{"access_token":"gho_1"}"#, "failed"),
            (200, "<html><a href='?error=1'>x</a></html>", "failed"),
            (200, "", "failed"),
            (200, "{", "failed"),
            (200, "[]", "failed"),
            (200, r#"{"access_token":"two words"}"#, "failed"),
            (200, r#"{"access_token":""}"#, "failed"),
            (403, r#"{"message":"rate limit"}"#, "failed"),
            (301, "", "failed"),
            (404, "<html></html>", "failed"),
        ] {
            assert_eq!(name(&read(status, body)), expected, "{status} {body}");
        }
    }
}
