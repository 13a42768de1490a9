//! What an outcome means for refs that it is not of.

use proto::chat::v1::{self, ProblemClass, ProblemScope};

use crate::{
    stack::Stack,
    worker::{
        Leased, Owner, Worker, events, found, git_ref, make_all_due, outcome, pull_request,
        seconds, value,
    },
};

fn failed_in(class: ProblemClass, scope: ProblemScope) -> v1::outcome::Result {
    v1::outcome::Result::Failed(v1::Failed {
        class: class.into(),
        retry_after: None,
        scope: scope.into(),
    })
}

/// Leases everything, and the ref of `branch`.
async fn leased(worker: &Worker, branch: &str) -> (Vec<Leased>, usize) {
    let leases: Vec<Leased> = worker.lease().await.into_iter().map(Leased).collect();
    let of_branch = leases
        .iter()
        .position(|lease| lease.refs().iter().any(|git_ref| git_ref.branch == branch));
    let of_branch = of_branch.unwrap();
    (leases, of_branch)
}

#[tokio::test]
async fn a_problem_of_a_repository_puts_off_all_refs_of_its_owner_there_and_no_other() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let first = owner.chat("feat/1").await;
        let second = owner.chat("feat/2").await;
        let elsewhere = stack.chat(&owner.caller).await;
        owner
            .try_report(git_ref(
                &elsewhere.id,
                "https://github.com/acme/api",
                "feat/3",
            ))
            .await
            .unwrap();
        let stranger = Owner::linked(stack).await;
        let strange = stranger.chat("feat/4").await;
        let worker = Worker::of(stack);
        let (leases, index) = leased(&worker, "feat/1").await;
        let lease = &leases[index];
        let refs = lease.refs();
        let failing = refs.iter().find(|of| of.branch == "feat/1").unwrap();
        let mut failure = outcome(
            failing,
            failed_in(ProblemClass::AccessDenied, ProblemScope::Repository),
        );
        failure.next_refresh_in = Some(seconds(3600));
        let before = events(stack, &second.id).await;
        worker.finish(lease, vec![failure]).await;
        for lease in &leases {
            worker.release(&lease.0.lease_token).await;
        }
        for chat in [&first, &second] {
            let status = owner.status(&chat.id).await;
            let problem = status.problem.unwrap();
            assert_eq!(problem.class(), ProblemClass::AccessDenied);
            assert_eq!(problem.message, "no access to acme/web");
        }
        assert_eq!(events(stack, &second.id).await, before + 1);
        assert_eq!(owner.status(&elsewhere.id).await.problem, None);
        assert_eq!(stranger.status(&strange.id).await.problem, None);
        let mut branches: Vec<String> = worker
            .lease()
            .await
            .into_iter()
            .flat_map(|lease| lease.groups)
            .flat_map(|group| group.refs)
            .map(|git_ref| git_ref.branch)
            .collect();
        branches.sort_unstable();
        assert_eq!(branches, ["feat/3", "feat/4"]);
    })
    .await;
}

/// Promise 3: also by what was found of other refs.
#[tokio::test]
async fn a_git_ref_reported_during_a_refresh_is_not_put_off_with_its_repository() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/1").await;
        let again = owner.chat("feat/2").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        assert_eq!(lease.refs().len(), 2);
        // One that the worker has, and one that it has not.
        owner.report(&again.id, "feat/2").await;
        let new = owner.chat("feat/3").await;
        let failures = lease.refs().into_iter().map(|git_ref| {
            let mut failure = outcome(
                git_ref,
                failed_in(ProblemClass::AccessDenied, ProblemScope::Repository),
            );
            failure.next_refresh_in = Some(seconds(3600));
            failure
        });
        worker.finish(&lease, failures.collect()).await;
        assert!(owner.status(&chat.id).await.problem.is_some());
        for reported in [&again, &new] {
            let status = owner.status(&reported.id).await;
            assert_eq!(status.problem, None);
            assert_eq!(status.freshness(), v1::Freshness::Due);
        }
        let next = worker.lease_one().await;
        let mut branches: Vec<&str> = next.refs().iter().map(|of| of.branch.as_str()).collect();
        branches.sort_unstable();
        assert_eq!(branches, ["feat/2", "feat/3"]);
    })
    .await;
}

