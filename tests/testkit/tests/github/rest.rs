//! What the endpoints say about the model.

use serde_json::{Value, json};
use testkit::github::{GitHub, ReviewState, fixtures};

use crate::client::Client;

fn member_names(value: &Value) -> Vec<&String> {
    value
        .as_object()
        .map(|object| object.keys().collect())
        .unwrap_or_default()
}

fn example(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect("fixtures are JSON");
    match value {
        Value::Array(mut items) => items.swap_remove(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            value
        }
    }
}

#[tokio::test]
async fn bodies_have_the_members_of_the_published_examples_and_none_of_their_addresses() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let number = github.pull_request("acme/web").author("ann").open();
    github.review("acme/web", number, "bob", ReviewState::Approved);
    let client = Client::with(&github, &github.user("ann").token());

    let cases = [
        ("/repos/acme/web/pulls/1", fixtures::PULL_REQUEST),
        ("/repos/acme/web/pulls", fixtures::PULL_REQUESTS),
        ("/repos/acme/web/pulls/1/reviews", fixtures::REVIEWS),
        ("/user", fixtures::PRIVATE_USER),
        ("/rate_limit", fixtures::RATE_LIMIT),
    ];
    for (path, fixture) in cases {
        let reply = client.get(path).await;
        let body = example(&reply.body);
        let published = example(fixture);
        assert_eq!(member_names(&body), member_names(&published), "{path}");
        for nested in ["user", "head", "base", "_links"] {
            assert_eq!(
                member_names(&body[nested]),
                member_names(&published[nested]),
                "{path}"
            );
        }
        for leftover in ["api.github.com", "octocat/Hello-World", "/1347"] {
            assert!(
                !reply.body.contains(leftover),
                "{path} still says {leftover}"
            );
        }
    }
}

#[tokio::test]
async fn a_repository_has_its_parent_only_if_it_is_a_fork() {
    let github = GitHub::start().await;
    github
        .repository("acme/web")
        .public()
        .default_branch("trunk")
        .archived();
    let fork = github.fork("acme/web", "ann");
    let client = Client::anonymous(&github);

    let original = client.get("/repos/acme/web").await.json();
    let copy = client.get("/repos/ann/web").await.json();

    assert_eq!(original["default_branch"], "trunk");
    assert_eq!(original["archived"], true);
    assert_eq!(original["organization"]["login"], "acme");
    assert_eq!(
        (&original["fork"], original.get("parent")),
        (&json!(false), None)
    );
    assert_eq!(copy["id"], fork.id());
    assert_eq!(copy["default_branch"], "trunk");
    assert_eq!(
        (&copy["fork"], &copy["parent"]["full_name"]),
        (&json!(true), &json!("acme/web"))
    );
}

#[tokio::test]
async fn a_pull_request_shows_its_state_and_size() {
    let github = GitHub::start().await;
    github.set_web_base("https://git.acme.test/");
    github.repository("acme/web").public();
    let new = || github.pull_request("acme/web").author("ann");
    let open = new()
        .head("a")
        .title("First")
        .diff(7, 8, 9)
        .commits(2)
        .open();
    let draft = new().head("b").draft().open();
    let merged = new().head("c").merged();
    let closed = new().head("d").draft().closed();
    let client = Client::anonymous(&github);

    // number, state, draft, merged, closed_at and merged_at known
    let expected = [
        (open, "open", false, false, false, false),
        (draft, "open", true, false, false, false),
        (merged, "closed", false, true, true, true),
        (closed, "closed", true, false, true, false),
    ];
    for (number, state, is_draft, is_merged, has_closed, has_merged) in expected {
        let body = client
            .get(&format!("/repos/acme/web/pulls/{number}"))
            .await
            .json();
        let seen = json!([
            body["number"],
            body["state"],
            body["draft"],
            body["merged"],
            body["closed_at"].is_string(),
            body["merged_at"].is_string(),
        ]);
        assert_eq!(
            seen,
            json!([number, state, is_draft, is_merged, has_closed, has_merged])
        );
        assert_eq!(body["merged_by"].is_object(), is_merged);
    }

    let body = client.get("/repos/acme/web/pulls/1").await.json();
    let model = github
        .find_pull_request("acme/web", 1)
        .expect("it was just created");
    assert_eq!(body["html_url"], "https://git.acme.test/acme/web/pull/1");
    assert_eq!(
        body["url"],
        format!("{}/repos/acme/web/pulls/1", github.api_base_url())
    );
    assert_eq!(body["title"], "First");
    assert_eq!(
        [
            &body["additions"],
            &body["deletions"],
            &body["changed_files"],
            &body["commits"]
        ],
        [7, 8, 9, 2]
    );
    assert_eq!(body["user"]["login"], "ann");
    assert_eq!(body["user"]["avatar_url"], github.user("ann").avatar_url());
    assert_eq!(body["head"]["sha"], model.head.sha);
    assert_eq!(
        (&body["head"]["ref"], &body["base"]["ref"]),
        (&json!("a"), &json!("main"))
    );
    assert_eq!(body["base"]["repo"]["full_name"], "acme/web");
}

