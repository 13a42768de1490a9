//! Watches that are not read: they cost no other anything.

use proto::chat::v1::{
    ChatStatus, WatchChatsRequest,
    WatchEventKind::{Resync, StatusChanged},
};
use testkit::clients;

use super::{heard_chat, hears_of_the_next_chat, next, next_chat, set_status, watch};
use crate::{
    stack::{Caller, Stack, bearer},
    worker::run,
};

/// Watches of one tenant that are not read.
const UNREAD: usize = 20;
/// Chats of that tenant that change: more than wait for one watch and in what its connection sends.
const CHATS: usize = 3_000;

/// Promise 10, for watches that are left unread; one that is read again hears of a `RESYNC`.
#[tokio::test]
async fn unread_watches_take_little_memory_and_keep_no_other_waiting() {
    Stack::run(async |stack| {
        let (greedy, other) = (Caller::user(), Caller::user());
        let chat = heard_chat(stack, &other).await;
        // On a connection of their own: what they do not read fills it.
        let channel = clients::channel(&stack.public_url);
        let mut client = clients::chats(channel, bearer(&greedy.token()));
        let mut unread = Vec::new();
        for _ in 0..UNREAD {
            let stream = client.watch_chats(WatchChatsRequest::default()).await;
            unread.push(stream.unwrap().into_inner());
        }
        let mut others = watch(stack, &other).await;
        let text = "x".repeat(200);
        run(
            stack,
            &format!(
                "WITH made AS (
                     INSERT INTO chats (id, owner_id, title, status)
                     SELECT gen_random_uuid(), '{}', '{text}', 'waiting'
                     FROM generate_series(1, {CHATS})
                     RETURNING id
                 )
                 INSERT INTO change_events (chat_id, kind) SELECT id, 'created' FROM made",
                greedy.id()
            ),
        )
        .await;
        set_status(stack, &other, &chat.id, ChatStatus::Error).await;
        let (kind, heard) = next_chat(&mut others).await;
        assert_eq!((kind, heard.id), (StatusChanged, chat.id));
        // What waits is no more than a thousand notices for each, and the chats once.
        let waits: u64 = stack.metric("chat_watch_pending_bytes").await;
        assert!(waits < 16 * 1024 * 1024, "{waits} bytes wait");
        // Once it is read again, the client lists anew, and then misses nothing.
        let mut stream = unread.swap_remove(0);
        drop(unread);
        let mut heard = 0;
        while next(&mut stream).await.kind() != Resync {
            heard += 1;
        }
        assert!(heard < CHATS, "{heard} chats were heard of");
        hears_of_the_next_chat(stack, &greedy, &mut stream).await;
    })
    .await;
}
