//! Changes at a steady rate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use e2e::abuse::retitle;
use tokio::task::JoinSet;

use super::world::World;
use crate::figures::count;

/// A change, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// Place of the chat.
    pub(super) chat: usize,
    /// Its number among the changes of the chat.
    pub(super) number: u32,
    /// When the call was due: what it waits for before it is made is counted.
    pub(super) called: Instant,
    /// When the call was answered.
    pub(super) answered: Instant,
}

/// Changes a second that were reached.
pub(super) fn rate(made: &[Change]) -> f64 {
    let first = made.iter().map(|change| change.called).min();
    let last = made.iter().map(|change| change.answered).max();
    let took = first.zip(last).map(|(first, last)| last - first);
    count(made.len()) / took.unwrap_or_default().as_secs_f64()
}

/// Changes the chats in turn for `time`, each change at its time, whether those before it were
/// answered or not. Changes of one chat wait for each other.
pub(super) async fn make(world: &World, rate: u32, time: Duration) -> anyhow::Result<Vec<Change>> {
    let interval = Duration::from_secs(1) / rate;
    let first = Instant::now();
    let mut ticks = tokio::time::interval_at(first.into(), interval);
    let mut calls = JoinSet::new();
    let mut due = first;
    let mut chats = (0..world.chats.len()).cycle();
    while due < first + time {
        ticks.tick().await;
        let place = chats.next().context("a chat")?;
        let chat = world.chats.get(place).context("a chat")?;
        let (id, mut client, changes) = (
            chat.id.clone(),
            chat.client.clone(),
            Arc::clone(&chat.changes),
        );
        calls.spawn(async move {
            let mut number = changes.lock().await;
            *number += 1;
            let request = retitle(&id, format!("chat {place} {number}"));
            client.update_chat(request).await?;
            anyhow::Ok(Change {
                chat: place,
                number: *number,
                called: due,
                answered: Instant::now(),
            })
        });
        due += interval;
    }
    calls.join_all().await.into_iter().collect()
}
