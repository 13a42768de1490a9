//! What the endpoints say about the model. `.ci/certify-stand-in` compares their form with that of
//! GitHub's.

use serde_json::{Value, json};
use testkit::github::{
    GitHub, ReviewState,
    sample::{self, SampleState},
};

use crate::client::{Client, public};

const ONE: &str = "/repos/acme/web/pulls/1";

#[tokio::test]
async fn a_repository_has_its_parent_only_if_it_is_a_fork() {
    let (github, client) = public().await;
    github
        .repository("acme/web")
        .default_branch("trunk")
        .archived();
    let fork = github.fork("acme/web", "ann");
    let original = client.get("/repos/acme/web").await.json();
    let copy = client.get("/repos/ann/web").await.json();
    let of = |body: &Value| {
        json!([
            body["default_branch"],
            body["fork"],
            body["parent"]["full_name"]
        ])
    };
    assert_eq!(of(&original), json!(["trunk", false, null]));
    assert_eq!(of(&copy), json!(["trunk", true, "acme/web"]));
    assert_eq!(
        (&original["archived"], &original["organization"]["login"]),
        (&json!(true), &json!("acme"))
    );
    assert_eq!(copy["id"], fork.id());
}

#[tokio::test]
async fn a_pull_request_shows_its_state_and_size() {
    let (github, client) = public().await;
    let new = || github.pull_request("acme/web").author("ann");
    new()
        .head("a")
        .title("First")
        .diff(7, 8, 9)
        .commits(2)
        .open();
    new().head("b").draft().open();
    new().head("c").merged();
    new().head("d").draft().closed();
    // number, state, draft, merged, closed_at and merged_at known
    for expected in [
        (1, "open", false, false, false, false),
        (2, "open", true, false, false, false),
        (3, "closed", false, true, true, true),
        (4, "closed", true, false, true, false),
    ] {
        let body = client
            .get(&format!("/repos/acme/web/pulls/{}", expected.0))
            .await
            .json();
        let known = |name: &str| body[name].is_string();
        let seen = json!([
            body["number"],
            body["state"],
            body["draft"],
            body["merged"],
            known("closed_at"),
            known("merged_at"),
        ]);
        assert_eq!(seen, json!(expected));
        assert_eq!(body["merged_by"].is_object(), expected.3);
    }
    let body = client.get(ONE).await.json();
    let model = github.find_pull_request("acme/web", 1).unwrap();
    let seen = json!([
        body["html_url"],
        body["url"],
        body["title"],
        body["additions"],
        body["deletions"],
        body["changed_files"],
        body["commits"],
        body["user"]["login"],
        body["user"]["avatar_url"],
        body["head"]["sha"],
        body["head"]["ref"],
        body["base"]["ref"],
        body["base"]["repo"]["full_name"],
    ]);
    let url = format!("{}{ONE}", github.api_base_url());
    let avatar = github.user("ann").avatar_url();
    let expected = json!([
        "https://github.com/acme/web/pull/1",
        url,
        "First",
        7,
        8,
        9,
        2,
        "ann",
        avatar,
        model.head.sha,
        "a",
        "main",
        "acme/web",
    ]);
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_happens_to_a_pull_request_shows_at_once() {
    let (github, client) = public().await;
    let repository = github.repository("acme/web");
    let number = github.pull_request("acme/web").head("a").open();
    let look = async || client.get(ONE).await.json();
    let before = look().await["head"]["sha"].clone();
    let pushed = repository.push("a");
    assert_ne!(before, pushed);
    assert_eq!(look().await["head"]["sha"], pushed);
    github.set_draft("acme/web", number, true);
    assert_eq!(look().await["draft"], true);
    github.close("acme/web", number);
    assert_eq!(look().await["state"], "closed");
    github.reopen("acme/web", number);
    assert_eq!(look().await["closed_at"], Value::Null);
    github.merge("acme/web", number);
    assert_eq!(look().await["merged"], true);
    repository.push("a");
    assert_eq!(
        look().await["head"]["sha"],
        pushed,
        "a merged pull request no longer moves"
    );
}

#[tokio::test]
async fn lists_are_filtered_by_state_and_by_head_including_forks_and_sorted() {
    let (github, client) = public().await;
    github.fork("acme/web", "Ann");
    let new = || github.pull_request("acme/web");
    let own = new().head("feature").open();
    let forked = new().from_fork("Ann/web").head("feature").open();
    let closed = new().head("Feature").closed();
    let merged = new().head("old").base("release").merged();
    github.review("acme/web", own, "bob", ReviewState::Commented);
    for (query, expected) in [
        ("", vec![forked, own]),
        ("?state=open", vec![forked, own]),
        ("?state=open&sort=updated&direction=desc", vec![own, forked]),
        ("?state=closed", vec![merged, closed]),
        ("?state=all", vec![merged, closed, forked, own]),
        (
            "?state=all&direction=asc",
            vec![own, forked, closed, merged],
        ),
        ("?head=acme:feature", vec![own]),
        ("?head=ann:feature", vec![forked]),
        ("?head=ANN:feature", vec![forked]),
        ("?head=ann:Feature&state=all", vec![]),
        ("?head=acme:Feature&state=all", vec![closed]),
        ("?head=acme%3Afeature", vec![own]),
        ("?head=feature", vec![forked, own]),
        ("?state=all&base=release", vec![merged]),
    ] {
        let reply = client.get(&format!("/repos/acme/web/pulls{query}")).await;
        assert_eq!(reply.numbers(), expected, "{query}");
    }
    for query in ["?state=merged", "?sort=title", "?direction=up"] {
        let reply = client.get(&format!("/repos/acme/web/pulls{query}")).await;
        assert_eq!(
            (reply.status, reply.message().as_str()),
            (422, "Validation Failed")
        );
    }
}

#[tokio::test]
async fn following_the_next_links_visits_every_item_once_by_pages_of_a_hundred_at_most() {
    let (github, client) = public().await;
    for index in 1..=101 {
        github
            .pull_request("acme/web")
            .head(&format!("b{index}"))
            .open();
    }
    for (query, expected) in [
        ("", 30),
        ("?per_page=500", 100),
        ("?per_page=0", 30),
        ("?page=99", 0),
    ] {
        let reply = client.get(&format!("/repos/acme/web/pulls{query}")).await;
        assert_eq!(reply.numbers().len(), expected, "{query}");
    }
    for base in [github.api_base_url(), github.enterprise_base_url()] {
        let client = Client::at(&base, None);
        let first = client
            .get("/repos/acme/web/pulls?state=open&per_page=40")
            .await;
        assert_eq!((first.link("prev"), first.link("first")), (None, None));
        assert_eq!(
            client
                .get(&first.link("last").unwrap())
                .await
                .numbers()
                .last(),
            Some(&1)
        );
        let mut seen = first.numbers();
        let mut next = first.link("next");
        while let Some(address) = next {
            assert!(
                address.starts_with(&format!("{base}/repositories/")),
                "{address}"
            );
            let reply = client.get(&address).await;
            assert!(reply.link("prev").is_some() && reply.link("first").is_some());
            seen.extend(reply.numbers());
            next = reply.link("next");
        }
        assert!(seen.into_iter().eq((1..=101).rev()));
    }
}

#[tokio::test]
async fn reviews_come_oldest_first_and_pending_ones_only_to_their_author() {
    let (github, client) = public().await;
    let number = github.pull_request("acme/web").open();
    let review = |login, state| github.review("acme/web", number, login, state);
    let first = review("bob", ReviewState::ChangesRequested);
    review("carla", ReviewState::Commented);
    review("bob", ReviewState::Approved);
    review("bob", ReviewState::Pending);
    github.dismiss_review("acme/web", number, first);
    let states = async |client: &Client| -> Vec<String> {
        let body = client
            .get(&format!("{ONE}/reviews?per_page=100"))
            .await
            .json();
        let reviews = body.as_array().unwrap().iter();
        let shown = reviews.map(|review| {
            let submitted = if review["submitted_at"].is_string() {
                ""
            } else {
                " unsubmitted"
            };
            format!("{} {}{submitted}", review["user"]["login"], review["state"]).replace('"', "")
        });
        shown.collect()
    };
    let all = [
        "bob DISMISSED",
        "carla COMMENTED",
        "bob APPROVED",
        "bob PENDING unsubmitted",
    ];
    assert_eq!(states(&client).await, all[..3]);
    let bob = Client::with(&github, &github.user("bob").token());
    assert_eq!(states(&bob).await, all);
}

#[tokio::test]
async fn what_is_gone_is_null() {
    let (github, client) = public().await;
    github.fork("acme/web", "dmitri");
    let new = github.pull_request("acme/web").from_fork("dmitri/web");
    let number = new.head("fix").author("eve").open();
    github.review("acme/web", number, "eve", ReviewState::Commented);
    github.delete_repository("dmitri/web");
    github.delete_user("eve");
    let body = client.get(ONE).await.json();
    let reviews = client.get(&format!("{ONE}/reviews")).await.json();
    let gone = json!([body["head"]["repo"], body["user"], reviews[0]["user"]]);
    assert_eq!(gone, json!([null, null, null]));
    assert_eq!(body["head"]["label"], "dmitri:fix");
    let listed = client.get("/repos/acme/web/pulls?head=dmitri:fix").await;
    assert_eq!(listed.numbers(), [number]);
    github.set_ghosts(true);
    assert_eq!(client.get(ONE).await.json()["user"]["login"], "ghost");
}

#[tokio::test]
async fn the_sample_has_pull_requests_in_every_state_for_each_of_its_users() {
    let github = GitHub::start().await;
    let sample = sample::organization(&github);
    let mut states = Vec::new();
    for found in &sample.pull_requests {
        let author = sample.user(&found.head.author).unwrap();
        let client = Client::with(&github, &author.token);
        let (owner, _) = found.head.repository.split_once('/').unwrap();
        let base = format!("/repos/{}/pulls", found.repository);
        let listed = client
            .get(&format!(
                "{base}?state=all&head={owner}:{}",
                found.head.branch
            ))
            .await;
        assert_eq!(listed.numbers(), [found.number], "{found:?}");
        let body = client.get(&format!("{base}/{}", found.number)).await.json();
        let (state, draft, merged) = match found.state {
            SampleState::Open => ("open", false, false),
            SampleState::Draft => ("open", true, false),
            SampleState::Merged => ("closed", false, true),
            SampleState::Closed => ("closed", false, false),
        };
        let seen = json!([
            body["state"],
            body["draft"],
            body["merged"],
            body["title"],
            body["user"]["id"]
        ]);
        assert_eq!(seen, json!([state, draft, merged, found.title, author.id]));
        states.push((state, draft, merged));
    }
    states.sort_unstable();
    states.dedup();
    assert_eq!(states.len(), 4);
    for user in &sample.users {
        assert!(
            sample.pull_requests_of(&user.login).next().is_some(),
            "{}",
            user.login
        );
    }
    for branch in &sample.branches {
        let client = Client::with(&github, &sample.user(&branch.author).unwrap().token);
        let list = format!(
            "/repos/{}/pulls?state=all&head=acme:{}",
            branch.repository, branch.branch
        );
        assert!(client.get(&list).await.numbers().is_empty());
    }
}
