//! One history: its callers, its chats, and its course.

use std::{
    convert::Infallible,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use e2e::stack::{HOST, REPOSITORY};
use futures_util::future::{try_join, try_join_all};
use prost_types::FieldMask;
use proto::chat::v1::{
    ChatStatus, CreateChatRequest, ReportGitRefRequest, UpdateChatRequest,
    UpdateChatSharingRequest, chat_service_client::ChatServiceClient,
    report_git_ref_request::Target,
};
use testkit::{
    clients::{Authorized, facts},
    github::GitHub,
    lock::lock,
    random::Random,
};
use tokio::{sync::watch, time::sleep};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use super::{
    actor,
    cast::{Cast, Role, ShareTarget},
    journal::{Journal, Record},
    places::Places,
    verdict,
    watcher::{self, Plan},
};

/// The title of each anchor at the end.
pub(super) const LAST_TITLE: &str = "an apple and a berry, at last";
/// A label that some lists want.
pub(super) const LABEL: (&str, &str) = ("team", "blue");
/// Owners of an anchor: a chat that changes again and again at the end, when no other chat does. A
/// watcher that hears of such a change has heard of all changes before it. It knows the change by
/// its time and not by what the chat is like: also a message of an earlier change shows the chat as
/// it is when the message is made.
const ANCHORED: [Role; 3] = [Role::Owner, Role::Colleague, Role::Stranger];
/// Chats at the beginning, beside the anchors.
const CHATS: usize = 3;
/// Callers that change chats at the same time.
const ACTORS: usize = 3;
/// Callers that watch.
const WATCHERS: usize = 7;
/// Before a call is repeated.
const PAUSE: Duration = Duration::from_millis(20);
/// Between the last changes.
const REST: Duration = Duration::from_millis(200);

/// One history.
pub(super) struct World {
    pub(super) cast: Cast,
    places: Arc<Places>,
    pub(super) github: Arc<GitHub>,
    random: Random,
    journal: Mutex<Journal>,
    /// When the first of the last changes was made, by the database's clock: seconds and
    /// nanoseconds.
    pub(super) ended: OnceLock<(i64, i32)>,
    /// Whether all has happened, and every watcher that hears of anything has heard of it.
    pub(super) over: watch::Sender<bool>,
}

/// What happened in histories.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) messages: usize,
    pub(super) lost: usize,
    pub(super) deleted: usize,
    pub(super) not_matching: usize,
    pub(super) raised: usize,
    pub(super) cuts: usize,
    pub(super) resyncs: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.lost += other.lost;
        self.deleted += other.deleted;
        self.not_matching += other.not_matching;
        self.raised += other.raised;
        self.cuts += other.cuts;
        self.resyncs += other.resyncs;
    }
}

