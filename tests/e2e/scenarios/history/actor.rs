//! Callers that change chats at random.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use proto::chat::v1::{ChatStatus, DeleteChatRequest, UpdateChatRequest};
use testkit::random::Random;
use tonic::{Code, Status};

use super::{
    attention,
    cast::{Role, ShareTarget},
    world::{LABEL, World, title},
};

pub(super) const STATUSES: [ChatStatus; 6] = [
    ChatStatus::Waiting,
    ChatStatus::Pending,
    ChatStatus::Running,
    ChatStatus::Paused,
    ChatStatus::Completed,
    ChatStatus::Error,
];
const BRANCHES: [&str; 3] = ["main", "feature", "fix"];

/// Changes some chats, one after the other.
pub(super) async fn act(world: &World, mut random: Random) -> Result<(), Status> {
    for _ in 0..4 + random.below(6) {
        let chat = world.any_chat(&mut random);
        let done = match random.below(100) {
            0..10 => create(world, &mut random).await,
            10..45 => update(world, &mut random, chat).await,
            45..62 => share(world, &mut random, chat, true).await,
            62..79 => share(world, &mut random, chat, false).await,
            79..87 => attention::raise(world, &mut random, chat).await,
            87..94 => {
                let branch = random.pick(&BRANCHES);
                world.report(&mut random, chat, branch).await
            }
            _ => delete(world, &mut random, chat).await,
        };
        match done {
            // Another actor has deleted the chat, or has asked to.
            Err(status) if status.code() == Code::NotFound => {
                if world.journal().0[chat].deleted.is_none() {
                    return Err(status);
                }
            }
            done => done?,
        }
    }
    Ok(())
}

/// Some labels, or none.
pub(super) fn labels(random: &mut Random) -> BTreeMap<String, String> {
    let labels = [LABEL, ("key", "value")];
    let mut some = BTreeMap::new();
    for (key, value) in labels {
        if random.chance(50) {
            some.insert(key.to_owned(), value.to_owned());
        }
    }
    some
}

async fn create(world: &World, random: &mut Random) -> Result<(), Status> {
    let owner = random.pick(&[Role::Owner, Role::Colleague]);
    let by = random.pick(&[owner, Role::Internal]);
    let in_organization = random.chance(50);
    world.create(random, by, owner, in_organization).await
}

async fn update(world: &World, random: &mut Random, chat: usize) -> Result<(), Status> {
    let mut paths = Vec::new();
    for (path, percent) in [
        ("title", 60),
        ("status", 30),
        ("labels", 20),
        ("archived", 20),
    ] {
        if random.chance(percent) {
            paths.push(path.to_owned());
        }
    }
    if paths.is_empty() {
        paths.push("status".to_owned());
    }
    let title = title(random);
    let (id, owner) = {
        let record = &mut world.journal().0[chat];
        if paths.iter().any(|path| path == "title") {
            record.begin_title(&title);
        }
        (record.id.clone(), record.owner)
    };
    let request = UpdateChatRequest {
        chat_id: id,
        title: Some(title),
        status: Some(random.pick(&STATUSES).into()),
        labels: labels(random),
        archived: Some(random.chance(50)),
        update_mask: Some(FieldMask { paths }),
        etag: None,
    };
    let by = random.pick(&[owner, Role::Internal]);
    let updated = world.call(random, by, |mut client| {
        let request = request.clone();
        async move { client.update_chat(request).await }
    });
    updated.await.map(drop)
}

async fn share(world: &World, random: &mut Random, chat: usize, adds: bool) -> Result<(), Status> {
    let one = [random.pick(&ShareTarget::ALL)];
    let with = if random.chance(20) {
        &ShareTarget::ALL[..]
    } else {
        &one
    };
    world.share(random, chat, with, adds).await
}

async fn delete(world: &World, random: &mut Random, chat: usize) -> Result<(), Status> {
    let (id, owner) = {
        let record = &mut world.journal().0[chat];
        record.deleted.get_or_insert_with(std::time::Instant::now);
        (record.id.clone(), record.owner)
    };
    let by = random.pick(&[owner, Role::Internal]);
    let request = DeleteChatRequest {
        chat_id: id,
        etag: None,
    };
    let deleted = world.call(random, by, |mut client| {
        let request = request.clone();
        async move { client.delete_chat(request).await }
    });
    deleted.await.map(drop)
}
