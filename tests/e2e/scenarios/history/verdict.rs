//! Whether what a watcher heard was right.

use std::time::Duration;

use e2e::picture::list;
use proto::chat::v1::WatchEventKind;
use testkit::random::Random;
use tokio::time::sleep;

use super::{
    attention,
    cast::Role,
    watcher::{Heard, Watched},
    world::{Counts, World, passes},
};

/// Before a list is asked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// Holds a watcher against the list that it was about, and each message against the journal. `Err`
/// says what is wrong.
pub(super) async fn judge(world: &World, watched: &Watched) -> Result<Counts, String> {
    let mut random = Random::new(0);
    let listed = loop {
        let mut client = world.client(&mut random, watched.plan.role);
        match list(&mut client, &watched.plan.request).await {
            Err(status) if passes(&status) => sleep(PAUSE).await,
            listed => break listed.map_err(|status| watched.problem(&format!("{status:?}")))?,
        }
    };
    let mut differences = watched.picture.differences(&listed);
    // Anchors go on changing after the end.
    differences.retain(|id| !world.is_anchor(id));
    if let Some(id) = differences.first() {
        let heard = watched.heard.iter().filter(|heard| heard.chat == *id);
        let heard: Vec<_> = heard.map(|heard| (heard.kind, &heard.title)).collect();
        return Err(watched.problem(&format!(
            "shows {:#?} in the place of {:#?}, after {heard:#?}",
            watched.picture.chats.get(id),
            listed.get(id)
        )));
    }
    attention::judge(&world.journal(), &world.cast, watched)
        .map_err(|what| watched.problem(&format!("{what}: {:#?}", watched.heard)))?;
    let mut counts = Counts {
        messages: watched.heard.len(),
        cuts: watched.cuts,
        resyncs: watched.picture.resyncs,
        ..Counts::default()
    };
    for heard in &watched.heard {
        right(world, watched, heard).map_err(|what| {
            watched.problem(&format!("{what}, in {heard:?} of {:#?}", watched.heard))
        })?;
        match heard.kind {
            WatchEventKind::Attention => counts.raised += 1,
            WatchEventKind::AccessLost => counts.lost += 1,
            WatchEventKind::Deleted => counts.deleted += 1,
            WatchEventKind::NotMatching => counts.not_matching += 1,
            WatchEventKind::Unspecified
            | WatchEventKind::Created
            | WatchEventKind::Updated
            | WatchEventKind::StatusChanged
            | WatchEventKind::DiffStatusChanged
            | WatchEventKind::Archived
            | WatchEventKind::Resync
            | WatchEventKind::Heartbeat => {}
        }
    }
    Ok(counts)
}

/// Whether this message was for this watcher.
fn right(world: &World, watched: &Watched, heard: &Heard) -> Result<(), &'static str> {
    let (role, request) = (watched.plan.role, &watched.plan.request);
    let journal = world.journal();
    let record = journal.of(&heard.chat).ok_or("a chat of another history")?;
    let by_id = request.chat_ids.is_empty() || request.chat_ids.contains(&record.id);
    let by_owner = request.owner_id.as_ref();
    if !by_id || by_owner.is_some_and(|owner| *owner != world.cast.id(record.owner)) {
        return Err("a chat that was not asked for");
    }
    let readable = |from| record.readable(role, from, heard.at);
    let was_ever = readable(record.created());
    match heard.kind {
        WatchEventKind::AccessLost if !was_ever => Err("lost, and never had"),
        WatchEventKind::AccessLost if !record.losable(role, heard.at) => Err("lost, and kept"),
        WatchEventKind::Deleted if !was_ever => Err("deleted, and never seen"),
        WatchEventKind::Deleted if record.deleted.is_none_or(|began| began > heard.at) => {
            Err("deleted, and there")
        }
        WatchEventKind::NotMatching if !was_ever => Err("not readable"),
        WatchEventKind::AccessLost | WatchEventKind::Deleted | WatchEventKind::NotMatching => {
            Ok(())
        }
        WatchEventKind::Resync | WatchEventKind::Heartbeat => Err("no chat belongs here"),
        WatchEventKind::Unspecified
        | WatchEventKind::Created
        | WatchEventKind::Updated
        | WatchEventKind::StatusChanged
        | WatchEventKind::DiffStatusChanged
        | WatchEventKind::Attention
        | WatchEventKind::Archived => {
            let titled = record
                .titled(&heard.title)
                .ok_or("a title that it had never")?;
            if !readable(titled) {
                return Err("not readable since it has this title");
            }
            let may_share = [Role::Owner, Role::Colleague].contains(&role);
            if heard.shows_shares && !(may_share && record.owner == role) {
                return Err("its shares are not for this caller");
            }
            Ok(())
        }
    }
}
