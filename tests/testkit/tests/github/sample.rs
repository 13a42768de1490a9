//! The sample organization.

use testkit::github::GitHub;
use testkit::github::sample::{self, SampleState};

use crate::client::Client;

#[tokio::test]
async fn every_sample_pull_request_is_found_with_its_authors_token() {
    let github = GitHub::start().await;
    let sample = sample::organization(&github);
    assert_eq!(github.requests().len(), 0);

    for pull_request in &sample.pull_requests {
        let author = sample.user(&pull_request.head.author).unwrap();
        let client = Client::with(&github, &author.token);
        let (owner, _) = pull_request.head.repository.split_once('/').unwrap();
        let base = format!("/repos/{}/pulls", pull_request.repository);
        let found = client
            .get(&format!(
                "{base}?state=all&head={owner}:{}",
                pull_request.head.branch
            ))
            .await;
        assert_eq!(found.numbers(), [pull_request.number], "{pull_request:?}");

        let body = client
            .get(&format!("{base}/{}", pull_request.number))
            .await
            .json();
        let state = match (
            body["state"].as_str(),
            body["draft"] == true,
            body["merged"] == true,
        ) {
            (Some("open"), false, false) => SampleState::Open,
            (Some("open"), true, false) => SampleState::Draft,
            (Some("closed"), false, true) => SampleState::Merged,
            (Some("closed"), false, false) => SampleState::Closed,
            other => panic!("{pull_request:?} has the state {other:?}"),
        };
        assert_eq!(state, pull_request.state);
        assert_eq!(body["title"], pull_request.title);
        assert_eq!(body["user"]["id"], author.id);
    }
    assert!(github.unexpected().is_empty());
}

#[tokio::test]
async fn the_sample_shows_every_kind_of_thing() {
    let github = GitHub::start().await;
    let sample = sample::organization(&github);
    for state in [
        SampleState::Open,
        SampleState::Draft,
        SampleState::Merged,
        SampleState::Closed,
    ] {
        assert!(
            sample
                .pull_requests
                .iter()
                .any(|found| found.state == state),
            "{state:?}"
        );
    }
    let forked = sample
        .pull_requests
        .iter()
        .filter(|found| found.head.repository != found.repository);
    assert_eq!(forked.count(), 1);
    for user in &sample.users {
        assert!(
            sample.pull_requests_of(&user.login).next().is_some(),
            "{}",
            user.login
        );
    }
    for branch in &sample.branches {
        let client = Client::with(&github, &sample.user(&branch.author).unwrap().token);
        let path = format!(
            "/repos/{}/pulls?state=all&head=acme:{}",
            branch.repository, branch.branch
        );
        assert!(client.get(&path).await.numbers().is_empty());
    }
    let anonymous = Client::anonymous(&github);
    let mut statuses = Vec::new();
    for name in ["web", "api", "mobile"] {
        statuses.push(anonymous.get(&format!("/repos/acme/{name}")).await.status);
    }
    assert_eq!(statuses, [404, 404, 200]);
}
