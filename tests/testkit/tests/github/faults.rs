//! What goes wrong on purpose, and requests that are held.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::github::{Caller, Fault, GitHub, Matching};
use tokio::task::JoinSet;

use crate::client::{Client, public, world};

#[tokio::test]
async fn a_fault_hits_the_requests_it_is_for_and_no_more() {
    let (github, ann, _) = world(0).await;
    let bob = Client::with(&github, &github.user("bob").token());
    let fault = github.fault(Matching::path("/user").by("Ann"));
    let handle = fault.after(1).times(2).respond(Fault::Status(503));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ann.get("/user").await.status);
    }
    assert_eq!((statuses, handle.hits()), (vec![200, 503, 503, 200], 2));
    assert_eq!(bob.get("/user").await.status, 200);
    assert_eq!(ann.get("/rate_limit").await.status, 200);
    let recorded = github.requests_to(Matching::path("/user").by("ann"));
    let recorded: Vec<_> = recorded.iter().map(|request| request.status).collect();
    assert_eq!(recorded, [200, 503, 503, 200].map(Some));
}

#[tokio::test]
async fn a_fault_without_a_count_lasts_until_it_is_cleared() {
    let (github, client) = public().await;
    github.fault("/rate_limit").respond(Fault::Answer {
        status: 418,
        headers: vec![("x-brew".to_owned(), "tea".to_owned())],
        body: "{}".to_owned(),
    });
    for _ in 0..3 {
        let reply = client.get("/rate_limit").await;
        assert_eq!((reply.status, reply.header("x-brew")), (418, "tea"));
    }
    github.clear_faults();
    assert_eq!(client.get("/rate_limit").await.status, 200);
}

#[tokio::test]
async fn bodies_can_be_garbage_or_huge() {
    let (github, client) = public().await;
    github.pull_request("acme/web").open();
    let once = |fault| github.fault("/acme/web").once().respond(fault);
    once(Fault::TruncatedJson);
    once(Fault::HalfBody);
    let truncated = client.get("/repos/acme/web").await;
    assert_eq!(truncated.status, 200);
    assert!(truncated.body.starts_with('{'));
    assert!(serde_json::from_str::<Value>(&truncated.body).is_err());
    let mut response = client.request("/repos/acme/web").send().await.unwrap();
    let announced = response.content_length().unwrap();
    let mut received = 0;
    while let Some(chunk) = response.chunk().await.unwrap_or_default() {
        received += chunk.len() as u64;
    }
    assert_eq!(received, announced / 2, "the connection closes");
    for path in ["/repos/acme/web/pulls", "/repos/acme/web/pulls/1"] {
        once(Fault::LargeJson { bytes: 10 << 20 });
        let reply = client.get(path).await;
        assert!(reply.body.len() >= 10 << 20);
        let body = reply.json();
        let pull_request = if body.is_array() { &body[0] } else { &body };
        assert_eq!(pull_request["number"], 1);
    }
}

#[tokio::test]
async fn redirects_can_lead_elsewhere() {
    let (github, client, _) = world(0).await;
    let elsewhere = GitHub::start().await;
    let once = |fault| github.fault("/user").once().respond(fault);
    let base = elsewhere.api_base_url();
    once(Fault::Redirect {
        status: 302,
        location: "/rate_limit".to_owned(),
    });
    once(Fault::RedirectHost {
        status: 307,
        base: base.clone(),
    });
    for (status, location) in [
        (302, format!("{}/rate_limit", github.api_base_url())),
        (307, format!("{base}/user?a=b")),
    ] {
        let reply = client.get("/user?a=b").await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (status, location.as_str())
        );
    }
    // A client that carries its token along is caught by the other stand-in.
    client.get(&format!("{base}/user")).await;
    assert_eq!(
        elsewhere.wait_for_request("/user").await.caller,
        Caller::Unknown
    );
}

#[tokio::test]
async fn connections_can_be_reset_and_requests_can_hang() {
    let (github, client) = public().await;
    let once = |fault| github.fault("/rate_limit").once().respond(fault);
    once(Fault::Reset);
    once(Fault::Hang);
    let error = client.try_get("/rate_limit").await.err().unwrap();
    assert!(
        format!("{error:?}").contains("ConnectionReset"),
        "{error:?}"
    );
    let hanging = client
        .request("/rate_limit")
        .timeout(Duration::from_millis(300));
    assert!(hanging.send().await.unwrap_err().is_timeout());
    let unanswered = github.requests();
    assert!(unanswered.len() == 2 && unanswered.iter().all(|request| request.status.is_none()));
    assert_eq!(client.get("/rate_limit").await.status, 200);
}

#[tokio::test]
async fn answers_can_be_slow() {
    let (github, client) = public().await;
    let delay = Duration::from_millis(60);
    github
        .fault("/rate_limit")
        .once()
        .respond(Fault::Delay(delay));
    for _ in 0..2 {
        let begun = Instant::now();
        assert_eq!(client.get("/rate_limit").await.status, 200);
        assert!(begun.elapsed() >= delay);
        github.latency(delay);
    }
}

fn send(client: &Client, count: usize, path: &'static str) -> JoinSet<u16> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move { client.get(path).await.status });
    }
    requests
}

#[tokio::test]
async fn held_requests_are_inside_together_until_released_one_by_one_or_all() {
    let (github, client, _) = world(0).await;
    let hold = github.hold(Matching::path("/user").by("ann"));
    let mut requests = send(&client, 3, "/user");
    hold.waiting(3).await;
    assert_eq!((hold.count(), github.max_in_flight()), (3, 3));
    assert_eq!(github.max_in_flight_by(&Caller::User("ann".to_owned())), 3);
    assert!(
        github
            .requests()
            .iter()
            .all(|request| request.status.is_none())
    );
    assert_eq!(
        client.get("/rate_limit").await.status,
        200,
        "others are not held"
    );
    hold.release_one();
    assert_eq!(requests.join_next().await.unwrap().unwrap(), 200);
    assert_eq!(hold.count(), 2);
    drop(hold);
    assert_eq!(requests.join_all().await, [200, 200]);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_held_no_longer() {
    let (github, client) = public().await;
    let hold = github.hold(Matching::any());
    let mut requests = send(&client, 1, "/rate_limit");
    hold.waiting(1).await;
    requests.shutdown().await;
    hold.empty().await;
    assert_eq!(github.requests()[0].status, None);
}

#[tokio::test]
async fn a_request_can_be_waited_for() {
    let (github, client) = public().await;
    let hold = github.hold("/rate_limit");
    let arrival = || github.wait_for_request(Matching::path("/rate_limit").query("n", "2"));
    let too_early = tokio::time::timeout(Duration::ZERO, arrival()).await;
    assert!(too_early.is_err());
    let requests = send(&client, 1, "/rate_limit?n=2");
    assert_eq!(arrival().await.status, None);
    hold.release();
    requests.join_all().await;
}
