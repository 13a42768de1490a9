//! The keys that seal are rotated while two replicas serve: nothing that was made before fails.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use e2e::stack::{PROVIDER, REPOSITORY, Replica, Stack};
use proto::chat::v1::{
    GetChatsRequest, LeaseDiffStatusesRequest, LinkGitAccountRequest, ReleaseLeaseRequest,
    WatchChatsRequest, WatchEventKind,
};
use testkit::{
    clients::{self, Bearer, Caller, bearer, channel},
    lock::lock,
    secrets, wait,
};
use tokio::task::JoinSet;
use tonic::Status;
use uuid::Uuid;

const CHATS: usize = 6;
/// Calls of each sort that are made between two steps.
const CALLS: u64 = 3;
/// A token that many users have linked, as that of a bot.
const SHARED: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

/// The replicas that a balancer would choose from.
#[derive(Clone, Default)]
struct Serving(Arc<Mutex<Vec<(String, String)>>>);

impl Serving {
    fn set(&self, replicas: &[Replica]) {
        let urls = replicas
            .iter()
            .map(|replica| (replica.grpc_url().to_owned(), replica.sync_url().to_owned()));
        *lock(&self.0) = urls.collect();
    }

    /// One of them: public and sync.
    fn any(&self) -> (String, String) {
        let urls = lock(&self.0);
        let at = usize::from(Uuid::new_v4().as_bytes()[0]) % urls.len();
        urls[at].clone()
    }
}

/// What calls all the while, and how often it has.
#[derive(Clone)]
struct Load {
    serving: Serving,
    owner: Bearer,
    platform: Bearer,
    gitsync: Bearer,
    /// A page token and a revision of before the rotation.
    page_token: String,
    revision: String,
    done: Arc<[AtomicU64; 4]>,
}

