//! gRPC calls in somebody's name.

use proto::bounds::MAX_PAGE_BYTES;
use proto::chat::v1::{
    chat_service_client::ChatServiceClient, git_account_service_client::GitAccountServiceClient,
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

/// chat-service, as one caller sees it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) chats: ChatServiceClient<Channel>,
    pub(crate) accounts: GitAccountServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Caller {
    pub(crate) fn new(channel: &Channel, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            chats: ChatServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_PAGE_BYTES),
            accounts: GitAccountServiceClient::new(channel.clone()),
            bearer: format!("Bearer {token}").parse()?,
        })
    }

    /// A request that says who calls.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        request
    }
}
