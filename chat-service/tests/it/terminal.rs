//! `chat-service list`, `refresh` and `sync-state`: the real binary as a client of a running
//! server.

mod client;
mod looks;
mod tls;
mod watching;

use proto::chat::v1::{ChatStatus, CreateChatRequest, ProblemClass};
use serde_json::Value;
use testkit::{postgres::Client as Database, proxy::Mode};
use uuid::Uuid;

use self::client::{Client, Ran};
use crate::{
    lock::{Holder, until_blocked},
    stack::{Caller, Stack},
    worker::{Leased, Owner, Worker, failed, found, outcome},
};

fn named(title: &str, status: ChatStatus) -> CreateChatRequest {
    CreateChatRequest {
        title: title.to_owned(),
        status: status.into(),
        ..CreateChatRequest::default()
    }
}

/// A JSON line, parsed.
fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Gives chat `id` a title that no call would take.
async fn retitle(database: &Database, id: &str, title: &str) {
    let id: Uuid = id.parse().unwrap();
    database
        .execute("UPDATE chats SET title = $2 WHERE id = $1", &[&id, &title])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_list_is_a_table_of_words_for_people_and_the_contracts_json_for_scripts() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let open = owner.chat("feat/x").await;
        Worker::of(stack).answer(found()).await;
        let running = named("At work", ChatStatus::Running);
        let running = stack.chat_with(&owner.caller, running).await;
        let client = Client::of(stack, &owner.caller);

        let table = client.ok(&["list"]).await;
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        let words = |line: &str| -> Vec<String> {
            let cells = line.split("  ").map(str::trim);
            cells
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(words(lines[1]), [running.id.as_str(), "running", "At work"]);
        let mut row = words(lines[2]);
        assert!(row.pop().unwrap().starts_with("synced "), "{table}");
        assert_eq!(
            row,
            [
                open.id.as_str(),
                "open",
                "New chat",
                "#7 open",
                "✓ approved",
                "+10 -3",
                "acme/web",
                "feat/x"
            ]
        );

        let lines = client.ok(&["list", "--json"]).await;
        let lines: Vec<Value> = lines.lines().map(json).collect();
        assert_eq!(lines[0]["title"], "At work");
        assert_eq!(lines[1]["id"], open.id.as_str());
        assert_eq!(
            lines[1]["diffStatus"]["pullRequestState"],
            "PULL_REQUEST_STATE_OPEN"
        );
        assert_eq!(lines[1]["diffStatus"]["prNumber"], 7);
        assert_eq!(lines[1]["diffStatus"]["gitRemoteOrigin"], Value::Null);
        let full = client.ok(&["list", "--json", "--full", "--limit=2"]).await;
        let full = json(full.lines().nth(1).unwrap());
        assert_eq!(full["diffStatuses"][0]["gitBranch"], "feat/x");

        for (filter, titles) in [
            (&["--pull-request-state=open"][..], &["New chat"][..]),
            (
                &["--pull-request-state=merged", "--pull-request-state=draft"][..],
                &[][..],
            ),
            (&["--status=running"][..], &["At work"][..]),
            (
                &["--repository=ACME/web", "--pull-request=7"][..],
                &["New chat"][..],
            ),
            (&["--title=at w"][..], &["At work"][..]),
            (&["--archived=true"][..], &[][..]),
            (&["--label=team=web"][..], &[][..]),
            (&["--shared-with-me"][..], &[][..]),
        ] {
            let found = client.ok(&[&["list", "--json"], filter].concat()).await;
            let found: Vec<Value> = found
                .lines()
                .map(|line| json(line)["title"].clone())
                .collect();
            assert_eq!(found, titles, "{filter:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_goes_on_over_pages_up_to_its_limit_and_says_when_there_is_more() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        stack
            .database
            .client()
            .await
            .execute(
                "INSERT INTO chats (id, owner_id, title, status)
                 SELECT gen_random_uuid(), $1, 'Chat ' || number, 'waiting'
                 FROM generate_series(1, 450) AS number",
                &[&owner.id().parse::<Uuid>().unwrap()],
            )
            .await
            .unwrap();
        let client = Client::of(stack, &owner);
        for (limit, shown, more) in [("50", 50, true), ("401", 401, true), ("450", 450, false)] {
            let ran = client.run(&["list", "--json", "--limit", limit]).await;
            let titles: std::collections::BTreeSet<&str> = ran.out.lines().collect();
            assert_eq!((ran.code, titles.len()), (Some(0), shown), "{}", ran.err);
            assert_eq!(
                ran.err.contains("there are more chats"),
                more,
                "{}",
                ran.err
            );
        }
        let none = Client::of(stack, &Caller::user()).run(&["list"]).await;
        assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
        assert_eq!(none.err, "chat-service: there is no such chat\n");
    })
    .await;
}

#[tokio::test]
async fn nothing_in_a_title_acts_on_the_terminal_in_either_form() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let title = "a\u{1b}]0;owned\u{7} \u{9b}2J b\u{202e}gpj.exe\r\nnext";
        retitle(&stack.database.client().await, &chat.id, title).await;
        let client = Client::of(stack, &owner);
        for form in [&["list"][..], &["list", "--json"]] {
            let out = client.ok(form).await;
            let raw =
                |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            assert_eq!(out.find(raw), None, "{out:?}");
            assert!(out.contains("owned"), "{out}");
        }
        let line = client.ok(&["list", "--json"]).await;
        assert_eq!(json(&line)["title"], title);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_prints_what_the_host_says_and_what_is_known_where_it_says_nothing() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let client = Client::of(stack, &owner.caller);
        let worker = Worker::of(stack);
        // Looked up since its report, so that only a refresh makes it due.
        worker.answer(found()).await;
        let answer = async |result| {
            let lease = Leased(worker.wait_for_lease().await.remove(0));
            let outcome = outcome(lease.git_ref(), result);
            worker.finish(&lease, vec![outcome]).await;
        };
        let arguments = ["refresh", &chat.id];
        let (fresh, ()) = tokio::join!(client.run(&arguments), answer(found()));
        assert_eq!(fresh.code, Some(0), "{}", fresh.err);
        assert!(fresh.out.contains("✓ approved"), "{}", fresh.out);

        let refusal = failed(ProblemClass::AccessDenied);
        let (refused, ()) = tokio::join!(client.run(&arguments), answer(refusal));
        assert_eq!(refused.code, Some(70), "{}", refused.err);
        for part in ["#7 open", "✓ approved", "no access to acme/web"] {
            assert!(
                refused.out.contains(part),
                "{part} is not in {}",
                refused.out
            );
        }
        assert_eq!(
            refused.err,
            "chat-service: the git host refuses the owner this repository (GIT_ACCESS_DENIED); \
             trying again changes nothing before that is mended\n"
        );
    })
    .await;
}

