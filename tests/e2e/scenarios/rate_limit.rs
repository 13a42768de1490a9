//! Rate limits with several workers: one answer tells all of them, for as long as it says, whatever
//! makes refs due meanwhile and whichever worker is left.

use std::time::Duration;

use e2e::{
    stack::{REPOSITORY, Stack, Worker},
    warnings,
};
use proto::chat::v1::{Chat, Freshness, Problem, ProblemClass, RefreshChatRequest};
use testkit::{
    clients::Caller,
    github::{RecordedRequest, Resource},
    wait,
};

/// How long the host refuses the account. It counts in whole seconds.
const REFUSED: Duration = Duration::from_secs(4);

/// Come back at once when the host says so.
const PROMPT: [(&str, &str); 3] = [
    ("GITSYNC_RESET_PADDING", "100ms"),
    ("GITSYNC_RESET_SPREAD", "0s"),
    ("GITSYNC_SECONDARY_PAUSE", "1s"),
];

/// Two users with tokens of one account, and a third user.
struct World {
    stack: Stack,
    limited: Vec<(Caller, Chat)>,
    witness: (Caller, Chat),
    workers: Vec<Worker>,
    branches: u32,
}

impl World {
    async fn start() -> Self {
        let stack = Stack::start_with(&[("CHAT_LEASE_DURATION", "2s")]).await;
        for expected in [
            warnings::LIMIT_SPENT,
            warnings::SLOWED_DOWN,
            warnings::LEASE_LOST,
            // Two workers find out at once that both tokens are of one account.
            &["a report cannot be stored as a whole; storing row by row"],
        ] {
            stack.expect_warnings(expected);
        }
        let mut limited = Vec::new();
        for _ in 0..2 {
            let owner = stack.linked_user("ann").await;
            let chat = stack.chat(&owner).await;
            limited.push((owner, chat));
        }
        let bob = stack.linked_user("bob").await;
        let witness = stack.chat(&bob).await;
        let mut world = Self {
            stack,
            limited,
            witness: (bob, witness),
            workers: Vec::new(),
            branches: 0,
        };
        world.start_workers().await;
        world.report_all().await;
        world.until_looked_up().await;
        world.until_one_key().await;
        world
    }

    async fn start_workers(&mut self) {
        for _ in 0..2 {
            self.workers.push(self.stack.worker_with(&PROMPT).await);
        }
    }

    /// A new branch in each chat: all are due now.
    async fn report_all(&mut self) {
        self.branches += 1;
        let branch = format!("branch-{}", self.branches);
        for (owner, chat) in self.limited.iter().chain([&self.witness]) {
            self.stack.report(owner, chat, REPOSITORY, &branch).await;
        }
    }

    /// Whatever may make refs due; returns once a worker has looked up what was reported last.
    async fn stir(&mut self) {
        self.report_all().await;
        for (owner, chat) in &self.limited {
            let request = RefreshChatRequest {
                chat_id: chat.id.clone(),
            };
            // Whether that is refused depends on when the worker met the limit.
            let _ = self.stack.chats(owner).refresh_chat(request).await;
        }
        let (owner, chat) = &self.witness;
        let what = "what the third user reported later is looked up";
        self.stack
            .status_when(owner, chat, what, |status| status.refreshed_at.is_some())
            .await;
    }

    async fn until_looked_up(&self) {
        for (owner, chat) in &self.limited {
            let what = "the account is looked up with again";
            self.stack
                .status_when(owner, chat, what, |status| {
                    status.refreshed_at.is_some() && status.problem.is_none()
                })
                .await;
        }
    }

    /// Until the host identifies the account of both tokens, they are two keys.
    async fn until_one_key(&self) {
        let client = self.stack.database.client().await;
        wait::until("both tokens are one key", || async {
            let rows = client
                .query(
                    "SELECT DISTINCT b.budget_key FROM git_accounts a
                     JOIN git_budgets b ON b.id = a.budget_id",
                    &[],
                )
                .await
                .unwrap();
            let keys: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
            if keys.len() == 2 && keys.iter().all(|key| key.contains("|account:")) {
                Ok(())
            } else {
                Err(keys)
            }
        })
        .await;
    }

    /// The first that is looked up meets the limit; what is reported after that is not looked up.
    async fn until_limit_is_shown(&self) {
        for (owner, chat) in &self.limited {
            self.stack
                .status_when(owner, chat, "the limit is shown", |status| {
                    let problem = status.problem.as_ref().map(Problem::class);
                    problem == Some(ProblemClass::RateLimited)
                        || status.freshness() == Freshness::Paused
                })
                .await;
        }
    }

