//! `GetChatDiff`: the question, its answer, and what bounds both.

mod bound;
mod reason;

use std::time::Duration;

use proto::{
    bounds::MAX_DIFF_PART_BYTES,
    chat::v1::{self, DiffSource, get_chat_diff_response::Part, report_diff_request::Result as Of},
};
use testkit::wait::until;
use tonic::{Code, Request, Status};

use crate::{
    stack::{Caller, Stack, facts, refused, user},
    worker::{
        Leased, Owner, Worker, found, none, outcome, pull_request, report, report_earlier, run,
        unchanged, value,
    },
};

/// Runs `body` with a chat whose owner is linked and whose branch was reported, and a worker.
async fn asking(body: impl for<'a> AsyncFnOnce(&'a Stack, Owner<'a>, v1::Chat, Worker)) {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        body(stack, owner, chat, Worker::of(stack)).await;
    })
    .await;
}

/// A diff as it was read.
type DiffRead = Result<(DiffSource, Vec<u8>), Status>;

/// Reads the diff of a chat.
async fn diff(stack: &Stack, caller: &Caller, chat: &str) -> DiffRead {
    diff_within(stack, caller, chat, Duration::from_secs(30)).await
}

async fn diff_within(stack: &Stack, caller: &Caller, chat: &str, limit: Duration) -> DiffRead {
    let chat_id = chat.to_owned();
    let mut request = Request::new(v1::GetChatDiffRequest { chat_id });
    request.set_timeout(limit);
    let mut parts = stack.chats(caller).get_chat_diff(request).await?;
    let parts = parts.get_mut();
    let Some(Part::Source(source)) = parts.message().await?.unwrap().part else {
        panic!("the source comes first");
    };
    let mut content = Vec::new();
    while let Some(message) = parts.message().await? {
        let Some(Part::Content(part)) = message.part else {
            panic!("the source comes once");
        };
        assert!(!part.is_empty() && part.len() <= MAX_DIFF_PART_BYTES);
        content.extend(part);
    }
    assert_eq!(i64::try_from(content.len()).unwrap(), source.size);
    Ok((source, content))
}

/// The diff of pull request 7, as a host makes it.
fn of_pull_request(content: &[u8]) -> Of {
    Of::Found(v1::Diff {
        content: content.to_vec().into(),
        pr_number: Some(7),
        base_branch: Some("main".to_owned()),
        head_sha: Some(pull_request().head_sha),
    })
}

/// Waits until a diff is asked for, and leases its ref.
async fn wanted(stack: &Stack, worker: &Worker) -> Leased {
    until_asked(stack).await;
    let lease = Leased(worker.wait_for_lease().await.remove(0));
    assert!(lease.git_ref().diff_wanted);
    lease
}

/// Reports `diff`, and then `result` of its ref.
async fn answer(stack: &Stack, worker: &Worker, diff: Of, result: v1::outcome::Result) {
    let lease = wanted(stack, worker).await;
    assert_eq!(lease.git_ref().lane(), v1::Lane::Interactive);
    let token = lease.0.lease_token.clone();
    worker
        .report_diff(&token, lease.git_ref(), diff)
        .await
        .unwrap();
    let outcome = outcome(lease.git_ref(), result);
    worker.finish(&lease, vec![outcome]).await;
}

/// Waits until a diff is asked for.
async fn until_asked(stack: &Stack) {
    until("a diff is asked for", || async {
        let sql = "SELECT count(*) FROM git_diffs WHERE answered < asked";
        let asked: i64 = value(stack, sql).await;
        if asked > 0 { Ok(()) } else { Err(asked) }
    })
    .await;
}

