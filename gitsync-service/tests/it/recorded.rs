//! Answers of the real GitHub, as other projects recorded them, through the real client.
//!
//! `RECORDED_ANSWERS` names a file with one JSON object a line: `method`, `url` (path and query),
//! `status`, `headers`, `body`. Each line is served over HTTP to a worker that asks for what the
//! line answers. What a recording leaves to its reader (`{{now offset='3 seconds' ...}}`) is filled
//! in.

mod line;
mod replay;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
};

use futures_util::FutureExt as _;
use proto::sync::{
    BudgetView, Checks, Finding, LeasedRef, ProblemClass, ProblemName as _, Upstream,
};
use serde_json::{Value, json};
use testkit::github::fixtures;

use self::{
    line::{Asked, Line, lines},
    replay::{Canned, Replay},
};
use crate::support::{
    Refreshed, engine, git_ref, group_at, knowing, lease, lease_with, path as path_of, refresh,
    refresher,
};

const FILE: &str = "RECORDED_ANSWERS";
const TOKEN: &str = "gho_recorded";

/// Understood and refused answers, by endpoint and by class.
type Counts = BTreeMap<String, usize>;

#[tokio::test]
async fn every_recorded_answer_is_understood_or_refused_with_its_class() {
    let Some(file) = std::env::var_os(FILE) else {
        eprintln!("{FILE} is not set: no recorded answer is replayed");
        return;
    };
    let all = lines(&std::fs::read_to_string(file).unwrap());
    let mut counts = Counts::new();
    let mut wrong = Vec::new();
    for line in &all {
        match AssertUnwindSafe(replayed(line)).catch_unwind().await {
            Ok(counted) => *counts.entry(counted).or_default() += 1,
            Err(_) => wrong.push(&line.case),
        }
    }
    for (what, count) in &counts {
        eprintln!("{count:4} {what}");
    }
    eprintln!("{:4} in all", all.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counts.keys().any(|what| what.starts_with("understood")));
    assert!(counts.keys().any(|what| what.starts_with("refused")));
}

/// What became of a line.
async fn replayed(line: &Line) -> String {
    match line.status {
        200..=299 => match line.asked() {
            Some(asked) => understood(line, &asked).await,
            None => "of no use to the client".to_owned(),
        },
        301 => moved(line).await,
        _ => refused(line).await,
    }
}

/// What comes of one ref over REST, where the host answers so.
async fn looked_up(replay: &Replay, git_ref: LeasedRef) -> Refreshed {
    let groups = vec![group_at(&replay.url(), Some(TOKEN), vec![git_ref])];
    refresh(&refresher(), lease(groups)).await
}

