//! Clocks are an hour off, each another way.

use e2e::load::{Judged, Setting, under_load};
use jiff::Timestamp;
use testkit::{clock, postgres, process::Process};
use tokio::time::sleep;

use super::OUTAGE;

const HOUR: i64 = 60 * 60;

/// By how many seconds the process is ahead, as the times of its log tell.
fn ahead(process: &Process) -> i64 {
    let lines = process.log();
    let last = lines.last().and_then(|line| line["timestamp"].as_str());
    let logged: Timestamp = last.unwrap().parse().unwrap();
    logged.as_second() - Timestamp::now().as_second()
}

/// Leases, freshness and deadlines are by the database's clock, or durations.
#[tokio::test]
async fn clocks_that_are_an_hour_off_cost_nothing() {
    let early = clock::shifted(-HOUR).await;
    let late = clock::shifted(HOUR).await;
    let early = early
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let late = late.each_ref().map(|(name, value)| (*name, value.as_str()));
    let setting = Setting {
        chat_service: &late,
        replica: &early,
        workers: [&early, &late],
    };
    let database = postgres::database().await;
    let name = "clocks an hour off";
    under_load(name, database, setting, Judged::UNNOTICED, async |scene| {
        sleep(OUTAGE).await;
        let processes = [
            (&scene.stack.chat_service, HOUR),
            (&scene.replica.process, -HOUR),
            (&scene.workers[0].process, -HOUR),
            (&scene.workers[1].process, HOUR),
        ];
        for (process, expected) in processes {
            // What was logged last may be a minute old.
            let off = ahead(process) - expected;
            assert!((-60..=1).contains(&off), "{off} s besides {expected}");
        }
    })
    .await;
}
