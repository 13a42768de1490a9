//! What this process says about itself to balancers: `readyz` and gRPC health.

use std::time::Duration;

use service_runtime::ops::Readiness;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::store::Store;

/// The database is asked this often whether it is there.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// The database answers within this, or it is not there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Says what is true about readiness until `stop`, and then that it is over.
pub(super) async fn report(
    store: &Store,
    readiness: &Readiness,
    reporters: &[HealthReporter],
    stop: &CancellationToken,
) {
    loop {
        let ping = stop.run_until_cancelled(tokio::time::timeout(PING_TIMEOUT, store.ping()));
        let status = match ping.await {
            Some(Ok(Ok(()))) => {
                readiness.ready();
                ServingStatus::Serving
            }
            Some(Ok(Err(_)) | Err(_)) | None => {
                readiness.not_ready("the database does not answer");
                ServingStatus::NotServing
            }
        };
        set_status(reporters, status).await;
        if stop
            .run_until_cancelled(tokio::time::sleep(HEALTH_INTERVAL))
            .await
            .is_none()
        {
            readiness.not_ready("draining");
            set_status(reporters, ServingStatus::NotServing).await;
            return;
        }
    }
}

/// Says the same of all services, on all listeners.
pub(super) async fn set_status(reporters: &[HealthReporter], status: ServingStatus) {
    const SERVICES: [&str; 5] = [
        "",
        "chat.v1.ChatService",
        "chat.v1.GitAccountService",
        "chat.v1.SyncService",
        "chat.v1.SyncAdminService",
    ];
    for reporter in reporters {
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
    }
}