/// An answer that is one is read as it says.
async fn understood(line: &Line, asked: &Asked) -> String {
    let body = line.body.clone();
    let case = &line.case;
    match asked {
        Asked::Pull { repository, number } => {
            let replay = Replay::start(vec![line.canned()]).await;
            let git_ref = knowing(head_of(&body, repository), repository, *number);
            let refreshed = looked_up(&replay, git_ref).await;
            let found = refreshed.found("r");
            let shown = &found.shown;
            let state = match (&body["merged"], body["state"].as_str()) {
                (Value::Bool(true), _) => "merged",
                (_, state) => state.unwrap(),
            };
            assert_eq!(shown.state.name(), state, "{case}");
            assert_eq!(json!(shown.number), body["number"], "{case}");
            assert_eq!(json!(shown.title), body["title"], "{case}");
            assert_eq!(json!(shown.url), body["html_url"], "{case}");
            let draft = body.get("draft").cloned().unwrap_or(json!(false));
            assert_eq!(json!(shown.draft), draft, "{case}");
            assert_eq!(json!(shown.base_branch), body["base"]["ref"], "{case}");
            let head = &shown.head;
            let numbers = json!([
                head.additions,
                head.deletions,
                head.changed_files,
                head.commits
            ]);
            let expected = json!([
                body["additions"],
                body["deletions"],
                body["changed_files"],
                body["commits"],
            ]);
            assert_eq!(numbers, expected, "{case}");
            assert_eq!(json!(head.sha), body["head"]["sha"], "{case}");
            "understood: pull request".to_owned()
        }
        Asked::Pulls { repository } => {
            let items = body.as_array().unwrap();
            let open = |item: &&Value| item["state"] == "open";
            // The latest open one is asked for by the branch that it brings and its commit, which
            // even a default branch takes for evidence.
            let latest = items
                .iter()
                .filter(open)
                .max_by_key(|item| item["number"].as_u64());
            let mut answers = vec![line.canned()];
            let mut git_ref = git_ref("r", repository, "feature");
            if let Some(item) = latest.or(items.first()) {
                git_ref = head_of(item, repository);
                git_ref.commit = item["head"]["sha"].as_str().map(str::to_owned);
                let number = &item["number"];
                let path = format!("/repos/{repository}/pulls/{number}");
                answers.push(Canned::ok(&path, &whole(item)));
                if let Some(home) = item["head"]["repo"]["full_name"].as_str()
                    && home != repository
                {
                    git_ref.upstream = Upstream::Of(path_of(repository));
                    let fork = json!({
                        "full_name": home,
                        "fork": true,
                        "default_branch": "trunk",
                        "parent": {"full_name": repository, "fork": false},
                    });
                    answers.push(Canned::ok(&format!("/repos/{home}"), &fork));
                }
            }
            let replay = Replay::start(answers).await;
            let refreshed = looked_up(&replay, git_ref).await;
            match (latest, refreshed.finding("r")) {
                (Some(item), Finding::PullRequest(found)) => {
                    assert_eq!(json!(found.shown.number), item["number"], "{case}");
                }
                // Whether a closed one counts is not for the list to say.
                (None, Finding::PullRequest(_) | Finding::NoPullRequest) => {}
                (_, finding) => panic!("{case}: {finding:?}"),
            }
            "understood: list of pull requests".to_owned()
        }
        Asked::OfCommit { repository, commit } => {
            let items = body.as_array().unwrap();
            let pulls = items.iter().map(|item| {
                let path = format!("/repos/{repository}/pulls/{}", item["number"]);
                Canned::ok(&path, &whole(item))
            });
            let mut git_ref = match items.first() {
                Some(item) => head_of(item, repository),
                None => git_ref("r", repository, "feature"),
            };
            git_ref.repository = path_of(repository);
            // A commit is asked about where the branch had a pull request that may hold it.
            let earlier = json!([{
                "number": 1_000_000,
                "state": "closed",
                "head": {"ref": git_ref.branch, "sha": "abc", "repo": {"full_name": repository}},
                "base": {"ref": "main", "repo": {"full_name": repository}},
            }]);
            let list = Canned::ok(&format!("/repos/{repository}/pulls"), &earlier);
            let replay = Replay::start(pulls.chain([list, line.canned()]).collect()).await;
            git_ref.commit = Some(commit.clone());
            let refreshed = looked_up(&replay, git_ref).await;
            // Whether one that was settled long ago counts is not for the list to say.
            if let Finding::PullRequest(found) = refreshed.finding("r") {
                let mut numbers = items.iter().map(|item| &item["number"]);
                assert!(
                    numbers.any(|number| *number == found.shown.number),
                    "{case}"
                );
            } else {
                assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest, "{case}");
            }
            let asked = replay.asked();
            assert!(asked.contains(&line.canned().path), "{case}: {asked:?}");
            "understood: pull requests of a commit".to_owned()
        }
        Asked::Reviews { repository, number } => {
            let item = json!({
                "number": number,
                "head": {"ref": "feature", "sha": "abc", "repo": {"full_name": repository}},
                "base": {"ref": "main", "repo": {"full_name": repository}},
            });
            let path = format!("/repos/{repository}/pulls/{number}");
            let replay = Replay::start(vec![line.canned(), Canned::ok(&path, &whole(&item))]).await;
            let git_ref = knowing(git_ref("r", repository, "feature"), repository, *number);
            let refreshed = looked_up(&replay, git_ref).await;
            let shown = &refreshed.found("r").shown;
            // A review of an account that is gone counts for nothing.
            let reviews = body.as_array().unwrap().iter();
            let reviews: Vec<_> = reviews.filter(|review| !review["user"].is_null()).collect();
            let of = |state: &str| {
                reviews
                    .iter()
                    .filter(|review| review["state"] == state)
                    .count()
            };
            // No recording has a reviewer who decided twice.
            let decided = of("APPROVED") + of("CHANGES_REQUESTED") + of("DISMISSED");
            assert_eq!(
                usize::try_from(shown.reviewer_count).unwrap(),
                decided,
                "{case}"
            );
            assert_eq!(
                shown.changes_requested,
                of("CHANGES_REQUESTED") > 0,
                "{case}"
            );
            "understood: reviews".to_owned()
        }
        Asked::CheckRuns { repository, commit } => {
            // The recording has a name in place of a number.
            let text = line.text.replace(":GITHUB_TEST_INTEGRATION,", ":1,");
            let Ok(body) = serde_json::from_str::<Value>(&text) else {
                // Its recorder cut it off. That costs the checks, and no status.
                let cut = checks_of(repository, commit, json!(text), json!([])).await;
                assert_eq!(cut, None, "{case}");
                return "understood: pull request without its cut off check runs".to_owned();
            };
            let sum = checks_of(repository, commit, body.clone(), json!([])).await;
            let sum = sum.unwrap();
            let runs = body["check_runs"].as_array().unwrap();
            let names: BTreeSet<&str> =
                runs.iter().filter_map(|run| run["name"].as_str()).collect();
            assert_eq!(usize::try_from(sum.total).unwrap(), names.len(), "{case}");
            let any = |status: &str| runs.iter().any(|run| run["status"] == status);
            assert_eq!(
                sum.pending > 0,
                any("queued") || any("in_progress"),
                "{case}"
            );
            "understood: check runs".to_owned()
        }
        Asked::Statuses { repository, commit } => {
            let body: Value = serde_json::from_str(&line.text).unwrap();
            let all = body.get("statuses").unwrap_or(&body).as_array().unwrap();
            // The latest come first; the combined status has one of each context.
            let mut latest: BTreeMap<&str, &Value> = BTreeMap::new();
            for status in all {
                latest
                    .entry(status["context"].as_str().unwrap_or("default"))
                    .or_insert(status);
            }
            let mut statuses: Vec<Value> = latest.values().copied().cloned().collect();
            for (status, context) in statuses.iter_mut().zip(latest.keys()) {
                status["context"] = json!(context);
            }
            let of = |states: &[&str]| {
                let is_of = |status: &&Value| states.iter().any(|state| status["state"] == *state);
                u32::try_from(statuses.iter().filter(is_of).count()).unwrap()
            };
            let runs = json!({"total_count": 0, "check_runs": []});
            let sum = checks_of(repository, commit, runs, json!(statuses)).await;
            let sum = sum.unwrap();
            let counted = (sum.passed, sum.failed, sum.pending);
            let expected = (
                of(&["success"]),
                of(&["failure", "error"]),
                of(&["pending"]),
            );
            assert_eq!(counted, expected, "{case}");
            "understood: statuses".to_owned()
        }
        Asked::Repository { repository } => {
            let replay = Replay::start(vec![line.canned()]).await;
            let git_ref = LeasedRef {
                upstream: Upstream::Unknown,
                ..git_ref("r", repository, "feature")
            };
            let refreshed = looked_up(&replay, git_ref).await;
            assert_eq!(*refreshed.finding("r"), Finding::NoPullRequest, "{case}");
            let expected = match body["parent"]["full_name"].as_str() {
                Some(parent) => Upstream::Of(path_of(parent)),
                None => Upstream::NoFork,
            };
            assert_eq!(refreshed.outcomes["r"].learned.upstream, expected, "{case}");
            "understood: repository".to_owned()
        }
        Asked::User => {
            let replay = Replay::start(vec![line.canned()]).await;
            let refs = vec![git_ref("r", "acme/web", "feature")];
            let groups = vec![group_at(&replay.url(), Some(TOKEN), refs)];
            let unknown = lease_with("key", groups, BudgetView::default());
            let refreshed = refresh(&refresher(), unknown).await;
            let expected = body["id"].to_string();
            assert_eq!(
                refreshed.budget.unwrap().account_id,
                Some(expected),
                "{case}"
            );
            "understood: user".to_owned()
        }
        Asked::Graphql => {
            // It answers another query than any that is asked here.
            let replay = Replay::start(vec![line.canned()]).await;
            let refs = vec![git_ref("r", "acme/web", "feature")];
            let groups = vec![group_at(&replay.url(), Some(TOKEN), refs)];
            let refreshed = refresh(&engine(), lease(groups)).await;
            let class = refreshed.problem("r");
            assert_eq!(class, ProblemClass::HostAnswerInvalid, "{case}");
            format!("refused: {} (GraphQL of another query)", class.name())
        }
    }
}

