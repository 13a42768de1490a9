//! What both processes count, and what operators are alerted by: names that `promtool` takes, rules
//! that are tested, a metric for each use and a use for each metric, and alerts that real faults
//! fire.

mod alerts;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{
    stack::{REPOSITORY, Stack, Worker},
    warnings,
};
use proto::chat::v1::{GetChatsRequest, PullRequestState};
use testkit::{github::Resource, http, process::Signal, prometheus::promtool, wait};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy().join(path)).unwrap()
}

/// The metrics of an operations endpoint, without the head of the answer.
async fn scrape(url: &str) -> String {
    let answer = http::get(url, "/metrics").await;
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The names of the metrics of a scrape, as they are described.
fn exported(scrape: &str) -> BTreeSet<String> {
    let described = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let name = |line: &str| line.split(' ').next().unwrap().to_owned();
    described.map(name).collect()
}

/// The names of metrics in rules, a dashboard or a document: words of these two services, of RPCs
/// and of databases, without what histograms append.
fn named(text: &str) -> BTreeSet<String> {
    let is_word = |of: char| of.is_ascii_alphanumeric() || of == '_';
    let words = text.split(|of| !is_word(of));
    let prefixes = [
        "chat_",
        "gitsync_",
        "rpc_client_call",
        "rpc_server_call",
        "db_client_",
    ];
    let labels = ["db_client_connection_state"];
    words
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .filter(|word| !labels.contains(word) && *word != "chat_service")
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            let part = parts.iter().find_map(|part| word.strip_suffix(part));
            part.unwrap_or(word).to_owned()
        })
        .collect()
}