#[tokio::test]
async fn the_state_of_the_synchronisation_is_shown_to_site_admins_alone() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let client = Client::of(stack, &Caller::user().site("admin"));
        let before = client.ok(&["sync-state"]).await;
        for part in ["LANE", "active", "No budget is leased.", "github"] {
            assert!(before.contains(part), "{part} is not in {before}");
        }
        let leased = Worker::of(stack).lease_one().await;
        let state = json(&client.ok(&["sync-state", "--json"]).await);
        assert_eq!(state["leases"][0]["workerId"], "worker");
        let key = state["leases"][0]["budgetKey"].as_str().unwrap();
        let table = client.ok(&["sync-state"]).await;
        assert!(
            table.contains(key) && table.contains("EXPIRES IN"),
            "{table}"
        );
        drop(leased);

        let refused = Client::of(stack, &owner.caller).run(&["sync-state"]).await;
        assert_eq!((refused.code, refused.out.as_str()), (Some(77), ""));
        assert!(
            refused.err.contains("(ACTION_NOT_ALLOWED); another caller"),
            "{}",
            refused.err
        );
    })
    .await;
}

/// Whichever code gRPC gives it: that depends on how far the call had come.
#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_call_says_so_and_is_no_bug() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        for arguments in [&["list"][..], &["refresh", &chat.id]] {
            let (client, proxy) = watching::through_a_proxy(stack, &owner).await;
            let holder = Holder::of(stack, "LOCK TABLE chats IN ACCESS EXCLUSIVE MODE").await;
            let mut command = client.start(arguments);
            until_blocked(stack, 1).await;
            proxy.cut();
            command.remarks("cannot be reached: ").await;
            assert_eq!(command.ends().await, Some(69), "{arguments:?}");
            holder.let_go().await;
        }
        // In the middle of an answer.
        let title = "x".repeat(200);
        for _ in 0..50 {
            let chat = named(&title, ChatStatus::Waiting);
            stack.chat_with(&owner, chat).await;
        }
        for least in [1, 2_000, 10_000] {
            let (client, proxy) = watching::through_a_proxy(stack, &owner).await;
            proxy.set(Mode::CutAfter(least));
            let mut command = client.start(&["list", "--json"]);
            command.remarks("cannot be reached: ").await;
            assert_eq!(command.ends().await, Some(69), "{least}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_failure_is_one_sentence_an_exit_code_and_no_token() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        let client = Client::of(stack, &owner);
        let other = Uuid::now_v7().to_string();
        let long = "x".repeat(201);
        let check = |ran: Ran, code: i32, part: &str| {
            assert_eq!(ran.code, Some(code), "{part}: {}", ran.err);
            assert!(ran.err.contains(part), "{part} is not in {}", ran.err);
            assert_eq!(ran.err.trim_end().lines().count(), 1, "{}", ran.err);
            assert!(!ran.err.contains(&owner.token()), "{}", ran.err);
        };
        for command in ["refresh", "diff"] {
            let ran = client.run(&[command, &other]).await;
            check(ran, 66, "chat not found (RESOURCE_NOT_FOUND)");
        }
        let title = format!("--title={long}");
        check(client.run(&["list", &title]).await, 64, "(FIELD_INVALID)");
        let since = client.run(&["watch", "--since=none"]).await;
        check(since, 64, "since_revision");
        let expired = Client::of(stack, &owner.clone().expires(1))
            .run(&["list"])
            .await;
        check(
            expired,
            77,
            "(CREDENTIALS_INVALID); CHAT_TOKEN_FILE needs another token",
        );
        let away = client.at("http://127.0.0.1:1");
        for command in ["list", "watch", "sync-state"] {
            let ran = away.run(&[command]).await;
            check(
                ran,
                69,
                "http://127.0.0.1:1/ cannot be reached: Connection refused",
            );
        }
        let other_service = client.at(&stack.ops_url);
        assert_eq!(other_service.run(&["list"]).await.code, Some(69));
        let (_, port) = stack.public_url.rsplit_once(':').unwrap();
        for url in ["http://chat.example", "http://0.0.0.0"] {
            let refused = client.at(&format!("{url}:{port}")).run(&["list"]).await;
            assert_eq!(refused.code, Some(64), "{}", refused.err);
            assert!(
                refused.err.contains("--plaintext allows that"),
                "{}",
                refused.err
            );
        }
        let by_name = client.at(&format!("http://0.0.0.0:{port}"));
        assert_eq!(by_name.run(&["list", "--plaintext"]).await.code, Some(0));
        for (flag, problem) in [
            (
                "--status=done",
                "--status is \"done\"; it must be one of waiting, pending,",
            ),
            (
                "--pull-request-state=new",
                "it must be one of open, draft, merged, closed",
            ),
            (
                "--label=team",
                "it must be a key and a value, as in team=web",
            ),
            ("--limit=0", "--limit is \"0\"; it must be 1 to 10000000"),
            (
                "--token-file=/nowhere",
                "CHAT_TOKEN_FILE is \"/nowhere\"; it cannot be used",
            ),
        ] {
            let ran = client.run(&["list", flag]).await;
            assert_eq!(ran.code, Some(64), "{}", ran.err);
            assert!(ran.err.contains(problem), "{}", ran.err);
        }
        let url = client
            .at("http://ann:hunter2@127.0.0.1")
            .run(&["list"])
            .await;
        assert!(
            url.code == Some(64) && !url.err.contains("hunter2"),
            "{}",
            url.err
        );
    })
    .await;
}