/// The checks of a pull request whose head has these runs and statuses.
async fn checks_of(repository: &str, commit: &str, runs: Value, statuses: Value) -> Option<Checks> {
    let item = json!({
        "number": 1,
        "state": "open",
        "head": {"ref": "feature", "sha": commit, "repo": {"full_name": repository}},
        "base": {"ref": "main", "repo": {"full_name": repository}},
    });
    let of_head = format!("/repos/{repository}/commits/{commit}");
    let status = json!({"state": "pending", "statuses": statuses});
    let replay = Replay::start(vec![
        Canned::ok(&format!("/repos/{repository}/pulls/1"), &whole(&item)),
        Canned::ok(&format!("{of_head}/check-runs"), &runs),
        Canned::ok(&format!("{of_head}/status"), &status),
    ])
    .await;
    let git_ref = knowing(git_ref("r", repository, "feature"), repository, 1);
    let refreshed = looked_up(&replay, git_ref).await;
    refreshed.found("r").shown.head.checks.clone()
}

/// A redirect is followed at the host, and what is there counts.
async fn moved(line: &Line) -> String {
    let Some(Asked::Repository { repository }) = line.asked() else {
        panic!("{}: where it leads is not known", line.case);
    };
    let location = line.header("location").unwrap();
    let path = location.strip_prefix("https://api.github.com").unwrap();
    let answers = vec![
        line.canned(),
        Canned::ok(path, &serde_json::from_str(fixtures::REPOSITORY).unwrap()),
    ];
    let replay = Replay::start(answers).await;
    let git_ref = LeasedRef {
        upstream: Upstream::Unknown,
        ..git_ref("r", &repository, "feature")
    };
    let refreshed = looked_up(&replay, git_ref).await;
    assert_eq!(
        *refreshed.finding("r"),
        Finding::NoPullRequest,
        "{}",
        line.case
    );
    assert!(
        replay.asked().iter().any(|asked| asked == path),
        "{}",
        line.case
    );
    "understood: moved for good".to_owned()
}

