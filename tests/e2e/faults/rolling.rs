//! New versions are rolled out while the services are used.

use e2e::load::{Judged, Setting, under_load};
use testkit::{postgres, process::Signal};

/// Promise 5, for a rollout, and every watcher resumes: the processes end one after the other on
/// SIGTERM, each when the load is steady again. Callers know two replicas and repeat calls as
/// documented.
#[tokio::test]
async fn a_rolling_restart_of_both_services_fails_no_call_and_loses_no_outcome() {
    let database = postgres::database().await;
    let (name, setting) = ("rolling restart of both services", Setting::default());
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        scene.stack.chat_service.signal(Signal::Terminate).unwrap();
        assert!(scene.stack.chat_service.wait().await.success());
        scene.stack.restart_chat_service().await;
        scene.load.steady().await;
        scene.replica.process.signal(Signal::Terminate).unwrap();
        assert!(scene.replica.process.wait().await.success());
        scene.stack.restart_replica(&mut scene.replica).await;
        scene.load.steady().await;
        for place in 0..scene.workers.len() {
            let new = scene.stack.worker().await;
            let old = std::mem::replace(&mut scene.workers[place], new);
            old.process.stop().await;
            scene.load.steady().await;
        }
    })
    .await;
}
