//! When a host or a credential fails: only those concerned, and never what is known.

use e2e::{stack::Stack, warnings};
use proto::{
    chat::v1::{
        ChatDiffStatus, GetSyncStateRequest, ProblemClass, PullRequestState, RefreshChatRequest,
        WatchChatsRequest,
    },
    gitsync::v1::GetWorkerStateRequest,
};
use testkit::{
    clients::Caller,
    github::{Fault, Matching, Resource},
    postgres::Database,
    wait::{self, PATIENCE},
};
use tokio::time::timeout;

fn problem(status: &ChatDiffStatus) -> Option<ProblemClass> {
    status.problem.as_ref().map(proto::chat::v1::Problem::class)
}

/// Promise 7.
#[tokio::test]
async fn a_rate_limit_skips_the_rest_of_its_group_and_not_another_group() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::LIMIT_SPENT);
        let ann = stack.linked_user("ann").await;
        let bob = stack.linked_user("bob").await;
        let mut chats = Vec::new();
        for index in 0..5 {
            let branch = format!("branch-{index}");
            stack.github.pull_request("acme/web").head(&branch).open();
            for owner in [&ann, &bob] {
                let chat = stack.chat(owner).await;
                stack.report(owner, &chat, "acme/web", &branch).await;
                chats.push((owner.clone(), chat));
            }
        }
        for resource in [Resource::Core, Resource::Graphql] {
            stack
                .github
                .budget_of("ann", resource)
                .spend_all()
                .resets_in(std::time::Duration::from_secs(1800));
        }
        let worker = stack.worker().await;
        for (owner, chat) in &chats {
            let limited = owner.id() == ann.id();
            let status = stack
                .status_when(owner, chat, "every ref has its outcome", |status| {
                    if limited {
                        status.problem.is_some()
                    } else {
                        status.pull_request_state.is_some()
                    }
                })
                .await;
            assert_eq!(
                problem(&status),
                limited.then_some(ProblemClass::RateLimited)
            );
            if limited {
                let message = status.problem.unwrap().message;
                assert!(message.starts_with("rate limited until "), "{message}");
            }
        }
        let of_ann = stack
            .github
            .requests()
            .iter()
            .filter(|r| r.login() == Some("ann"))
            .count();
        assert_eq!(
            of_ann, 2,
            "a spent budget gets one answer of each interface"
        );
        // A report does not lift the pause.
        let (_, chat) = chats
            .iter()
            .find(|(owner, _)| owner.id() == ann.id())
            .unwrap();
        stack.report(&ann, chat, "acme/web", "another").await;
        let witness = stack.chat(&bob).await;
        stack.report(&bob, &witness, "acme/web", "branch-0").await;
        stack
            .status_when(
                &bob,
                &witness,
                "another owner's later report is through",
                |status| status.pull_request_state.is_some(),
            )
            .await;
        let of_ann = stack
            .github
            .requests()
            .iter()
            .filter(|r| r.login() == Some("ann"))
            .count();
        assert_eq!(of_ann, 2, "the pause was lifted by a report");
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn one_failing_ref_never_keeps_another_from_being_written() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::WITHOUT_GRAPHQL);
        // Each ref has requests of its own.
        stack.github.set_graphql(false);
        let owner = stack.linked_user("ann").await;
        let bad = stack.github.pull_request("acme/web").head("bad").open();
        stack.github.pull_request("acme/web").head("good").open();
        stack
            .github
            .fault(format!("/pulls/{bad}").as_str())
            .respond(Fault::Html);
        let mut chats = Vec::new();
        for branch in ["bad", "good"] {
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, "acme/web", branch).await;
            chats.push(chat);
        }
        let worker = stack.worker().await;
        let [bad, good] = chats.try_into().unwrap();
        let good = stack
            .status_when(&owner, &good, "the good one is written", |s| {
                s.pull_request_state.is_some()
            })
            .await;
        assert_eq!(good.pull_request_state(), PullRequestState::Open);
        let bad = stack
            .status_when(&owner, &bad, "the bad one has its problem", |s| {
                s.problem.is_some()
            })
            .await;
        assert_eq!(problem(&bad), Some(ProblemClass::HostAnswerInvalid));
        vec![worker]
    })
    .await;
}

/// Promise 9.
#[tokio::test]
async fn a_failed_lookup_never_looks_like_no_pull_request() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let bob = stack.github.user("bob");
        let secret = stack.github.repository("acme/secret");
        secret.private().grant(&bob);
        for (repository, branch, fault, class) in [
            ("acme/secret", "a", None, ProblemClass::RepositoryNotFound),
            (
                "acme/web",
                "b",
                Some(Fault::Status(500)),
                ProblemClass::HostUnavailable,
            ),
            (
                "acme/web",
                "c",
                Some(Fault::Status(403)),
                ProblemClass::AccessDenied,
            ),
            (
                "acme/web",
                "d",
                Some(Fault::Html),
                ProblemClass::HostAnswerInvalid,
            ),
        ] {
            stack.github.repository("acme/web");
            stack.github.clear_faults();
            if let Some(fault) = fault {
                stack.github.fault(Matching::any()).respond(fault);
            }
            let chat = stack.chat(&owner).await;
            stack.report(&owner, &chat, repository, branch).await;
            let status = stack
                .status_when(&owner, &chat, "the lookup failed", |status| {
                    status.problem.is_some()
                })
                .await;
            assert_eq!(problem(&status), Some(class), "{repository} {branch}");
            assert_eq!(status.refreshed_at, None);
        }
        vec![worker]
    })
    .await;
}

