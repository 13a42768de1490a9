//! Everything that runs in production, started for one test.

mod accounts;
mod directory;
mod replica;
mod tls;

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use proto::chat::v1::{
    self, Chat, ChatDiffStatus, chat_service_client::ChatServiceClient,
    git_account_service_client::GitAccountServiceClient,
    sync_admin_service_client::SyncAdminServiceClient, sync_service_client::SyncServiceClient,
};
use proto::gitsync::v1::worker_service_client::WorkerServiceClient;
use serde_json::Value;
use service_runtime::token::Signer;
use testkit::{
    clients::{self, Authorized, Bearer, Caller},
    github::{AppHandle, GitHub},
    postgres::Database,
    process::{Process, Warnings, binaries, command, run},
    proxy::Proxy,
    wait,
};
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

use self::directory::Directory;
pub use self::replica::Replica;
use self::replica::start_chat_service;

/// Id of the provider that the stand-in plays.
pub const PROVIDER: &str = "github";
/// Host of its origins.
pub const HOST: &str = "github.com";

/// A public repository that every stack has.
pub const REPOSITORY: &str = "acme/web";

/// This many of the last lines of a log are shown.
const LOG_LINES: usize = 40;

/// PostgreSQL, the GitHub stand-in, chat-service, and as many workers as the test starts.
pub struct Stack {
    /// The database, to look into.
    pub database: Database,
    /// Between chat-service and its database.
    pub database_proxy: Proxy,
    /// The git host.
    pub github: Arc<GitHub>,
    /// The app that chat-service renews expiring tokens as.
    pub oauth: AppHandle,
    /// The running chat-service.
    pub chat_service: Process,
    /// Variables of chat-service, for starting it again.
    chat_variables: BTreeMap<String, String>,
    addresses: Addresses,
    signer: Signer,
    directory: Directory,
    pub(crate) warnings: Warnings,
}

#[derive(Clone, Debug)]
struct Addresses {
    grpc: String,
    sync: String,
    scaler: String,
    ops: String,
}

impl Addresses {
    /// Has a process listen there again.
    fn listen(&self, variables: &mut BTreeMap<String, String>) {
        for (name, url) in [
            ("CHAT_LISTEN", &self.grpc),
            ("CHAT_SYNC_LISTEN", &self.sync),
            ("CHAT_SCALER_LISTEN", &self.scaler),
            ("CHAT_OPS_LISTEN", &self.ops),
        ] {
            let address = url.trim_start_matches("http://");
            variables.insert(name.to_owned(), address.to_owned());
        }
    }
}

/// A running worker.
pub struct Worker {
    /// The process.
    pub process: Process,
    /// Where it serves gRPC.
    pub grpc: String,
    /// Where it serves its operations endpoint.
    pub ops: String,
    /// Between the worker and chat-service.
    pub proxy: Proxy,
}

impl Stack {
    /// Runs `body` with everything but a worker, and ends as [`Stack::finish`] does with the
    /// workers that `body` returns.
    ///
    /// # Panics
    ///
    /// When `body` does, then with the end of chat-service's log; no process outlives that. When
    /// something does not start or does not end well.
    pub async fn run(body: impl AsyncFnOnce(&mut Self) -> Vec<Worker>) {
        Self::run_with(&[], body).await;
    }

    /// The same, with more variables for chat-service.
    ///
    /// # Panics
    ///
    /// As [`Stack::run`].
    pub async fn run_with(
        variables: &[(&str, &str)],
        body: impl AsyncFnOnce(&mut Self) -> Vec<Worker>,
    ) {
        Self::run_on(testkit::postgres::database().await, variables, body).await;
    }

    /// The same, on a migrated database.
    ///
    /// # Panics
    ///
    /// As [`Stack::run`].
    pub async fn run_on(
        database: Database,
        variables: &[(&str, &str)],
        body: impl AsyncFnOnce(&mut Self) -> Vec<Worker>,
    ) {
        let mut stack = Self::start_on(database, variables).await;
        let outcome = AssertUnwindSafe(Box::pin(body(&mut stack)))
            .catch_unwind()
            .await;
        let Ok(workers) = outcome else {
            let log = stack.chat_service.tail(LOG_LINES);
            stack.chat_service.kill();
            panic!("the test panicked, as printed above; chat-service's log ends with:\n{log}");
        };
        stack.finish(workers).await;
    }

