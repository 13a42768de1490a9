//! Where the replicas are.

use std::sync::Mutex;

use proto::chat::v1::chat_service_client::ChatServiceClient;
use testkit::{
    clients::{Authorized, Bearer, channel, chats},
    lock::lock,
    random::Random,
};
use tonic::transport::Channel;

/// A channel to each replica; another one replaces a replica that was killed.
pub(super) struct Places(Mutex<Vec<Channel>>);

impl Places {
    pub(super) fn new(urls: [&str; 3]) -> Self {
        Self(Mutex::new(urls.map(channel).into()))
    }

    pub(super) fn replace(&self, place: usize, url: &str) {
        lock(&self.0)[place] = channel(url);
    }

    /// `ChatService` of any replica.
    pub(super) fn any(&self, random: &mut Random, bearer: Bearer) -> ChatServiceClient<Authorized> {
        let channels = lock(&self.0);
        let channel = channels[random.below(channels.len())].clone();
        chats(channel, bearer)
    }
}
