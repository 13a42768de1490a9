//! `GetChatDiff`: the pipeline of the workers, on demand, with both binaries.

use std::time::Duration;

use e2e::{
    stack::{REPOSITORY, Stack},
    warnings,
};
use proto::{
    bounds::MAX_DIFF_BYTES,
    chat::v1::{
        Chat, DiffSource, GetChatDiffRequest, GetChatRequest,
        chat_service_client::ChatServiceClient, get_chat_diff_response::Part,
    },
};
use testkit::{
    clients::{Authorized, Caller, facts, refused},
    github::{Fault, RecordedRequest, Resource},
    http,
    wait::until,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Reads the diff of a chat.
async fn read(
    mut client: ChatServiceClient<Authorized>,
    chat: &Chat,
) -> Result<(DiffSource, Vec<u8>), Status> {
    let chat_id = chat.id.clone();
    let parts = client.get_chat_diff(GetChatDiffRequest { chat_id }).await?;
    let mut parts = parts.into_inner();
    let (mut source, mut content) = (None, Vec::new());
    while let Some(message) = parts.message().await? {
        match message.part.unwrap() {
            Part::Source(of) => source = Some(of),
            Part::Content(part) => content.extend(part),
        }
    }
    Ok((source.unwrap(), content))
}

async fn diff(stack: &Stack, caller: &Caller, chat: &Chat) -> Result<(DiffSource, String), Status> {
    let (source, content) = read(stack.chats(caller), chat).await?;
    Ok((source, String::from_utf8(content).unwrap()))
}

/// A chat of `owner` with this branch.
async fn chat_on(stack: &Stack, owner: &Caller, repository: &str, branch: &str) -> Chat {
    let chat = stack.chat(owner).await;
    stack.report(owner, &chat, repository, branch).await;
    chat
}

/// The requests for diffs so far.
fn asked(stack: &Stack) -> Vec<RecordedRequest> {
    let mut requests = stack.github.requests();
    requests.retain(|request| request.header("accept") == Some("application/vnd.github.diff"));
    requests
}

#[tokio::test]
async fn a_chat_has_the_diff_of_its_open_merged_forked_or_absent_pull_request() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let github = &stack.github;
        let repository = github.repository(REPOSITORY);

        let open = repository.push("open");
        let number = github.pull_request(REPOSITORY).head("open").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "open").await;
        let (source, text) = diff(stack, &owner, &chat).await.unwrap();
        assert!(text.contains(&format!("\n+{open}\n")), "{text}");
        assert_eq!(source.pr_number, i32::try_from(number).ok());
        assert_eq!(source.base_branch.as_deref(), Some("main"));
        assert_eq!(source.head_sha.as_deref(), Some(open.as_str()));
        assert_eq!(source.git_branch, "open");

        let merged = repository.push("merged");
        let number = github.pull_request(REPOSITORY).head("merged").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "merged").await;
        diff(stack, &owner, &chat).await.unwrap();
        github.merge(REPOSITORY, number);
        repository.delete_branch("merged");
        // Until it is seen to be merged, its diff is given again; it is the same after.
        for _ in 0..2 {
            let (source, text) = diff(stack, &owner, &chat).await.unwrap();
            assert!(text.contains(&format!("\n+{merged}\n")), "{text}");
            assert_eq!(source.pr_number, i32::try_from(number).ok());
            let client = stack.database.client().await;
            let passes = "UPDATE git_diffs SET expires_at = now()";
            client.batch_execute(passes).await.unwrap();
        }

        let forked = github.fork(REPOSITORY, "ann").push("forked");
        let pull = github.pull_request(REPOSITORY).from_fork("ann/web");
        pull.head("forked").open();
        let chat = chat_on(stack, &owner, "ann/web", "forked").await;
        let (source, text) = diff(stack, &owner, &chat).await.unwrap();
        assert!(text.contains(&format!("\n+{forked}\n")), "{text}");
        assert!(source.pr_number.is_some());

        let absent = repository.push("absent/yet");
        let chat = chat_on(stack, &owner, REPOSITORY, "absent/yet").await;
        let (source, text) = diff(stack, &owner, &chat).await.unwrap();
        assert!(text.contains(&format!("\n+{absent}\n")), "{text}");
        assert_eq!(
            (source.pr_number, source.base_branch.as_deref()),
            (None, Some("main"))
        );
        assert_eq!(source.size, i64::try_from(text.len()).unwrap());

        let chat = chat_on(stack, &owner, REPOSITORY, "never-pushed").await;
        let none = refused(diff(stack, &owner, &chat).await);
        assert_eq!(none, (Code::NotFound, "DIFF_NOT_FOUND".to_owned(), None));
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_diff_of_four_mebibytes_arrives_whole_and_with_a_byte_more_it_is_too_large() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let repository = stack.github.repository(REPOSITORY);
        for (branch, bytes) in [("fits", MAX_DIFF_BYTES), ("beyond", MAX_DIFF_BYTES + 1)] {
            stack.github.pull_request(REPOSITORY).head(branch).open();
            repository.diff_length(branch, bytes);
        }
        let chat = chat_on(stack, &owner, REPOSITORY, "fits").await;
        let (source, text) = diff(stack, &owner, &chat).await.unwrap();
        assert_eq!((text.len(), source.size), (MAX_DIFF_BYTES, 4_194_304));
        assert!(text.ends_with("x\n"));

        let chat = chat_on(stack, &owner, REPOSITORY, "beyond").await;
        let refusal = refused(diff(stack, &owner, &chat).await);
        let reason = "DIFF_TOO_LARGE".to_owned();
        assert_eq!(refusal, (Code::FailedPrecondition, reason, None));

        // And so is one of which the host says it itself.
        let pull = stack.github.pull_request(REPOSITORY).head("wide");
        pull.diff(10, 0, 301).open();
        let chat = chat_on(stack, &owner, REPOSITORY, "wide").await;
        let refusal = refused(diff(stack, &owner, &chat).await);
        assert_eq!(refusal.1, "DIFF_TOO_LARGE");
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn of_an_account_whose_limit_is_spent_there_is_no_diff_until_it_says_when() {
    Stack::run(async |stack| {
        stack.expect_warnings(warnings::LIMIT_SPENT);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "feature").await;
        let hour = Duration::from_secs(3600);
        // The limit of diffs alone, then that of lookups too.
        for resource in [Resource::Core, Resource::Graphql] {
            let budget = stack.github.budget_of("ann", resource);
            budget.spend_all().resets_in(hour);
            let status = diff(stack, &owner, &chat).await.unwrap_err();
            let reason = "GIT_HOST_RATE_LIMITED".to_owned();
            assert_eq!(facts(&status), (Code::ResourceExhausted, reason, None));
            let details = status.get_error_details();
            let after = details.retry_info().and_then(|info| info.retry_delay);
            assert!(after > Some(hour / 2), "{after:?}");
            let client = stack.database.client().await;
            let passes = "UPDATE git_diffs SET expires_at = now()";
            client.batch_execute(passes).await.unwrap();
        }
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_stranger_hears_of_a_diff_what_it_hears_of_the_chat() {
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "feature").await;
        diff(stack, &owner, &chat).await.unwrap();
        let stranger = Caller::user();
        let refusal = diff(stack, &stranger, &chat).await.unwrap_err();
        let get = GetChatRequest {
            chat_id: chat.id.clone(),
            ..GetChatRequest::default()
        };
        let hidden = stack.chats(&stranger).get_chat(get).await.unwrap_err();
        assert_eq!(refusal.code(), Code::NotFound);
        assert_eq!(
            (refusal.code(), refusal.message(), refusal.details()),
            (hidden.code(), hidden.message(), hidden.details())
        );
        assert_eq!(asked(stack).len(), 1);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_costs_the_host_nothing_and_leaves_nothing_that_waits() {
    Stack::run(async |stack| {
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "feature").await;
        let client = stack.database.client().await;
        let until_asked = until("the diff is asked for", || async {
            let asked = client.query("SELECT 1 FROM git_diffs", &[]).await.unwrap();
            if asked.is_empty() { Err(()) } else { Ok(()) }
        });
        tokio::select! {
            read = diff(stack, &owner, &chat) => panic!("{read:?}"),
            () = until_asked => {}
        }
        let ops = stack.ops_url().to_owned();
        until("no call waits", || async {
            match http::metric::<i64>(&ops, "chat_waiting_calls").await {
                Some(0) => Ok(()),
                left => Err(left),
            }
        })
        .await;
        // Since then some seconds pass, and a worker comes.
        let passes = "UPDATE git_diffs SET wanted_until = now()";
        client.batch_execute(passes).await.unwrap();
        let worker = stack.worker().await;
        let what = "the branch is looked up";
        stack
            .status_when(&owner, &chat, what, |status| status.pr_number.is_some())
            .await;
        assert_eq!(asked(stack).len(), 0);
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn callers_of_two_replicas_share_one_request_to_the_host() {
    Stack::run(async |stack| {
        let other = stack.replica().await;
        let owner = stack.linked_user("ann").await;
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "feature").await;
        let worker = stack.worker().await;
        let hold = stack.github.hold("/pulls/1");
        let calls = async {
            tokio::join!(
                read(stack.chats(&owner), &chat),
                read(stack.chats_at(&other, &owner), &chat),
                read(stack.chats_at(&other, &owner), &chat),
            )
        };
        let releasing = async {
            hold.waiting(1).await;
            // All of them wait by then, or come to what is under way.
            let ops = [stack.ops_url(), other.ops_url()];
            until("all calls wait", || async {
                let mut waiting = 0;
                for ops in ops {
                    waiting += http::metric::<i64>(ops, "chat_waiting_calls")
                        .await
                        .unwrap();
                }
                if waiting >= 3 { Ok(()) } else { Err(waiting) }
            })
            .await;
            hold.release();
        };
        let ((one, two, three), ()) = tokio::join!(calls, releasing);
        let one = one.unwrap().1;
        assert!(!one.is_empty());
        assert!(two.unwrap().1 == one && three.unwrap().1 == one);
        assert_eq!(asked(stack).len(), 1);
        other.process.stop().await;
        vec![worker]
    })
    .await;
}

#[tokio::test]
async fn a_failure_of_the_host_has_its_reason_and_the_terminal_prints_the_diff_once_it_is_back() {
    Stack::run(async |stack| {
        stack.expect_warnings(&["call failed: the git host failed"]);
        let worker = stack.worker().await;
        let owner = stack.linked_user("ann").await;
        let head = stack.github.repository(REPOSITORY).push("feature");
        stack.github.pull_request(REPOSITORY).head("feature").open();
        let chat = chat_on(stack, &owner, REPOSITORY, "feature").await;
        stack
            .github
            .fault("/pulls/1")
            .once()
            .respond(Fault::HalfBody);
        let refusal = refused(diff(stack, &owner, &chat).await);
        assert_eq!(
            refusal,
            (Code::Unavailable, "GIT_HOST_FAILED".to_owned(), None)
        );
        // What is tried again after some seconds is asked again.
        let client = stack.database.client().await;
        let passes = "UPDATE git_diffs SET expires_at = now()";
        client.batch_execute(passes).await.unwrap();
        let printed = stack.terminal(&owner, &["diff", &chat.id]).await;
        assert!(printed.starts_with("diff --git a/feature.txt"), "{printed}");
        assert!(printed.contains(&format!("\n+{head}\n")), "{printed}");
        let lines = stack.terminal(&owner, &["diff", "--json", &chat.id]).await;
        assert!(lines.starts_with("{\"source\":{"), "{lines}");
        vec![worker]
    })
    .await;
}
