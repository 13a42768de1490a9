//! An identity provider's keys over HTTP, as services load them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{clients::KeyPair, lock::lock};

/// A running provider. Dropping it ends it.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is answered.
    body: Vec<u8>,
    status: StatusCode,
    delay: Duration,
    /// The bearer token that is asked for, if any.
    bearer: Option<String>,
    requests: usize,
}

impl Provider {
    /// Listens on a free port of 127.0.0.1 and publishes `keys`.
    pub async fn start(keys: &[&KeyPair]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::<Mutex<Shared>>::default();
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Ends with the provider.
            let _ = axum::serve(listener, app).await;
        });
        let provider = Self {
            address,
            shared,
            _tasks: tasks,
        };
        provider.publish(keys);
        provider
    }

    /// Where the keys are.
    pub fn url(&self) -> String {
        format!("http://{}/openid/v1/jwks", self.address)
    }

    /// Where it listens, to put something in front of it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&KeyPair]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.answer(StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    /// Answers so from now on.
    pub fn answer(&self, status: StatusCode, body: impl Into<Vec<u8>>) {
        self.change(|shared| {
            shared.status = status;
            shared.body = body.into();
        });
    }

    /// Answers each request that long after it came.
    pub fn delay(&self, delay: Duration) {
        self.change(|shared| shared.delay = delay);
    }

    /// Asks for this bearer token.
    pub fn ask_for(&self, bearer: &str) {
        self.change(|shared| shared.bearer = Some(format!("Bearer {bearer}")));
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.change(|shared| shared.requests)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut lock(&self.shared))
    }
}

async fn answer(
    State(shared): State<Arc<Mutex<Shared>>>,
    headers: HeaderMap,
) -> (StatusCode, Vec<u8>) {
    let (answer, delay) = {
        let mut shared = lock(&shared);
        shared.requests += 1;
        let given = headers.get("authorization").map(|value| value.as_bytes());
        let wanted = shared.bearer.as_ref().map(String::as_bytes);
        let answer = if wanted.is_none() || wanted == given {
            (shared.status, shared.body.clone())
        } else {
            (StatusCode::UNAUTHORIZED, Vec::new())
        };
        (answer, shared.delay)
    };
    tokio::time::sleep(delay).await;
    answer
}
