//! What bounds questions and answers: who still waits, how many there are, how large they are, and
//! for how long they stay.

use proto::{
    bounds::{MAX_DIFF_BYTES, MAX_REQUEST_BYTES},
    chat::v1::{self, get_chat_diff_response::Part},
};
use tonic::Code;
use uuid::Uuid;

use super::{answer, asking, diff, of_pull_request, until_asked, wanted};
use crate::{
    prune::{take_over, until_none},
    stack::{Stack, facts, refused},
    worker::{Owner, Worker, found, outcome, run, value},
};

/// Questions of `number` other refs of every account, as `columns` and `values` say.
async fn others(stack: &Stack, number: usize, columns: &str, values: &str) {
    let client = stack.database.client().await;
    let chat: Uuid = client
        .query_one("SELECT chat_id FROM git_refs LIMIT 1", &[])
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    client
        .batch_execute(&format!(
            "WITH made AS (
                INSERT INTO git_refs (
                    id, chat_id, account_id, provider_id, git_remote_origin, repository, git_branch
                )
                SELECT gen_random_uuid(), '{chat}', a.id, 'github', 'https://github.com/acme/web',
                    'acme/web', 'other-' || n || a.id
                FROM git_accounts a, generate_series(1, {number}) n
                RETURNING id, account_id
            )
            INSERT INTO git_diffs (ref_id, account_id, {columns})
            SELECT m.id, m.account_id, {values} FROM made m"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_a_question_that_no_worker_is_given() {
    asking(async |stack, owner, chat, worker| {
        tokio::select! {
            read = diff(stack, &owner.caller, &chat.id) => panic!("{read:?}"),
            () = until_asked(stack) => {}
        }
        let waiting = "chat_waiting_calls";
        testkit::wait::until("the call is over", || async {
            let left: i64 = stack.metric(waiting).await;
            if left == 0 { Ok(()) } else { Err(left) }
        })
        .await;
        // Since then some seconds pass.
        run(stack, "UPDATE git_diffs SET wanted_until = now()").await;
        let lease = worker.lease_one().await;
        assert!(!lease.git_ref().diff_wanted);
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), found())])
            .await;
        take_over(stack).await;
        until_none(stack, "SELECT count(*) FROM git_diffs").await;
    })
    .await;
}

#[tokio::test]
async fn a_call_that_waits_keeps_its_question_wanted() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            until_asked(stack).await;
            run(stack, "UPDATE git_diffs SET wanted_until = now()").await;
            testkit::wait::until("it is wanted again", || async {
                let sql = "SELECT wanted_until > now() FROM git_diffs";
                let is_wanted: bool = value(stack, sql).await;
                if is_wanted { Ok(()) } else { Err(()) }
            })
            .await;
            answer(stack, &worker, of_pull_request(b"+1\n"), found()).await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        assert_eq!(read.unwrap().1, b"+1\n");
    })
    .await;
}

