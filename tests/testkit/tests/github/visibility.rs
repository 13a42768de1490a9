//! Who may see what, under which name and in which version.

use testkit::github::{API_VERSIONS, Caller, GitHub};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Client, public, world};

#[tokio::test]
async fn a_private_repository_does_not_exist_for_those_without_access() {
    let (github, ann, _) = world(1).await;
    let repository = github.repository("acme/web");
    let bob = Client::with(&github, &github.user("bob").token());
    let strangers = [bob, Client::anonymous(&github)];
    let by_id = format!("/repositories/{}/pulls/1", repository.id());
    for path in ["/repos/ACME/web", "/repos/acme/web/pulls/1", &by_id] {
        assert_eq!(ann.get(path).await.status, 200, "{path}");
        for stranger in &strangers {
            let reply = stranger.get(path).await;
            assert_eq!(
                (reply.status, reply.message().as_str()),
                (404, "Not Found"),
                "{path}"
            );
        }
    }
    repository.withdraw(&github.user("ann"));
    assert_eq!(ann.get("/repos/acme/web").await.status, 404);
    repository.public();
    for client in strangers.iter().chain([&ann]) {
        assert_eq!(
            client.get("/repos/ACME/web").await.json()["full_name"],
            "acme/web"
        );
    }
}

#[tokio::test]
async fn unknown_and_revoked_tokens_are_bad_credentials() {
    let (github, _) = public().await;
    let token = github.user("ann").token();
    let client = Client::with(&github, &token);
    assert_eq!(client.get("/user").await.json()["login"], "ann");
    assert!(github.revoke(&token) && !github.revoke(&token));
    for client in [client, Client::with(&github, "gho_made_up")] {
        for path in ["/user", "/repos/acme/web"] {
            let reply = client.get(path).await;
            assert_eq!(
                (reply.status, reply.message().as_str()),
                (401, "Bad credentials")
            );
        }
    }
    assert_eq!(Client::anonymous(&github).get("/user").await.status, 401);
}

#[tokio::test]
async fn a_renamed_repository_redirects_until_its_old_name_is_taken() {
    let (github, client, _) = world(0).await;
    github.pull_request("acme/web").head("a/b").open();
    let repository = github.repository("acme/web");
    github.rename("acme/web", "acme/site");
    assert_eq!(repository.full_name(), "acme/site");
    let id = repository.id();
    for base in [github.api_base_url(), github.enterprise_base_url()] {
        let query = "pulls?state=open&head=acme%3Aa%2Fb";
        let reply = client.get(&format!("{base}/repos/acme/WEB/{query}")).await;
        let location = format!("{base}/repositories/{id}/{query}");
        assert_eq!(
            (reply.status, reply.header("location")),
            (301, location.as_str())
        );
        let followed = client.get(&location).await;
        assert_eq!(followed.numbers(), [1]);
        assert_eq!(followed.json()[0]["base"]["repo"]["full_name"], "acme/site");
    }
    let stranger = Client::with(&github, &github.user("bob").token());
    assert_eq!(stranger.get("/repos/acme/web").await.status, 404);
    github.repository("acme/web").grant(&github.user("ann"));
    assert_ne!(client.get("/repos/acme/web").await.json()["id"], id);
}

#[tokio::test]
async fn a_request_without_a_user_agent_is_forbidden() {
    let github = GitHub::start().await;
    let mut stream = TcpStream::connect(github.address()).await.unwrap();
    let request = "GET /rate_limit HTTP/1.1\r\nHost: github\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("User-Agent header"), "{answer}");
}

#[tokio::test]
async fn only_known_api_versions_are_taken() {
    let (github, client) = public().await;
    let status = async |version| {
        let headers = [("x-github-api-version", version)];
        client.get_with("/rate_limit", &headers).await.status
    };
    for (version, expected) in [
        ("2022-11-28", 200),
        ("2026-03-10", 200),
        ("2019-01-01", 400),
    ] {
        assert_eq!(status(version).await, expected, "{version}");
    }
    github.set_api_versions(&API_VERSIONS[..1]);
    assert_eq!(status(API_VERSIONS[0]).await, 200);
    assert_eq!(status(API_VERSIONS[1]).await, 400);
}

#[tokio::test]
async fn the_newer_version_lacks_what_github_took_away() {
    let (github, client, _) = world(1).await;
    github.merge("acme/web", 1);
    for (version, has) in [(API_VERSIONS[0], true), (API_VERSIONS[1], false)] {
        let headers = [("x-github-api-version", version)];
        for (path, member) in [
            ("/repos/acme/web/pulls/1", "/merge_commit_sha"),
            ("/repos/acme/web/pulls/1", "/assignee"),
            ("/repos/acme/web/pulls/1", "/base/repo/has_downloads"),
            ("/repos/acme/web/pulls?state=all", "/0/merge_commit_sha"),
            ("/repos/acme/web", "/has_downloads"),
            ("/rate_limit", "/rate"),
        ] {
            let body = client.get_with(path, &headers).await.json();
            assert_eq!(body.pointer(member).is_some(), has, "{version} {path}");
        }
        let pull = client.get_with("/repos/acme/web/pulls/1", &headers).await;
        assert_eq!(pull.json()["merged"], true, "{version}");
    }
}

#[tokio::test]
async fn requests_are_recorded_without_their_tokens_and_those_without_an_endpoint_are_unexpected() {
    let (github, _, _) = world(0).await;
    let token = github.user("ann").token();
    let client = Client::with(&github, &token);
    let anonymous = Client::anonymous(&github);
    client
        .get("/repos/acme/web/pulls?head=acme%3Aa&per_page=1")
        .await;
    client.get("/repos/acme/web/pulls/7").await;
    Client::with(&github, "gho_made_up").get("/user").await;
    anonymous.get("/user").await;
    assert!(github.unexpected().is_empty());
    let requests = github.requests();
    let ann = || Caller::User("ann".to_owned());
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.caller.clone(), request.status))
        .collect();
    assert_eq!(
        seen,
        [
            (ann(), Some(200)),
            (ann(), Some(404)),
            (Caller::Unknown, Some(401)),
            (Caller::Anonymous, Some(401)),
        ]
    );
    assert_eq!(requests[0].query_value("head"), Some("acme:a"));
    assert_eq!(requests[0].header("user-agent"), Some("testkit"));
    assert_eq!(github.count("/pulls$"), 1);
    assert_eq!(github.requests_to("/pulls/*$")[0].sequence, 1);
    let shown = format!("{github:?} {requests:?}");
    assert!(!shown.contains(&token) && !shown.contains("gho_made_up"));
    github.clear_requests();
    assert_eq!(github.count("/"), 0);
    assert_eq!(anonymous.get("/repos/acme/web/issues").await.status, 404);
    let unexpected: Vec<_> = github
        .unexpected()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(unexpected, ["/repos/acme/web/issues"]);
}

#[tokio::test]
async fn a_stopped_stand_in_gives_its_port_back() {
    let (github, client) = public().await;
    let address = github.address();
    assert_eq!(client.get("/rate_limit").await.status, 200);
    github.stop().await;
    assert!(client.try_get("/rate_limit").await.is_err());
    let again = GitHub::start_on(address).await.unwrap();
    assert_eq!(again.address(), address);
    assert_eq!(client.get("/rate_limit").await.status, 200);
    assert!(GitHub::start_on(address).await.is_err());
}
