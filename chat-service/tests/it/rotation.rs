//! Rotating the keys that seal: two rollouts and a re-sealing, and what was made under one ring
//! meets the next one.

use std::sync::Arc;

use chat_service::{
    accounts::KeyRing,
    command::keys,
    config::{DatabaseSettings, ResealSettings},
};
use proto::chat::v1::{self, GetChatsRequest};
use secrecy::ExposeSecret as _;
use testkit::postgres::{Client, Database};

use crate::{
    stack::{Caller, Stack},
    worker::{Owner, Worker},
};

/// An old key and a new one, as lines of a ring.
struct Keys([String; 2]);

impl Keys {
    fn new() -> Self {
        Self([0; 2].map(|_| KeyRing::generate_file_text().expose_secret().to_owned()))
    }

    /// Before, after the first rollout, after the second, and when the old line is gone.
    fn rings(&self) -> [String; 4] {
        let Self([old, new]) = self;
        [
            old.clone(),
            format!("{old}{new}"),
            format!("{new}{old}"),
            new.clone(),
        ]
    }
}

/// Runs `body` beside a service with this ring on a database that outlives it.
async fn with_ring<T>(database: &Database, ring: &str, body: impl AsyncFnOnce(&Stack) -> T) -> T {
    Stack::run_with(
        |settings, _| {
            settings.database.database_url = Some(database.url().into());
            settings.keys = Arc::new(KeyRing::parse(ring).unwrap());
        },
        body,
    )
    .await
}

async fn reseal(database: &Database, ring: &str, dry_run: bool) -> Result<String, String> {
    let settings = ResealSettings {
        database: DatabaseSettings {
            database_url: Some(database.url().into()),
            ..DatabaseSettings::default()
        },
        keys: Arc::new(KeyRing::parse(ring).unwrap()),
        dry_run,
    };
    let mut out = Vec::new();
    let sealed = keys::reseal(&settings, &mut out, &mut std::io::sink()).await;
    let said = String::from_utf8(out).unwrap();
    sealed.map(|()| said).map_err(|error| error.to_string())
}

async fn count(client: &Client, sql: &str) -> i64 {
    let row = client.query_one(sql, &[]).await.unwrap();
    row.try_get(0).unwrap()
}

#[tokio::test]
async fn a_walk_goes_on_over_both_rollouts_of_a_new_key() {
    let database = testkit::postgres::database().await;
    let [old, added, first, _] = Keys::new().rings();
    let owner = Caller::user();
    let page = async |ring: &str, page_token: String| {
        with_ring(&database, ring, async |stack| {
            let request = GetChatsRequest {
                page_size: 1,
                page_token,
                ..GetChatsRequest::default()
            };
            let page = stack.chats(&owner).get_chats(request).await.unwrap();
            page.into_inner()
        })
        .await
    };
    with_ring(&database, &old, async |stack| {
        for _ in 0..6 {
            stack.chat(&owner).await;
        }
    })
    .await;
    let mut token = String::new();
    let mut seen = Vec::new();
    // Old and new processes run side by side during each rollout.
    for ring in [&old, &added, &old, &added, &first, &added] {
        let page = page(ring, token).await;
        seen.extend(page.chats.into_iter().map(|chat| chat.id));
        token = page.next_page_token;
    }
    assert_eq!(token, "", "the walk is over");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn a_token_spends_one_budget_under_every_ring_of_a_rotation() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    for ring in Keys::new().rings().iter().take(3) {
        with_ring(&database, ring, async |stack| {
            Owner::unlinked(stack).link("ghp_shared").await;
        })
        .await;
    }
    let budgets = "SELECT count(DISTINCT budget_id) FROM git_accounts";
    assert_eq!(count(&client, budgets).await, 1);
    assert_eq!(count(&client, "SELECT count(*) FROM git_accounts").await, 3);
}

#[tokio::test]
async fn the_old_key_can_go_when_all_is_sealed_anew() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let [old, _, first, new] = Keys::new().rings();
    let id = |ring: &str| KeyRing::parse(ring).unwrap().active_id().to_owned();
    let owner = Caller::user();
    with_ring(&database, &old, async |stack| {
        let owner = Owner {
            stack,
            caller: owner.clone(),
        };
        let link = v1::LinkGitAccountRequest {
            provider_id: "github".to_owned(),
            access_token: "ghp_hush".to_owned(),
            refresh_token: Some("ghr_hush".to_owned()),
            ..v1::LinkGitAccountRequest::default()
        };
        let mut accounts = stack.accounts(&owner.caller);
        accounts.link_git_account(link).await.unwrap();
        owner.chat("feat/x").await;
    })
    .await;
    let stale = format!("sealed anew: 0\nsealed by {}: 1\n", id(&old));
    assert_eq!(reseal(&database, &first, true).await, Ok(stale));
    let done = format!("sealed anew: 1\nsealed by {}: 1\n", id(&new));
    assert_eq!(reseal(&database, &first, false).await, Ok(done));
    let again = format!("sealed anew: 0\nsealed by {}: 1\n", id(&new));
    assert_eq!(reseal(&database, &first, false).await, Ok(again));
    // A process without the new key cannot open it, and says so.
    let unopened = reseal(&database, &old, false).await.unwrap_err();
    assert!(
        unopened.starts_with("1 credentials do not open"),
        "{unopened}"
    );
    with_ring(&database, &new, async |stack| {
        let lease = Worker::of(stack).lease_one().await;
        assert_eq!(lease.access_token(), Some("ghp_hush"));
        // The same token is known by the new key alone.
        Owner::unlinked(stack).link("ghp_hush").await;
    })
    .await;
    let budgets = "SELECT count(DISTINCT budget_id) FROM git_accounts";
    assert_eq!(count(&client, budgets).await, 1);
}
