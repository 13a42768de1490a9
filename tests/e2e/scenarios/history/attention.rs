//! Pull requests of chats, each of a branch of its own, that need attention again and again.

use std::{collections::BTreeMap, time::Instant};

use e2e::stack::REPOSITORY;
use jiff::Timestamp;
use proto::chat::v1::{AttentionKind, Chat, RefreshChatRequest, WatchEventKind};
use testkit::{
    github::{ReviewState, RunState},
    random::Random,
};
use tonic::Status;

use super::{
    cast::{Cast, Role},
    journal::{Journal, Record},
    watcher::Watched,
    world::World,
};

/// Has a check of a chat's pull request fail, or a reviewer ask for changes, and waits until that
/// is known. It is raised if it is the first such thing of a commit.
pub(super) async fn raise(world: &World, random: &mut Random, chat: usize) -> Result<(), Status> {
    let (began, github) = (Instant::now(), &world.github);
    let (id, owner, number, is_new) = {
        let record = &mut world.journal().0[chat];
        let branch = branch(&record.id);
        let open = || github.pull_request(REPOSITORY).head(&branch).open();
        let is_new = record.pull_request.is_none();
        let number = *record.pull_request.get_or_insert_with(open);
        (record.id.clone(), record.owner, number, is_new)
    };
    let branch = branch(&id);
    let pushes = is_new || random.chance(40);
    let reviews = !pushes && random.chance(50);
    world.journal().0[chat].may_raise += usize::from(pushes || reviews);
    if reviews {
        let verdict = ReviewState::ChangesRequested;
        github.review(REPOSITORY, number, "critic", verdict);
    } else {
        // A head without checks is not ready before it was looked at a second time.
        if pushes && !is_new {
            github.repository(REPOSITORY).push(&branch);
        }
        let check = (Some("CI"), random.pick(&["build", "test"]));
        let failed = RunState::Ended(Timestamp::now(), "FAILURE");
        github.check_run(REPOSITORY, number, check, failed);
    }
    if is_new {
        world.report(random, chat, &branch).await?;
    }
    let kind = if reviews {
        AttentionKind::ChangesRequested
    } else {
        AttentionKind::ChecksFailed
    };
    // A refresh joins a lookup that began before.
    loop {
        let refreshed = world.call(random, owner, |mut client| {
            let chat_id = id.clone();
            async move { client.refresh_chat(RefreshChatRequest { chat_id }).await }
        });
        let chat = refreshed.await?.chat.unwrap();
        let head = github.find_pull_request(REPOSITORY, number).unwrap().head;
        if is_known(&chat, &branch, &head.sha, kind) {
            break;
        }
    }
    if pushes {
        world.journal().0[chat].raised.push(began);
    }
    Ok(())
}

fn branch(chat: &str) -> String {
    format!("of-{chat}")
}

/// Whether this head of the branch is shown, and to need attention for that.
fn is_known(chat: &Chat, branch: &str, head: &str, kind: AttentionKind) -> bool {
    let mut statuses = chat.diff_statuses.iter();
    let of_branch = statuses.find(|status| status.git_branch == branch);
    of_branch.is_some_and(|status| {
        status.head_sha.as_deref() == Some(head)
            && status.attention.iter().any(|of| of.kind() == kind)
    })
}

/// Whether what was raised was heard of: from each point on that the watcher resumed from not more
/// often than it was raised, and whenever the watcher was there and could not miss it.
pub(super) fn judge(journal: &Journal, cast: &Cast, watched: &Watched) -> Result<(), &'static str> {
    for record in &journal.0 {
        let heard = watched.heard.iter();
        let raised = heard
            .filter(|heard| heard.chat == record.id && heard.kind == WatchEventKind::Attention);
        let mut times = BTreeMap::<_, usize>::new();
        for heard in raised.clone() {
            *times.entry(heard.stream).or_default() += 1;
        }
        if times.values().any(|times| *times > record.may_raise) {
            return Err("hears more often of what is raised than it was");
        }
        let heard_since = |began| raised.clone().any(|heard| heard.at > began);
        let mut surely = record.raised.iter().copied();
        if surely.any(|began| cannot_miss(cast, watched, record, began) && !heard_since(began)) {
            return Err("does not hear of what was raised");
        }
    }
    Ok(())
}

/// Whether a watcher hears of each change of a chat since this moment.
fn cannot_miss(cast: &Cast, watched: &Watched, record: &Record, began: Instant) -> bool {
    let plan = &watched.plan;
    let (ids, owner) = (&plan.request.chat_ids, &plan.request.owner_id);
    watched.since.is_some_and(|since| since < began)
        && watched.picture.resyncs == 0
        && record.deleted.is_none()
        && (plan.role == record.owner || matches!(plan.role, Role::Auditor | Role::Internal))
        && plan.is_unfiltered()
        && (ids.is_empty() || ids.contains(&record.id))
        && owner
            .as_ref()
            .is_none_or(|owner| *owner == cast.id(record.owner))
}
