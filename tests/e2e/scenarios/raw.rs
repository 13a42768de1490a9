//! Calls as bytes: what no generated client would send.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use testkit::{
    clients::facts,
    process::{Process, status_kib},
};
use tonic::{Code, Status};

/// Longer than any answer takes, so that a call that hangs fails its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request, to be changed and sent.
#[derive(Debug)]
pub(crate) struct Call {
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
    http1: bool,
}

/// An answer that ended with its headers, as a refusal does.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Call {
    /// A call of `method`, as in `chat.v1.ChatService/GetChat`, with one message.
    pub(crate) fn new(url: &str, method: &str, message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        Self {
            url: format!("{url}/{method}"),
            headers,
            body: [&[0], &length[..], message].concat(),
            http1: false,
        }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// In place of what there is of this name.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// Beside what there is of this name.
    pub(crate) fn header_too(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    /// As a browser calls: gRPC-Web over HTTP/1.1.
    pub(crate) fn web(mut self) -> Self {
        self.http1 = true;
        self.header("content-type", "application/grpc-web+proto")
    }

    /// These bytes in place of one whole message.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let client = reqwest::Client::builder().timeout(PATIENCE);
        let client = if self.http1 {
            client.http1_only()
        } else {
            client.http2_prior_knowledge()
        };
        let client = client.build().unwrap();
        let request = client.post(&self.url).headers(self.headers).body(self.body);
        let answer = request.send().await.unwrap();
        Answer {
            http: answer.status(),
            headers: answer.headers().clone(),
        }
    }
}

impl Answer {
    /// The code of a refusal; none of an answer that has begun well.
    pub(crate) fn grpc_status(&self) -> Option<Code> {
        let status = self.headers.get("grpc-status")?;
        Some(Code::from_bytes(status.as_bytes()))
    }

    /// Code, reason and field.
    pub(crate) fn facts(&self) -> (Code, String, Option<String>) {
        facts(&Status::from_header_map(&self.headers).expect("a refusal in the headers"))
    }
}

/// Most memory that the process ever had, in MiB.
pub(crate) fn peak_mib(process: &Process) -> u64 {
    status_kib(process.id(), "VmHWM:").unwrap() / 1024
}
