//! A tenant who does not behave, in each way that is known, and a neighbour who does and is timed.
//!
//! A refused call is repeated after a second, the longest delay that refusals advise.

use std::{
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use prost_types::FieldMask;
use proto::chat::v1::{
    ChatStatus, GetChatRequest, GetChatsRequest, LeaseDiffStatusesRequest, LinkGitAccountRequest,
    PullRequestState, UpdateChatRequest, chat_service_client::ChatServiceClient,
};
use testkit::clients::{Authorized, Caller, Stalled, header_bomb};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
};
use tonic::Status;
use uuid::Uuid;

use crate::stack::{PROVIDER, Stack};

/// 200 chats of the owner $1, with labels of 10 kB each: a page is of two MiB.
const LARGE_CHATS: &str = "
INSERT INTO chats (id, owner_id, title, status, labels)
SELECT gen_random_uuid(), $1, 'x', 'running',
    (SELECT jsonb_object_agg('key' || i, repeat('v', 320)) FROM generate_series(1, 32) i)
FROM generate_series(1, 200) i";
/// Before a refused call is repeated.
const PAUSE: Duration = Duration::from_secs(1);
/// Between headers that are refused.
const HEADER_PAUSE: Duration = Duration::from_millis(10);
/// Between the neighbour's rounds of three calls, which stay below the limit of calls a second.
const ROUND: Duration = Duration::from_millis(50);
/// Connections that calls at once share.
const CONNECTIONS: usize = 4;
/// Calls at once of a storm of filters.
const STORM_CALLS: usize = 16;

/// A way not to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// Lists with ever new combinations of filters.
    FilterStorm,
    /// Lists whose pages are not read.
    UnreadAnswers,
    /// Very many updates of one chat at once.
    ManyCalls,
    /// New credentials without end, while workers wait for work.
    Relinking,
    /// Updates of the neighbour's chat, by a user without access to it.
    StrangersUpdates,
    /// Headers far beyond what is accepted, on ever new connections.
    HeaderBombs,
    /// Connections on which nothing is sent.
    IdleConnections,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Calls at once.
    pub calls: usize,
    /// Pages that are not read.
    pub unread: usize,
    /// Connections on which nothing is sent.
    pub connections: usize,
}

/// The tenant who does not behave.
pub struct Abuser<'a> {
    stack: &'a Stack,
    user: Caller,
    chat: String,
    /// The neighbour's.
    victim: String,
    amount: Amount,
}

/// What became of connections on which nothing was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connections {
    /// Open until the end.
    pub held: usize,
    /// Closed by the server, or not accepted.
    pub refused: usize,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FilterStorm,
        Self::UnreadAnswers,
        Self::ManyCalls,
        Self::Relinking,
        Self::StrangersUpdates,
        Self::HeaderBombs,
        Self::IdleConnections,
    ];
}

impl<'a> Abuser<'a> {
    /// A new user with 200 large chats, who knows the id of the neighbour's chat.
    ///
    /// # Panics
    ///
    /// When these cannot be made.
    pub async fn new(stack: &'a Stack, neighbour: &Neighbour, amount: Amount) -> Self {
        let user = Caller::user();
        let owner = Uuid::parse_str(&user.id()).expect("a user's id");
        let client = stack.database.client().await;
        client
            .execute(LARGE_CHATS, &[&owner])
            .await
            .expect("make chats");
        let chat = stack.chat(&user).await.id;
        Self {
            stack,
            user,
            chat,
            victim: neighbour.chat.clone(),
            amount,
        }
    }

    /// Does not behave for `time`.
    async fn abuse(&self, abuse: Abuse, time: Duration) -> Connections {
        let mut tasks = JoinSet::new();
        match abuse {
            Abuse::FilterStorm => self.storm(&mut tasks),
            Abuse::UnreadAnswers => self.leave_unread(&mut tasks).await,
            Abuse::ManyCalls => self.update(&mut tasks, &self.user, &self.chat),
            Abuse::StrangersUpdates => self.update(&mut tasks, &Caller::user(), &self.victim),
            Abuse::Relinking => self.relink(&mut tasks),
            Abuse::HeaderBombs => self.bomb(&mut tasks),
            Abuse::IdleConnections => return self.connect(time).await,
        }
        tokio::time::sleep(time).await;
        Connections::default()
    }

