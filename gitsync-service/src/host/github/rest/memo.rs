//! Single flight: each question is asked once, and its answer is kept for as long as the lease
//! lasts.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::super::NoAnswer;

type MemoSlot<V> = Arc<OnceCell<Result<V, NoAnswer>>>;

/// Answers by question. A host's failure is kept, too: asking a failing host once for each ref is
/// what a shared answer avoids. What was withheld is not: a more urgent question may be sent.
pub(super) struct Memo<K, V>(Mutex<HashMap<K, MemoSlot<V>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// The answer to `question`, asked with `ask` unless it is there or on its way. When the task
    /// that asks is dropped, the next one in line asks.
    pub(super) async fn get<F>(&self, question: K, ask: impl FnOnce() -> F) -> Result<V, NoAnswer>
    where
        F: Future<Output = Result<V, NoAnswer>>,
    {
        let slot = Arc::clone(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(question)
                .or_default(),
        );
        let answer = slot.get_or_try_init(|| async {
            match ask().await {
                Err(reason @ NoAnswer::Withheld(_)) => Err(reason),
                answer => Ok(answer),
            }
        });
        answer.await?.clone()
    }
}
