//! Asks each question once: whoever asks it again, or meanwhile, gets the same answer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use crate::outcome::Problem;

type Slot<V> = Arc<OnceCell<Result<V, Problem>>>;

/// Answers by question. Failures are remembered too: they live no longer than a lease does, and
/// asking a failing host once per chat is what a shared answer avoids.
pub(crate) struct Memo<K, V>(Mutex<HashMap<K, Slot<V>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// Returns the answer to `question`, asking with `ask` if nobody has. When the one who asks is
    /// dropped, the next in line asks.
    pub(crate) async fn get<F>(&self, question: K, ask: impl FnOnce() -> F) -> Result<V, Problem>
    where
        F: Future<Output = Result<V, Problem>>,
    {
        let slot = Arc::clone(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(question)
                .or_default(),
        );
        slot.get_or_init(ask).await.clone()
    }
}
