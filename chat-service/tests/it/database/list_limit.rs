//! The limit of a list at the server, through `PgBouncer` in transaction mode.

use std::collections::BTreeMap;

use chat_service::config::Settings;
use proto::chat::v1::{GetChatRequest, GetChatsRequest};
use testkit::postgres::PgBouncer;
use tonic::Code;

use crate::{
    stack::{Caller, Stack, refused},
    worker::run,
};

/// Each look at a chat takes that many seconds.
fn slow(seconds: u32) -> String {
    format!(
        "ALTER TABLE chats RENAME TO stored_chats;
         CREATE VIEW chats AS SELECT * FROM stored_chats WHERE pg_sleep({seconds}) IS NOT NULL"
    )
}

const QUICK: &str = "DROP VIEW chats; ALTER TABLE stored_chats RENAME TO chats";

/// A session of a pooler is another caller's after each transaction.
#[tokio::test]
async fn behind_a_pooler_the_server_ends_a_list_too_and_nothing_but_lists() {
    let database = testkit::postgres::database().await;
    let pooler = PgBouncer::start(&database).await;
    database.take_documented_settings().await;
    let (url, direct) = (
        database.url_through(pooler.address()),
        database.url().to_owned(),
    );
    let both = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.database.database_url = Some(url.into());
        settings.database_direct_url = Some(direct.into());
    };
    Stack::run_on(database, both, async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        run(stack, &slow(60)).await;
        let list = GetChatsRequest::default();
        let (code, reason, _) = refused(stack.chats(&owner).get_chats(list.clone()).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::ResourceExhausted, "LIST_TOO_BROAD")
        );
        run(stack, QUICK).await;
        stack.chats(&owner).get_chats(list).await.unwrap();
        run(stack, &slow(3)).await;
        let get = GetChatRequest {
            chat_id: chat.id,
            ..GetChatRequest::default()
        };
        stack.chats(&owner).get_chat(get).await.unwrap();
    })
    .await;
}
