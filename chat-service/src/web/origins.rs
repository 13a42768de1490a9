//! The origins of web pages that may call (CORS).

use std::{str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

use crate::grpc::call::REQUEST_ID;

/// Headers that a page may send and read, beside those that every page may.
const REQUEST_HEADERS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static(REQUEST_ID),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("grpc-timeout"),
];
const RESPONSE_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static(REQUEST_ID),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// How long a browser may remember the answer to a preflight. No common browser has a lower limit.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Origins whose pages may call, beside the service's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Answers preflights, and lets pages of these origins read answers. It is no authentication:
    /// callers have a token, and never a cookie that a page of another origin could use.
    pub(crate) fn layer(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.iter().cloned()))
            .allow_methods([Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(RESPONSE_HEADERS)
            .max_age(MAX_AGE)
    }
}

impl FromStr for Origins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts.map(origin).collect::<Result<_, _>>().map(Self)
    }
}

/// One origin, as browsers write it in `Origin`.
fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let problem = "must be origins with commas between, as in https://chats.example.com";
    let url = Url::parse(text).map_err(|_| problem)?;
    let origin = url.origin();
    let is_of_web = ["http", "https"].contains(&url.scheme());
    let is_alone = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !(is_of_web && is_alone) {
        return Err(problem);
    }
    HeaderValue::from_str(&origin.ascii_serialization()).map_err(|_| problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        let origins: Origins = "https://Chats.example.com:443, http://localhost:5173/,"
            .parse()
            .unwrap();
        assert_eq!(
            origins.0,
            ["https://chats.example.com", "http://localhost:5173"]
        );
        assert_eq!("".parse(), Ok(Origins::default()));
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "*",
            "null",
            "chats.example.com",
            "https://",
            "ftp://example.com",
            "https://example.com/chats",
            "https://ann:secret@example.com",
            "https://example.com?x",
            "https://example.com#x",
        ] {
            assert!(text.parse::<Origins>().is_err(), "{text}");
        }
    }
}
