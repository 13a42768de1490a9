//! The git host is down, slow, or says what is not so.

use std::time::Duration;

use e2e::load::{Judged, Setting, under_load};
use testkit::{
    github::{Fault, Matching, Overload},
    postgres,
};
use tokio::time::sleep;

use super::OUTAGE;

/// After a host that failed, the backoff of what was asked has passed.
const JUDGED: Judged = Judged {
    failures: false,
    problems: true,
    resyncs: 0,
    within: Duration::from_secs(60),
};

/// The host does each of these for a while, and no caller of chat-service notices.
async fn while_the_host(name: &str, faults: &[Fault]) {
    let database = postgres::database().await;
    under_load(name, database, Setting::default(), JUDGED, async |scene| {
        let mut hits = 0;
        for fault in faults {
            let handle = scene
                .stack
                .github
                .fault(Matching::any())
                .respond(fault.clone());
            sleep(OUTAGE / u32::try_from(faults.len()).unwrap()).await;
            scene.stack.github.clear_faults();
            hits += handle.hits();
        }
        assert!(hits > 0, "the host was not asked");
    })
    .await;
}

#[tokio::test]
async fn a_host_that_was_down_is_asked_again_and_nothing_is_lost() {
    while_the_host("the host down", &[Fault::Status(503)]).await;
}

#[tokio::test]
async fn a_host_that_gives_up_on_what_it_is_asked_costs_nothing() {
    let overloaded = Fault::Overloaded(Overload::GatewayTimeout);
    let slow = Fault::Delay(Duration::from_secs(4));
    while_the_host("the host slow", &[slow, overloaded]).await;
}

/// Each answer is a complete one, as far as HTTP goes.
#[tokio::test]
async fn a_host_that_lies_is_not_believed() {
    let answer = |body: &str| Fault::Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_owned(),
    };
    while_the_host(
        "the host lying",
        &[
            Fault::Html,
            Fault::TruncatedJson,
            Fault::HalfBody,
            answer("{}"),
            answer("null"),
            answer(r#"{"data":{},"errors":[]}"#),
            answer("[]"),
        ],
    )
    .await;
}
