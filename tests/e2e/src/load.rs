//! A steady load of callers as they should be, and the judgement afterwards: nothing that was
//! acknowledged is lost, nothing is there twice, and every watcher has seen every final state.

mod client;
mod ledger;
mod scene;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use proto::chat::v1::{
    Chat, CreateChatRequest, GetChatsRequest, PullRequestState, ReportGitRefRequest,
    WatchChatsRequest, report_git_ref_request::Target,
};
use testkit::{clients::Caller, wait};
use tokio::{task::JoinSet, time::sleep};
use tokio_postgres::Client as Database;
use uuid::Uuid;

use self::{
    client::Client,
    ledger::{Ledger, Reported},
};
pub use self::{
    ledger::{Failure, Kind, Recovery},
    scene::{Judged, Scene, Setting, Variables, under_load},
};
use crate::{
    follower::Follower,
    picture::list,
    stack::{HOST, REPOSITORY, Stack},
};

/// Callers. Each of them lists, creates, reports and watches.
const USERS: usize = 3;
/// Branches of each with a pull request: more than are reported in a minute.
const BRANCHES: usize = 400;
/// Between two lists of a caller, and between two of its reports.
const LIST_INTERVAL: Duration = Duration::from_millis(150);
const REPORT_INTERVAL: Duration = Duration::from_millis(300);
/// Answers of each kind before a load is steady.
const STEADY: usize = 10;

/// The events of each chat, by kind.
const EVENTS: &str =
    "SELECT chat_id, kind, count(*) AS events FROM change_events GROUP BY chat_id, kind";

/// Callers at work.
pub struct Load {
    users: Vec<Caller>,
    ledger: Ledger,
    followers: Vec<Follower>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts callers that know the service by these addresses.
    ///
    /// # Panics
    ///
    /// When their accounts cannot be linked.
    pub async fn start(stack: &Stack, urls: &[String]) -> Self {
        stack.github.set_rate_limits(false);
        let mut load = Self {
            users: Vec::new(),
            ledger: Ledger::default(),
            followers: Vec::new(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        for user in 0..USERS {
            let caller = stack.linked_user(&format!("user{user}")).await;
            for number in 0..BRANCHES {
                let branch = branch(user, number);
                stack.github.pull_request(REPOSITORY).head(&branch).open();
            }
            // Not all of them at the same address first.
            let mut urls: Vec<_> = urls.iter().collect();
            let places = urls.len();
            urls.rotate_left(user % places);
            let clients = || {
                let clients = urls.iter().map(|url| stack.chats_through(url, &caller));
                clients.collect::<Vec<_>>()
            };
            let follower = Follower::start(clients(), WatchChatsRequest::default());
            load.followers.push(follower);
            let client = Client::new(clients());
            load.tasks.spawn(keep_listing(
                client.clone(),
                load.ledger.clone(),
                load.stop.clone(),
            ));
            load.tasks.spawn(keep_reporting(
                user,
                client,
                load.ledger.clone(),
                load.stop.clone(),
            ));
            load.users.push(caller);
        }
        load
    }

    /// Waits until calls of each kind are answered again and again from now on.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub async fn steady(&self) {
        let begun = Instant::now();
        wait::until("the load is steady", || async {
            let entries = self.ledger.entries();
            let since = |kind: Kind| {
                let answered = entries.answered.get(&kind).into_iter().flatten();
                answered.filter(|at| **at > begun).count()
            };
            let counts = Kind::ALL.map(since);
            if counts.iter().all(|count| *count >= STEADY) {
                Ok(())
            } else {
                Err((counts, entries.failures.last().cloned()))
            }
        })
        .await;
    }

    /// Ends the load and judges it. `url` is a replica that answers, `mended` when the fault ended;
    /// what is lost must be there again `within` this time.
    ///
    /// # Panics
    ///
    /// When anything is lost or doubled.
    pub async fn judge(
        mut self,
        stack: &Stack,
        database: &Database,
        url: &str,
        mended: Instant,
        judged: Judged,
    ) -> Recovery {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a caller panicked");
        }
        let listed = self.until_looked_up(stack, url, judged).await;
        let looked_up = mended.elapsed();
        self.require_each_once(&listed);
        self.require_each_sent_once(database, judged).await;
        for (follower, listed) in self.followers.iter().zip(&listed) {
            let what = "it shows every final state";
            let shows = |picture: &crate::picture::Picture| picture.listed && picture.shows(listed);
            let picture = follower.until(judged.within, what, shows).await;
            assert!(
                picture.resyncs <= judged.resyncs,
                "a watcher listed again {} times",
                picture.resyncs
            );
        }
        let entries = self.ledger.entries();
        let unexplained = entries.unexplained();
        assert!(unexplained.is_empty(), "{unexplained:#?}");
        let failures = &entries.failures;
        assert!(judged.failures || failures.is_empty(), "{failures:#?}");
        let mut calls = BTreeMap::new();
        for kind in Kind::ALL {
            let recovery = entries.recovery(kind, mended);
            let recovery = recovery.unwrap_or_else(|| panic!("{kind:?} was not answered again"));
            assert!(
                recovery <= judged.within,
                "{kind:?} failed for {recovery:?}"
            );
            calls.insert(kind, recovery);
        }
        Recovery {
            answered: entries.answered.values().map(Vec::len).sum(),
            repeated: entries.repeated,
            failed: entries.codes(),
            calls,
            looked_up,
            watched: mended.elapsed(),
            reported: entries.reported.len(),
        }
    }

