//! What an outcome means for refs that it is not of.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass};

use crate::{
    stack::Stack,
    sync::fairness::tenant,
    worker::{
        Leased, Owner, Worker, events, failed, found, git_ref, outcome, pull_request, run, seconds,
        settle_all, unchanged, value,
    },
};

/// A problem of the whole repository.
fn of_repository(class: ProblemClass) -> v1::outcome::Result {
    v1::outcome::Result::Failed(v1::Failed {
        class: class.into(),
        repository_wide: true,
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
        let mut failure = outcome(failing, of_repository(ProblemClass::AccessDenied));
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
        settle_all(stack).await;
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

/// Two refs of `acme/web` that failed with it; then the first is found again, in `repository`.
async fn heal(stack: &Stack, owner: &Owner<'_>, repository: &str) -> Worker {
    owner.chat("feat/1").await;
    owner.chat("feat/2").await;
    let worker = Worker::of(stack);
    let lease = worker.lease_one().await;
    let failures = lease.refs().into_iter().map(|git_ref| {
        let mut failure = outcome(git_ref, of_repository(ProblemClass::SsoRequired));
        failure.next_refresh_in = Some(seconds(3600));
        failure
    });
    worker.finish(&lease, failures.collect()).await;
    // The owner authorizes the token, and one of the chats is refreshed.
    run(
        stack,
        "UPDATE git_ref_polls p SET due_at = now(), early_at = now() FROM git_refs r
         WHERE r.id = p.ref_id AND r.git_branch = 'feat/1'",
    )
    .await;
    settle_all(stack).await;
    let lease = worker.lease_one().await;
    let read = v1::outcome::Result::Found(v1::PullRequest {
        repository: repository.to_owned(),
        ..pull_request()
    });
    let read = outcome(lease.refs()[0], read);
    worker.finish(&lease, vec![read]).await;
    worker
}

/// It may be all that the token reads, and the next failure would put the others off again.
#[tokio::test]
async fn a_success_in_another_repository_heals_no_ref_of_its_own() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let worker = heal(stack, &owner, "acme/upstream").await;
        assert!(worker.lease().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_first_success_in_a_repository_makes_what_was_put_off_with_it_due() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let elsewhere = stack.chat(&owner.caller).await;
        let api = "https://github.com/acme/api";
        owner
            .try_report(git_ref(&elsewhere.id, api, "feat/3"))
            .await
            .unwrap();
        let worker = heal(stack, &owner, "acme/web").await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/2"]);
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
            let mut failure = outcome(git_ref, of_repository(ProblemClass::AccessDenied));
            failure.next_refresh_in = Some(seconds(3600));
            failure
        });
        worker.finish(&lease, failures.collect()).await;
        assert!(owner.status(&chat.id).await.problem.is_some());
        for reported in [&again, &new] {
            assert_eq!(owner.status(&reported.id).await.problem, None);
        }
        settle_all(stack).await;
        assert_eq!(worker.lease_one().await.branches(), ["feat/2", "feat/3"]);
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
        let failure = outcome(failing, failed(ProblemClass::QueryTooHeavy));
        worker.finish(&lease, vec![failure]).await;
        assert_eq!(owner.status(&second.id).await.problem, None);
        settle_all(stack).await;
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
    run(
        stack,
        &format!(
            "UPDATE git_ref_polls p SET due_at = now(), early_at = now() FROM git_accounts a
             WHERE a.id = p.account_id AND a.user_id = '{id}'"
        ),
    )
    .await;
    settle_all(stack).await;
}

/// Whether the one ref of `owner` is due within 5 s, and its account and its budget with it.
async fn due_soon(stack: &Stack, owner: &Owner<'_>) -> bool {
    value(
        stack,
        &format!(
            "SELECT (p.due_at <= now() + interval '5 s' AND a.next_due_at = p.due_at
                AND b.queue_at = p.due_at) IS TRUE
             FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
             LEFT JOIN git_budgets b ON b.id = a.budget_id
             WHERE a.user_id = '{}'",
            owner.caller.id()
        ),
    )
    .await
}

