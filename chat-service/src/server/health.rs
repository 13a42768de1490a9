//! The process's health for load balancers: `readyz` and gRPC health.

use std::time::Duration;

use service_runtime::{ops::Readiness, services::Health, telemetry::Failing};
use tokio_util::sync::CancellationToken;

use crate::{
    events::{metrics::EventMetrics, watch::Watchers},
    store::Store,
};

/// The database is asked this often whether it is there.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// Health name that says whether changes reach the watchers of this process. It is part neither of
/// `readyz` nor of the service's health: a lost relay would take all replicas out of rotation at
/// once.
pub(super) const WATCHING: &str = "chat.v1.ChatService/WatchChats";
/// Changes reach watchers within this, whatever process or host is lost.
const MAX_LAG: Duration = Duration::from_secs(15);

/// Reports the readiness until `stop`, and then "not ready".
pub(super) async fn report(
    store: &Store,
    watchers: &Watchers,
    metrics: &EventMetrics,
    readiness: &Readiness,
    healths: &[Health; 3],
    stop: &CancellationToken,
) {
    let [public, ..] = healths;
    let failing = Failing::default();
    loop {
        let ping = stop.run_until_cancelled(store.ping()).await;
        let serving = ping == Some(Ok(()));
        match ping {
            Some(Ok(())) => {
                readiness.ready();
                if failing.ends() {
                    tracing::info!(event = "database_back", "the database takes work again");
                }
            }
            Some(Err(unfit)) => {
                readiness.not_ready(unfit.to_string());
                if failing.begins() {
                    tracing::warn!(event = "database_away", why = %unfit, "the database takes no work");
                }
            }
            // Stopping: reported at the end of this round.
            None => {}
        }
        say(healths, serving).await;
        let lag = watchers.lag();
        metrics.observe_lag(lag);
        let watching = serving && lag <= MAX_LAG;
        public.set_one(WATCHING, watching).await;
        if stop
            .run_until_cancelled(tokio::time::sleep(HEALTH_INTERVAL))
            .await
            .is_none()
        {
            readiness.not_ready("draining");
            say(healths, false).await;
            public.set_one(WATCHING, false).await;
            return;
        }
    }
}

async fn say(healths: &[Health], serving: bool) {
    for health in healths {
        health.set(serving).await;
    }
}
