//! `chat-service refresh`.

use std::time::Duration;

use prost::Message as _;
use proto::chat::v1::{Chat, GetChatResponse, RefreshChatRequest};
use tonic::Status;
use tonic_types::pb;

use super::{connection::ServerConnection, output::Output};
use crate::config::RefreshSettings;

/// How long a lookup may take: servers wait for their workers for 15 s, and for two minutes at
/// most.
const LOOKUP_LIMIT: Duration = Duration::from_secs(150);
/// Type of the detail of a failed lookup's error that has the chat as it is known.
const KNOWN: &str = "type.googleapis.com/chat.v1.GetChatResponse";

/// Has a chat's pull requests looked up, and prints the chat; after a failed lookup too, with what
/// was known before.
pub(super) async fn refresh(
    settings: &RefreshSettings,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let connection = ServerConnection::new(&settings.server)?;
    let call = connection.request(RefreshChatRequest {
        chat_id: settings.chat.to_string(),
    });
    let answer = connection
        .answer(LOOKUP_LIMIT, connection.chats().refresh_chat(call))
        .await?;
    let (chat, failure) = match answer {
        Ok(refreshed) => (refreshed.chat, None),
        Err(status) => (known(&status), Some(connection.failure(&status))),
    };
    if chat.is_some() {
        output.chats(chat.as_slice())?;
        output.end()?;
    }
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

/// The chat in the details of an error.
fn known(status: &Status) -> Option<Chat> {
    let details = pb::Status::decode(status.details()).ok()?.details;
    let known = details.into_iter().find(|any| any.type_url == KNOWN)?;
    GetChatResponse::decode(known.value.as_slice()).ok()?.chat
}
