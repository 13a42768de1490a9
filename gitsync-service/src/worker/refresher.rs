//! Looks up the refs of a lease: asks what [`Resolver`]s want to know, as far as the budget allows,
//! and plans the next refresh of each ref that was resolved.

use std::{borrow::Cow, collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use proto::sync::{
    BudgetObservation, CredentialObservation, Finding, Learned, Lease, LeaseGroup, LeasedRef,
    Outcome, ProblemClass, ProviderKind,
};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::Instant,
};

use crate::{
    budget::{self, Budgets, DemandFactor, LeaseBudget},
    host::{
        Answer, DiffAnswer, DiffTarget, Host,
        github::{self, Github, GithubError, OpenError},
    },
    metrics::Metrics,
    resolve::{Resolution, Resolver},
    schedule::Schedule,
};

use super::diff::{DIFFS_AT_ONCE, DiffFetch, LookupResult, diff_of, result};

/// How many requests to git hosts a worker has on the wire at once.
pub const CONCURRENCY: usize = 10;

/// How refs are looked up.
#[derive(Clone, Debug)]
pub struct RefresherSettings {
    /// See [`CONCURRENCY`]; at least 1.
    pub concurrency: usize,
    /// How long one request to a git host may take.
    pub request_timeout: Duration,
    /// When a ref is looked up again.
    pub schedule: Schedule,
    /// How much of a rate limit is spent.
    pub budget: budget::Settings,
    /// How GitHub is asked.
    pub github: github::Settings,
    /// Where to count.
    pub metrics: Arc<Metrics>,
}

impl Default for RefresherSettings {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            request_timeout: github::REQUEST_TIMEOUT,
            schedule: Schedule::default(),
            budget: budget::Settings::default(),
            github: github::Settings::default(),
            metrics: Arc::default(),
        }
    }
}

/// Looks refs up. One per worker: all its leases share request slots, and what is known of hosts.
#[derive(Clone, Debug)]
pub struct Refresher {
    github: Arc<Github>,
    budgets: Arc<Budgets>,
    schedule: Arc<Schedule>,
    metrics: Arc<Metrics>,
    /// Places for diffs.
    diffs: Arc<Semaphore>,
}

impl Refresher {
    /// Sets up what all leases share.
    ///
    /// # Errors
    ///
    /// When the HTTP client cannot be set up.
    pub fn new(settings: RefresherSettings) -> Result<Self, GithubError> {
        let (concurrency, metrics) = (settings.concurrency.max(1), settings.metrics);
        Ok(Self {
            github: Arc::new(Github::new(settings.github, settings.request_timeout)?),
            budgets: Budgets::new(settings.budget, concurrency, Arc::clone(&metrics)),
            schedule: Arc::new(settings.schedule),
            metrics,
            diffs: Arc::new(Semaphore::new(DIFFS_AT_ONCE)),
        })
    }

    /// Prepares the refresh of a lease, whose turn ends at `deadline` at the latest. Sends nothing
    /// yet.
    #[must_use]
    pub fn begin(&self, lease: Arc<Lease>, deadline: Instant) -> Refresh {
        let demand = lease.groups.first().map(|group| {
            let base = &group.provider.api_base_url;
            let supply = self.github.supply(base, &lease.budget);
            self.budgets.demand_factor(&lease, &supply)
        });
        Refresh {
            budget: self.budgets.open(&lease, deadline),
            demand: demand.unwrap_or(DemandFactor::ONE),
            refresher: self.clone(),
            lease,
        }
    }

    pub(super) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// The refresh of one lease.
#[derive(Debug)]
pub struct Refresh {
    refresher: Refresher,
    lease: Arc<Lease>,
    budget: Arc<LeaseBudget>,
    /// By how much intervals are scaled for as long as the lease lasts.
    demand: DemandFactor,
}

impl Refresh {
    /// Looks up every ref and sends each outcome as soon as it is known, with its diff if that is
    /// wanted.
    ///
    /// A ref that was not asked for, because of a limit, a refused credential or the end of the
    /// turn, has no outcome. Cancel-safe: dropping it stops every request, and what was sent stays
    /// sent.
    pub async fn run(&self, outcomes: &UnboundedSender<LookupResult>) {
        // What a person waits for is asked first, whosever credential it needs.
        let mut groups: Vec<&LeaseGroup> = self.lease.groups.iter().collect();
        groups.sort_by_key(|group| group.refs.iter().map(|git_ref| git_ref.lane).min());
        let groups = groups.into_iter();
        join_all(groups.map(|group| self.look_up(group, outcomes))).await;
    }

