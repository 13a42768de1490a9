//! What all callers together may use, keys and traces, and what is a bug.

use e2e::stack::Stack;
use proto::chat::v1::{ListGitAccountsRequest, WatchChatsRequest};
use testkit::{
    clients::{Caller, KeyPair},
    collector::Collector,
    file::TempFile,
};
use tokio::{net::TcpStream, sync::Mutex, task::JoinSet};

use super::{list, nothing, prometheus, until_ready};

/// Watches at once, which are all calls that the process takes.
const WATCHES: usize = 100;

/// Watches that are read.
async fn watches(stack: &Stack, owner: &Caller) -> JoinSet<()> {
    // One connection for all.
    let mut chats = stack.chats(owner);
    let mut watches = JoinSet::new();
    for _ in 0..WATCHES {
        let watch = chats.watch_chats(WatchChatsRequest::default()).await;
        let mut watch = watch.unwrap().into_inner();
        watch.message().await.unwrap();
        watches.spawn(async move { while let Ok(Some(_)) = watch.message().await {} });
    }
    watches
}

#[tokio::test]
async fn of_all_that_is_used_up_and_of_watchers_that_list_again_operators_hear() {
    let most = WATCHES.to_string();
    let bounds = [
        ("CHAT_MAX_CALLS", most.as_str()),
        ("CHAT_USER_WATCHES", &most),
        ("CHAT_MAX_CONNECTIONS", "20"),
    ];
    Stack::run_with(&bounds, async |stack| {
        stack.expect_warnings(&["too many connections; refusing more"]);
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let all = ["WatchersListAgain", "ProcessLimited", "ConnectionsRefused"];
        prometheus.until_quiet(&all, nothing).await;
        let owner = Caller::user();
        let watches = watches(stack, &owner).await;
        // As after a restored backup.
        let restored = async || {
            let _ = stack.chat_service_command(&["new-generation"]);
        };
        prometheus.until_firing(&all[..1], restored).await;
        prometheus
            .until_firing(&all[1..2], async || list(stack, &owner).await)
            .await;
        drop(watches);
        let address = stack.grpc_url().trim_start_matches("http://");
        let held = Mutex::new(Vec::new());
        let connecting = async || {
            for _ in 0..10 {
                held.lock()
                    .await
                    .push(TcpStream::connect(address).await.unwrap());
            }
        };
        prometheus.until_firing(&all[2..], connecting).await;
        until_ready(stack.ops_url(), true).await;
        drop(held);
        prometheus.until_quiet(&all, nothing).await;
        Vec::new()
    })
    .await;
}

#[tokio::test]
async fn of_keys_that_cannot_be_read_lost_spans_strange_rows_and_bugs_operators_hear() {
    let key = KeyPair::generate();
    let keys = TempFile::new(&key.public_pem);
    let name = keys.name();
    let collector = Collector::start().await;
    let url = collector.url();
    let variables = [
        ("CHAT_SYNC_JWT_KEYS", name.as_str()),
        ("CHAT_TRACE_ENDPOINT", &url),
    ];
    Stack::run_with(&variables, async |stack| {
        stack.expect_warnings(&[
            "the keys for tokens cannot be loaded; those loaded last stay in force",
            "the collector takes no traces",
            "a row holds a value of a later release",
            "tokens are not renewed; trying again: bug: run a statement",
        ]);
        let prometheus = prometheus(&[stack.ops_url()], &[]).await;
        let all = [
            "TokenKeysNotLoaded",
            "TracesLost",
            "UnknownValues",
            "InternalErrors",
        ];
        prometheus.until_quiet(&all, nothing).await;
        let owner = stack.linked_user("ann").await;
        stack.chat(&owner).await;
        let listing = async || list(stack, &owner).await;

        keys.replace("no key");
        prometheus.until_firing(&all[..1], nothing).await;
        keys.replace(&key.public_pem);
        collector.set_refusing(true);
        prometheus.until_firing(&all[1..2], &listing).await;
        until_ready(stack.ops_url(), true).await;
        collector.set_refusing(false);
        prometheus.until_quiet(&all[..2], &listing).await;

        // A value of a later release.
        let client = stack.database.client().await;
        client
            .batch_execute(
                "ALTER TABLE chats DROP CONSTRAINT chats_status_check;
                 UPDATE chats SET status = 'asleep'",
            )
            .await
            .unwrap();
        prometheus.until_firing(&all[2..3], &listing).await;
        client
            .batch_execute("UPDATE chats SET status = 'waiting'")
            .await
            .unwrap();

        // A schema that is not this release's.
        stack.chat_service.expect_errors();
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            client.batch_execute(&sql).await.unwrap();
        };
        rename("git_credentials", "gone").await;
        let failing = async || {
            let request = ListGitAccountsRequest::default();
            let _ = stack.accounts(&owner).list_git_accounts(request).await;
        };
        prometheus.until_firing(&all[3..], failing).await;
        rename("gone", "git_credentials").await;
        prometheus.until_quiet(&all, nothing).await;
        Vec::new()
    })
    .await;
}