    /// Does not behave for `time`, while the neighbour behaves: on a thread of its own, so that the
    /// neighbour waits for the services, and not for the abuser's share of this process.
    ///
    /// # Panics
    ///
    /// When the abuser cannot even connect, and on a runtime of one thread.
    pub fn abuse_beside(
        &self,
        abuse: Abuse,
        time: Duration,
        neighbour: &mut Neighbour,
    ) -> (Connections, Met) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (done, end) = oneshot::channel();
        let (connections, met) = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    // Fails only if the neighbour has panicked.
                    let _ = done.send(runtime.block_on(self.abuse(abuse, time)));
                });
                Handle::current().block_on(neighbour.behave_during(end))
            })
        });
        (connections.expect("the abuser ends well"), met)
    }

    /// As many clients as calls at once, on few connections.
    fn clients(
        &self,
        caller: &Caller,
        number: usize,
    ) -> impl Iterator<Item = ChatServiceClient<Authorized>> {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| self.stack.chats(caller)).collect();
        clients.into_iter().cycle().take(number)
    }

    fn storm(&self, tasks: &mut JoinSet<()>) {
        for (first, mut client) in self.clients(&self.user, STORM_CALLS).enumerate() {
            tasks.spawn(async move {
                let mut number = first;
                loop {
                    let listed = client.get_chats(filtered(number)).await;
                    back_off(listed).await;
                    number += STORM_CALLS;
                }
            });
        }
    }

    async fn leave_unread(&self, tasks: &mut JoinSet<()>) {
        let token = self.stack.token(&self.user);
        let stalled = Arc::new(Stalled::connect(self.stack.grpc_url()).await);
        for _ in 0..self.amount.unread {
            let (stalled, token) = (stalled.clone(), token.clone());
            tasks.spawn(async move {
                let mut unread = Vec::new();
                loop {
                    let page = GetChatsRequest {
                        page_size: 200,
                        ..GetChatsRequest::default()
                    };
                    let called = stalled.call("chat.v1.ChatService/GetChats", &token, &page);
                    if let Ok(answer) = called.await {
                        unread.push(answer);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }

    fn update(&self, tasks: &mut JoinSet<()>, caller: &Caller, chat: &str) {
        for (number, mut client) in self.clients(caller, self.amount.calls).enumerate() {
            let request = retitle(chat, format!("title {number}"));
            tasks.spawn(async move {
                loop {
                    let updated = client.update_chat(request.clone()).await;
                    back_off(updated).await;
                }
            });
        }
    }

    fn relink(&self, tasks: &mut JoinSet<()>) {
        for number in 0..20 {
            let mut sync = self.stack.sync(&Caller::gitsync());
            tasks.spawn(async move {
                loop {
                    let request = LeaseDiffStatusesRequest {
                        request_id: Uuid::now_v7().to_string(),
                        worker_id: format!("worker {number}"),
                        max_refs: 10,
                        wait: Some(proto::sync::message_duration(Duration::from_secs(10))),
                    };
                    let leased = sync.lease_diff_statuses(request).await;
                    back_off(leased).await;
                }
            });
        }
        for _ in 0..8 {
            let mut accounts = self.stack.accounts(&self.user);
            tasks.spawn(async move {
                loop {
                    let request = LinkGitAccountRequest {
                        provider_id: PROVIDER.to_owned(),
                        access_token: Uuid::now_v7().to_string(),
                        ..LinkGitAccountRequest::default()
                    };
                    let linked = accounts.link_git_account(request).await;
                    back_off(linked).await;
                }
            });
        }
    }

    fn bomb(&self, tasks: &mut JoinSet<()>) {
        let token = self.stack.token(&self.user);
        for _ in 0..8 {
            let (url, token) = (self.stack.grpc_url().to_owned(), token.clone());
            tasks.spawn(async move {
                loop {
                    header_bomb(&url, &token).await;
                    tokio::time::sleep(HEADER_PAUSE).await;
                }
            });
        }
    }

    async fn connect(&self, time: Duration) -> Connections {
        let address = self
            .stack
            .grpc_url()
            .trim_start_matches("http://")
            .to_owned();
        let begun = Instant::now();
        let mut open = Vec::new();
        let mut refused = 0;
        for _ in 0..self.amount.connections {
            match TcpStream::connect(&address).await {
                Ok(stream) => open.push(stream),
                Err(_) => refused += 1,
            }
        }
        tokio::time::sleep(time.saturating_sub(begun.elapsed())).await;
        let mut held = 0;
        for stream in open {
            // The server sends its settings, or nothing; what it closed ends.
            let mut buffer = [0; 1024];
            let ended = loop {
                match stream.try_read(&mut buffer) {
                    Ok(1..) => {}
                    Ok(0) => break true,
                    Err(error) => break error.kind() != ErrorKind::WouldBlock,
                }
            };
            if ended {
                refused += 1;
            } else {
                held += 1;
            }
        }
        Connections { held, refused }
    }
}

/// Waits after a refusal.
async fn back_off<T>(answer: Result<T, Status>) {
    if answer.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// One of some thousand combinations of filters.
fn filtered(number: usize) -> GetChatsRequest {
    let has = |bit: usize| number >> bit & 1 == 1;
    let text = |bit, text: &str| has(bit).then(|| text.to_owned());
    GetChatsRequest {
        archived: has(0).then_some(true),
        shared_with_me: has(1),
        statuses: if has(2) {
            vec![ChatStatus::Error.into()]
        } else {
            Vec::new()
        },
        labels: has(3)
            .then(|| ("key1".to_owned(), "x".to_owned()))
            .into_iter()
            .collect(),
        pull_request_states: if has(4) {
            vec![PullRequestState::Open.into()]
        } else {
            Vec::new()
        },
        repository: text(5, "acme/web"),
        pull_request_number: has(6).then_some(1),
        title: text(7, "zq"),
        page_size: if has(8) { 200 } else { 0 },
        ..GetChatsRequest::default()
    }
}

/// A request to give the chat `chat` another title.
pub fn retitle(chat: &str, title: String) -> UpdateChatRequest {
    UpdateChatRequest {
        chat_id: chat.to_owned(),
        title: Some(title),
        update_mask: Some(FieldMask {
            paths: vec!["title".to_owned()],
        }),
        ..UpdateChatRequest::default()
    }
}

/// The tenant who behaves: one connection, one call at a time.
pub struct Neighbour {
    client: ChatServiceClient<Authorized>,
    chat: String,
}

/// What the neighbour met.
#[derive(Debug, Default)]
pub struct Met {
    /// How long each call took.
    pub times: Vec<Duration>,
    /// Why calls failed.
    pub failures: Vec<Status>,
}

impl Met {
    /// The time that `of_hundred` of a hundred calls took at most.
    #[must_use]
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let index = (times.len() * of_hundred).div_ceil(100);
        times
            .get(index.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }

    fn note<T>(&mut self, begun: Instant, answer: Result<T, Status>) {
        self.times.push(begun.elapsed());
        self.failures.extend(answer.err());
    }
}

impl Neighbour {
    /// A new user with a chat.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn new(stack: &Stack) -> Self {
        let user = Caller::user();
        Self {
            client: stack.chats(&user),
            chat: stack.chat(&user).await.id,
        }
    }

    /// Lists, reads and changes its chat until `other` is done; returns what that returns, too.
    pub async fn behave_during<T>(&mut self, other: impl Future<Output = T>) -> (T, Met) {
        let mut met = Met::default();
        let rounds = async {
            loop {
                let begun = Instant::now();
                let listed = self.client.get_chats(GetChatsRequest::default()).await;
                met.note(begun, listed);
                let begun = Instant::now();
                let request = GetChatRequest {
                    chat_id: self.chat.clone(),
                    ..GetChatRequest::default()
                };
                let got = self.client.get_chat(request).await;
                met.note(begun, got);
                let begun = Instant::now();
                let request = retitle(&self.chat, format!("round {}", met.times.len()));
                let updated = self.client.update_chat(request).await;
                met.note(begun, updated);
                tokio::time::sleep(ROUND).await;
            }
        };
        let result = tokio::select! {
            result = other => result,
            never = rounds => never,
        };
        (result, met)
    }
}
