//! A worker with everything around it, in one process.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use gitsync_service::{
    SyncClient,
    config::Tls,
    metrics::{self, Metrics},
    worker::{Refresher, RefresherSettings, Settings, Worker},
};
use proto::chat::v1 as pb;
use service_runtime::token::TokenFile;
use testkit::{github::GitHub, running::Running, wait::until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    support::{ref_id, world},
    sync_server::{Chat, SyncServer},
};

/// A worker between a GitHub and a chat-service.
pub(crate) struct Stack {
    pub(crate) github: GitHub,
    pub(crate) token: String,
    pub(crate) server: SyncServer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) token_file: PathBuf,
    pub(crate) stop: CancellationToken,
    running: Running,
}

impl Stack {
    /// Runs `body` with everything but a worker.
    ///
    /// A worker that the body starts is stopped and waited for whatever becomes of the body, and a
    /// worker that ends early or panics fails the test.
    pub(crate) async fn run<T>(body: impl AsyncFnOnce(&Self) -> T) -> T {
        let stack = Self::new().await;
        stack.running.during(Box::pin(body(&stack))).await
    }

    /// The same, with a GitHub that has no GraphQL: each ref has requests of its own.
    pub(crate) async fn run_over_rest<T>(body: impl AsyncFnOnce(&Self) -> T) -> T {
        Self::run(async |stack| {
            stack.github.set_graphql(false);
            body(stack).await
        })
        .await
    }

    async fn new() -> Self {
        let (github, token) = world().await;
        let token_file = std::env::temp_dir().join(format!("gitsync-token-{}", Uuid::new_v4()));
        std::fs::write(&token_file, "service-token\n").unwrap();
        let stop = CancellationToken::new();
        Self {
            github,
            token,
            server: SyncServer::start().await,
            metrics: Arc::default(),
            token_file,
            stop: stop.clone(),
            running: Running::new(stop),
        }
    }

    pub(crate) fn chat(&self) -> &Chat {
        &self.server.chat
    }

    pub(crate) fn start_worker(&self) {
        self.start_worker_with(Settings::default());
    }

    pub(crate) fn start_worker_with(&self, settings: Settings) {
        self.start_worker_as(settings, RefresherSettings::default());
    }

    /// A worker with `concurrency` requests on the wire at once.
    pub(crate) fn start_worker_with_slots(&self, settings: Settings, concurrency: usize) {
        let refresher = RefresherSettings {
            concurrency,
            ..RefresherSettings::default()
        };
        self.start_worker_as(settings, refresher);
    }

    pub(crate) fn start_worker_as(&self, settings: Settings, refresher: RefresherSettings) {
        let token = TokenFile::open(&self.token_file).unwrap();
        let calls = self.metrics.sync_calls.clone();
        let tls = Tls::default().chat_service().unwrap();
        let worker = "worker-1".to_owned();
        let sync = SyncClient::new(&self.server.url(), &tls, Some(token), worker, calls).unwrap();
        let refresher = Refresher::new(RefresherSettings {
            metrics: Arc::clone(&self.metrics),
            ..refresher
        });
        let worker = Worker::new(sync, refresher.unwrap(), settings);
        let working = worker.run(self.stop.clone());
        self.running.spawn("the worker", async {
            working.await;
            Ok::<(), Infallible>(())
        });
    }

    /// Waits until the worker has ended, which must be well.
    pub(crate) async fn ended(&self) {
        self.running.ended().await;
    }

    /// A lease of one owner's branches of `acme/web`, named like their refs.
    pub(crate) fn lease(&self, name: &str, branches: &[&str]) -> pb::Lease {
        pb::Lease {
            lease_token: ref_id(name).to_string(),
            budget_key: format!("key of {name}"),
            expires_in: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            groups: vec![pb::LeaseGroup {
                provider: Some(pb::Provider {
                    id: "github".to_owned(),
                    r#type: pb::ProviderType::Github.into(),
                    host: "github.com".to_owned(),
                    api_base_url: self.github.api_base_url(),
                }),
                credential: Some(Self::credential(name, &self.token)),
                refs: branches.iter().map(|branch| leased_ref(branch)).collect(),
            }],
            budget: Some(pb::BudgetView::default()),
        }
    }

    /// An account named like the lease, with this token.
    pub(crate) fn credential(lease: &str, token: &str) -> pb::Credential {
        pb::Credential {
            id: ref_id(lease).to_string(),
            generation: 5,
            access_token: token.to_owned(),
            suspect: false,
            expires_at: None,
        }
    }

    pub(crate) async fn applied(&self, git_ref: &str) -> pb::Outcome {
        until("the outcome is applied", || async {
            let outcomes = self.chat().outcomes();
            outcomes.get(git_ref).cloned().ok_or(outcomes)
        })
        .await
    }

    pub(crate) async fn released(&self, lease: &str) {
        until("the lease is given back", || async {
            let calls = (self.chat().calls("report"), self.chat().calls("release"));
            self.chat().is_released(lease).then_some(()).ok_or(calls)
        })
        .await;
    }

    pub(crate) fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics::registry(&self.metrics))
            .unwrap();
        text.lines().any(|have| have == line)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // The file may be gone already, and nothing depends on it.
        let _ = std::fs::remove_file(&self.token_file);
    }
}

/// As all refs are leased.
pub(crate) const FENCE: pb::Fence = pb::Fence {
    report_seq: 3,
    looks: 2,
    generation: 5,
};

pub(crate) fn leased_ref(branch: &str) -> pb::LeasedRef {
    pb::LeasedRef {
        git_ref_id: ref_id(branch).to_string(),
        fence: Some(FENCE),
        repository: "acme/web".to_owned(),
        branch: branch.to_owned(),
        upstream_repository: Some(String::new()),
        ..pb::LeasedRef::default()
    }
}

pub(crate) fn short_lived(lease: pb::Lease, lives: Duration) -> pb::Lease {
    pb::Lease {
        expires_in: Some(prost_types::Duration::try_from(lives).unwrap()),
        ..lease
    }
}
