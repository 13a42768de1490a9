//! The one place of this service that sends to a git host: a refresh token, to the token endpoint
//! of its provider and nowhere else. No redirect is followed, and nothing is repeated here.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};
use service_runtime::egress::{EgressProxy, http_client};
use url::form_urlencoded;

use super::answer::TokenAnswer;
use crate::provider::oauth::OauthClient;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request with its response body. GitHub's own timeout is 10 s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read: far above two tokens with their scopes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest time for which a host is believed when it says when it wants to be asked again.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(60 * 60);

const USER_AGENT: &str = concat!("chat-service/", env!("CARGO_PKG_VERSION"));
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Sends refresh tokens. Knows none.
#[derive(Clone, Debug)]
pub(super) struct Exchange(reqwest::Client);

impl Exchange {
    /// Builds the client of token endpoints.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, or the proxy's URL cannot be used.
    pub(super) fn new(proxy: Option<&EgressProxy>) -> Result<Self, reqwest::Error> {
        http_client(proxy)?
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A request that is sent again may meet a token that is used up, and one on a
            // connection that was idle may be lost in between.
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .build()
            .map(Self)
    }

    /// Exchanges a refresh token, as the app that it was made for.
    pub(super) async fn send(
        &self,
        client: &OauthClient,
        refresh_token: &SecretString,
    ) -> TokenAnswer {
        let secret = match client.secret() {
            Ok(secret) => secret,
            Err(error) => {
                tracing::debug!(error, "the client secret cannot be read");
                return TokenAnswer::Misconfigured;
            }
        };
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &client.client_id)
            .append_pair("client_secret", secret.expose_secret())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", refresh_token.expose_secret())
            .finish();
        let request = self
            .0
            .post(client.token_url.clone())
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, FORM)
            .body(body);
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() => TokenAnswer::failed("it cannot be reached"),
            Err(error) if error.is_timeout() => TokenAnswer::failed("it timed out"),
            Err(_) => TokenAnswer::failed("the connection broke"),
        }
    }
}

async fn read(mut response: Response) -> TokenAnswer {
    let status = response.status();
    let retry_after = retry_after(&response);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY_BYTES => {
                return TokenAnswer::failed("the answer is too large");
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(_) => return TokenAnswer::failed("the answer is cut off"),
        }
    }
    match TokenAnswer::read(status, &body) {
        TokenAnswer::Failed { why, .. } => TokenAnswer::Failed { why, retry_after },
        answer @ (TokenAnswer::Renewed(_) | TokenAnswer::Refused | TokenAnswer::Misconfigured) => {
            answer
        }
    }
}

/// When a host that wants fewer requests, or is down, wants to be asked again.
fn retry_after(response: &Response) -> Option<Duration> {
    let wants = matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::FORBIDDEN
    );
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = Duration::from_secs(seconds.parse().ok()?);
    wants.then_some(seconds.min(RETRY_AFTER_CAP))
}