impl Load {
    /// Calls without an end, unless one fails.
    async fn run(self, sort: usize) -> String {
        loop {
            let called = match sort {
                0 => self.walk().await,
                1 => self.resume().await,
                2 => self.link().await,
                _ => self.lease().await,
            };
            match called {
                Ok(()) => {}
                // A machine that stands still for seconds says nothing of keys.
                Err(status) if status.message() == "the database is not available" => continue,
                Err(status) => return format!("{sort}: {status:?}"),
            }
            self.done[sort].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until each sort of call was made often since.
    async fn goes_on(&self, failed: &mut JoinSet<String>) {
        let before = self.counts();
        wait::within(
            Duration::from_secs(60),
            "calls of every sort were made",
            || {
                let failure = failed.try_join_next();
                assert!(failure.is_none(), "a call failed: {failure:?}");
                let counts = self.counts();
                let all = counts
                    .iter()
                    .zip(before)
                    .all(|(now, before)| *now >= before + CALLS);
                async move { if all { Ok(()) } else { Err(counts) } }
            },
        )
        .await;
    }

    fn counts(&self) -> [u64; 4] {
        std::array::from_fn(|sort| self.done[sort].load(Ordering::SeqCst))
    }

    /// Pages of any replicas, one after the other; and the second page of before.
    async fn walk(&self) -> Result<(), Status> {
        let mut seen = BTreeSet::new();
        let mut page_token = String::new();
        loop {
            let page = self.page(page_token).await?;
            seen.extend(page.0);
            page_token = page.1;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), CHATS);
        let old = self.page(self.page_token.clone()).await?;
        assert_eq!(old.0.len(), 1);
        Ok(())
    }

    async fn page(&self, page_token: String) -> Result<(Vec<String>, String), Status> {
        let mut chats = clients::chats(channel(&self.serving.any().0), self.owner.clone());
        let request = GetChatsRequest {
            page_size: 1,
            page_token,
            ..GetChatsRequest::default()
        };
        let page = chats.get_chats(request).await?.into_inner();
        let ids = page.chats.into_iter().map(|chat| chat.id);
        Ok((ids.collect(), page.next_page_token))
    }

    /// A watch that goes on where it was before the rotation.
    async fn resume(&self) -> Result<(), Status> {
        let mut chats = clients::chats(channel(&self.serving.any().0), self.owner.clone());
        let request = WatchChatsRequest {
            since_revision: Some(self.revision.clone()),
            ..WatchChatsRequest::default()
        };
        let mut stream = chats.watch_chats(request).await?.into_inner();
        let first = stream.message().await?.unwrap();
        assert_ne!(first.kind(), WatchEventKind::Resync, "the revision is good");
        Ok(())
    }

    /// Another user links the token that many have.
    async fn link(&self) -> Result<(), Status> {
        let mut accounts = clients::accounts(channel(&self.serving.any().0), self.platform.clone());
        let request = LinkGitAccountRequest {
            user_id: Some(Uuid::now_v7().to_string()),
            provider_id: PROVIDER.to_owned(),
            access_token: SHARED.to_owned(),
            ..LinkGitAccountRequest::default()
        };
        accounts.link_git_account(request).await?;
        Ok(())
    }

    /// What is due is leased with a token that opens, and given back.
    async fn lease(&self) -> Result<(), Status> {
        let mut sync = clients::sync(channel(&self.serving.any().1), self.gitsync.clone());
        let request = LeaseDiffStatusesRequest {
            request_id: Uuid::now_v7().to_string(),
            worker_id: "by hand".to_owned(),
            ..LeaseDiffStatusesRequest::default()
        };
        for lease in sync.lease_diff_statuses(request).await?.into_inner().leases {
            let credential = lease.groups[0].credential.as_ref();
            assert!(credential.is_some(), "it opens");
            let lease_token = lease.lease_token;
            sync.release_lease(ReleaseLeaseRequest { lease_token })
                .await?;
        }
        Ok(())
    }
}

/// The rings of a rotation, as files.
struct Rings {
    directory: PathBuf,
}

impl Rings {
    /// Old alone; old and new; new and old; new alone.
    fn new(stack: &Stack) -> Self {
        let directory = std::env::temp_dir().join(format!("rings-{}", Uuid::now_v7()));
        let line = |name: &str| {
            let keys = directory.join(name);
            let directory = keys.to_str().unwrap();
            let _ = stack.chat_service_command(&["keys", "generate", "--dir", directory]);
            let line = std::fs::read_to_string(keys.join("seal.keys")).unwrap();
            secrets::note_keys("a sealing key", &line);
            line
        };
        let (old, new) = (line("old"), line("new"));
        for (step, ring) in [
            old.clone(),
            format!("{old}{new}"),
            format!("{new}{old}"),
            new.clone(),
        ]
        .iter()
        .enumerate()
        {
            std::fs::write(directory.join(step.to_string()), ring).unwrap();
        }
        Self { directory }
    }

    fn file(&self, step: usize) -> String {
        self.directory.join(step.to_string()).display().to_string()
    }