impl World {
    pub(super) fn new(cast: Cast, places: Arc<Places>, github: &Arc<GitHub>, seed: u64) -> Self {
        Self {
            cast,
            places,
            github: github.clone(),
            random: Random::new(seed),
            journal: Mutex::default(),
            ended: OnceLock::new(),
            over: watch::Sender::new(false),
        }
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// `ChatService` of any replica.
    pub(super) fn client(&self, random: &mut Random, role: Role) -> ChatServiceClient<Authorized> {
        self.places.any(random, self.cast.bearer(role))
    }

    /// Calls, at one replica after the other, until the service answers.
    pub(super) async fn call<T, F>(
        &self,
        random: &mut Random,
        role: Role,
        call: impl Fn(ChatServiceClient<Authorized>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            match call(self.client(random, role)).await {
                Err(status) if passes(&status) => sleep(PAUSE).await,
                answer => return answer.map(Response::into_inner),
            }
        }
    }

    /// Lives through it. `Err` says what must not be.
    pub(super) async fn live(&self) -> Result<Counts, String> {
        let mut random = self.random.clone();
        self.begin(&mut random)
            .await
            .map_err(|status| unexpected(&status))?;
        let plans = (0..WATCHERS).map(|_| Plan::new(self, &mut random));
        let (hearing, deaf): (Vec<_>, Vec<_>) = plans.partition(Plan::hears);
        let mut watch_all = |plans: Vec<Plan>| {
            let watching = plans
                .into_iter()
                .map(|plan| watcher::watch(self, plan, random.split()));
            try_join_all(watching.collect::<Vec<_>>())
        };
        let (hearing, deaf) = (watch_all(hearing), watch_all(deaf));
        let acting = async {
            let acting = (0..ACTORS).map(|_| actor::act(self, random.split()));
            let acting: Vec<_> = acting.collect();
            try_join_all(acting)
                .await
                .map_err(|status| unexpected(&status))?;
            self.end(&mut random)
                .await
                .map_err(|status| unexpected(&status))
        };
        let all = async {
            let watched = tokio::select! {
                ended = acting => match ended? {},
                watched = hearing => watched?,
            };
            self.over.send_replace(true);
            Ok::<_, String>(watched)
        };
        let (watched, deaf) = Box::pin(try_join(all, deaf)).await?;
        let mut counts = Counts::default();
        for watched in watched.iter().chain(&deaf) {
            counts += verdict::judge(self, watched).await?;
        }
        Ok(counts)
    }

    /// The anchor of `owner`.
    pub(super) fn anchor(&self, owner: Role) -> String {
        let journal = self.journal();
        let mut anchors = journal.0.iter().take(ANCHORED.len());
        anchors.find(|of| of.owner == owner).unwrap().id.clone()
    }

    /// Whether this chat is one.
    pub(super) fn is_anchor(&self, id: &str) -> bool {
        let journal = self.journal();
        journal.0.iter().take(ANCHORED.len()).any(|of| of.id == id)
    }

    /// The place in the journal of any chat but the anchors.
    pub(super) fn any_chat(&self, random: &mut Random) -> usize {
        ANCHORED.len() + random.below(self.journal().0.len() - ANCHORED.len())
    }

    /// Creates the anchors and a few chats. Every caller that may read anything reads the anchors
    /// of the owner and the colleague, except the stranger.
    async fn begin(&self, random: &mut Random) -> Result<(), Status> {
        for (chat, owner) in ANCHORED.into_iter().enumerate() {
            let shared = owner != Role::Stranger;
            self.create(random, owner, owner, shared).await?;
            if shared {
                self.share(random, chat, &ShareTarget::ALL, true).await?;
                self.report(random, chat, "main").await?;
            }
        }
        for _ in 0..CHATS {
            let owner = random.pick(&[Role::Owner, Role::Colleague]);
            let in_organization = random.chance(50);
            self.create(random, owner, owner, in_organization).await?;
        }
        Ok(())
    }

    /// Changes the anchors, which are then in every list of those who read them, again and again: a
    /// watcher that begins late hears of a later change.
    async fn end(&self, random: &mut Random) -> Result<Infallible, Status> {
        for record in self.journal().0.iter_mut().take(ANCHORED.len()) {
            record.begin_title(LAST_TITLE);
        }
        for status in [ChatStatus::Error, ChatStatus::Running].iter().cycle() {
            for owner in ANCHORED {
                let request = UpdateChatRequest {
                    chat_id: self.anchor(owner),
                    title: Some(LAST_TITLE.to_owned()),
                    status: Some((*status).into()),
                    labels: [LABEL]
                        .map(|(key, value)| (key.into(), value.into()))
                        .into(),
                    update_mask: Some(FieldMask {
                        paths: ["title", "status", "labels"].map(str::to_owned).into(),
                    }),
                    ..UpdateChatRequest::default()
                };
                let updated = self.call(random, owner, |mut client| {
                    let request = request.clone();
                    async move { client.update_chat(request).await }
                });
                let chat = updated.await?.chat.unwrap();
                let at = chat.updated_at.unwrap();
                self.ended.get_or_init(|| (at.seconds, at.nanos));
            }
            sleep(REST).await;
        }
        unreachable!("a cycle has no end")
    }

    /// A new chat of `owner`, made by `by`.
    pub(super) async fn create(
        &self,
        random: &mut Random,
        by: Role,
        owner: Role,
        in_organization: bool,
    ) -> Result<(), Status> {
        let (title, began) = (title(random), Instant::now());
        let organization = self.cast.organization.to_string();
        let request = CreateChatRequest {
            owner_id: Some(self.cast.id(owner)),
            organization_id: in_organization.then_some(organization),
            title: title.clone(),
            status: random.pick(&actor::STATUSES).into(),
            labels: actor::labels(random),
            request_id: Some(Uuid::now_v7().to_string()),
            ..CreateChatRequest::default()
        };
        let created = self.call(random, by, |mut client| {
            let request = request.clone();
            async move { client.create_chat(request).await }
        });
        let id = created.await?.chat.unwrap().id;
        let record = Record::new(id, owner, in_organization, (title, began));
        self.journal().0.push(record);
        Ok(())
    }

    /// Shares a chat, or takes shares away.
    pub(super) async fn share(
        &self,
        random: &mut Random,
        chat: usize,
        with: &[ShareTarget],
        adds: bool,
    ) -> Result<(), Status> {
        let subjects = || {
            with.iter()
                .map(|target| self.cast.subject(*target))
                .collect()
        };
        let (id, owner, pending) = {
            let mut journal = self.journal();
            let begin = |target: &ShareTarget| journal.begin_share(chat, *target, adds);
            let pending: Vec<_> = with.iter().map(begin).collect();
            (journal.0[chat].id.clone(), journal.0[chat].owner, pending)
        };
        let mut request = UpdateChatSharingRequest {
            chat_id: id,
            ..UpdateChatSharingRequest::default()
        };
        let list = match (adds, random.chance(50)) {
            (true, true) => &mut request.add_readers,
            (true, false) => &mut request.add_writers,
            (false, _) => &mut request.remove,
        };
        *list = subjects();
        let shared = self.call(random, owner, |mut client| {
            let request = request.clone();
            async move { client.update_chat_sharing(request).await }
        });
        shared.await?;
        for pending in pending {
            self.journal().end_share(pending);
        }
        Ok(())
    }

    /// Reports that a branch was pushed.
    pub(super) async fn report(
        &self,
        random: &mut Random,
        chat: usize,
        branch: &str,
    ) -> Result<(), Status> {
        let (id, owner) = {
            let journal = self.journal();
            (journal.0[chat].id.clone(), journal.0[chat].owner)
        };
        let by = random.pick(&[owner, Role::Internal]);
        let request = ReportGitRefRequest {
            target: Some(Target::ChatId(id)),
            git_remote_origin: format!("https://{HOST}/{REPOSITORY}.git"),
            git_branch: branch.to_owned(),
            commit: None,
        };
        let reported = self.call(random, by, |mut client| {
            let request = request.clone();
            async move { client.report_git_ref(request).await }
        });
        reported.await.map(drop)
    }
}

/// A title that no other chat has, and that this one had never.
pub(super) fn title(random: &mut Random) -> String {
    let fruit = random.pick(&["apple", "berry"]);
    format!("{fruit} {:016x}", random.number())
}

/// Whether the call may be repeated: it met a replica or a connection that was lost, or a limit.
pub(super) fn passes(status: &Status) -> bool {
    let (code, reason, _) = facts(status);
    let passing = [Code::Unavailable, Code::Aborted, Code::ResourceExhausted];
    reason.is_empty() || passing.contains(&code)
}

fn unexpected(status: &Status) -> String {
    format!("a call was refused: {status:?}")
}
