//! What goes wrong on purpose.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::github::{Caller, Fault, GitHub, Matching};

use crate::client::Client;

#[tokio::test]
async fn a_fault_hits_the_requests_it_is_for_and_no_more() {
    let github = GitHub::start().await;
    let ann = Client::with(&github, &github.user("ann").token());
    let bob = Client::with(&github, &github.user("bob").token());
    let handle = github
        .fault(Matching::path("/user").by("Ann"))
        .after(1)
        .times(2)
        .respond(Fault::Status(503));

    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ann.get("/user").await.status);
    }

    assert_eq!(statuses, [200, 503, 503, 200]);
    assert_eq!(handle.hits(), 2);
    assert_eq!(bob.get("/user").await.status, 200);
    assert_eq!(ann.get("/rate_limit").await.status, 200);
    let recorded: Vec<Option<u16>> = github
        .requests_to(Matching::path("/user").by("ann"))
        .iter()
        .map(|r| r.status)
        .collect();
    assert_eq!(recorded, [Some(200), Some(503), Some(503), Some(200)]);
}

#[tokio::test]
async fn a_fault_without_a_count_lasts_until_it_is_cleared() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
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
async fn bodies_can_be_garbage() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let client = Client::anonymous(&github);
    github.fault("/acme/web").once().respond(Fault::Html);
    github
        .fault("/acme/web")
        .once()
        .respond(Fault::TruncatedJson);
    github.fault("/acme/web").once().respond(Fault::HalfBody);

    let html = client.get("/repos/acme/web").await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let truncated = client.get("/repos/acme/web").await;
    assert_eq!(truncated.status, 200);
    assert!(truncated.body.starts_with('{'));
    assert!(serde_json::from_str::<Value>(&truncated.body).is_err());

    let mut response = client.request("/repos/acme/web").send().await.unwrap();
    let announced = response.content_length().unwrap();
    let mut received = 0;
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the connection closes before the body is complete");
    assert_eq!(received, announced / 2);
    assert_eq!(client.get("/repos/acme/web").await.json()["name"], "web");
}

#[tokio::test]
async fn bodies_can_be_huge() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    github.pull_request("acme/web").open();
    let client = Client::anonymous(&github);
    let size = 10 << 20;
    github
        .fault("/pulls")
        .respond(Fault::LargeJson { bytes: size });
    for path in ["/repos/acme/web/pulls", "/repos/acme/web/pulls/1"] {
        let reply = client.get(path).await;
        assert!(reply.body.len() >= size);
        let body = reply.json();
        let pull_request = if body.is_array() { &body[0] } else { &body };
        assert_eq!(pull_request["number"], 1);
    }
}

#[tokio::test]
async fn redirects_can_lead_elsewhere() {
    let github = GitHub::start().await;
    let elsewhere = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    github.fault("/user").once().respond(Fault::Redirect {
        status: 302,
        location: "/rate_limit".to_owned(),
    });
    github.fault("/user").once().respond(Fault::RedirectHost {
        status: 307,
        base: elsewhere.api_base_url(),
    });

    let same_host = client.get("/user?a=b").await;
    let other_host = client.get("/user?a=b").await;

    assert_eq!(same_host.status, 302);
    assert_eq!(
        same_host.header("location"),
        format!("{}/rate_limit", github.api_base_url())
    );
    assert_eq!(other_host.status, 307);
    let location = other_host.header("location");
    assert_eq!(location, format!("{}/user?a=b", elsewhere.api_base_url()));
    // A client that carries its token along is caught by the other stand-in.
    client.get(location).await;
    assert_eq!(
        elsewhere.wait_for_request("/user").await.caller,
        Caller::Unknown
    );
}

#[tokio::test]
async fn connections_can_be_reset() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    github.fault("/rate_limit").once().respond(Fault::Reset);
    let error = client
        .try_get("/rate_limit")
        .await
        .err()
        .expect("there is no answer");
    let chain = format!("{error:?}");
    assert!(chain.contains("ConnectionReset"), "{chain}");
    assert_eq!(github.wait_for_request("/rate_limit").await.status, None);
    assert_eq!(client.get("/rate_limit").await.status, 200);
}

#[tokio::test]
async fn requests_can_hang() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    let handle = github.fault("/rate_limit").once().respond(Fault::Hang);

    let hanging = client
        .request("/rate_limit")
        .timeout(Duration::from_millis(300))
        .send();

    assert!(hanging.await.expect_err("there is no answer").is_timeout());
    assert_eq!(handle.hits(), 1);
    assert_eq!(github.requests()[0].status, None);
    assert_eq!(client.get("/rate_limit").await.status, 200);
}

#[tokio::test]
async fn answers_can_be_slow() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    let delay = Duration::from_millis(60);
    github
        .fault("/rate_limit")
        .once()
        .respond(Fault::Delay(delay));
    let timed = async || {
        let start = Instant::now();
        let status = client.get("/rate_limit").await.status;
        (status, start.elapsed())
    };

    let (status, elapsed) = timed().await;
    assert!(
        status == 200 && elapsed >= delay,
        "{status} after {elapsed:?}"
    );
    github.latency(delay);
    let (status, elapsed) = timed().await;
    assert!(
        status == 200 && elapsed >= delay,
        "{status} after {elapsed:?}"
    );
}