#[tokio::test]
async fn a_diff_is_asked_for_with_the_lookup_of_its_ref_and_comes_in_parts() {
    asking(async |stack, owner, chat, worker| {
        // Looked up since its report, so that only the question makes it due.
        worker.answer(found()).await;
        let content: Vec<u8> = (0..=250).cycle().take(700_000).collect();
        let (read, ()) = tokio::join!(
            diff(stack, &owner.caller, &chat.id),
            answer(stack, &worker, of_pull_request(&content), found()),
        );
        let (source, read) = read.unwrap();
        assert!(read == content);
        assert_eq!(source.git_branch, "feat/x");
        assert_eq!(source.git_remote_origin, "https://github.com/acme/web");
        assert_eq!(source.pr_number, Some(7));
        assert_eq!(source.base_branch.as_deref(), Some("main"));
        assert_eq!(source.head_sha, Some(pull_request().head_sha));
        assert!(source.fetched_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_branch_without_a_difference_is_a_diff_of_no_bytes() {
    asking(async |stack, owner, chat, worker| {
        let empty = Of::Found(v1::Diff {
            base_branch: Some("trunk".to_owned()),
            ..v1::Diff::default()
        });
        let (read, ()) = tokio::join!(
            diff(stack, &owner.caller, &chat.id),
            answer(stack, &worker, empty, none()),
        );
        let (source, content) = read.unwrap();
        assert_eq!((source.pr_number, source.size), (None, 0));
        assert_eq!(source.base_branch.as_deref(), Some("trunk"));
        assert!(content.is_empty());
        // It is given again although no head is known.
        diff(stack, &owner.caller, &chat.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn calls_of_all_readers_for_one_branch_share_a_question() {
    asking(async |stack, owner, chat, worker| {
        let reader = Caller::user();
        stack
            .share(&owner.caller, &chat.id, vec![user(&reader)])
            .await;
        let call = |caller| diff(stack, caller, &chat.id);
        let answering = async {
            until_asked(stack).await;
            answer(stack, &worker, of_pull_request(b"+1\n"), found()).await;
        };
        let (one, two, three, four, ()) = tokio::join!(
            call(&owner.caller),
            call(&owner.caller),
            call(&reader),
            call(&reader),
            answering,
        );
        for read in [one, two, three, four] {
            assert_eq!(read.unwrap().1, b"+1\n");
        }
        let asked: i64 = value(stack, "SELECT asked FROM git_diffs").await;
        assert_eq!(asked, 1);
        assert_eq!(worker.lease().await.len(), 0, "it is not due again");
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_given_again_until_it_is_a_minute_old_or_something_is_new() {
    asking(async |stack, owner, chat, worker| {
        let call = || diff(stack, &owner.caller, &chat.id);
        let (first, ()) = tokio::join!(
            call(),
            answer(stack, &worker, of_pull_request(b"+1\n"), found())
        );
        first.unwrap();
        let again = call().await.unwrap();
        assert_eq!(again.1, b"+1\n", "without a worker");

        // A minute passes.
        run(stack, "UPDATE git_diffs SET expires_at = now()").await;
        // Of a pull request that is as it was, the head is the known one.
        let same = Of::Found(v1::Diff {
            content: b"+2\n".to_vec().into(),
            pr_number: Some(7),
            ..v1::Diff::default()
        });
        let (second, ()) = tokio::join!(call(), answer(stack, &worker, same, unchanged()));
        let (source, content) = second.unwrap();
        assert_eq!(content, b"+2\n");
        assert_eq!(source.head_sha, Some(pull_request().head_sha));
        assert_eq!(source.base_branch.as_deref(), Some("main"));
        assert_eq!(call().await.unwrap().1, b"+2\n");

        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        let (pushed, ()) = tokio::join!(
            call(),
            answer(stack, &worker, of_pull_request(b"+3\n"), found())
        );
        assert_eq!(pushed.unwrap().1, b"+3\n", "after a report");

        owner.link("ghp_another").await;
        let (linked, ()) = tokio::join!(
            call(),
            answer(stack, &worker, of_pull_request(b"+4\n"), found())
        );
        assert_eq!(linked.unwrap().1, b"+4\n", "with another credential");

        run(
            stack,
            "UPDATE git_refs SET pull_request = jsonb_set(pull_request, '{head,sha}', '\"new\"');
             UPDATE git_diffs SET fetched_at = now() - interval '6 s'",
        )
        .await;
        let (moved, ()) = tokio::join!(
            call(),
            answer(stack, &worker, of_pull_request(b"+5\n"), found())
        );
        assert_eq!(moved.unwrap().1, b"+5\n", "of another head");
    })
    .await;
}

#[tokio::test]
async fn a_diff_of_before_a_report_is_not_stored_and_the_next_lease_asks_again() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            let lease = wanted(stack, &worker).await;
            report_earlier(stack).await;
            owner.report(&chat.id, "feat/x").await;
            let (token, git_ref) = (lease.0.lease_token.clone(), lease.git_ref());
            let old = of_pull_request(b"+old\n");
            worker.report_diff(&token, git_ref, old).await.unwrap();
            worker.finish(&lease, vec![outcome(git_ref, found())]).await;
            answer(stack, &worker, of_pull_request(b"+new\n"), found()).await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        assert_eq!(read.unwrap().1, b"+new\n");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_stores_no_diff_and_a_repeated_report_stores_one() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            let lost = wanted(stack, &worker).await;
            worker.release(&lost.0.lease_token).await;
            let old = of_pull_request(b"+old\n");
            let refusal = worker
                .report_diff(&lost.0.lease_token, lost.git_ref(), old)
                .await;
            let lease_lost = (Code::FailedPrecondition, "LEASE_LOST".to_owned(), None);
            assert_eq!(refused(refusal), lease_lost);

            let lease = wanted(stack, &worker).await;
            for content in [b"+new\n", b"+two\n"] {
                let diff = of_pull_request(content);
                worker
                    .report_diff(&lease.0.lease_token, lease.git_ref(), diff)
                    .await
                    .unwrap();
            }
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        assert_eq!(read.unwrap().1, b"+new\n");
    })
    .await;
}

#[tokio::test]
async fn a_chat_that_moves_to_another_branch_has_that_ones_diff() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            until_asked(stack).await;
            owner.report(&chat.id, "feat/y").await;
            until("the other branch is asked for", || async {
                let sql = "SELECT count(*) FROM git_diffs WHERE answered < asked";
                let asked: i64 = value(stack, sql).await;
                if asked == 2 { Ok(()) } else { Err(asked) }
            })
            .await;
            let lease = Leased(worker.wait_for_lease().await.remove(0));
            let refs = lease.refs();
            let other = refs.iter().find(|of| of.branch == "feat/y").unwrap();
            worker
                .report_diff(&lease.0.lease_token, other, of_pull_request(b"+y\n"))
                .await
                .unwrap();
            let outcomes = refs.iter().map(|of| outcome(of, none())).collect();
            worker.finish(&lease, outcomes).await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        let (source, content) = read.unwrap();
        assert_eq!(
            (source.git_branch.as_str(), &*content),
            ("feat/y", &b"+y\n"[..])
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_with_the_database_is_asked_for_again_by_those_who_wait() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            let lease = wanted(stack, &worker).await;
            // As a crash leaves an unlogged table.
            run(stack, "TRUNCATE git_diffs").await;
            worker
                .report_diff(
                    &lease.0.lease_token,
                    lease.git_ref(),
                    of_pull_request(b"+lost\n"),
                )
                .await
                .unwrap();
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
            answer(stack, &worker, of_pull_request(b"+again\n"), found()).await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        assert_eq!(read.unwrap().1, b"+again\n");
    })
    .await;
}

/// As of an earlier release, which knows of no diffs.
#[tokio::test]
async fn a_worker_that_never_answers_ends_the_wait_after_a_few_lookups() {
    asking(async |stack, owner, chat, worker| {
        let mut looked_up = 0;
        let answering = async {
            loop {
                let lease = Leased(worker.wait_for_lease().await.remove(0));
                looked_up += 1;
                let outcome = outcome(lease.git_ref(), found());
                worker
                    .try_report(report(&lease.0.lease_token, vec![outcome]))
                    .await
                    .unwrap();
            }
        };
        let status = tokio::select! {
            read = diff(stack, &owner.caller, &chat.id) => read.unwrap_err(),
            () = answering => unreachable!("it goes on"),
        };
        assert_eq!(facts(&status).1, "NO_WORKER_IN_TIME");
        assert!((1..=4).contains(&looked_up), "{looked_up}");
    })
    .await;
}