/// Promise 8: not in a log, an error, a metric, an event, or a response to operators; and in the
/// database only sealed.
#[tokio::test]
async fn a_token_never_appears_in_a_log_an_error_a_metric_or_an_event() {
    Stack::run_with(&[("CHAT_LOG", "trace")], async |stack| {
        stack.expect_warnings(&["the git host refused the credential of an account: suspect"]);
        let worker = stack.worker_with(&[("GITSYNC_LOG", "trace")]).await;
        let (owner, operator) = (Caller::user(), Caller::user().site("admin"));
        let token = stack.link(&owner, "ann").await;
        stack.github.pull_request("acme/web").head("feature").open();
        let chat = stack.chat(&owner).await;
        let request = WatchChatsRequest::default();
        let mut watch = stack
            .chats(&owner)
            .watch_chats(request)
            .await
            .unwrap()
            .into_inner();
        stack.report(&owner, &chat, "acme/web", "feature").await;
        stack
            .status_when(&owner, &chat, "the pull request is seen", |s| {
                s.pull_request_state.is_some()
            })
            .await;
        assert!(stack.github.revoke(&token));
        let request = RefreshChatRequest {
            chat_id: chat.id.clone(),
        };
        let failed = stack.chats(&owner).refresh_chat(request).await.unwrap_err();
        assert_eq!(failed.code(), tonic::Code::FailedPrecondition);
        // Everything that left the process, as text: text shows what bytes hold, too.
        let mut said = vec![("an error", format!("{failed:?}"))];
        said.push((
            "its details",
            String::from_utf8_lossy(failed.details()).into_owned(),
        ));

        let events = async {
            let mut events = Vec::new();
            loop {
                let event = watch.message().await.unwrap().unwrap();
                let status = event.chat.as_ref().and_then(|c| c.diff_status.as_ref());
                let last = status.is_some_and(|status| status.problem.is_some());
                events.push(event);
                if last {
                    return events;
                }
            }
        };
        let events = timeout(PATIENCE, events).await.unwrap();
        said.push(("events", format!("{events:?}")));

        // The outcome is visible before the worker has the answer to its report.
        let state = wait::until("the worker counts its failure", || async {
            let state = stack
                .worker_service(&worker, &operator)
                .get_worker_state(GetWorkerStateRequest {})
                .await
                .unwrap()
                .into_inner();
            if state.last_errors.is_empty() {
                Err(state)
            } else {
                Ok(state)
            }
        })
        .await;
        let kinds: Vec<_> = state.last_errors.iter().map(|e| &e.kind).collect();
        assert_eq!(kinds, ["credential_suspect"]);
        said.push(("the worker's state", format!("{state:?}")));
        let state = stack
            .sync_admin(&operator)
            .get_sync_state(GetSyncStateRequest::default())
            .await
            .unwrap();
        said.push(("the sync state", format!("{state:?}")));

        for (url, metric) in [
            (stack.ops_url(), "rpc_server_call_duration_seconds_count"),
            (
                stack.ops_url(),
                "db_query_summary=\"insert_chat\",error_type=\"\"} 1",
            ),
            (&worker.ops, "gitsync_host_requests_total"),
        ] {
            let metrics = testkit::http::get(url, "/metrics").await;
            assert!(metrics.contains(metric), "{metrics}");
            said.push(("metrics", metrics));
        }
        for process in [&stack.chat_service, &worker.process] {
            let lines = process.lines();
            assert!(lines.len() > 5, "there is a log to look through");
            said.push(("a log", lines.join("\n")));
        }
        said.push(("the database", everything_in(&stack.database).await));
        for (what, text) in &said {
            assert!(!text.contains(&token), "the token is in {what}");
        }

        let client = stack.database.client().await;
        let rows = client
            .query("SELECT access_token_sealed FROM git_credentials", &[])
            .await
            .unwrap();
        let [row] = rows.as_slice() else {
            panic!("one account was linked, and there are {}", rows.len());
        };
        let sealed: Vec<u8> = row.try_get(0).unwrap();
        let mut windows = sealed.windows(token.len());
        assert!(!windows.any(|window| window == token.as_bytes()));
        vec![worker]
    })
    .await;
}

/// Every row of every table, as text.
async fn everything_in(database: &Database) -> String {
    let client = database.client().await;
    let text = "SELECT coalesce(string_agg(query_to_xml(format('TABLE %I', tablename), true, false, '')::text, ''), '')
                FROM pg_tables WHERE schemaname = 'public'";
    let text: String = client
        .query_one(text, &[])
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    assert!(text.contains("<git_remote_origin>"), "{text}");
    text
}
