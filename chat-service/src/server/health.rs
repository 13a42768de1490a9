//! What this process says about itself to balancers: `readyz` and gRPC health.

use std::time::Duration;

use service_runtime::{ops::Readiness, services::Health};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// The database is asked this often whether it is there.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// Says what is true about readiness until `stop`, and then that it is over.
pub(super) async fn report(
    store: &Store,
    readiness: &Readiness,
    healths: &[Health],
    stop: &CancellationToken,
) {
    loop {
        let ping = stop.run_until_cancelled(store.ping()).await;
        if let Some(Err(unfit)) = ping {
            readiness.not_ready(unfit.to_string());
        } else if ping.is_some() {
            readiness.ready();
        }
        say(healths, ping == Some(Ok(()))).await;
        if stop
            .run_until_cancelled(tokio::time::sleep(HEALTH_INTERVAL))
            .await
            .is_none()
        {
            readiness.not_ready("draining");
            say(healths, false).await;
            return;
        }
    }
}

async fn say(healths: &[Health], serving: bool) {
    for health in healths {
        health.set(serving).await;
    }
}