/// Alerts by name, each with its lines.
fn alerts() -> BTreeMap<String, String> {
    let rules = read("prometheus/alerts.yaml");
    let alerts = rules.split("- alert: ").skip(1);
    alerts
        .map(|alert| {
            let (name, rest) = alert.split_once('\n').unwrap();
            (name.to_owned(), rest.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn rules_are_valid_and_each_alert_fires_for_its_cause_and_not_for_another() {
    let directory = deploy().join("prometheus");
    promtool(&directory, &["check", "rules", "alerts.yaml"], None)
        .await
        .unwrap();
    promtool(&directory, &["test", "rules", "alerts.test.yaml"], None)
        .await
        .unwrap();
    let tests = read("prometheus/alerts.test.yaml");
    let runbook = read("docs/alerts.md");
    let alerts = alerts();
    for (name, rule) in &alerts {
        for test in ["fires", "is quiet"] {
            let test = format!("- name: {name} {test}\n");
            assert!(tests.contains(&test), "{test}");
        }
        let anchor = name.to_lowercase();
        for field in [
            "severity: ",
            "summary: ",
            "description: ",
            &format!("runbook_url: deploy/docs/alerts.md#{anchor}\n"),
        ] {
            assert!(rule.contains(field), "{name} has no {field}");
        }
        assert!(runbook.contains(&format!("### {name}\n")), "{name}");
        assert!(
            runbook.contains(&format!("(#{anchor})")),
            "no fault fires {name}"
        );
    }
    for heading in runbook.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(alerts.contains_key(heading), "{heading} is no alert");
    }
}

/// Has both processes do, meet and refuse what they may.
async fn traffic(stack: &Stack) -> Worker {
    let worker = stack.worker().await;
    let ann = stack.linked_user("ann").await;
    stack.github.pull_request(REPOSITORY).head("feature").open();
    let chat = stack.chat(&ann).await;
    stack.report(&ann, &chat, REPOSITORY, "feature").await;
    stack
        .status_when(&ann, &chat, "the pull request is found", |status| {
            status.pull_request_state() == PullRequestState::Open
        })
        .await;
    // A repository that does not exist, a limit that is nearly spent, and one that is.
    let lost = stack.chat(&ann).await;
    stack.report(&ann, &lost, "acme/nowhere", "feature").await;
    stack
        .status_when(&ann, &lost, "it is not found", |status| {
            status.problem.is_some()
        })
        .await;
    for (login, remaining) in [("bob", 0), ("carl", 300)] {
        let owner = stack.linked_user(login).await;
        for resource in [Resource::Core, Resource::Graphql] {
            let budget = stack.github.budget_of(login, resource);
            budget
                .remaining(remaining)
                .resets_in(Duration::from_secs(1800));
        }
        for branch in ["feature", "other"] {
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, REPOSITORY, branch).await;
            stack
                .status_when(&owner, &chat, "it is looked up or withheld", |status| {
                    status.problem.is_some() || status.refreshed_at.is_some()
                })
                .await;
        }
    }
    // A value of a later release.
    let client = stack.database.client().await;
    client
        .batch_execute(
            "ALTER TABLE chats DROP CONSTRAINT chats_status_check; UPDATE chats SET status = 'asleep'",
        )
        .await
        .unwrap();
    stack
        .chats(&ann)
        .get_chats(GetChatsRequest::default())
        .await
        .unwrap();
    worker
}

/// Metrics that begin with what no traffic here does: a request that is too heavy, for which these
/// would have to be many, certificates, and what renews tokens, for which a provider would have to
/// have an OAuth client.
const RARE: [&str; 7] = [
    "chat_certificate_expiry_timestamp_seconds",
    "gitsync_certificate_expiry_timestamp_seconds",
    "gitsync_batches_too_heavy_total",
    "chat_oauth_renewals_total",
    "chat_oauth_request_duration_seconds",
    "chat_oauth_breaker_open",
    "chat_oauth_misconfigured",
];

#[tokio::test]
async fn both_services_have_the_metrics_that_are_used_and_use_those_that_they_have() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::LIMIT_SPENT);
        stack.expect_warnings(&["a row holds a value of a later release"]);
        let worker = traffic(stack).await;
        // The relay counts what is due, paused and failing, and who has linked.
        wait::until("the relay has looked", || async {
            let chat = scrape(stack.ops_url()).await;
            let seen = [
                "chat_paused_budgets{",
                "chat_problem_refs{",
                "chat_credentials{",
            ];
            if seen.iter().all(|name| chat.contains(name)) {
                Ok(())
            } else {
                Err(chat)
            }
        })
        .await;
        let scrapes = [scrape(stack.ops_url()).await, scrape(&worker.ops).await];
        let directory = std::env::temp_dir().join(format!("metrics-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&directory).unwrap();
        for scrape in &scrapes {
            let path = directory.join("scrape");
            fs::write(&path, scrape).unwrap();
            let checked = promtool(&directory, &["check", "metrics"], Some(&path)).await;
            assert_eq!(checked.as_deref(), Ok(""), "{scrape}");
        }
        fs::remove_dir_all(&directory).unwrap();

        let mut exported: BTreeSet<String> = scrapes.iter().flat_map(|of| exported(of)).collect();
        exported.extend(RARE.map(str::to_owned));
        let rules = read("prometheus/alerts.yaml");
        let dashboard = read("grafana/dashboard.json");
        let documents = read("docs/alerts.md");
        for (place, text) in [
            ("rules", &rules),
            ("dashboard", &dashboard),
            ("docs", &documents),
        ] {
            let unknown: Vec<_> = named(text).difference(&exported).cloned().collect();
            assert!(
                unknown.is_empty(),
                "{place} name what is not there: {unknown:?}"
            );
        }
        let used = named(&[rules, dashboard, documents].concat());
        let unused: Vec<_> = exported.difference(&used).collect();
        assert!(unused.is_empty(), "nothing uses {unused:?}");
        vec![worker]
    })
    .await;
}

/// How many refs a replica shows to be due, if it shows that.
async fn due(url: &str) -> Option<u64> {
    let scrape = scrape(url).await;
    let lanes = scrape
        .lines()
        .filter(|line| line.starts_with("chat_due_refs{"));
    let due: Vec<u64> = lanes
        .map(|lane| lane.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    (!due.is_empty()).then(|| due.iter().sum())
}

/// The relay alone shows them, so that nothing is counted twice, or shown when it is old.
#[tokio::test]
async fn one_replica_shows_what_is_due_and_another_does_when_it_is_gone() {
    Stack::run(async |stack| {
        let ann = stack.linked_user("ann").await;
        let chat = stack.chat(&ann).await;
        stack.report(&ann, &chat, REPOSITORY, "feature").await;
        let replica = stack.replica().await;
        wait::until("the relay shows what is due", || async {
            match (due(stack.ops_url()).await, due(replica.ops_url()).await) {
                (Some(1), None) => Ok(()),
                shown => Err(shown),
            }
        })
        .await;
        stack.chat_service.signal(Signal::Kill).unwrap();
        stack.chat_service.wait().await;
        wait::until("the other replica shows it", || async {
            match due(replica.ops_url()).await {
                Some(1) => Ok(()),
                shown => Err(shown),
            }
        })
        .await;
        stack.restart_chat_service().await;
        replica.process.stop().await;
        Vec::new()
    })
    .await;
}
