//! A client that does nothing by itself: no redirects, no retries.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use testkit::github::GitHub;

/// `acme/web` with open pull requests, from `b1` on; ann, who may read it; and their ids.
pub(crate) async fn world(pull_requests: usize) -> (GitHub, Client, Vec<String>) {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    let client = Client::with(&github, &ann.token());
    let ids = (1..=pull_requests).map(|number| {
        let branch = format!("b{number}");
        id_of(
            &github,
            github.pull_request("acme/web").head(&branch).open(),
        )
    });
    let ids = ids.collect();
    (github, client, ids)
}

/// `acme/web`, which is public, and a client without a token.
pub(crate) async fn public() -> (GitHub, Client) {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let client = Client::anonymous(&github);
    (github, client)
}

/// The id of a pull request of `acme/web`.
pub(crate) fn id_of(github: &GitHub, number: u64) -> String {
    let found = github.find_pull_request("acme/web", number);
    found.expect("there is such a pull request").node_id()
}

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    /// A client without a token.
    pub(crate) fn anonymous(github: &GitHub) -> Self {
        Self::at(&github.api_base_url(), None)
    }

    /// A client with this token.
    pub(crate) fn with(github: &GitHub, token: &str) -> Self {
        Self::at(&github.api_base_url(), Some(token))
    }

    pub(crate) fn at(base: &str, token: Option<&str>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .redirect(Policy::none())
            .user_agent("testkit")
            .build()
            .expect("the client's settings are valid");
        Self {
            http,
            base: base.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// A request to a path, or to an absolute address.
    pub(crate) fn request(&self, target: &str) -> reqwest::RequestBuilder {
        let url = match target.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.base),
            None => target.to_owned(),
        };
        let request = self
            .http
            .get(url)
            .header("accept", "application/vnd.github+json");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn try_get(&self, target: &str) -> reqwest::Result<Reply> {
        Self::read(self.request(target)).await
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.try_get(target).await.expect("the stand-in answers")
    }

    pub(crate) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers
            .iter()
            .fold(self.request(target), |request, (name, value)| {
                request.header(*name, *value)
            });
        Self::read(request).await.expect("the stand-in answers")
    }

    /// A query to the GraphQL API.
    pub(crate) fn query_request(&self, query: &str, variables: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/graphql", self.base));
        let request = request.json(&json!({"query": query, "variables": variables}));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a query.
    pub(crate) async fn query(&self, query: &str, variables: Value) -> Reply {
        let reply = Self::read(self.query_request(query, &variables)).await;
        reply.expect("the stand-in answers")
    }

    async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let response = request.send().await?;
        Ok(Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// What a GraphQL answer says, where nothing went wrong.
    pub(crate) fn data(&self) -> Value {
        let mut body = self.json();
        assert_eq!(self.status, 200, "{body}");
        assert!(body.get("errors").is_none(), "{body}");
        body["data"].take()
    }

    /// The errors of a GraphQL answer, as pairs of type or code and path.
    pub(crate) fn errors(&self) -> Vec<(String, Value)> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        errors
            .into_iter()
            .map(|error| {
                let label = error["type"]
                    .as_str()
                    .or(error["extensions"]["code"].as_str())
                    .unwrap_or_default();
                (label.to_owned(), error["path"].clone())
            })
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The numbers of a list of pull requests.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let list = self.json();
        let items = list.as_array().expect("the body is a list");
        items
            .iter()
            .filter_map(|item| item["number"].as_u64())
            .collect()
    }

    /// The address of that relation in the `Link` header.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let wanted = format!("rel=\"{relation}\"");
        self.header("link").split(", ").find_map(|link| {
            let (address, have) = link.split_once("; ")?;
            (have == wanted).then(|| address.trim_matches(['<', '>']).to_owned())
        })
    }
}
