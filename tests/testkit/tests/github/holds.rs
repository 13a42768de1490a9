//! Barriers.

use std::time::Duration;

use testkit::github::{Caller, GitHub, Matching};
use tokio::task::JoinSet;

use crate::client::Client;

fn send(client: &Client, count: usize, path: &'static str) -> JoinSet<u16> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move { client.get(path).await.status });
    }
    requests
}

#[tokio::test]
async fn held_requests_are_inside_together_until_released() {
    let github = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    let hold = github.hold("/user");
    let requests = send(&client, 3, "/user");

    hold.waiting(3).await;

    assert_eq!(hold.count(), 3);
    assert_eq!(github.max_in_flight(), 3);
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

    hold.release();
    assert_eq!(requests.join_all().await, [200, 200, 200]);
    assert_eq!(client.get("/user").await.status, 200);
}

#[tokio::test]
async fn requests_can_be_released_one_by_one() {
    let github = GitHub::start().await;
    let client = Client::with(&github, &github.user("ann").token());
    let hold = github.hold(Matching::path("/user").by("ann"));
    let mut requests = send(&client, 2, "/user");
    hold.waiting(2).await;

    hold.release_one();
    let first = requests.join_next().await.map(Result::unwrap);

    assert_eq!(first, Some(200));
    assert_eq!(hold.count(), 1);
    drop(hold);
    assert_eq!(requests.join_all().await, [200]);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_the_barrier() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    let hold = github.hold(Matching::any());
    let mut requests = send(&client, 1, "/rate_limit");
    hold.waiting(1).await;

    requests.shutdown().await;

    hold.empty().await;
    assert_eq!(github.requests()[0].status, None);
}

#[tokio::test]
async fn a_request_can_be_waited_for() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    let hold = github.hold("/rate_limit");
    let arrival = github.wait_for_request(Matching::path("/rate_limit").query("n", "2"));
    let too_early = tokio::time::timeout(Duration::ZERO, arrival).await;
    assert!(too_early.is_err());

    let requests = send(&client, 1, "/rate_limit?n=2");
    let request = github
        .wait_for_request(Matching::path("/rate_limit").query("n", "2"))
        .await;

    assert_eq!(
        (request.path.as_str(), request.status),
        ("/rate_limit", None)
    );
    hold.release();
    requests.join_all().await;
}