/// Another title.
fn retitled(title: &str) -> v1::outcome::Result {
    v1::outcome::Result::Found(v1::PullRequest {
        title: title.to_owned(),
        ..pull_request()
    })
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
                 SELECT FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
                 WHERE a.user_id = '{}' FOR UPDATE OF p",
                locked.caller.id()
            ))
            .await
            .unwrap();
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), retitled("Another"))])
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
        let lease = worker.lease_one().await;
        let before = (other.get(&second.id).await, events(stack, &second.id).await);
        let answer = outcome(lease.git_ref(), retitled("Secret"));
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

        // It is looked up with its own owner's credential, and that lookup sends no hint back.
        make_due(stack, &other).await;
        let lease = worker.lease_one().await;
        let owners: i64 = value(
            stack,
            &format!(
                "SELECT count(*) FROM git_accounts WHERE id = '{}' AND user_id = '{}'",
                lease.credential().unwrap().id,
                other.caller.id()
            ),
        )
        .await;
        assert_eq!(owners, 1);
        let answer = outcome(lease.git_ref(), retitled("Secret"));
        worker.finish(&lease, vec![answer]).await;
        assert!(!due_soon(stack, &one).await, "it knows as much");
    })
    .await;
}

/// Promise 3: also by what another owner's lookup has seen.
#[tokio::test]
async fn a_ref_whose_lookup_was_under_way_when_a_change_was_seen_is_looked_up_again() {
    Stack::run(async |stack| {
        let (one, _, other, _) = two_followers(stack).await;
        let worker = Worker::of(stack);
        make_due(stack, &other).await;
        let under_way = worker.lease_one().await;
        make_due(stack, &one).await;
        let lease = worker.lease_one().await;
        worker
            .finish(&lease, vec![outcome(lease.git_ref(), retitled("Secret"))])
            .await;
        let before = outcome(under_way.git_ref(), unchanged());
        assert_eq!(
            worker.finish(&under_way, vec![before]).await,
            [OutcomeResultStatus::Superseded]
        );
        assert!(
            value::<bool>(
                stack,
                &format!(
                    "SELECT p.due_at <= now() FROM git_ref_polls p
                 JOIN git_accounts a ON a.id = p.account_id WHERE a.user_id = '{}'",
                    other.caller.id()
                ),
            )
            .await
        );
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
                "UPDATE git_refs r SET problem_class = 'access_denied', problem_since = now()
                 FROM git_accounts a WHERE a.id = r.account_id AND a.user_id = '{id}'"
            ),
            format!(
                "UPDATE git_refs r SET problem_class = NULL, problem_since = NULL
                 FROM git_accounts a WHERE a.id = r.account_id AND a.user_id = '{id}';
                 UPDATE chats SET archived = TRUE WHERE owner_id = '{id}'"
            ),
            format!(
                "UPDATE chats SET archived = FALSE WHERE owner_id = '{id}';
                 UPDATE git_accounts SET credential_state = 'none', budget_id = NULL
                 WHERE user_id = '{id}'"
            ),
        ] {
            client.batch_execute(&hindrance).await.unwrap();
            make_due(stack, &one).await;
            let lease = worker.lease_one().await;
            let answer = outcome(lease.git_ref(), retitled(&hindrance));
            worker.finish(&lease, vec![answer]).await;
            assert!(!due_soon(stack, &other).await, "{hindrance}");
        }
    })
    .await;
}

/// `followers` other owners, with an account each, who follow pull request 7 under another title.
async fn more_followers(stack: &Stack, followers: i32) {
    for _ in 0..followers {
        tenant(stack, 1, 4, -3600).await;
    }
    run(
        stack,
        "UPDATE git_refs SET pr_host_id = 'PR_7',
            pull_request = pull_request || '{\"title\": \"Former\"}'
         WHERE pull_request IS NOT NULL",
    )
    .await;
    settle_all(stack).await;
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
                "SELECT count(*) FILTER (WHERE p.due_at <= now() + interval '5 s'
                        AND p.lane = 3 AND b.queue_at = p.due_at),
                    count(*) FILTER (WHERE p.due_at > now() + interval '50 min'
                        AND p.lane = 4 AND b.queue_at = p.due_at),
                    count(DISTINCT p.due_at)
                 FROM git_ref_polls p JOIN git_accounts a ON a.id = p.account_id
                 JOIN git_budgets b ON b.id = a.budget_id
                 WHERE b.budget_key LIKE 'test|%'",
                &[],
            )
            .await
            .unwrap();
        let counts = [0, 1].map(|column| row.try_get::<_, i64>(column).unwrap());
        assert_eq!(counts, [200, 50]);
        let moments: i64 = row.try_get(2).unwrap();
        assert!(moments > 190, "{moments} moments: all budgets wake at once");
    })
    .await;
}
