//! The network between two of the processes is cut, or slow.

use std::time::Duration;

use e2e::load::{Judged, Scene, Setting, under_load};
use testkit::{
    github::{Fault, Matching},
    postgres,
    proxy::{Mode, Proxy},
};
use tokio::time::sleep;

use super::OUTAGE;

/// What is passed on comes so much later, either way.
const LATE: Duration = Duration::from_millis(100);
/// Answers of the host come so much later: it takes its time as it is.
const HOST_LATE: Duration = Duration::from_secs(2);
/// After a host that failed, the backoff of what was asked has passed.
const HOST_RECOVERED: Duration = Duration::from_secs(60);

/// Has these proxies do so for a while.
async fn meanwhile<'a>(proxies: impl Fn() -> Vec<&'a Proxy>, mode: Mode) {
    for proxy in proxies() {
        proxy.set(mode);
    }
    sleep(OUTAGE).await;
    for proxy in proxies() {
        proxy.restore();
    }
}

async fn run(name: &str, judged: Judged, fault: impl AsyncFnOnce(&mut Scene<'_>)) {
    let database = postgres::database().await;
    under_load(name, database, Setting::default(), judged, fault).await;
}

/// One of two: the callers' attempts go to the other.
#[tokio::test]
async fn callers_that_are_cut_off_from_a_replica_go_on_at_the_other() {
    run("callers cut off", Judged::UNNOTICED, async |scene| {
        meanwhile(|| vec![&scene.fronts[0]], Mode::Cut).await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_are_cut_off_from_all_replicas_lose_nothing_that_was_acknowledged() {
    run("callers cut off from all", Judged::OUTAGE, async |scene| {
        meanwhile(|| scene.fronts.iter().collect(), Mode::Cut).await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_network_of_the_callers_fails_no_call() {
    run("callers slow", Judged::UNNOTICED, async |scene| {
        meanwhile(|| scene.fronts.iter().collect(), Mode::Delay(LATE)).await;
    })
    .await;
}

#[tokio::test]
async fn workers_that_are_cut_off_from_chat_service_lose_nothing() {
    run("workers cut off", Judged::UNNOTICED, async |scene| {
        let proxies = || scene.workers.iter().map(|worker| &worker.proxy).collect();
        meanwhile(proxies, Mode::Cut).await;
    })
    .await;
}

#[tokio::test]
async fn workers_on_a_slow_network_lose_nothing() {
    run("workers slow", Judged::UNNOTICED, async |scene| {
        let proxies = || scene.workers.iter().map(|worker| &worker.proxy).collect();
        meanwhile(proxies, Mode::Delay(LATE)).await;
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_is_cut_off_from_postgresql_fails_no_call_of_those_who_know_two() {
    run(
        "a replica cut off from PostgreSQL",
        Judged::UNNOTICED,
        async |scene| {
            meanwhile(|| vec![&scene.stack.database_proxy], Mode::Cut).await;
        },
    )
    .await;
}

/// A partition closes nothing, so that calls hang until the service finds out.
#[tokio::test]
async fn a_replica_that_hears_nothing_of_postgresql_loses_nothing_that_was_acknowledged() {
    run(
        "a replica partitioned from PostgreSQL",
        Judged::OUTAGE,
        async |scene| {
            meanwhile(|| vec![&scene.stack.database_proxy], Mode::Stall).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_slow_network_of_postgresql_fails_no_call() {
    run(
        "PostgreSQL's network slow",
        Judged::UNNOTICED,
        async |scene| {
            let proxies = || vec![&scene.stack.database_proxy, &scene.replica.database_proxy];
            meanwhile(proxies, Mode::Delay(LATE)).await;
        },
    )
    .await;
}

#[tokio::test]
async fn workers_that_are_cut_off_from_the_host_look_everything_up_afterwards() {
    let judged = Judged {
        problems: true,
        within: HOST_RECOVERED,
        ..Judged::UNNOTICED
    };
    run("the host cut off", judged, async |scene| {
        let github = &scene.stack.github;
        let cut = github.fault(Matching::any()).respond(Fault::Reset);
        sleep(OUTAGE).await;
        github.clear_faults();
        assert!(cut.hits() > 0, "the host was not asked");
    })
    .await;
}

#[tokio::test]
async fn a_slow_network_of_the_host_loses_nothing() {
    run(
        "the host's network slow",
        Judged::UNNOTICED,
        async |scene| {
            scene.stack.github.latency(HOST_LATE);
            sleep(OUTAGE).await;
            scene.stack.github.latency(Duration::ZERO);
        },
    )
    .await;
}
