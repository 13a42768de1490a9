//! When watchers heard of which change.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::chat::v1::WatchChatsResponse;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::timeout,
};

use super::{changes::Change, world::World};

/// No change is on its way for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// That a watcher heard of a chat as it was after one of its changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt {
    watcher: usize,
    chat: usize,
    number: u32,
    at: Instant,
}

impl Receipt {
    /// What a message of a change says; none if it is of something else.
    pub(super) fn of(watcher: usize, message: &WatchChatsResponse) -> Option<Self> {
        let title = message.chat.as_ref()?.title.strip_prefix("chat ")?;
        let (chat, number) = title.split_once(' ')?;
        Some(Self {
            watcher,
            chat: chat.parse().ok()?,
            number: number.parse().ok()?,
            at: Instant::now(),
        })
    }
}

/// All receipts, by watcher and chat, in the order in which they came.
pub(super) struct Receipts {
    sender: UnboundedSender<Receipt>,
    receiver: UnboundedReceiver<Receipt>,
    by_watcher: HashMap<(usize, usize), Vec<Receipt>>,
}

impl Default for Receipts {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver,
            by_watcher: HashMap::new(),
        }
    }
}

impl Receipts {
    pub(super) fn sender(&self) -> UnboundedSender<Receipt> {
        self.sender.clone()
    }

    /// Waits until each watcher has heard of the last of these changes of each of its chats.
    /// Returns when the last one did.
    pub(super) async fn wait_for(
        &mut self,
        world: &World,
        changes: &[Change],
    ) -> anyhow::Result<Instant> {
        let mut missing: HashMap<(usize, usize), u32> = HashMap::new();
        for change in changes {
            for watcher in world.watchers_of(change.chat) {
                let last = missing.entry((watcher, change.chat)).or_default();
                *last = change.number.max(*last);
            }
        }
        missing.retain(|pair, last| {
            let heard = self.by_watcher.get(pair).and_then(|heard| heard.last());
            heard.is_none_or(|heard| heard.number < *last)
        });
        let mut at = Instant::now();
        while !missing.is_empty() {
            let receipt = timeout(PATIENCE, self.receiver.recv()).await;
            let receipt = receipt.with_context(|| format!("{} changes were missed", missing.len()));
            let receipt = receipt?.context("a sender is here")?;
            let pair = (receipt.watcher, receipt.chat);
            if missing
                .get(&pair)
                .is_some_and(|last| *last <= receipt.number)
            {
                missing.remove(&pair);
            }
            at = receipt.at;
            self.by_watcher.entry(pair).or_default().push(receipt);
        }
        Ok(at)
    }

    /// How long each change took to each watcher, from its answer and from its call. A watcher that
    /// heard of a later change of the chat has heard of this one; one that heard before the call
    /// was answered took no time.
    pub(super) fn times(
        &self,
        world: &World,
        changes: &[Change],
    ) -> anyhow::Result<[Vec<Duration>; 2]> {
        let (mut answered, mut called) = (Vec::new(), Vec::new());
        for change in changes {
            for watcher in world.watchers_of(change.chat) {
                let heard = self.by_watcher.get(&(watcher, change.chat));
                let heard = heard.context("a change was missed")?;
                let index = heard.partition_point(|heard| heard.number < change.number);
                let heard = heard.get(index).context("a change was missed")?;
                answered.push(heard.at.saturating_duration_since(change.answered));
                called.push(heard.at.saturating_duration_since(change.called));
            }
        }
        Ok([answered, called])
    }
}
