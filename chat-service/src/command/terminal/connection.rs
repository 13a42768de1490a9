//! The connection to a running server, and the token that every call carries.

use std::{future::Future, time::Duration};

use proto::{
    bounds::MAX_PAGE_BYTES,
    chat::v1::{
        chat_service_client::ChatServiceClient, sync_admin_service_client::SyncAdminServiceClient,
    },
};
use service_runtime::{
    tls::{Authorities, Certificates, ClientTls, ServerCheck, channel},
    token::TokenFile,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status, transport::Channel};
use url::Url;

use super::failure::Failure;
use crate::config::{ConfigError, ServerSettings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that vanished without closing the connection is noticed after these two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take: a server's own limit is 30 s, unless it is configured otherwise.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A server that is called in one bearer's name. It connects with the first call, and again
/// whenever the connection is lost.
pub(super) struct ServerConnection {
    channel: Channel,
    token: TokenFile,
    pub(super) url: Url,
}

impl ServerConnection {
    pub(super) fn new(settings: &ServerSettings) -> anyhow::Result<Self> {
        let url = settings.checked_url()?.clone();
        let authorities = match &settings.ca_file {
            // A command ends before its certificates do.
            Some(file) => Authorities::open(&mut Certificates::default(), "server", file).map_err(
                |error| {
                    ConfigError::Problems(vec![format!("CHAT_CA_FILE cannot be used: {error}")])
                },
            )?,
            None => Authorities::of_system(),
        };
        let tls = ClientTls::new(ServerCheck::Name(authorities), None, &["h2"])?;
        let (channel, _) = channel(url.as_str(), &tls, |endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .tcp_nodelay(true)
        })?;
        Ok(Self {
            channel,
            token: settings.token.clone(),
            url,
        })
    }

    /// `ChatService`; takes pages of every size that the contract allows.
    pub(super) fn chats(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_PAGE_BYTES)
    }

    /// `SyncAdminService`.
    pub(super) fn sync_admin(&self) -> SyncAdminServiceClient<Channel> {
        SyncAdminServiceClient::new(self.channel.clone())
    }

    /// A call's message, with the token.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.token.bearer());
        request
    }

    /// Reads the token's file again. Returns whether it holds another token than before.
    pub(super) fn renew_token(&self) -> bool {
        // A file that cannot be read holds no other token.
        self.token.reload().unwrap_or(false)
    }

    /// Waits for the answer of a call, for `limit` at most.
    pub(super) async fn answer<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Result<T, Status>, Failure> {
        match timeout(limit, call).await {
            Ok(answer) => Ok(answer.map(Response::into_inner)),
            Err(_) => Err(Failure::silent(&self.url, limit)),
        }
    }

    /// Why a call failed.
    pub(super) fn failure(&self, status: &Status) -> Failure {
        Failure::of(status, &self.url)
    }
}