    async fn replica(&self, stack: &Stack, step: usize) -> Replica {
        let variables = [
            ("CHAT_KEYS_FILE", self.file(step).as_str()),
            // Who chose a replica a moment ago is still served.
            ("CHAT_DRAIN_DELAY", "3s"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        stack.replica_of(stack.database.address(), &variables).await
    }

    fn reseal(&self, stack: &Stack, step: usize, more: &[&str]) -> String {
        let file = self.file(step);
        let arguments = ["keys", "reseal", "--keys-file", file.as_str()];
        stack.chat_service_command(&[&arguments, more].concat())
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Replaces one replica after the other.
async fn roll_out(
    stack: &Stack,
    rings: &Rings,
    step: usize,
    load: &Load,
    replicas: &mut Vec<Replica>,
    failed: &mut JoinSet<String>,
) {
    for _ in 0..replicas.len() {
        let former = replicas.remove(0);
        load.serving.set(replicas);
        former.process.stop().await;
        replicas.push(rings.replica(stack, step).await);
        load.serving.set(replicas);
        // Both rings serve side by side.
        load.goes_on(failed).await;
    }
}

#[tokio::test]
async fn sealing_keys_are_rotated_under_load_and_no_call_fails() {
    Stack::run(async |stack| {
        let rings = Rings::new(stack);
        secrets::note("a token that many have", SHARED);
        let mut replicas = vec![
            rings.replica(stack, 0).await,
            rings.replica(stack, 0).await,
        ];
        let serving = Serving::default();
        serving.set(&replicas);
        let owner = Caller::user();
        for _ in 0..CHATS {
            stack.chat(&owner).await;
        }
        let mut load = Load {
            serving,
            owner: bearer(&stack.token(&owner)),
            platform: bearer(&stack.token(&Caller::service("internal"))),
            gitsync: bearer(&stack.token(&Caller::service("gitsync"))),
            page_token: String::new(),
            revision: String::new(),
            done: Arc::default(),
        };
        load.page_token = load.page(String::new()).await.unwrap().1;
        let mut chats = stack.chats_at(&replicas[0], &owner);
        let mut watch = chats.watch_chats(WatchChatsRequest::default()).await.unwrap().into_inner();
        load.revision = watch.message().await.unwrap().unwrap().revision;
        // It is due, and paused is the budget of the token that many have.
        let due = Caller::user();
        let mut accounts = clients::accounts(channel(replicas[0].grpc_url()), bearer(&stack.token(&due)));
        let request = LinkGitAccountRequest {
            provider_id: PROVIDER.to_owned(),
            access_token: stack.github.user("ann").token(),
            ..LinkGitAccountRequest::default()
        };
        accounts.link_git_account(request).await.unwrap();
        let chat = stack.chat(&due).await;
        stack.report(&due, &chat, REPOSITORY, "feature").await;
        load.link().await.unwrap();
        let client = stack.database.client().await;
        let paused = "UPDATE git_budgets SET paused_until = now() + interval '1 hour',
                pause_class = 'rate_limited', pause_lane = 1
            WHERE id NOT IN (
                SELECT a.budget_id FROM git_accounts a JOIN git_refs r ON r.account_id = a.id
            )";
        assert_eq!(client.execute(paused, &[]).await.unwrap(), 1);

        let mut failed = JoinSet::new();
        for sort in 0..4 {
            failed.spawn(load.clone().run(sort));
        }
        load.goes_on(&mut failed).await;
        // A key is added, and then it seals.
        for step in [1, 2] {
            roll_out(stack, &rings, step, &load, &mut replicas, &mut failed).await;
        }
        let before = rings.reseal(stack, 2, &["--dry-run"]);
        assert_eq!(before.matches("sealed by").count(), 2, "{before}");
        let sealed = rings.reseal(stack, 2, &[]);
        assert_eq!(sealed.matches("sealed by").count(), 1, "{sealed}");
        load.goes_on(&mut failed).await;
        // What is walked and watched with the old key's tokens is over.
        load.page_token = load.page(String::new()).await.unwrap().1;
        let request = WatchChatsRequest::default();
        let mut chats = stack.chats_at(&replicas[0], &owner);
        let mut watch = chats.watch_chats(request).await.unwrap().into_inner();
        load.revision = watch.message().await.unwrap().unwrap().revision;
        failed.shutdown().await;
        for sort in 0..4 {
            failed.spawn(load.clone().run(sort));
        }
        roll_out(stack, &rings, 3, &load, &mut replicas, &mut failed).await;
        assert!(failed.try_join_next().is_none(), "a call failed");
        failed.shutdown().await;

        let budgets = "SELECT count(DISTINCT a.budget_id) FROM git_accounts a
            JOIN git_budgets b ON b.id = a.budget_id
            WHERE NOT EXISTS (SELECT FROM git_refs r WHERE r.account_id = a.id)";
        let row = client.query_one(budgets, &[]).await.unwrap();
        assert_eq!(row.try_get::<_, i64>(0).unwrap(), 1, "one token, one budget");
        let unpaused = "SELECT count(*) FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id
            WHERE b.paused_until IS NULL AND NOT EXISTS (SELECT FROM git_refs r WHERE r.account_id = a.id)";
        let row = client.query_one(unpaused, &[]).await.unwrap();
        assert_eq!(row.try_get::<_, i64>(0).unwrap(), 0, "its pause holds");
        drop(watch);
        for replica in replicas {
            replica.process.stop().await;
        }
        Vec::new()
    })
    .await;
}
