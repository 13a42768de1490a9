//! The whole service in this process, on a database of its own, over real sockets.

use std::{collections::BTreeMap, ffi::OsString, fmt::Debug, path::Path, str::FromStr};

use chat_service::{
    accounts::seal::KeyRing,
    config::{self, Command, Settings},
    provider::Providers,
    server::Service,
};
use proto::chat::v1::{
    self, Chat, chat_service_client::ChatServiceClient,
    git_account_service_client::GitAccountServiceClient,
    sync_admin_service_client::SyncAdminServiceClient, sync_service_client::SyncServiceClient,
};
use secrecy::ExposeSecret as _;
pub(crate) use testkit::clients::{Authorized, Bearer, Caller, KEYS, bearer, facts, refused};
use testkit::{clients, http, postgres::Database, running::Running};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

/// A running service.
pub(crate) struct Stack {
    pub(crate) database: Database,
    pub(crate) public: Channel,
    /// Where the public listener is.
    pub(crate) public_url: String,
    sync: Channel,
    /// Of KEDA.
    pub(crate) scaler: Channel,
    pub(crate) ops_url: String,
    /// Tells the service to stop, as at the end of the test.
    pub(crate) stop: CancellationToken,
}

impl Stack {
    /// Runs `body` beside a service of its own.
    ///
    /// The service is stopped and waited for whatever becomes of the body, and a service that ends
    /// early or otherwise than well fails the test.
    pub(crate) async fn run<T>(body: impl AsyncFnOnce(&Self) -> T) -> T {
        Self::run_with(|_, _| {}, body).await
    }

    /// The same with settings changed; providers are variables.
    pub(crate) async fn run_with<T>(
        change: impl FnOnce(&mut Settings, &mut BTreeMap<String, String>),
        body: impl AsyncFnOnce(&Self) -> T,
    ) -> T {
        Self::run_on(testkit::postgres::database().await, change, body).await
    }

    /// The same on a database that the test has prepared.
    pub(crate) async fn run_on<T>(
        database: Database,
        change: impl FnOnce(&mut Settings, &mut BTreeMap<String, String>),
        body: impl AsyncFnOnce(&Self) -> T,
    ) -> T {
        let (stack, running) = Self::start(database, change).await;
        running.during(Box::pin(body(&stack))).await
    }