    /// Starts everything but a worker; for what does not fit into one closure.
    ///
    /// # Panics
    ///
    /// When something does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts everything but a worker, with more variables for chat-service.
    ///
    /// # Panics
    ///
    /// When something does not start.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_on(testkit::postgres::database().await, variables).await
    }

    /// Starts everything but a worker, on a migrated database.
    ///
    /// # Panics
    ///
    /// When something does not start.
    pub async fn start_on(database: Database, variables: &[(&str, &str)]) -> Self {
        let github = Arc::new(GitHub::start().await);
        github.repository(REPOSITORY).public();
        let directory = Directory(std::env::temp_dir().join(format!("e2e-{}", Uuid::now_v7())));
        let mut generate = command(&binaries().chat_service);
        generate
            .args(["keys", "generate", "--dir"])
            .arg(&directory.0);
        let _ = run(generate);
        directory.note_keys();
        let oauth = accounts::app(&github, &directory);
        let private = std::fs::read(directory.file("jwt.key")).expect("read the private key");
        let signer = Signer::from_private_key_pem(&private).expect("parse the private key");

        let upstream = database.address();
        let database_proxy = Proxy::start(upstream).await;
        let file = |name: &str| directory.file(name).display().to_string();
        let mut chat_variables: BTreeMap<String, String> = [
            (
                "CHAT_DATABASE_URL",
                database.url_through(database_proxy.address()),
            ),
            ("CHAT_LISTEN", "127.0.0.1:0".to_owned()),
            ("CHAT_SYNC_LISTEN", "127.0.0.1:0".to_owned()),
            ("CHAT_SCALER_LISTEN", "127.0.0.1:0".to_owned()),
            ("CHAT_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("CHAT_JWT_KEYS", file("jwt.pub")),
            ("CHAT_KEYS_FILE", file("seal.keys")),
            // No balancer has to hear of an end.
            ("CHAT_DRAIN_DELAY", "0s".to_owned()),
            ("CHAT_DRAIN_TIMEOUT", "5s".to_owned()),
            // A test's callers ask as fast as they can.
            ("CHAT_USER_CALLS_PER_SECOND", "100000".to_owned()),
            ("GIT_PROVIDER_0_TYPE", "github".to_owned()),
            ("GIT_PROVIDER_0_ID", PROVIDER.to_owned()),
            ("GIT_PROVIDER_0_HOST", HOST.to_owned()),
            ("GIT_PROVIDER_0_API_BASE_URL", github.api_base_url()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        chat_variables.extend(accounts::variables(&github, &directory));
        let variables = variables.iter().copied();
        chat_variables.extend(variables.map(|(name, value)| (name.into(), value.into())));
        let warnings = Warnings::default();
        let (chat_service, addresses) = start_chat_service(&chat_variables, &warnings).await;
        Self {
            database,
            database_proxy,
            github,
            oauth,
            chat_service,
            chat_variables,
            addresses,
            signer,
            directory,
            warnings,
        }
    }

    /// Starts chat-service again, after the test ended it, at the same addresses.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart_chat_service(&mut self) {
        self.addresses.listen(&mut self.chat_variables);
        let (process, addresses) = start_chat_service(&self.chat_variables, &self.warnings).await;
        self.chat_service = process;
        self.addresses = addresses;
    }

    /// Starts a worker.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn worker(&self) -> Worker {
        self.worker_with(&[]).await
    }

    /// Starts a worker with more variables; one that is empty is not set at all.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn worker_with(&self, variables: &[(&str, &str)]) -> Worker {
        self.worker_at(&self.addresses.sync, variables).await
    }

    /// Starts a worker of the replica that serves its workers at `sync`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn worker_at(&self, sync: &str, variables: &[(&str, &str)]) -> Worker {
        let token = self.directory.file("gitsync.jwt");
        let claims = Caller::service("gitsync").claims;
        let signed = self.signer.sign(&claims).expect("sign a token");
        std::fs::write(&token, secrecy::ExposeSecret::expose_secret(&signed))
            .expect("write the worker's token");
        let (scheme, upstream) = sync.split_once("://").expect("a URL");
        let proxy = Proxy::start(upstream).await;
        let mut worker = command(&binaries().gitsync_service);
        worker
            .env(
                "GITSYNC_CHAT_SERVICE_URL",
                format!("{scheme}://{}", proxy.address()),
            )
            .env("GITSYNC_TOKEN_FILE", &token)
            .env("GITSYNC_JWT_KEYS", self.directory.file("jwt.pub"))
            .env("GITSYNC_LISTEN", "127.0.0.1:0")
            .env("GITSYNC_OPS_LISTEN", "127.0.0.1:0");
        for (name, value) in variables {
            if value.is_empty() {
                worker.env_remove(name);
            } else {
                worker.env(name, value);
            }
        }
        let mut process = Process::spawn("gitsync-service", worker)
            .expect("start the worker")
            .warning_as(&self.warnings);
        let listening = process.wait_for_event("listening").await;
        Worker {
            process,
            grpc: address(&listening, "grpc"),
            ops: address(&listening, "ops"),
            proxy,
        }
    }

    /// Health of chat-service's public listener.
    #[must_use]
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel(&self.addresses.grpc))
    }

    /// `ChatService` as `caller`.
    #[must_use]
    pub fn chats(&self, caller: &Caller) -> ChatServiceClient<Authorized> {
        clients::chats(self.channel(&self.addresses.grpc), self.bearer(caller))
    }

    /// `GitAccountService` as `caller`.
    #[must_use]
    pub fn accounts(&self, caller: &Caller) -> GitAccountServiceClient<Authorized> {
        clients::accounts(self.channel(&self.addresses.grpc), self.bearer(caller))
    }

    /// `SyncAdminService` as `caller`.
    #[must_use]
    pub fn sync_admin(&self, caller: &Caller) -> SyncAdminServiceClient<Authorized> {
        clients::sync_admin(self.channel(&self.addresses.grpc), self.bearer(caller))
    }

    /// `SyncService` as `caller`.
    #[must_use]
    pub fn sync(&self, caller: &Caller) -> SyncServiceClient<Authorized> {
        clients::sync(self.channel(&self.addresses.sync), self.bearer(caller))
    }

    /// `WorkerService` of `worker` as `caller`.
    #[must_use]
    pub fn worker_service(
        &self,
        worker: &Worker,
        caller: &Caller,
    ) -> WorkerServiceClient<Authorized> {
        clients::worker(self.channel(&worker.grpc), self.bearer(caller))
    }

    fn bearer(&self, caller: &Caller) -> Bearer {
        caller.bearer(&self.signer)
    }

    /// A new chat of `owner`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn chat(&self, owner: &Caller) -> Chat {
        let request = v1::CreateChatRequest::default();
        let response = self
            .chats(owner)
            .create_chat(request)
            .await
            .expect("create a chat");
        response.into_inner().chat.expect("a chat")
    }

    /// Reports that the chat's agent pushed `branch` to `repository`.
    ///
    /// # Panics
    ///
    /// When the report is refused.
    pub async fn report(&self, owner: &Caller, chat: &Chat, repository: &str, branch: &str) {
        let request = v1::ReportGitRefRequest {
            target: Some(v1::report_git_ref_request::Target::ChatId(chat.id.clone())),
            git_remote_origin: format!("https://{HOST}/{repository}.git"),
            git_branch: branch.to_owned(),
            commit: None,
        };
        self.chats(owner)
            .report_git_ref(request)
            .await
            .expect("report a git ref");
    }

    /// The chat's primary diff status as `caller` sees it now.
    ///
    /// # Panics
    ///
    /// When the chat has none.
    pub async fn status(&self, caller: &Caller, chat: &Chat) -> ChatDiffStatus {
        let request = v1::GetChatRequest {
            chat_id: chat.id.clone(),
            ..v1::GetChatRequest::default()
        };
        let response = self
            .chats(caller)
            .get_chat(request)
            .await
            .expect("get the chat");
        response
            .into_inner()
            .chat
            .and_then(|chat| chat.diff_status)
            .expect("a diff status")
    }

    /// Waits until the chat's primary diff status is as `wanted` says.
    ///
    /// # Panics
    ///
    /// When it does not become so.
    pub async fn status_when(
        &self,
        caller: &Caller,
        chat: &Chat,
        what: &str,
        wanted: impl Fn(&ChatDiffStatus) -> bool,
    ) -> ChatDiffStatus {
        wait::until(what, || async {
            let status = self.status(caller, chat).await;
            if wanted(&status) {
                Ok(status)
            } else {
                Err(status)
            }
        })
        .await
    }

    /// Where chat-service serves its public listener.
    #[must_use]
    pub fn grpc_url(&self) -> &str {
        &self.addresses.grpc
    }

    /// Where chat-service serves its workers.
    #[must_use]
    pub fn sync_url(&self) -> &str {
        &self.addresses.sync
    }

    /// Where chat-service serves KEDA.
    #[must_use]
    pub fn scaler_url(&self) -> &str {
        &self.addresses.scaler
    }

    /// A token of `caller` that both services accept.
    ///
    /// # Panics
    ///
    /// When it cannot be signed.
    #[must_use]
    pub fn token(&self, caller: &Caller) -> String {
        let token = self.signer.sign(&caller.claims).expect("sign a token");
        secrecy::ExposeSecret::expose_secret(&token).to_owned()
    }

    /// Where chat-service serves its operations endpoint.
    #[must_use]
    pub fn ops_url(&self) -> &str {
        &self.addresses.ops
    }

    /// Checks that the stand-in understood every request, and that both kinds of process exit
    /// successfully when stopped.
    ///
    /// # Panics
    ///
    /// When not.
    pub async fn finish(self, workers: Vec<Worker>) {
        for worker in workers {
            worker.process.stop().await;
        }
        self.chat_service.stop().await;
        assert_eq!(
            self.github.unexpected().len(),
            0,
            "{:?}",
            self.github.unexpected()
        );
    }
}

fn address(listening: &Value, name: &str) -> String {
    let address = listening
        .get(name)
        .and_then(Value::as_str)
        .expect("an address");
    format!("http://{address}")
}