#[tokio::test]
async fn what_happens_to_a_pull_request_shows_at_once() {
    let github = GitHub::start().await;
    let repository = github.repository("acme/web");
    repository.public();
    let number = github.pull_request("acme/web").head("a").open();
    let client = Client::anonymous(&github);
    let look = async || client.get("/repos/acme/web/pulls/1").await.json();

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
async fn lists_are_filtered_by_state_and_by_head_including_forks() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    github.fork("acme/web", "Ann");
    let own = github.pull_request("acme/web").head("feature").open();
    let forked = github
        .pull_request("acme/web")
        .from_fork("Ann/web")
        .head("feature")
        .open();
    let closed = github.pull_request("acme/web").head("Feature").closed();
    let merged = github
        .pull_request("acme/web")
        .head("old")
        .base("release")
        .merged();
    let client = Client::anonymous(&github);

    let cases = [
        ("", vec![forked, own]),
        ("?state=open", vec![forked, own]),
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
    ];
    for (query, expected) in cases {
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
async fn sorting_by_update_puts_the_last_change_first() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let numbers: Vec<u64> = (0..3)
        .map(|index| {
            github
                .pull_request("acme/web")
                .head(&format!("b{index}"))
                .open()
        })
        .collect();
    github.review("acme/web", numbers[0], "bob", ReviewState::Commented);
    let client = Client::anonymous(&github);

    let reply = client
        .get("/repos/acme/web/pulls?state=open&sort=updated&direction=desc&per_page=1")
        .await;

    assert_eq!(reply.numbers(), [numbers[0]]);
}

#[tokio::test]
async fn following_the_next_links_visits_every_item_once() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    for index in 0..5 {
        github
            .pull_request("acme/web")
            .head(&format!("b{index}"))
            .open();
    }
    for base in [github.api_base_url(), github.enterprise_base_url()] {
        let client = Client::at(&base, None);
        let first = client
            .get("/repos/acme/web/pulls?state=open&per_page=2")
            .await;
        assert_eq!((first.link("prev"), first.link("first")), (None, None));
        let last = first.link("last").expect("there are more pages");
        assert_eq!(client.get(&last).await.numbers(), [1]);

        let mut seen = first.numbers();
        let mut next = first.link("next");
        while let Some(address) = next {
            assert!(
                address.starts_with(&format!("{base}/repositories/")),
                "{address}"
            );
            let reply = client.get(&address).await;
            assert_eq!(reply.status, 200);
            assert!(reply.link("prev").is_some() && reply.link("first").is_some());
            seen.extend(reply.numbers());
            next = reply.link("next");
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
    }
}

#[tokio::test]
async fn a_page_has_thirty_items_unless_asked_and_a_hundred_at_most() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    for index in 0..101 {
        github
            .pull_request("acme/web")
            .head(&format!("b{index}"))
            .open();
    }
    let client = Client::anonymous(&github);
    for (query, expected) in [
        ("", 30),
        ("?per_page=500", 100),
        ("?per_page=0", 30),
        ("?page=9", 0),
    ] {
        let reply = client.get(&format!("/repos/acme/web/pulls{query}")).await;
        assert_eq!(reply.numbers().len(), expected, "{query}");
    }
}

#[tokio::test]
async fn reviews_come_oldest_first_and_pending_ones_only_to_their_author() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let number = github.pull_request("acme/web").open();
    let bob = github.user("bob").token();
    let first = github.review("acme/web", number, "bob", ReviewState::ChangesRequested);
    github.review("acme/web", number, "carla", ReviewState::Commented);
    github.review("acme/web", number, "bob", ReviewState::Approved);
    github.review("acme/web", number, "bob", ReviewState::Pending);
    github.dismiss_review("acme/web", number, first);

    let states = async |client: Client| -> Vec<String> {
        let body = client
            .get("/repos/acme/web/pulls/1/reviews?per_page=100")
            .await
            .json();
        let reviews = body.as_array().cloned().unwrap_or_default();
        reviews
            .iter()
            .map(|review| {
                let submitted = if review["submitted_at"].is_string() {
                    ""
                } else {
                    " unsubmitted"
                };
                format!("{} {}{submitted}", review["user"]["login"], review["state"])
                    .replace('"', "")
            })
            .collect()
    };

    let public = ["bob DISMISSED", "carla COMMENTED", "bob APPROVED"];
    assert_eq!(states(Client::anonymous(&github)).await, public);
    let own = states(Client::with(&github, &bob)).await;
    assert_eq!(
        own.last().map(String::as_str),
        Some("bob PENDING unsubmitted")
    );
    assert_eq!(own.len(), 4);
}

#[tokio::test]
async fn what_is_gone_is_null() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    github.fork("acme/web", "dmitri");
    let new = github
        .pull_request("acme/web")
        .from_fork("dmitri/web")
        .head("fix");
    let number = new.author("eve").open();
    github.review("acme/web", number, "eve", ReviewState::Commented);
    github.delete_repository("dmitri/web");
    github.delete_user("eve");
    let client = Client::anonymous(&github);

    let body = client.get("/repos/acme/web/pulls/1").await.json();
    let reviews = client.get("/repos/acme/web/pulls/1/reviews").await.json();

    assert_eq!(body["head"]["repo"], Value::Null);
    assert_eq!(body["head"]["label"], "dmitri:fix");
    assert_eq!(body["user"], Value::Null);
    github.set_ghosts(true);
    let shown = client.get("/repos/acme/web/pulls/1").await.json();
    assert_eq!(shown["user"]["login"], "ghost");
    assert_eq!(reviews[0]["user"], Value::Null);
    assert_eq!(
        client
            .get("/repos/acme/web/pulls?head=dmitri:fix")
            .await
            .numbers(),
        [number]
    );
}
