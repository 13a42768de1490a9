//! Callers that watch, are cut off at random, and resume with the last message that they processed.

use std::time::{Duration, Instant};

use e2e::{
    picture::{Picture, list},
    stack::REPOSITORY,
};
use proto::chat::v1::{ChatStatus, WatchChatsRequest, WatchChatsResponse, WatchEventKind};
use testkit::random::Random;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::Status;

use super::{
    cast::Role,
    world::{LABEL, World, passes},
};

/// Cuts of a watcher at most.
const CUTS: usize = 6;
/// A cut comes within this.
const CUT_MILLISECONDS: usize = 120;
/// Before a watcher that was refused tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// A watcher: its caller, what it watches, and how often it is cut off.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) role: Role,
    pub(super) request: WatchChatsRequest,
    /// The chat whose last changes are the end; none for a caller that hears nothing.
    anchor: Option<String>,
    cuts: usize,
}

/// What a watcher heard.
pub(super) struct Watched {
    pub(super) plan: Plan,
    pub(super) picture: Picture,
    pub(super) heard: Vec<Heard>,
    pub(super) cuts: usize,
    /// When the first message had come, and so a point to resume from.
    pub(super) since: Option<Instant>,
    streams: usize,
    heard_the_end: bool,
}

/// One message about a chat.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    /// The number of the stream.
    pub(super) stream: usize,
    pub(super) kind: WatchEventKind,
    pub(super) chat: String,
    pub(super) title: String,
    /// Whether the view shows the chat's shares.
    pub(super) shows_shares: bool,
}

impl Plan {
    /// Of any caller, about anything that this caller may list.
    pub(super) fn new(world: &World, random: &mut Random) -> Self {
        let role = random.pick(&Role::ALL);
        let mut request = WatchChatsRequest::default();
        let own = match role {
            Role::Colleague | Role::Stranger => role,
            Role::Owner
            | Role::Reader
            | Role::Member
            | Role::Guest
            | Role::Administrator
            | Role::Auditor
            | Role::Internal
            | Role::Suspended => Role::Owner,
        };
        let mut anchored = own;
        // A caller that reads all chats would hear of the other histories, too.
        let by_owner = [Role::Auditor, Role::Internal].contains(&role) || random.chance(20);
        let strange = [Role::Stranger, Role::Suspended].contains(&role);
        if by_owner && !strange {
            if !matches!(role, Role::Owner | Role::Colleague) {
                anchored = random.pick(&[Role::Owner, Role::Colleague]);
            }
            request.owner_id = Some(world.cast.id(anchored));
        }
        match random.below(if strange { 2 } else { 8 }) {
            0 => {
                // All chats that exist now. A list by ids cannot be by owner, too.
                (request.owner_id, anchored) = (None, own);
                request.chat_ids = world.journal().0.iter().map(|of| of.id.clone()).collect();
            }
            2 => {
                request.statuses = vec![ChatStatus::Error.into(), ChatStatus::Running.into()];
            }
            3 => request.archived = Some(false),
            4 => request.title = Some("PPLE".to_owned()),
            5 => {
                request.labels = [LABEL]
                    .map(|(key, value)| (key.into(), value.into()))
                    .into();
            }
            6 => request.repository = Some(REPOSITORY.to_uppercase()),
            7 => request.shared_with_me = !role.shares().is_empty(),
            _ => {}
        }
        Self {
            role,
            request,
            anchor: (role != Role::Suspended).then(|| world.anchor(anchored)),
            cuts: random.below(CUTS + 1),
        }
    }

    /// Whether this watch is about all chats, of some owner or with some ids, whatever they are
    /// like.
    pub(super) fn is_unfiltered(&self) -> bool {
        let request = WatchChatsRequest {
            owner_id: None,
            chat_ids: Vec::new(),
            ..self.request.clone()
        };
        request == WatchChatsRequest::default()
    }

