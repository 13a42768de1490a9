//! The whole service in this process, on a database of its own, over real sockets.

use std::{collections::BTreeMap, sync::LazyLock};

use chat_service::{
    accounts::seal::KeyRing,
    command::keys::TokenKeyPair,
    config::{Config, Settings},
    server::Service,
};
use proto::bounds::MAX_PAGE_BYTES;
use proto::chat::v1::{
    self, Chat, chat_service_client::ChatServiceClient,
    git_account_service_client::GitAccountServiceClient,
    sync_admin_service_client::SyncAdminServiceClient, sync_service_client::SyncServiceClient,
};
use secrecy::ExposeSecret as _;
use service_runtime::token::{AUDIENCE, Claims, Kind, Organization, Signer};
use testkit::postgres::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// One key pair for all tests: making one for each would prove nothing more.
pub(crate) static KEYS: LazyLock<TokenKeyPair> =
    LazyLock::new(|| TokenKeyPair::generate().unwrap());

/// Long after any test.
const FAR: i64 = 4_000_000_000;

/// A running service.
pub(crate) struct Stack {
    pub(crate) database: Database,
    pub(crate) public: Channel,
    sync: Channel,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// Adds a bearer token to every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) claims: Claims,
}

impl Caller {
    /// A user without any role.
    pub(crate) fn user() -> Self {
        Self {
            claims: Claims {
                sub: Uuid::now_v7().to_string(),
                aud: AUDIENCE.to_owned(),
                exp: FAR,
                iat: None,
                kind: Kind::User,
                organizations: Vec::new(),
                groups: std::collections::BTreeSet::new(),
                site_roles: std::collections::BTreeSet::new(),
                suspended: false,
            },
        }
    }

    pub(crate) fn service(name: &str) -> Self {
        let mut caller = Self::user();
        caller.claims.kind = Kind::Service;
        name.clone_into(&mut caller.claims.sub);
        caller
    }

    pub(crate) fn internal() -> Self {
        Self::service("internal")
    }

    pub(crate) fn gitsync() -> Self {
        Self::service("gitsync")
    }

    pub(crate) fn member(mut self, organization: Uuid, role: &str) -> Self {
        self.claims.organizations.push(Organization {
            id: organization,
            roles: [role.to_owned()].into(),
        });
        self
    }

    pub(crate) fn group(mut self, group: Uuid) -> Self {
        self.claims.groups.insert(group);
        self
    }

    pub(crate) fn site(mut self, role: &str) -> Self {
        self.claims.site_roles.insert(role.to_owned());
        self
    }

    pub(crate) fn suspended(mut self) -> Self {
        self.claims.suspended = true;
        self
    }

    pub(crate) fn expires(mut self, at: i64) -> Self {
        self.claims.exp = at;
        self
    }

    pub(crate) fn id(&self) -> String {
        self.claims.sub.clone()
    }

    pub(crate) fn token(&self) -> String {
        let signer =
            Signer::from_private_key_pem(KEYS.private_pem.expose_secret().as_bytes()).unwrap();
        signer
            .sign(&self.claims)
            .unwrap()
            .expose_secret()
            .to_owned()
    }
}

/// A bearer token as metadata.
pub(crate) fn bearer(token: &str) -> Bearer {
    Bearer(Some(format!("Bearer {token}").parse().unwrap()))
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// Starts with settings changed; providers are variables.
    pub(crate) async fn start_with(
        change: impl FnOnce(&mut Settings, &mut BTreeMap<String, String>),
    ) -> Self {
        Self::start_on(testkit::postgres::database().await, change).await
    }

    /// Starts on a database that the test has prepared.
    pub(crate) async fn start_on(
        database: Database,
        change: impl FnOnce(&mut Settings, &mut BTreeMap<String, String>),
    ) -> Self {
        let directory = std::env::temp_dir().join(format!("chat-service-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&directory).unwrap();
        let public_key = directory.join("jwt.pub");
        std::fs::write(&public_key, &KEYS.public_pem).unwrap();
        let seal = directory.join("seal.keys");
        std::fs::write(&seal, KeyRing::generate_file_text().expose_secret()).unwrap();
        let mut settings = Settings {
            listen: Some("127.0.0.1:0".to_owned()),
            sync_listen: Some("127.0.0.1:0".to_owned()),
            ops_listen: Some("127.0.0.1:0".to_owned()),
            jwt_public_key_file: Some(public_key.display().to_string()),
            keys_file: Some(seal.display().to_string()),
            // Whatever a test is about, all that it is given is checked again.
            policy_recheck: Some("1".to_owned()),
            ..Settings::default()
        };
        settings.database.database_url = Some(database.url().into());
        let mut vars = BTreeMap::new();
        change(&mut settings, &mut vars);
        let config = Config::new(&settings, &vars).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let stop = CancellationToken::new();
        let service = Service::start(config, stop.clone()).await.unwrap();
        let addresses = service.addresses;
        let channel = |address| {
            Channel::from_shared(format!("http://{address}"))
                .unwrap()
                .connect_lazy()
        };
        let (public, sync) = (channel(addresses.grpc), channel(addresses.sync));
        let mut tasks = JoinSet::new();
        tasks.spawn(service.run());
        Self {
            database,
            public,
            sync,
            stop,
            tasks,
        }
    }

    pub(crate) fn chats(&self, caller: &Caller) -> ChatServiceClient<Authorized> {
        self.chats_with(bearer(&caller.token()))
    }

    pub(crate) fn chats_with(&self, bearer: Bearer) -> ChatServiceClient<Authorized> {
        ChatServiceClient::with_interceptor(self.public.clone(), bearer)
            .max_decoding_message_size(MAX_PAGE_BYTES)
    }

    pub(crate) fn anonymous(&self) -> ChatServiceClient<Authorized> {
        self.chats_with(Bearer(None))
    }

    pub(crate) fn accounts(&self, caller: &Caller) -> GitAccountServiceClient<Authorized> {
        GitAccountServiceClient::with_interceptor(self.public.clone(), bearer(&caller.token()))
    }

    pub(crate) fn sync(&self, caller: &Caller) -> SyncServiceClient<Authorized> {
        SyncServiceClient::with_interceptor(self.sync.clone(), bearer(&caller.token()))
    }

    pub(crate) fn admin(&self, caller: &Caller) -> SyncAdminServiceClient<Authorized> {
        SyncAdminServiceClient::with_interceptor(self.public.clone(), bearer(&caller.token()))
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

    /// Stops the service, and checks that it ended well.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(result) = self.tasks.join_next().await {
            result.unwrap().unwrap();
        }
    }
}

/// Code, stable reason and field of an error.
pub(crate) fn facts(status: &Status) -> (Code, String, Option<String>) {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first())
        .map(|violation| violation.field.clone());
    (status.code(), reason, field)
}

/// The error of a call that must fail.
pub(crate) fn refused<T>(result: Result<T, Status>) -> (Code, String, Option<String>) {
    match result {
        Ok(_) => panic!("the call was not refused"),
        Err(status) => facts(&status),
    }
}
