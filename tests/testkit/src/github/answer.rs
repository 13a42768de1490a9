//! An answer on its way to the client.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::graphql::Query;
use super::limit::Resource;
use super::record::RecordedRequest;

/// Where GitHub's error bodies point to.
const DOCUMENTATION: &str = "https://docs.github.com/rest";
const JSON: &str = "application/json; charset=utf-8";

/// A request as the endpoints see it.
pub(crate) struct Incoming {
    pub(crate) recorded: RecordedRequest,
    /// `/api/v3` if the request came that way, else empty.
    pub(crate) prefix: &'static str,
    /// The query as sent.
    pub(crate) raw_query: Option<String>,
    pub(crate) token: Option<String>,
    /// The fields of a form; the record does not have them, since they are secrets.
    pub(crate) form: Vec<(String, String)>,
    /// What was asked of the GraphQL API, if this went there.
    pub(crate) query: Option<Query>,
}

impl Incoming {
    /// What it is counted against.
    pub(crate) fn resource(&self) -> Resource {
        match self.query {
            Some(_) => Resource::Graphql,
            None => Resource::Core,
        }
    }

    /// Path and query as they came, without the prefix.
    pub(crate) fn path_and_query(&self) -> String {
        match &self.raw_query {
            Some(query) => format!("{}?{query}", self.recorded.path),
            None => self.recorded.path.clone(),
        }
    }
}

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, JSON, body.to_string())
    }

    /// JSON that is written already.
    pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(JSON))]);
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    pub(crate) fn text(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// An error body as GitHub writes it.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        Self::error_about(status, message, DOCUMENTATION)
    }

    pub(crate) fn error_about(status: StatusCode, message: &str, documentation: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": documentation,
            "status": status.as_str(),
        });
        Self::json(status, &body)
    }

    pub(crate) fn redirect(status: StatusCode, location: &str) -> Self {
        let body = json!({
            "message": status.canonical_reason().unwrap_or("Redirect"),
            "url": location,
            "documentation_url": format!("{DOCUMENTATION}/guides/best-practices-for-using-the-rest-api#follow-redirects"),
        });
        Self::json(status, &body).with("location", location)
    }

    /// Sets a header; a value that HTTP does not allow is left out.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set(HeaderName::from_static(name), value);
        self
    }

    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        self.into_response_with(Body::from)
    }

    /// Sends something else in place of the body; the headers stay.
    pub(crate) fn into_response_with(self, body: impl FnOnce(Bytes) -> Body) -> Response<Body> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