    async fn start(
        database: Database,
        change: impl FnOnce(&mut Settings, &mut BTreeMap<String, String>),
    ) -> (Self, Running) {
        let directory = std::env::temp_dir().join(format!("chat-service-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&directory).unwrap();
        let public_key = directory.join("jwt.pub");
        std::fs::write(&public_key, &KEYS.public_pem).unwrap();
        let seal = directory.join("seal.keys");
        std::fs::write(&seal, KeyRing::generate_file_text().expose_secret()).unwrap();
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let flags = [
            "chat-service".to_owned(),
            "serve".to_owned(),
            format!("--database-url={}", database.url()),
            "--listen=127.0.0.1:0".to_owned(),
            "--sync-listen=127.0.0.1:0".to_owned(),
            "--scaler-listen=127.0.0.1:0".to_owned(),
            "--ops-listen=127.0.0.1:0".to_owned(),
            // No balancer has to hear of an end.
            "--drain-delay=0s".to_owned(),
            file("jwt-keys", &public_key),
            file("keys-file", &seal),
            // A test's callers ask as fast as they can.
            "--user-calls-per-second=1000000".to_owned(),
            "--user-calls=10000".to_owned(),
            "--user-watches=1000".to_owned(),
            // Whatever a test is about, all that it is given is checked again.
            "--policy-recheck=1".to_owned(),
        ];
        let read = config::read(flags.map(OsString::from), &BTreeMap::new());
        let Ok(Command::Serve(mut settings)) = read else {
            panic!("{:?}", read.err());
        };
        let mut vars = BTreeMap::new();
        change(&mut settings, &mut vars);
        settings.providers = Providers::from_vars(&vars).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let stop = CancellationToken::new();
        let service = Service::start(*settings, stop.clone()).await.unwrap();
        let addresses = service.addresses;
        let channel = |address| clients::channel(&format!("http://{address}"));
        let stack = Self {
            database,
            public_url: format!("http://{}", addresses.grpc),
            public: channel(addresses.grpc),
            sync: channel(addresses.sync),
            scaler: channel(addresses.scaler.unwrap()),
            ops_url: format!("http://{}", addresses.ops),
            stop: stop.clone(),
        };
        let running = Running::new(stop);
        running.spawn("chat-service", service.run());
        (stack, running)
    }

    pub(crate) fn chats(&self, caller: &Caller) -> ChatServiceClient<Authorized> {
        self.chats_with(bearer(&caller.token()))
    }

    pub(crate) fn chats_with(&self, bearer: Bearer) -> ChatServiceClient<Authorized> {
        clients::chats(self.public.clone(), bearer)
    }

    pub(crate) fn anonymous(&self) -> ChatServiceClient<Authorized> {
        self.chats_with(Bearer::ANONYMOUS)
    }

    pub(crate) fn accounts(&self, caller: &Caller) -> GitAccountServiceClient<Authorized> {
        clients::accounts(self.public.clone(), bearer(&caller.token()))
    }

    pub(crate) fn sync(&self, caller: &Caller) -> SyncServiceClient<Authorized> {
        clients::sync(self.sync.clone(), bearer(&caller.token()))
    }

    pub(crate) fn admin(&self, caller: &Caller) -> SyncAdminServiceClient<Authorized> {
        clients::sync_admin(self.public.clone(), bearer(&caller.token()))
    }

    /// How often the service has run a statement.
    pub(crate) async fn statements(&self, name: &str) -> u64 {
        let of = format!(
            "db_client_operation_duration_seconds_count{{db_system_name=\"postgresql\",\
             db_query_summary=\"{name}\",error_type=\"\"}}"
        );
        http::metric(&self.ops_url, &of).await.unwrap_or(0)
    }

    /// The value of a metric that the service has.
    pub(crate) async fn metric<T: FromStr<Err: Debug>>(&self, name: &str) -> T {
        let value = http::metric(&self.ops_url, name).await;
        value.unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// A new chat of `owner`.
    pub(crate) async fn chat(&self, owner: &Caller) -> Chat {
        self.chat_with(owner, v1::CreateChatRequest::default())
            .await
    }

    pub(crate) async fn chat_with(&self, owner: &Caller, request: v1::CreateChatRequest) -> Chat {
        self.chats(owner)
            .create_chat(request)
            .await
            .unwrap()
            .into_inner()
            .chat
            .unwrap()
    }

    /// Shares the chat `id` of `owner` with `readers`.
    pub(crate) async fn share(&self, owner: &Caller, id: &str, readers: Vec<v1::Subject>) {
        let request = v1::UpdateChatSharingRequest {
            chat_id: id.to_owned(),
            add_readers: readers,
            ..v1::UpdateChatSharingRequest::default()
        };
        self.chats(owner)
            .update_chat_sharing(request)
            .await
            .unwrap();
    }

    /// All chats that `caller` lists, page by page, each page checked to be full until the last.
    pub(crate) async fn walk(&self, caller: &Caller, request: v1::GetChatsRequest) -> Vec<Chat> {
        let size = usize::try_from(request.page_size).unwrap();
        let mut request = request;
        let mut chats = Vec::new();
        loop {
            let page = self
                .chats(caller)
                .get_chats(request.clone())
                .await
                .unwrap()
                .into_inner();
            let last = page.next_page_token.is_empty();
            assert!(
                last || page.chats.len() == size,
                "a page has {} chats",
                page.chats.len()
            );
            chats.extend(page.chats);
            if last {
                return chats;
            }
            request.page_token = page.next_page_token;
        }
    }
}

/// A user as a chat is shared with one.
pub(crate) fn user(caller: &Caller) -> v1::Subject {
    v1::Subject {
        subject: Some(v1::subject::Subject::UserId(caller.id())),
    }
}

/// A group as a chat is shared with one.
pub(crate) fn group(id: Uuid) -> v1::Subject {
    v1::Subject {
        subject: Some(v1::subject::Subject::GroupId(id.to_string())),
    }
}
