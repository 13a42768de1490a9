//! A client as it should be: it keeps a list live, and when its stream ends, or is silent for two
//! heartbeats, it resumes where it was, at the next address.

use std::time::Duration;

use proto::chat::v1::{WatchChatsRequest, chat_service_client::ChatServiceClient};
use testkit::clients::Authorized;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::Status;

use crate::picture::{Picture, list};

/// Two heartbeats of 10 s, and a second for their way.
const SILENCE: Duration = Duration::from_secs(21);
/// Before the client connects again.
const PAUSE: Duration = Duration::from_millis(50);

/// Follows a list until it is dropped.
#[derive(Debug)]
pub struct Follower {
    picture: watch::Receiver<Picture>,
    _task: JoinSet<()>,
}

impl Follower {
    /// Watches what `request` says, at the first of `clients` at first.
    ///
    /// # Panics
    ///
    /// When there is no client.
    #[must_use]
    pub fn start(clients: Vec<ChatServiceClient<Authorized>>, request: WatchChatsRequest) -> Self {
        assert!(!clients.is_empty(), "a follower has an address");
        let (shown, picture) = watch::channel(Picture::default());
        let mut task = JoinSet::new();
        task.spawn(async move {
            for client in clients.iter().cycle() {
                // However it ended, the next one goes on from the last message.
                let _ended = follow(client.clone(), &request, &shown).await;
                sleep(PAUSE).await;
            }
        });
        Self {
            picture,
            _task: task,
        }
    }

    /// Waits until `holds` of the picture, which it returns.
    ///
    /// # Panics
    ///
    /// When that takes longer than `limit`.
    pub async fn until(
        &self,
        limit: Duration,
        what: &str,
        holds: impl Fn(&Picture) -> bool,
    ) -> Picture {
        let mut picture = self.picture.clone();
        let reached = timeout(limit, picture.wait_for(holds)).await;
        if let Ok(Ok(picture)) = reached {
            return picture.clone();
        }
        panic!(
            "a follower waited {limit:?} until {what}; it has {:#?}",
            self.picture.borrow()
        );
    }
}

/// One stream, until it ends or is silent.
async fn follow(
    mut client: ChatServiceClient<Authorized>,
    request: &WatchChatsRequest,
    shown: &watch::Sender<Picture>,
) -> Result<(), Status> {
    let request = WatchChatsRequest {
        since_revision: shown.borrow().revision.clone(),
        ..request.clone()
    };
    let opening = client.watch_chats(request.clone());
    let mut stream = heard(timeout(SILENCE, opening).await)?.into_inner();
    while let Some(message) = heard(timeout(SILENCE, stream.message()).await)? {
        shown.send_modify(|picture| picture.apply(message));
        let listed = shown.borrow().listed;
        if !listed {
            let chats = heard(timeout(SILENCE, list(&mut client, &request)).await)?;
            shown.send_modify(|picture| picture.take(chats));
        }
    }
    Ok(())
}

fn heard<T, E>(answer: Result<Result<T, Status>, E>) -> Result<T, Status> {
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("two heartbeats were missed")))
}
