//! Sign-in by a link with a one-time code, for development: the launcher writes codes and tokens
//! into a file, and prints the links. In production an identity provider issues the tokens.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::constant_time;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};
use tonic::body::Body;

use super::plain;

/// Attempts within [`WINDOW`] at most, of all clients together, so that codes cannot be guessed.
const ATTEMPTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Length of a code: 16 characters of an alphabet of 64 are 96 bits.
const CODE_LENGTH: std::ops::RangeInclusive<usize> = 16..=128;
/// How long a client may take to send a code.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// One-time codes, and the tokens that they are exchanged for.
pub struct SignIn(Mutex<State>);

#[derive(Default)]
struct State {
    unused: Vec<(SecretString, SecretString)>,
    attempts: VecDeque<Instant>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SignIn([REDACTED])")
    }
}

/// The result of redeeming a code.
#[derive(Debug)]
enum Redemption {
    Token(SecretString),
    /// The code was used before, or never existed.
    Unknown,
    /// There were too many attempts.
    Later,
}

impl SignIn {
    /// Reads a JSON object of codes and tokens.
    ///
    /// # Errors
    ///
    /// When it is not one, or a code has the wrong form. The message repeats nothing of `text`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let problem =
            "must hold a JSON object of codes (16 to 128 letters, digits, - or _) and tokens";
        let codes: BTreeMap<String, SecretString> =
            serde_json::from_str(text).map_err(|_| problem)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_good = |code: &str| CODE_LENGTH.contains(&code.len()) && code.bytes().all(is_plain);
        if !codes.keys().all(|code| is_good(code)) {
            return Err(problem);
        }
        let unused = codes
            .into_iter()
            .map(|(code, token)| (SecretString::from(code), token))
            .collect();
        Ok(Self(Mutex::new(State {
            unused,
            attempts: VecDeque::new(),
        })))
    }

    /// Answers a request whose body is a code.
    pub(super) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if !is_own(request.headers()) {
            return plain(StatusCode::FORBIDDEN, "Sign in from the page itself.\n");
        }
        let body = Limited::new(request.into_body(), *CODE_LENGTH.end()).collect();
        let Ok(Ok(body)) = timeout(BODY_TIMEOUT, body).await else {
            return plain(StatusCode::BAD_REQUEST, "The body must be a code.\n");
        };
        match self.redeem(&body.to_bytes(), Instant::now()) {
            Redemption::Token(token) => plain(StatusCode::OK, token.expose_secret().to_owned()),
            Redemption::Unknown => {
                tracing::warn!("a sign-in was refused");
                plain(
                    StatusCode::FORBIDDEN,
                    "This code is not good, or was used.\n",
                )
            }
            Redemption::Later => {
                let text = "Too many attempts; try again in a minute.\n";
                let mut response = plain(StatusCode::TOO_MANY_REQUESTS, text);
                let after = HeaderValue::from(WINDOW.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, after);
                response
            }
        }
    }

    /// Uses a code up. It is compared with every unused code, each time in constant time, so that
    /// how long this takes reveals nothing about them.
    fn redeem(&self, code: &[u8], now: Instant) -> Redemption {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { unused, attempts } = &mut *state;
        while attempts
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WINDOW)
        {
            attempts.pop_front();
        }
        if attempts.len() >= ATTEMPTS {
            return Redemption::Later;
        }
        attempts.push_back(now);
        let mut found = None;
        for (index, (known, _)) in unused.iter().enumerate() {
            let known = known.expose_secret().as_bytes();
            if constant_time::verify_slices_are_equal(known, code).is_ok() {
                found = Some(index);
            }
        }
        match found {
            Some(index) => Redemption::Token(unused.swap_remove(index).1),
            None => Redemption::Unknown,
        }
    }
}

/// Whether a request comes from the page itself, or from no browser. A page of another site could
/// not read the answer, but it could use up the attempts.
fn is_own(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_none_or(|site| site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "0123456789abcdef";

    fn sign_in() -> SignIn {
        SignIn::parse(&format!("{{\"{CODE}\": \"token of ann\"}}")).unwrap()
    }

    fn token(redeemed: &Redemption) -> Option<&str> {
        match redeemed {
            Redemption::Token(token) => Some(token.expose_secret()),
            Redemption::Unknown | Redemption::Later => None,
        }
    }

    #[tokio::test]
    async fn a_code_is_good_once() {
        let (sign_in, now) = (sign_in(), Instant::now());
        assert_eq!(token(&sign_in.redeem(b"another", now)), None);
        assert_eq!(
            token(&sign_in.redeem(CODE.as_bytes(), now)),
            Some("token of ann")
        );
        assert_eq!(token(&sign_in.redeem(CODE.as_bytes(), now)), None);
    }

    #[tokio::test]
    async fn codes_cannot_be_tried_in_masses() {
        let (sign_in, begin) = (sign_in(), Instant::now());
        for _ in 0..ATTEMPTS {
            assert!(matches!(
                sign_in.redeem(b"guess", begin),
                Redemption::Unknown
            ));
        }
        let almost = begin + WINDOW - Duration::from_millis(1);
        assert!(matches!(
            sign_in.redeem(CODE.as_bytes(), almost),
            Redemption::Later
        ));
        let later = begin + WINDOW;
        assert_eq!(
            token(&sign_in.redeem(CODE.as_bytes(), later)),
            Some("token of ann")
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_and_not_shown() {
        for text in [
            "",
            "[]",
            "{\"0123456789abcdef\": 1}",
            "{\"short\": \"hunter2\"}",
            "{\"0123456789abcde/\": \"hunter2\"}",
        ] {
            let problem = SignIn::parse(text).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        assert!(!format!("{:?}", sign_in()).contains(CODE));
    }
}