#[tokio::test]
async fn a_problem_of_a_ref_puts_off_no_other() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/1").await;
        let second = owner.chat("feat/2").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let refs = lease.refs();
        let failing = refs.iter().find(|of| of.branch == "feat/1").unwrap();
        let failure = outcome(
            failing,
            failed_in(ProblemClass::QueryTooHeavy, ProblemScope::Ref),
        );
        worker.finish(&lease, vec![failure]).await;
        assert_eq!(owner.status(&second.id).await.problem, None);
        assert_eq!(worker.lease_one().await.git_ref().branch, "feat/2");
    })
    .await;
}

/// Two owners who both follow pull request 7, as last seen with `title`.
async fn two_followers<'a>(stack: &'a Stack) -> (Owner<'a>, v1::Chat, Owner<'a>, v1::Chat) {
    let one = Owner::linked(stack).await;
    let first = one.chat("feat/x").await;
    let worker = Worker::of(stack);
    worker.answer(found()).await;
    let other = Owner::linked(stack).await;
    let second = other.chat("feat/x").await;
    worker.answer(found()).await;
    (one, first, other, second)
}

/// Makes the refs of `owner`, and no other, due.
async fn make_due(stack: &Stack, owner: &Owner<'_>) {
    let id = owner.caller.id();
    stack
        .database
        .client()
        .await
        .batch_execute(&format!(
            "UPDATE chat_diff_statuses SET due_at = now(), early_at = now()
             WHERE owner_id = '{id}';
             UPDATE git_budgets b SET next_due_at = now() FROM git_accounts a
             WHERE a.budget_id = b.id AND a.user_id = '{id}'"
        ))
        .await
        .unwrap();
}

async fn due_soon(stack: &Stack, owner: &Owner<'_>) -> bool {
    value(
        stack,
        &format!(
            "SELECT s.due_at <= now() + interval '5 s' AND b.next_due_at = s.due_at
             FROM chat_diff_statuses s JOIN git_budgets b ON b.id = s.budget_id
             WHERE s.owner_id = '{}'",
            owner.caller.id()
        ),
    )
    .await
}

#[tokio::test]
async fn a_hint_for_what_is_locked_for_long_is_dropped_and_delays_no_other() {
    Stack::run(async |stack| {
        let (one, _, other, _) = two_followers(stack).await;
        let locked = Owner::linked(stack).await;
        locked.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        make_due(stack, &one).await;
        let lease = worker.lease_one().await;
        let client = stack.database.client().await;
        client
            .batch_execute(&format!(
                "BEGIN;
                 SELECT FROM git_budgets b JOIN git_accounts a ON a.budget_id = b.id
                 WHERE a.user_id = '{}' FOR UPDATE OF b",
                locked.caller.id()
            ))
            .await
            .unwrap();
        let retitled = v1::PullRequest {
            title: "Another".to_owned(),
            ..pull_request()
        };
        let seen = v1::outcome::Result::Found(retitled);
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), seen)])
            .await;
        assert!(due_soon(stack, &other).await);
        assert!(!due_soon(stack, &locked).await);
        client.batch_execute("ROLLBACK").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_seen_by_one_makes_anothers_ref_due_and_data_never_crosses() {
    Stack::run(async |stack| {
        let (one, first, other, second) = two_followers(stack).await;
        assert!(!due_soon(stack, &other).await);
        make_due(stack, &one).await;
        let worker = Worker::of(stack);
        let retitled = v1::PullRequest {
            title: "Secret".to_owned(),
            ..pull_request()
        };
        let lease = worker.lease_one().await;
        let before = (other.get(&second.id).await, events(stack, &second.id).await);
        let answer = outcome(
            lease.git_ref(),
            v1::outcome::Result::Found(retitled.clone()),
        );
        worker.finish(&lease, vec![answer]).await;
        assert_eq!(one.status(&first.id).await.pull_request_title, "Secret");
        assert!(due_soon(stack, &other).await);
        let status = other.status(&second.id).await;
        assert_eq!(status.pull_request_title, "Add a thing");
        assert_eq!(
            status.refreshed_at,
            before.0.diff_status.unwrap().refreshed_at
        );
        assert_eq!(events(stack, &second.id).await, before.1);

        // It is looked up with its own owner's credential, and that hints nobody back.
        make_due(stack, &other).await;
        let lease = worker.lease_one().await;
        let owners: i64 = value(
            stack,
            &format!(
                "SELECT count(*) FROM git_accounts WHERE id = '{}' AND user_id = '{}'",
                lease.0.groups[0].credential_id.clone().unwrap(),
                other.caller.id()
            ),
        )
        .await;
        assert_eq!(owners, 1);
        let answer = outcome(lease.git_ref(), v1::outcome::Result::Found(retitled));
        worker.finish(&lease, vec![answer]).await;
        assert!(!due_soon(stack, &one).await, "it knows as much");
    })
    .await;
}

