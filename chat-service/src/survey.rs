//! State that no process sees in its own calls: due refs, leases, pauses, credentials and problems,
//! over all replicas.
//!
//! The relay alone asks the database, every 10 s, and shows the answer as gauges; a process that is
//! not the relay, or whose database is away, shows none, so that no old number is taken for a new
//! one. The three statements read at most some ten thousand index entries each, however much is
//! due, and are 0.3 a second for all replicas.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use proto::sync::{Lane, ProblemName as _};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    events::metrics::EventMetrics,
    store::{Store, sync::SyncCounts},
};

/// How often the relay asks.
const INTERVAL: Duration = Duration::from_secs(10);
/// How soon a new relay publishes its first survey, and the former relay clears its own.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

type SurveyLabels<const N: usize> = [(&'static str, String); N];
type Gauges<const N: usize> = Family<SurveyLabels<N>, Gauge>;

/// The gauges of the relay. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SurveyMetrics {
    due: Gauges<1>,
    overdue: Gauges<1>,
    oldest: Family<SurveyLabels<1>, Gauge<f64, AtomicU64>>,
    problems: Gauges<1>,
    leases: Gauges<1>,
    paused: Gauges<2>,
    credentials: Gauges<2>,
}

impl SurveyMetrics {
    /// Registers the gauges.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "chat_due_refs",
            "Refs that are due, by lane, 10000 of each at most; as the relay sees them",
            metrics.due.clone(),
        );
        registry.register(
            "chat_overdue_refs",
            "Refs that have been due for more than a minute although they could be leased, by lane, \
             10000 of each at most; as the relay sees them",
            metrics.overdue.clone(),
        );
        registry.register_with_unit(
            "chat_oldest_due_ref",
            "For how long the oldest due ref of a lane has been due, pauses and rests included; as \
             the relay sees it",
            Unit::Seconds,
            metrics.oldest.clone(),
        );
        registry.register(
            "chat_problem_refs",
            "Refs whose last lookup failed, by class, 10000 of each at most; as the relay sees them",
            metrics.problems.clone(),
        );
        registry.register(
            "chat_leases",
            "Live leases by provider, as the relay sees them",
            metrics.leases.clone(),
        );
        registry.register(
            "chat_paused_budgets",
            "Budgets that are paused or rest, by provider and class, of the first 2000 of each lane; \
             as the relay sees them",
            metrics.paused.clone(),
        );
        registry.register(
            "chat_credentials",
            "Accounts with a credential (linked), and those of them whose credential the host has \
             refused (suspect) or that is given up (rejected), by provider, 10000 of each at most; as \
             the relay sees them",
            metrics.credentials.clone(),
        );
        metrics
    }

    fn show(&self, counts: &SyncCounts) {
        self.clear();
        for lane in [Lane::Interactive, Lane::Viewed, Lane::Active, Lane::Idle] {
            let label = [("lane", lane.name().to_owned())];
            let state = counts.lanes.iter().find(|state| state.lane == lane);
            let (due, overdue) = state.map_or((0, 0), |state| (state.due, state.overdue));
            let oldest = state.and_then(|state| state.oldest).unwrap_or_default();
            self.due.get_or_create(&label).set(due);
            self.overdue.get_or_create(&label).set(overdue);
            self.oldest.get_or_create(&label).set(oldest.as_secs_f64());
        }
        for (class, refs) in &counts.problems {
            let label = [("class", class.name().to_owned())];
            self.problems.get_or_create(&label).set(*refs);
        }
        for state in &counts.states {
            let provider = [("provider", state.provider_id.clone())];
            // Shown as 0 for a provider whose accounts have no lease now.
            self.leases.get_or_create_owned(&provider);
            let [of] = &provider;
            let named = |name| [of.clone(), (name, state.state.clone())];
            let gauge = match state.kind.as_str() {
                "lease" => self.leases.get_or_create_owned(&provider),
                "pause" => self.paused.get_or_create_owned(&named("class")),
                _ => self.credentials.get_or_create_owned(&named("state")),
            };
            gauge.set(state.number);
        }
    }

    fn clear(&self) {
        for gauges in [&self.due, &self.overdue, &self.problems, &self.leases] {
            gauges.clear();
        }
        for gauges in [&self.paused, &self.credentials] {
            gauges.clear();
        }
        self.oldest.clear();
    }
}

/// Shows the gauges while this process is the relay, until `stop`.
pub(crate) async fn run(
    store: Store,
    relay: EventMetrics,
    metrics: SurveyMetrics,
    stop: CancellationToken,
) {
    let surveying = async {
        let mut rounds = tokio::time::interval(INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if !relay.is_relay() {
                metrics.clear();
                rounds.reset_immediately();
                tokio::time::sleep(LOOK_INTERVAL).await;
                continue;
            }
            tokio::select! {
                _ = rounds.tick() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => continue,
            }
            match store.sync_counts().await {
                Ok(counts) => metrics.show(&counts),
                // The gateway counts failures, and says so by name.
                Err(error) => {
                    tracing::debug!(%error, "the state of the synchronisation is not known");
                    metrics.clear();
                }
            }
        }
    };
    stop.run_until_cancelled(surveying).await;
}