    async fn look_up(&self, group: &LeaseGroup, outcomes: &UnboundedSender<LookupResult>) {
        let (diffs, wanted) = unbounded_channel();
        let sinks = RefSinks { outcomes, diffs };
        let fail = |class| {
            for git_ref in &group.refs {
                self.send(&sinks, failed(git_ref, class));
            }
        };
        let Some(credential) = &group.credential else {
            return fail(ProblemClass::NoAccount);
        };
        let admission = self.budget.admission(group);
        let github = match group.provider.kind {
            ProviderKind::Unspecified => Err(OpenError::Failed(ProblemClass::ProviderUnsupported)),
            ProviderKind::Github => {
                let github = &self.refresher.github;
                github.open(&group.provider, credential, admission.clone())
            }
        };
        match github {
            Ok(github) => {
                // What is resolved has its diff while others are still looked up.
                let resolving = async {
                    self.resolve(&group.refs, &github, &sinks).await;
                    drop(sinks);
                };
                tokio::join!(resolving, self.fetch_diffs(&github, wanted, outcomes));
            }
            Err(OpenError::Credential) => admission.unsendable_credential(),
            Err(OpenError::Failed(class)) => fail(class),
        }
    }

    /// Resolves refs of one credential. A panic is a bug that one of them meets: those that have no
    /// outcome yet are bisected, so that it fails alone and costs the others requests and no more.
    async fn resolve<'a>(&self, refs: &'a [LeasedRef], host: &impl Host, sinks: &RefSinks<'a>) {
        // A part of a bisection is a copy, and a diff may be asked for after it is gone.
        let send = |Resolution {
                        git_ref: copy,
                        finding,
                        learned,
                    }: Resolution<'_>| {
            if let Some(git_ref) = refs.iter().find(|git_ref| git_ref.id == copy.id) {
                self.send(
                    sinks,
                    Resolution {
                        git_ref,
                        finding,
                        learned,
                    },
                );
            }
        };
        let mut parts = vec![Cow::Borrowed(refs)];
        while let Some(part) = parts.pop() {
            let mut sent = HashSet::new();
            let mut note = |resolved: Resolution<'_>| {
                let id = resolved.git_ref.id;
                send(resolved);
                sent.insert(id);
            };
            if without_panic(self.resolve_all(&part, host, &mut note))
                .await
                .is_some()
            {
                continue;
            }
            let left = part.iter().filter(|git_ref| !sent.contains(&git_ref.id));
            let left: Vec<LeasedRef> = left.cloned().collect();
            match left.as_slice() {
                [] => {}
                [git_ref] => {
                    tracing::error!(git_ref.id = %git_ref.id, "the lookup of a ref panicked");
                    send(failed(git_ref, ProblemClass::Internal));
                }
                several => {
                    let (some, others) = several.split_at(several.len() / 2);
                    parts.extend([others, some].map(|half| Cow::Owned(half.to_vec())));
                }
            }
        }
    }

    async fn resolve_all(
        &self,
        refs: &[LeasedRef],
        host: &impl Host,
        send: &mut (impl FnMut(Resolution<'_>) + Send),
    ) {
        let mut resolver = Resolver::new(refs);
        loop {
            let asks = resolver.questions();
            for resolved in resolver.take_resolved() {
                send(resolved);
            }
            if asks.is_empty() {
                return;
            }
            host.ask(&asks, &mut |place, answer| {
                if let (Answer::Unsent(withheld), Some(ask)) = (&answer, asks.get(place)) {
                    self.budget.note_unsent(ask.lane, *withheld);
                }
                resolver.answer(place, &answer);
                for resolved in resolver.take_resolved() {
                    send(resolved);
                }
            })
            .await;
        }
    }

    fn send<'a>(&self, sinks: &RefSinks<'a>, resolved: Resolution<'a>) {
        let diff = if resolved.git_ref.diff_wanted {
            match diff_of(&resolved) {
                Ok(of) => {
                    // The receiver lives for as long as the group is looked up.
                    let _ = sinks.diffs.send((resolved, of));
                    return;
                }
                Err(result) => Some(DiffFetch::new(resolved.git_ref, result, None)),
            }
        } else {
            None
        };
        self.finish(sinks.outcomes, resolved, diff);
    }

    fn finish(
        &self,
        outcomes: &UnboundedSender<LookupResult>,
        resolved: Resolution<'_>,
        diff: Option<DiffFetch>,
    ) {
        let outcome = self.outcome(resolved);
        // The receiver is gone only after the lease has ended, when nothing may be written.
        let _ = outcomes.send(LookupResult { outcome, diff });
    }

    /// Asks for the diffs of refs that are resolved. One that was not asked for before the turn
    /// ended stays wanted, and its ref due, without an outcome. One that panics has failed, alone:
    /// its ref has the outcome that was found, and the others have their diffs.
    async fn fetch_diffs(
        &self,
        host: &impl Host,
        mut wanted: UnboundedReceiver<DiffTask<'_>>,
        outcomes: &UnboundedSender<LookupResult>,
    ) {
        let wanted = stream::poll_fn(move |context| wanted.poll_recv(context));
        let fetching = wanted.for_each_concurrent(DIFFS_AT_ONCE, |(resolved, of)| async move {
            let room = Arc::clone(&self.refresher.diffs).acquire_owned().await;
            let answer = without_panic(host.diff(&of)).await.unwrap_or_else(|| {
                let id = resolved.git_ref.id;
                tracing::error!(git_ref.id = %id, "the question for the diff of a ref panicked");
                DiffAnswer::Failed(ProblemClass::Internal)
            });
            if let Some(result) = result(&resolved, &of, answer, self.budget.pause()) {
                let diff = DiffFetch::new(resolved.git_ref, result, room.ok());
                self.finish(outcomes, resolved, Some(diff));
            }
        });
        fetching.await;
    }

    fn outcome(&self, resolved: Resolution<'_>) -> Outcome {
        let (git_ref, finding) = (resolved.git_ref, resolved.finding);
        let schedule = &self.refresher.schedule;
        Outcome {
            git_ref: git_ref.id,
            fence: git_ref.fence,
            next: schedule.next(&self.lease.budget_key, git_ref, &finding, self.demand),
            finding,
            learned: resolved.learned,
        }
    }

    /// Ends the turn: what is on the wire is finished, and nothing more is sent.
    pub fn stop(&self) {
        self.budget.stop();
    }

    /// The budget's observation from responses so far, as of now: a repeated report must not begin
    /// a pause again.
    #[must_use]
    pub fn observation(&self) -> Option<BudgetObservation> {
        self.budget.observation()
    }

    /// The observations of the lease's credentials so far.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialObservation> {
        self.budget.credentials()
    }

    /// The report with the last observation arrived: what it counted is not counted again.
    pub(super) fn delivered(&self) {
        self.budget.delivered();
    }

    /// Keeps the budget's pauses for its next lease, since this one cannot report them.
    pub(super) fn undeliverable(&self) {
        self.budget.undeliverable();
    }

    /// The outcome that replaces one that chat-service refuses: a ref without any outcome would be
    /// due again at once, for ever.
    pub(super) fn in_place_of(&self, refused: &Outcome) -> Outcome {
        let mut refs = self.lease.groups.iter().flat_map(|group| &group.refs);
        match refs.find(|git_ref| git_ref.id == refused.git_ref) {
            Some(git_ref) => self.outcome(failed(git_ref, ProblemClass::Internal)),
            None => refused.clone(),
        }
    }
}

/// A ref that is resolved, and of what its diff is.
type DiffTask<'a> = (Resolution<'a>, DiffTarget);

/// Where refs go once they are resolved.
struct RefSinks<'a> {
    /// Those of which all is known.
    outcomes: &'a UnboundedSender<LookupResult>,
    /// Those whose diff is to be asked for.
    diffs: UnboundedSender<DiffTask<'a>>,
}

/// What a part of a lease's work returns. `None` when it panicked: a bug, which costs that part and
/// not the turn. State that a panic interrupted is used as it is, like behind a poisoned lock.
async fn without_panic<T>(part: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(part).catch_unwind().await.ok()
}

/// The result of a ref that was not looked up, for a reason other than its repository.
fn failed(git_ref: &LeasedRef, class: ProblemClass) -> Resolution<'_> {
    Resolution {
        git_ref,
        finding: Finding::Failed {
            class,
            repository_wide: false,
        },
        learned: Learned::default(),
    }
}

#[cfg(test)]
mod tests;
