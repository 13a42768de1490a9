//! gRPC clients that say who calls: one caller, one bearer and one set of clients for all tests,
//! the bench and the launcher.

mod caller;
mod keys;
mod refusal;
mod stalled;

use proto::{
    bounds::MAX_PAGE_BYTES,
    chat::v1::{
        chat_service_client::ChatServiceClient,
        git_account_service_client::GitAccountServiceClient,
        sync_admin_service_client::SyncAdminServiceClient, sync_service_client::SyncServiceClient,
    },
    gitsync::v1::worker_service_client::WorkerServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue, errors::InvalidMetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::tls::Certified;

pub use self::{
    caller::Caller,
    keys::{KEYS, KeyPair},
    refusal::{facts, refused},
    stalled::{Stalled, Untaken, header_bomb},
};

/// A channel that authenticates.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds a bearer token to every call, or none.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Of a caller without a token.
    pub const ANONYMOUS: Self = Self(None);

    /// The credentials of a caller with `token`.
    ///
    /// # Errors
    ///
    /// When the token does not fit a header.
    pub fn new(token: &str) -> Result<Self, InvalidMetadataValue> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

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

/// The bearer of a token that a test has made.
pub fn bearer(token: &str) -> Bearer {
    Bearer::new(token).expect("a token fits a header")
}

/// A channel to `url` that connects with the first call.
pub fn channel(url: &str) -> Channel {
    Channel::from_shared(url.to_owned())
        .expect("a url")
        .connect_lazy()
}

/// The same over TLS with a server whose certificate one of the authorities in `authority` (PEM)
/// has signed, and with a certificate of the caller's, if there is one.
pub fn secure_channel(url: &str, authority: &str, own: Option<&Certified>) -> Channel {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    if let Some(Certified { certificate, key }) = own {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Channel::from_shared(url.to_owned())
        .expect("a url")
        .tls_config(tls)
        .expect("certificates in PEM")
        .connect_lazy()
}

/// `ChatService`; takes pages of every size that the contract allows.
pub fn chats(channel: Channel, bearer: Bearer) -> ChatServiceClient<Authorized> {
    ChatServiceClient::with_interceptor(channel, bearer).max_decoding_message_size(MAX_PAGE_BYTES)
}

/// `GitAccountService`.
pub fn accounts(channel: Channel, bearer: Bearer) -> GitAccountServiceClient<Authorized> {
    GitAccountServiceClient::with_interceptor(channel, bearer)
}

/// `SyncService`, for workers; on chat-service's second listener.
pub fn sync(channel: Channel, bearer: Bearer) -> SyncServiceClient<Authorized> {
    SyncServiceClient::with_interceptor(channel, bearer)
}

/// `SyncAdminService`, for operators.
pub fn sync_admin(channel: Channel, bearer: Bearer) -> SyncAdminServiceClient<Authorized> {
    SyncAdminServiceClient::with_interceptor(channel, bearer)
}

/// `WorkerService`, which a worker serves to operators.
pub fn worker(channel: Channel, bearer: Bearer) -> WorkerServiceClient<Authorized> {
    WorkerServiceClient::with_interceptor(channel, bearer)
}
