//! Processes of the services are killed, or stand still.

use std::time::Duration;

use e2e::load::{Judged, Scene, Setting, under_load};
use testkit::{github::Matching, postgres, process::Signal};
use tokio::time::sleep;

use super::OUTAGE;

/// Shorter than a fault lasts: the leases of a worker that stands still run out.
const SETTING: Setting<'_> = Setting {
    chat_service: &[("CHAT_LEASE_DURATION", "3s")],
    replica: &[],
    workers: [&[], &[]],
};
/// Answers come so late that each worker always has something in hand.
const HOST_LATE: Duration = Duration::from_millis(500);

async fn run(name: &str, judged: Judged, fault: impl AsyncFnOnce(&mut Scene<'_>)) {
    let database = postgres::database().await;
    under_load(name, database, SETTING, judged, async |scene| {
        scene.stack.github.latency(HOST_LATE);
        fault(scene).await;
        scene.stack.github.latency(Duration::ZERO);
    })
    .await;
}

#[tokio::test]
async fn a_killed_replica_fails_no_call_of_those_who_know_two() {
    run("chat-service killed", Judged::UNNOTICED, async |scene| {
        scene.stack.chat_service.signal(Signal::Kill).unwrap();
        scene.stack.chat_service.wait().await;
        sleep(OUTAGE).await;
        scene.stack.restart_chat_service().await;
    })
    .await;
}

/// Connections stay open, so that calls hang until their deadline.
#[tokio::test]
async fn a_replica_that_stands_still_loses_nothing_that_was_acknowledged() {
    run("chat-service stopped", Judged::OUTAGE, async |scene| {
        scene.stack.chat_service.signal(Signal::Stop).unwrap();
        sleep(OUTAGE).await;
        scene.stack.chat_service.signal(Signal::Continue).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_killed_worker_costs_nothing_and_its_refs_are_looked_up_by_another() {
    run("a worker killed", Judged::UNNOTICED, async |scene| {
        let asked = scene.stack.github.count(Matching::any());
        scene.workers.remove(0).process.kill();
        sleep(OUTAGE).await;
        assert!(
            scene.stack.github.count(Matching::any()) > asked,
            "no other worker asks"
        );
        let worker = scene.stack.worker().await;
        scene.workers.push(worker);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_stands_still_past_its_lease_costs_nothing_and_doubles_nothing() {
    run(
        "a worker stopped past its lease",
        Judged::UNNOTICED,
        async |scene| {
            scene.workers[0].process.signal(Signal::Stop).unwrap();
            sleep(OUTAGE).await;
            scene.workers[0].process.signal(Signal::Continue).unwrap();
        },
    )
    .await;
}
