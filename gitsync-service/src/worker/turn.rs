//! The work on one lease: refs are looked up and reported while the lease is renewed.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use service_runtime::{telemetry, trace};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::sync_client::SyncClient;

use super::{
    Refresher, WorkerState,
    active_lease::ActiveLease,
    report::{LeaseEnd, Reporter},
};

/// The parts of its worker that the work on a lease needs.
#[derive(Clone)]
pub(super) struct LeaseContext {
    pub(super) sync: SyncClient,
    pub(super) refresher: Refresher,
    pub(super) state: Arc<WorkerState>,
    pub(super) tick_timeout: Duration,
    /// Cancelled when a stopping worker must turn from lookups to reports.
    pub(super) wind_up: CancellationToken,
}

/// Works on a lease until everything is reported and the lease is given back, or it is lost: within
/// the trace of the person who waits for it, if one does.
pub(super) async fn work(context: LeaseContext, active: ActiveLease) {
    let lease = &active.lease;
    let refs = lease.groups.iter().flat_map(|group| &group.refs);
    let waiting = refs.filter_map(|git_ref| git_ref.traceparent.as_deref());
    let trace = trace::Span::turn("turn", waiting);
    trace.set("gitsync.budget.key", lease.budget_key.0.clone());
    trace.set(
        "gitsync.refs",
        i64::try_from(lease.ref_count()).unwrap_or(i64::MAX),
    );
    // A budget is of one provider.
    let provider = lease.groups.first().map(|group| &group.provider);
    let span = tracing::info_span!(
        target: telemetry::SPAN,
        "turn",
        budget.key = lease.budget_key.0,
        provider.id = provider.map(|provider| provider.id.as_str()),
        git_host.name = provider.map(|provider| provider.host.as_str()),
        trace.id = trace.trace_id(),
    );
    let held = Box::pin(hold(context, active));
    trace.scope(held).instrument(span).await;
}

async fn hold(context: LeaseContext, active: ActiveLease) {
    let lease = Arc::clone(&active.lease);
    let deadline = Instant::now() + context.tick_timeout;
    let refresh = context.refresher.begin(Arc::clone(&lease), deadline);
    let (outcomes, found) = mpsc::unbounded_channel();

    let looking_up = async {
        tokio::select! {
            () = refresh.run(&outcomes) => {}
            () = context.wind_up.cancelled() => {}
        }
        // The reporter ends when nothing more can come.
        drop(outcomes);
        Ok::<(), LeaseEnd>(())
    };
    let reporter = Reporter {
        sync: &context.sync,
        state: &context.state,
        active: &active,
        refresh: &refresh,
        refused: AtomicBool::new(false),
    };
    let working = async { tokio::try_join!(looking_up, reporter.run(found)) };

    let over = tokio::select! {
        biased;
        worked = working => worked.err(),
        () = active.keep(&refresh) => Some(LeaseEnd::Lost),
    };
    if over.is_some() {
        refresh.undeliverable();
    }
    match over {
        None => {}
        Some(LeaseEnd::Lost) => {
            context.state.metrics().leases_lost.inc();
            context
                .state
                .note_error("lease", "a lease was lost".to_owned());
            tracing::warn!(
                refs = lease.ref_count(),
                "a lease was lost; its results are dropped"
            );
        }
        Some(LeaseEnd::Unreported) => {
            tracing::warn!(
                refs = lease.ref_count(),
                "outcomes could not be reported for as long as the lease ran"
            );
        }
    }
}