    /// Whether this caller hears of anything.
    pub(super) fn hears(&self) -> bool {
        self.anchor.is_some()
    }
}

/// Watches until the end. `Err` says what must not be.
pub(super) async fn watch(
    world: &World,
    plan: Plan,
    mut random: Random,
) -> Result<Watched, String> {
    let mut watched = Watched {
        plan,
        picture: Picture::default(),
        heard: Vec::new(),
        cuts: 0,
        since: None,
        streams: 0,
        heard_the_end: false,
    };
    loop {
        let wait = random.below(CUT_MILLISECONDS);
        let wait = Duration::from_millis(u64::try_from(wait).unwrap());
        let is_cut = watched.cuts < watched.plan.cuts;
        let streaming = stream(world, &mut watched, &mut random);
        let ended = if is_cut {
            timeout(wait, streaming).await
        } else {
            Ok(streaming.await)
        };
        match ended {
            Ok(ended) => {
                if ended? {
                    return Ok(watched);
                }
            }
            // What arrived and was not processed is gone with the stream.
            Err(_) => watched.cuts += 1,
        }
        sleep(PAUSE).await;
    }
}

/// One stream; whether it has reached the end of the history.
async fn stream(world: &World, watched: &mut Watched, random: &mut Random) -> Result<bool, String> {
    let mut over = world.over.subscribe();
    let mut client = world.client(random, watched.plan.role);
    let request = WatchChatsRequest {
        since_revision: watched.picture.revision.clone(),
        ..watched.plan.request.clone()
    };
    let mut stream = match client.watch_chats(request.clone()).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return watched.unless_lost(&status),
    };
    watched.streams += 1;
    let mut is_first = true;
    while !watched.has_ended() {
        let message = tokio::select! {
            message = stream.message() => message,
            () = is_over(&mut over), if !watched.plan.hears() => return Ok(true),
        };
        match message {
            Ok(Some(message)) => {
                let begins = message.kind() == WatchEventKind::Heartbeat && message.chat.is_none();
                if std::mem::take(&mut is_first) && !begins {
                    return Err(watched.problem(&format!("begins with {message:?}")));
                }
                watched.hear(world, message);
            }
            Ok(None) => return Ok(false),
            Err(status) => return watched.unless_lost(&status),
        }
        if !watched.picture.listed {
            match list(&mut client, &request).await {
                Ok(listed) => watched.picture.take(listed),
                Err(status) => return watched.unless_lost(&status),
            }
        }
    }
    Ok(true)
}

async fn is_over(over: &mut watch::Receiver<bool>) {
    // Fails only without a history.
    let _over = over.wait_for(|over| *over).await;
}

impl Watched {
    fn hear(&mut self, world: &World, message: WatchChatsResponse) {
        self.since.get_or_insert_with(Instant::now);
        if let Some(chat) = &message.chat {
            let at = message.changed_at.map(|at| (at.seconds, at.nanos));
            let ended = world.ended.get().copied();
            self.heard_the_end |= self.plan.anchor.as_ref() == Some(&chat.id)
                && ended.is_some_and(|ended| at >= Some(ended));
            self.heard.push(Heard {
                at: Instant::now(),
                stream: self.streams,
                kind: message.kind(),
                chat: chat.id.clone(),
                title: chat.title.clone(),
                shows_shares: !(chat.readers.is_empty() && chat.writers.is_empty()),
            });
        }
        self.picture.apply(message);
    }

    /// Whether all that happened was heard of.
    fn has_ended(&self) -> bool {
        self.picture.listed && self.heard_the_end
    }

    fn unless_lost(&self, status: &Status) -> Result<bool, String> {
        if passes(status) {
            return Ok(false);
        }
        Err(self.problem(&format!("is refused: {status:?}")))
    }

    /// What is wrong with this watcher.
    pub(super) fn problem(&self, what: &str) -> String {
        format!("{:?} {what}", self.plan)
    }
}