    /// No worker is left that has met the limit.
    async fn replace_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.process.kill();
        }
        self.start_workers().await;
    }

    /// How many requests there were so far.
    fn now(&self) -> u64 {
        let last = self.stack.github.requests().last().map(|r| r.sequence);
        last.map_or(0, |last| last + 1)
    }

    /// The account's requests to one interface from `since` on, in order.
    fn requests(&self, since: u64, resource: Resource) -> Vec<RecordedRequest> {
        let is_graphql = resource == Resource::Graphql;
        let mut requests = self.stack.github.requests();
        requests.retain(|request| {
            request.sequence >= since
                && request.login() == Some("ann")
                && request.graphql.is_some() == is_graphql
        });
        requests
    }

    /// Until when nothing is to be sent to an interface, in whole seconds since 1970: the stand-in
    /// notes when a request arrived no more exactly.
    async fn paused_until(&self, resource: Resource) -> Option<i64> {
        let window = match resource {
            Resource::Core => "core",
            Resource::Graphql => "graphql",
        };
        let client = self.stack.database.client().await;
        let row = client
            .query_one(
                "SELECT floor(extract(epoch FROM greatest(b.paused_until, (
                    SELECT (w ->> 'paused_until')::timestamptz
                    FROM jsonb_array_elements(b.windows) AS w
                    WHERE w ->> 'name' = $2
                 ))))::bigint
                 FROM git_accounts a JOIN git_budgets b ON b.id = a.budget_id
                 WHERE a.user_id = $1::text::uuid",
                &[&self.limited[0].0.id(), &window],
            )
            .await
            .unwrap();
        row.try_get(0).unwrap()
    }

    async fn finish(self) {
        self.stack.finish(self.workers).await;
    }
}

fn is_refused(request: &RecordedRequest) -> bool {
    let by_status = matches!(request.status, Some(403 | 429));
    let errors = request.graphql.iter().flat_map(|query| &query.errors);
    by_status
        || errors
            .into_iter()
            .any(|error| error.starts_with("RATE_LIMIT"))
}

/// Of requests in order, how many were refused; after the first that was, none came before `until`.
fn refusals(requests: &[RecordedRequest], until: Option<i64>) -> usize {
    if let Some(first) = requests.iter().position(is_refused) {
        let until = until.expect("a pause is kept");
        for later in &requests[first + 1..] {
            let early = until - later.arrived_at.as_second();
            assert!(early <= 0, "{early} s before the pause ended: {later:#?}");
        }
    }
    requests.iter().filter(|r| is_refused(r)).count()
}

/// Promise 7, for the limits by the hour, over two windows and with all workers replaced in the
/// second.
#[tokio::test]
async fn a_spent_window_is_met_once_and_nothing_is_sent_before_it_ends_by_any_worker() {
    let mut world = World::start().await;
    for window in 0..2 {
        let since = world.now();
        for resource in [Resource::Core, Resource::Graphql] {
            let budget = world.stack.github.budget_of("ann", resource);
            budget.spend_all().resets_in(REFUSED);
        }
        world.report_all().await;
        world.until_limit_is_shown().await;
        let pauses = [
            (Resource::Core, world.paused_until(Resource::Core).await),
            (
                Resource::Graphql,
                world.paused_until(Resource::Graphql).await,
            ),
        ];
        if window == 1 {
            world.replace_workers().await;
        }
        while world
            .stack
            .github
            .budget_of("ann", Resource::Graphql)
            .get()
            .remaining
            == 0
        {
            world.stir().await;
        }
        world.until_looked_up().await;
        let [of_rest, of_graphql] = pauses.map(|(resource, until)| {
            let requests = world.requests(since, resource);
            refusals(&requests, until)
        });
        assert_eq!(of_graphql, 1);
        // Only what is urgent goes there instead.
        assert!(of_rest <= 1, "{of_rest} of REST");
    }
    world.finish().await;
}

/// Promise 7, for the limits on how fast one asks: they stop both interfaces.
#[tokio::test]
async fn a_secondary_limit_is_met_once_and_nothing_is_sent_before_it_ends_by_any_worker() {
    let mut world = World::start().await;
    for round in 0..2 {
        let since = world.now();
        world.stack.github.pause("ann", REFUSED);
        world.report_all().await;
        world.until_limit_is_shown().await;
        let until = world.paused_until(Resource::Graphql).await;
        if round == 1 {
            world.replace_workers().await;
        }
        while world.stack.github.is_paused("ann") {
            world.stir().await;
        }
        world.until_looked_up().await;
        let mut requests = world.requests(since, Resource::Graphql);
        requests.extend(world.requests(since, Resource::Core));
        requests.sort_by_key(|request| request.sequence);
        assert_eq!(refusals(&requests, until), 1);
    }
    world.finish().await;
}