#[tokio::test]
async fn a_hint_lifts_no_problem_and_reaches_no_archived_chat() {
    Stack::run(async |stack| {
        let (one, _, other, _) = two_followers(stack).await;
        let worker = Worker::of(stack);
        let client = stack.database.client().await;
        let id = other.caller.id();
        for hindrance in [
            format!(
                "UPDATE chat_diff_statuses SET problem_class = 'access_denied',
                    problem_since = now()
                 WHERE owner_id = '{id}'"
            ),
            format!(
                "UPDATE chat_diff_statuses SET problem_class = NULL, problem_since = NULL
                 WHERE owner_id = '{id}';
                 UPDATE chats SET archived = TRUE WHERE owner_id = '{id}'"
            ),
            format!(
                "UPDATE chats SET archived = FALSE WHERE owner_id = '{id}';
                 UPDATE git_accounts SET credential_state = 'rejected' WHERE user_id = '{id}'"
            ),
        ] {
            client.batch_execute(&hindrance).await.unwrap();
            make_due(stack, &one).await;
            let lease = worker.lease_one().await;
            let retitled = v1::PullRequest {
                title: hindrance.clone(),
                ..pull_request()
            };
            let answer = outcome(lease.git_ref(), v1::outcome::Result::Found(retitled));
            worker.finish(&lease, vec![answer]).await;
            assert!(!due_soon(stack, &other).await, "{hindrance}");
        }
        make_all_due(stack).await;
    })
    .await;
}

/// So many other owners, with an account each, who follow pull request 7 under another title.
async fn more_followers(stack: &Stack, followers: i32) {
    stack
        .database
        .client()
        .await
        .batch_execute(&format!(
            "WITH owner AS MATERIALIZED (
                SELECT gen_random_uuid() AS id, gen_random_uuid() AS budget, gen_random_uuid() AS chat
                FROM generate_series(1, {followers})
             ), budgets AS (
                INSERT INTO git_budgets (id, budget_key, provider_id, next_due_at)
                SELECT o.budget, 'test|' || o.id, 'github', now() + interval '1 h' FROM owner o
             ), accounts AS (
                INSERT INTO git_accounts (
                    id, user_id, provider_id, budget_id, key_id, access_token_sealed
                )
                SELECT gen_random_uuid(), o.id, 'github', o.budget, 'key', '' FROM owner o
             ), chats AS (
                INSERT INTO chats (id, owner_id, title, status)
                SELECT o.chat, o.id, 'chat', 'waiting' FROM owner o
             )
             INSERT INTO chat_diff_statuses (
                id, chat_id, owner_id, provider_id, git_remote_origin, repository_owner,
                repository_name, git_branch, is_primary, budget_id, due_at, early_at, lane,
                url, pull_request_state, pr_number, pr_repository, pr_node_id
             )
             SELECT gen_random_uuid(), o.chat, o.id, 'github', 'https://github.com/acme/web',
                'acme', 'web', 'feat/x', TRUE, o.budget, now() + interval '1 h',
                now() + interval '1 h', 4, 'https://github.com/acme/web/pull/7', 'open', 7,
                'acme/web', 'PR_7'
             FROM owner o"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn one_report_makes_two_hundred_followers_due_and_the_others_keep_their_time() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        more_followers(stack, 250).await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let answer = outcome(lease.git_ref(), found());
        worker.finish(&lease, vec![answer]).await;
        let row = stack
            .database
            .client()
            .await
            .query_one(
                "SELECT count(*) FILTER (WHERE s.due_at <= now() + interval '5 s'
                        AND s.lane = 3 AND b.next_due_at = s.due_at),
                    count(*) FILTER (WHERE s.due_at > now() + interval '50 min'
                        AND s.lane = 4 AND b.next_due_at = s.due_at),
                    count(DISTINCT s.due_at)
                 FROM chat_diff_statuses s JOIN git_budgets b ON b.id = s.budget_id
                 WHERE b.budget_key LIKE 'test|%'",
                &[],
            )
            .await
            .unwrap();
        let counts = [0, 1].map(|column| row.try_get::<_, i64>(column).unwrap());
        assert_eq!(counts, [200, 50]);
        let moments: i64 = row.try_get(2).unwrap();
        assert!(moments > 190, "{moments} moments: all keys wake at once");
    })
    .await;
}