#[tokio::test]
async fn a_diff_of_four_mebibytes_is_taken_and_one_with_a_byte_more_is_refused() {
    asking(async |stack, owner, chat, worker| {
        let answering = async {
            let lease = wanted(stack, &worker).await;
            let report = |bytes| {
                let diff = of_pull_request(&vec![b'+'; bytes]);
                worker.report_diff(&lease.0.lease_token, lease.git_ref(), diff)
            };
            let refusal = refused(report(MAX_DIFF_BYTES + 1).await);
            assert_eq!(refusal.0, Code::InvalidArgument);
            assert_eq!(refusal.2.as_deref(), Some("found.content"));
            let refusal = refused(report(MAX_DIFF_BYTES + MAX_REQUEST_BYTES).await);
            assert_eq!(
                (refusal.0, refusal.1.as_str()),
                (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
            );
            report(MAX_DIFF_BYTES).await.unwrap();
            worker
                .finish(&lease, vec![outcome(lease.git_ref(), found())])
                .await;
        };
        let (read, ()) = tokio::join!(diff(stack, &owner.caller, &chat.id), answering);
        assert_eq!(read.unwrap().1.len(), MAX_DIFF_BYTES);
    })
    .await;
}

#[tokio::test]
async fn while_twenty_others_of_the_account_are_asked_for_a_question_is_refused() {
    asking(async |stack, owner, chat, worker| {
        others(stack, 20, "wanted_until", "now() + interval '1 h'").await;
        let status = diff(stack, &owner.caller, &chat.id).await.unwrap_err();
        let reason = "TOO_MANY_DIFFS".to_owned();
        assert_eq!(facts(&status), (Code::ResourceExhausted, reason, None));

        // Another account's are its own, and so is what is not wanted any more.
        run(stack, "UPDATE git_diffs SET wanted_until = now()").await;
        let (read, ()) = tokio::join!(
            diff(stack, &owner.caller, &chat.id),
            answer(stack, &worker, of_pull_request(b"+1\n"), found()),
        );
        read.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_account_keeps_its_last_twenty_diffs_and_at_most_thirty_two_mebibytes() {
    Stack::run(async |stack| {
        let columns = "wanted_until, answered, report_seq, generation, result, content, \
             fetched_at, expires_at";
        let values = |content: &str| {
            format!("now(), 1, 1, 1, 'found', {content}, now() - interval '1 s', now()")
        };
        let largest = "decode(repeat('00', 4194304), 'hex')";
        for (number, content, kept) in [(25, "'x'::bytea", 20), (9, largest, 8)] {
            run(stack, "TRUNCATE git_diffs").await;
            let owner = Owner::linked(stack).await;
            let chat = owner.chat("feat/x").await;
            run(stack, "DELETE FROM git_refs WHERE NOT is_primary").await;
            others(stack, number, columns, &values(content)).await;
            let worker = Worker::of(stack);
            let (read, ()) = tokio::join!(
                diff(stack, &owner.caller, &chat.id),
                answer(stack, &worker, of_pull_request(b"+1\n"), found()),
            );
            read.unwrap();
            let left: i64 = value(
                stack,
                "SELECT count(*) FROM git_diffs d
                 WHERE d.account_id = (
                    SELECT n.account_id FROM git_diffs n ORDER BY n.fetched_at DESC LIMIT 1
                 )",
            )
            .await;
            assert_eq!(left, kept, "of {number}");
            diff(stack, &owner.caller, &chat.id).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_goes_a_minute_after_it_is_given_no_more() {
    asking(async |stack, owner, chat, worker| {
        let (read, ()) = tokio::join!(
            diff(stack, &owner.caller, &chat.id),
            answer(stack, &worker, of_pull_request(b"+1\n"), found()),
        );
        read.unwrap();
        let kept =
            "UPDATE git_diffs SET wanted_until = now(), expires_at = now() - interval '50 s'";
        run(stack, kept).await;
        others(stack, 1, "wanted_until", "now() - interval '1 s'").await;
        take_over(stack).await;
        until_none(stack, "SELECT count(*) FROM git_diffs WHERE result IS NULL").await;
        let left: i64 = value(stack, "SELECT count(*) FROM git_diffs").await;
        assert_eq!(left, 1, "those who read it may still do");
        run(
            stack,
            "UPDATE git_diffs SET expires_at = now() - interval '61 s'",
        )
        .await;
        take_over(stack).await;
        until_none(stack, "SELECT count(*) FROM git_diffs").await;
    })
    .await;
}

#[tokio::test]
async fn a_diff_that_is_replaced_while_it_is_read_ends_the_stream_and_never_mixes() {
    asking(async |stack, owner, chat, worker| {
        let content = vec![b'1'; MAX_DIFF_BYTES];
        let call = || {
            let chat_id = chat.id.clone();
            let mut chats = stack.chats(&owner.caller);
            async move {
                chats
                    .get_chat_diff(v1::GetChatDiffRequest { chat_id })
                    .await
            }
        };
        let (parts, ()) = tokio::join!(
            call(),
            answer(stack, &worker, of_pull_request(&content), found())
        );
        let mut parts = parts.unwrap().into_inner();
        parts.message().await.unwrap();
        // More of it than the connection holds is still to come.
        run(
            stack,
            "UPDATE git_diffs
             SET asked = 2, answered = 2, content = decode(repeat('32', 4194304), 'hex')",
        )
        .await;
        let status = loop {
            match parts.message().await {
                Ok(Some(message)) => {
                    let Some(Part::Content(part)) = message.part else {
                        panic!("the source comes once");
                    };
                    assert!(part.iter().all(|byte| *byte == b'1'));
                }
                Ok(None) => panic!("it ended well"),
                Err(status) => break status,
            }
        };
        assert_eq!(
            facts(&status),
            (Code::Aborted, "DIFF_REPLACED".to_owned(), None)
        );
    })
    .await;
}