/// A refusal has the class that its status and its words have, and is never "no pull request".
async fn refused(line: &Line) -> String {
    let git_ref = knowing(git_ref("r", "acme/web", "feature"), "acme/web", 1);
    let replay = Replay::start(vec![line.for_any()]).await;
    let refreshed = looked_up(&replay, git_ref.clone()).await;
    let class = refreshed.problem("r");
    assert_eq!(class, expected(line), "{}", line.case);
    // The same as an answer to a query.
    let groups = vec![group_at(&replay.url(), Some(TOKEN), vec![git_ref])];
    let over_graphql = refresh(&engine(), lease(groups)).await;
    over_graphql.problem("r");
    format!("refused: {}", class.name())
}

/// What the status, the limit's headers and the words say, read here for itself.
fn expected(line: &Line) -> ProblemClass {
    let words = line.text.to_lowercase();
    let spent = line.header("x-ratelimit-remaining") == Some("0");
    match line.status {
        401 => ProblemClass::CredentialSuspect,
        403 | 429 if words.contains("secondary rate limit") => ProblemClass::SecondaryLimited,
        403 | 429 if line.header("retry-after").is_some() => ProblemClass::SecondaryLimited,
        403 | 429 if spent => ProblemClass::RateLimited,
        403 => ProblemClass::AccessDenied,
        // What the client does not ask, since it says of nothing that it knows it.
        304 => ProblemClass::HostAnswerInvalid,
        404 => ProblemClass::RepositoryNotFound,
        400 | 422 => ProblemClass::HostIncompatible,
        503 => ProblemClass::HostUnavailable,
        status => panic!("{}: {status} has no class yet", line.case),
    }
}

/// A ref of the branch that a pull request brings.
fn head_of(pull: &Value, base: &str) -> LeasedRef {
    let home = pull["head"]["repo"]["full_name"].as_str().unwrap_or(base);
    git_ref("r", home, pull["head"]["ref"].as_str().unwrap())
}

/// GitHub's example of a whole pull request, with the members of another written over it.
fn whole(members: &Value) -> Value {
    let mut whole: Value = serde_json::from_str(fixtures::PULL_REQUEST).unwrap();
    for (name, value) in members.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}
