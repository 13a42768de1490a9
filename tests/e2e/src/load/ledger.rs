//! What callers were answered: the account by which it is judged whether anything was lost or
//! doubled.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use testkit::lock::lock;
use tonic::{Code, Status};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GetChats`.
    List,
    /// `CreateChat`.
    Create,
    /// `ReportGitRef`.
    Report,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::List, Self::Create, Self::Report];
}

/// A call that failed after all its attempts.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it was.
    pub kind: Kind,
    /// When it ended.
    pub at: Instant,
    /// How.
    pub status: Status,
}

/// A chat whose report was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    /// The place of its owner among the users.
    pub(super) owner: usize,
    /// Its id.
    pub(super) chat: String,
    /// How often the report was sent.
    pub(super) attempts: usize,
}

/// What is written down.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// By branch.
    pub(super) reported: BTreeMap<String, Reported>,
    /// Branches of which a call failed: the chat may be there or not, and its ref as well.
    pub(super) doubtful: Vec<String>,
    pub(super) answered: BTreeMap<Kind, Vec<Instant>>,
    pub(super) failures: Vec<Failure>,
    /// Attempts beyond the first.
    pub(super) repeated: usize,
}

/// Shared by the callers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

impl Ledger {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }

    /// Notes how a call ended, and passes its answer on.
    pub(super) fn note<T>(
        &self,
        kind: Kind,
        (attempts, answer): (usize, Result<T, Status>),
    ) -> Option<T> {
        let (mut entries, at) = (self.entries(), Instant::now());
        entries.repeated += attempts - 1;
        match answer {
            Ok(answer) => {
                entries.answered.entry(kind).or_default().push(at);
                Some(answer)
            }
            Err(status) => {
                entries.failures.push(Failure { kind, at, status });
                None
            }
        }
    }
}

impl Entries {
    /// How long after `mended` calls of this kind failed, or were not answered yet. `None` when
    /// none was answered since.
    pub(super) fn recovery(&self, kind: Kind, mended: Instant) -> Option<Duration> {
        let failures = self.failures.iter().filter(|failure| failure.kind == kind);
        let last = failures.map(|failure| failure.at).max();
        let healthy_from = last.map_or(mended, |last| last.max(mended));
        let answered = self.answered.get(&kind)?.iter();
        let first = answered.filter(|at| **at >= healthy_from).min()?;
        Some(first.duration_since(mended))
    }

    /// How many calls failed, by code.
    pub(super) fn codes(&self) -> BTreeMap<String, usize> {
        let mut codes = BTreeMap::new();
        for failure in &self.failures {
            *codes
                .entry(format!("{:?}", failure.status.code()))
                .or_default() += 1;
        }
        codes
    }

    /// The failures that no fault of the surroundings explains: a service that cannot answer says
    /// UNAVAILABLE, and one that is too slow meets the deadline.
    pub(super) fn unexplained(&self) -> Vec<&Failure> {
        let is_explained = |failure: &&Failure| {
            let (status, code) = (&failure.status, failure.status.code());
            matches!(code, Code::Unavailable | Code::DeadlineExceeded)
                || super::client::broke(status)
        };
        let failures = self.failures.iter();
        failures.filter(|failure| !is_explained(failure)).collect()
    }
}

/// How long it took until all was well again, and what it cost.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Calls that were answered.
    pub answered: usize,
    /// Attempts beyond the first of their call.
    pub repeated: usize,
    /// Calls that failed after all attempts, by code.
    pub failed: BTreeMap<String, usize>,
    /// From the end of the fault until calls of each kind were answered for good.
    pub calls: BTreeMap<Kind, Duration>,
    /// Until every acknowledged report was looked up.
    pub looked_up: Duration,
    /// Until every watcher showed every final state.
    pub watched: Duration,
    /// Reports that were acknowledged.
    pub reported: usize,
}

impl fmt::Display for Recovery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} answered, {} repeated, failed {:?}; well again after: ",
            self.answered, self.repeated, self.failed
        )?;
        for (kind, after) in &self.calls {
            write!(formatter, "{kind:?} {:.1} s, ", after.as_secs_f64())?;
        }
        write!(
            formatter,
            "{} reports looked up {:.1} s, watchers {:.1} s",
            self.reported,
            self.looked_up.as_secs_f64(),
            self.watched.as_secs_f64()
        )
    }
}
