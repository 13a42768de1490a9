//! `chat-service diff`.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use proto::chat::v1::{GetChatDiffRequest, GetChatDiffResponse, get_chat_diff_response::Part};
use tonic::Status;

use super::{connection::ServerConnection, failure::Failure, output::Output};
use crate::config::DiffSettings;

/// How long it may take: servers wait for their workers for 15 s and for two minutes at most, and
/// have the diff read within one more.
const LIMIT: Duration = Duration::from_secs(210);

/// Prints the diff of a chat, all of it or nothing.
pub(super) async fn diff(settings: &DiffSettings, output: &mut Output<'_>) -> anyhow::Result<()> {
    let connection = ServerConnection::new(&settings.server)?;
    let call = connection.request(GetChatDiffRequest {
        chat_id: settings.chat.to_string(),
    });
    let reading = async {
        let mut parts = connection.chats().get_chat_diff(call).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = parts.message().await? {
            messages.push(message);
        }
        Ok::<_, Status>(messages)
    };
    let read = tokio::time::timeout(LIMIT, reading).await;
    let read = read.map_err(|_| Failure::silent(&connection.url, LIMIT))?;
    let messages = read.map_err(|status| connection.failure(&status))?;
    output.messages("chat.v1.GetChatDiffResponse", &messages)?;
    output.text(&content(messages), io::stdout().is_terminal())
}

fn content(messages: Vec<GetChatDiffResponse>) -> Vec<u8> {
    let mut content = Vec::new();
    for message in messages {
        if let Some(Part::Content(part)) = message.part {
            content.extend(part);
        }
    }
    content
}