    /// Waits until the pull request of every acknowledged report is shown, and returns all chats of
    /// each user.
    async fn until_looked_up(
        &self,
        stack: &Stack,
        url: &str,
        judged: Judged,
    ) -> Vec<BTreeMap<String, Chat>> {
        let expected = self.ledger.entries().reported.clone();
        assert!(!expected.is_empty(), "nothing was reported");
        wait::within(judged.within, "every report is looked up", || async {
            let mut listed = Vec::new();
            for user in &self.users {
                let mut client = stack.chats_through(url, user);
                let chats = list(&mut client, &WatchChatsRequest::default()).await;
                listed.push(chats.map_err(|status| format!("{status:?}"))?);
            }
            let missing: Vec<_> = expected
                .iter()
                .filter(|(branch, reported)| {
                    let chat = listed[reported.owner].get(&reported.chat);
                    !chat.is_some_and(|chat| shows(chat, branch))
                })
                .collect();
            if missing.is_empty() {
                Ok(listed)
            } else {
                Err(format!("{} are missing: {:?}", missing.len(), missing[0]))
            }
        })
        .await
    }

    /// Each chat that was created is there once, although calls were repeated, and has one git ref.
    fn require_each_once(&self, listed: &[BTreeMap<String, Chat>]) {
        let entries = self.ledger.entries();
        let mut titles = BTreeSet::new();
        for chat in listed.iter().flat_map(BTreeMap::values) {
            assert!(titles.insert(&chat.title), "two chats are {}", chat.title);
            assert!(chat.diff_statuses.len() <= 1, "{chat:#?}");
            let is_known = entries.reported.contains_key(&chat.title)
                || entries.doubtful.contains(&chat.title);
            assert!(is_known, "made by no caller: {chat:#?}");
        }
    }

    /// Watchers got one event for a chat's creation, and for its git ref as often as it was
    /// reported, and once of what was found.
    async fn require_each_sent_once(&self, database: &Database, judged: Judged) {
        let rows = database.query(EVENTS, &[]).await.expect("read the events");
        let mut sent: BTreeMap<(String, String), i64> = BTreeMap::new();
        for row in rows {
            let chat: Uuid = row.try_get("chat_id").expect("an id");
            let kind = row.try_get("kind").expect("a kind");
            let events = row.try_get("events").expect("a number");
            sent.insert((chat.to_string(), kind), events);
        }
        for (branch, reported) in &self.ledger.entries().reported {
            let of = |kind: &str| {
                let key = (reported.chat.clone(), kind.to_owned());
                sent.get(&key).copied().unwrap_or_default()
            };
            assert_eq!(of("created"), 1, "{branch}");
            let most = i64::try_from(reported.attempts).expect("a few") + 1;
            let statuses = of("diff_status_changed");
            assert!(
                statuses >= 2 && (judged.problems || statuses <= most),
                "{branch}: {statuses} events of what was reported {} times",
                reported.attempts
            );
        }
    }
}

fn branch(user: usize, number: usize) -> String {
    format!("branch-{user}-{number}")
}

fn shows(chat: &Chat, branch: &str) -> bool {
    let [status] = chat.diff_statuses.as_slice() else {
        return false;
    };
    status.git_branch == branch && status.pull_request_state() == PullRequestState::Open
}

async fn keep_listing(client: Client, ledger: Ledger, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let listed = client
            .call(|mut client| async move { client.get_chats(GetChatsRequest::default()).await });
        ledger.note(Kind::List, listed.await);
        sleep(LIST_INTERVAL).await;
    }
}

/// A chat for each branch, which is reported.
async fn keep_reporting(user: usize, client: Client, ledger: Ledger, stop: Arc<AtomicBool>) {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        assert!(number < BRANCHES, "all branches are reported");
        let branch = branch(user, number);
        if let Some(reported) = report(user, &client, &ledger, &branch).await {
            ledger.entries().reported.insert(branch, reported);
        } else {
            ledger.entries().doubtful.push(branch);
        }
        sleep(REPORT_INTERVAL).await;
    }
}

async fn report(user: usize, client: &Client, ledger: &Ledger, branch: &str) -> Option<Reported> {
    let create = CreateChatRequest {
        title: branch.to_owned(),
        request_id: Some(Uuid::now_v7().to_string()),
        ..CreateChatRequest::default()
    };
    let created = client.call(|mut client| {
        let create = create.clone();
        async move { client.create_chat(create).await }
    });
    let chat = ledger.note(Kind::Create, created.await)?.chat?.id;
    let report = ReportGitRefRequest {
        target: Some(Target::ChatId(chat.clone())),
        git_remote_origin: format!("https://{HOST}/{REPOSITORY}.git"),
        git_branch: branch.to_owned(),
        commit: None,
    };
    let reported = client.call(|mut client| {
        let report = report.clone();
        async move { client.report_git_ref(report).await }
    });
    let reported = reported.await;
    let attempts = reported.0;
    ledger.note(Kind::Report, reported)?;
    Some(Reported {
        owner: user,
        chat,
        attempts,
    })
}
