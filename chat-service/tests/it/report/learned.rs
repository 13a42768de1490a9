//! What outcomes say besides the status: that nothing changed, how to tell that again, and when.

use proto::chat::v1::{self, OutcomeResultStatus, ProblemClass, PullRequestState};

use crate::{
    stack::{Stack, refused},
    worker::{
        Leased, Owner, Worker, events, failed, found, found_in, make_all_due, none, outcome,
        pull_request, report, report_earlier, run, seconds, settle_all, unchanged, value,
    },
};

/// Leases the one ref that is due, and reports what `change` makes of an outcome of `result`.
async fn answer_with(
    worker: &Worker,
    result: v1::outcome::Result,
    change: impl FnOnce(&mut v1::Outcome),
) -> OutcomeResultStatus {
    let lease = worker.lease_one().await;
    let mut outcome = outcome(lease.git_ref(), result);
    change(&mut outcome);
    worker.finish(&lease, vec![outcome]).await[0]
}

/// The ref as the next lease describes it.
async fn leased_again(stack: &Stack, worker: &Worker) -> Leased {
    make_all_due(stack).await;
    worker.lease_one().await
}

fn changed_at(second: i64, title: &str) -> v1::outcome::Result {
    v1::outcome::Result::Found(v1::PullRequest {
        title: title.to_owned(),
        updated_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000 + second,
            nanos: 0,
        }),
        ..pull_request()
    })
}

#[tokio::test]
async fn an_unchanged_pull_request_is_confirmed_and_stays_as_it_was() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        make_all_due(stack).await;
        worker.answer(failed(ProblemClass::HostUnavailable)).await;
        let before = (owner.status(&chat.id).await, events(stack, &chat.id).await);
        make_all_due(stack).await;
        assert_eq!(
            worker.answer(unchanged()).await,
            OutcomeResultStatus::Applied
        );
        let status = owner.status(&chat.id).await;
        assert_ne!(status.refreshed_at, before.0.refreshed_at, "it is fresh");
        assert_eq!(status.problem, None, "the problem is over");
        assert_eq!(status.pull_request_title, before.0.pull_request_title);
        assert_eq!(status.pr_number, before.0.pr_number);
        assert_eq!(
            events(stack, &chat.id).await,
            before.1 + 1,
            "that the problem is over is a change"
        );
        make_all_due(stack).await;
        worker.answer(unchanged()).await;
        assert_eq!(
            events(stack, &chat.id).await,
            before.1 + 1,
            "an unchanged status has no event"
        );
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.unchanged_count, 2);
        assert_eq!((git_ref.failures, git_ref.misses), (0, 0));
        assert_eq!(git_ref.settled_count, 0, "it is open");
        let answer = outcome(git_ref, found());
        worker.finish(&lease, vec![answer]).await;
        let lease = leased_again(stack, &worker).await;
        assert_eq!(lease.git_ref().unchanged_count, 0);
    })
    .await;
}

#[tokio::test]
async fn a_merged_pull_request_is_settled_by_confirmations_too() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found_in(PullRequestState::Merged)).await;
        make_all_due(stack).await;
        worker.answer(unchanged()).await;
        let lease = leased_again(stack, &worker).await;
        assert_eq!(lease.git_ref().settled_count, 2);
    })
    .await;
}

#[tokio::test]
async fn a_merged_pull_request_says_whether_more_was_pushed_since_as_far_as_that_is_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        for reported in [Some(true), Some(false), None, Some(true)] {
            let before = events(stack, &chat.id).await;
            worker
                .answer(v1::outcome::Result::Found(v1::PullRequest {
                    state: PullRequestState::Merged.into(),
                    pushed_after_merge: reported,
                    ..pull_request()
                }))
                .await;
            let status = owner.status(&chat.id).await;
            assert_eq!(status.pushed_after_merge, reported);
            assert_eq!(status.pull_request_state(), PullRequestState::Merged);
            assert_eq!(events(stack, &chat.id).await, before + 1, "it is shown");
            make_all_due(stack).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_can_be_unchanged_where_nothing_is_known() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        assert_eq!(
            worker.answer(unchanged()).await,
            OutcomeResultStatus::Rejected
        );
        let status = owner.status(&chat.id).await;
        assert_eq!(status.refreshed_at, None);
        assert_eq!(status.problem.unwrap().class(), ProblemClass::Internal);
        assert!(worker.lease().await.is_empty(), "it is not due at once");
    })
    .await;
}

#[tokio::test]
async fn an_unchanged_outcome_of_an_older_report_ends_no_need_to_look() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let lease = leased_again(stack, &worker).await;
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        let answer = outcome(lease.git_ref(), unchanged());
        assert_eq!(
            worker.finish(&lease, vec![answer]).await,
            [OutcomeResultStatus::Superseded]
        );
        assert_eq!(worker.lease_one().await.git_ref().unchanged_count, 0);
    })
    .await;
}

/// Otherwise the branch would not be asked about for the newer report.
#[tokio::test]
async fn what_was_found_for_an_older_report_is_of_before_the_newer_one() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        let lease = leased_again(stack, &worker).await;
        report_earlier(stack).await;
        owner.report(&chat.id, "feat/x").await;
        let answer = outcome(lease.git_ref(), found());
        assert_eq!(
            worker.finish(&lease, vec![answer]).await,
            [OutcomeResultStatus::Superseded]
        );
        let lease = worker.lease_one().await;
        let age =
            |since: Option<prost_types::Duration>| since.map(|since| (since.seconds, since.nanos));
        let git_ref = lease.git_ref();
        assert!(age(git_ref.since_found) > age(git_ref.since_reported));
    })
    .await;
}

#[tokio::test]
async fn a_fingerprint_is_kept_until_the_next_one() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.fingerprint, None);
        assert_eq!(git_ref.since_found, None);
        let mut first = outcome(git_ref, found());
        first.fingerprint = Some("f1".to_owned());
        first.base_interval = Some(seconds(30));
        worker.finish(&lease, vec![first]).await;
        assert!(
            (value::<f32>(stack, "SELECT base_interval_seconds FROM git_ref_polls").await - 30.0)
                .abs()
                < 0.1
        );

        make_all_due(stack).await;
        answer_with(&worker, unchanged(), |_| {}).await;
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.fingerprint.as_deref(), Some("f1"));
        assert!(git_ref.since_found.is_some());

        // What cannot be kept leaves what is known, and costs no status.
        let mut long = outcome(git_ref, found());
        long.fingerprint = Some("f".repeat(513));
        assert_eq!(
            worker.finish(&lease, vec![long]).await,
            [OutcomeResultStatus::Applied]
        );
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        assert_eq!(git_ref.fingerprint.as_deref(), Some("f1"));

        // Another pull request's fingerprint tells nothing of this one.
        let next = v1::PullRequest {
            number: 8,
            host_id: Some("PR_8".to_owned()),
            ..pull_request()
        };
        let answer = outcome(git_ref, v1::outcome::Result::Found(next));
        worker.finish(&lease, vec![answer]).await;
        let lease = leased_again(stack, &worker).await;
        assert_eq!(lease.git_ref().fingerprint, None);
    })
    .await;
}

#[tokio::test]
async fn a_status_that_is_older_than_the_known_one_is_not_applied_and_still_plans_the_ref() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        let chat = owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(changed_at(100, "Newer")).await;
        make_all_due(stack).await;
        assert_eq!(
            worker.answer(changed_at(50, "Older")).await,
            OutcomeResultStatus::Applied
        );
        let status = owner.status(&chat.id).await;
        assert_eq!(status.pull_request_title, "Newer");
        assert_eq!(status.freshness(), v1::Freshness::Fresh, "it is planned");
        assert!(worker.lease().await.is_empty());

        // As new as the known one, or without a time, it counts.
        make_all_due(stack).await;
        worker.answer(changed_at(100, "As new")).await;
        assert_eq!(owner.status(&chat.id).await.pull_request_title, "As new");
        make_all_due(stack).await;
        worker.answer(found()).await;
        assert_eq!(
            owner.status(&chat.id).await.pull_request_title,
            "Add a thing"
        );

        // Another pull request has a time of its own.
        make_all_due(stack).await;
        let mut other = changed_at(10, "Other");
        if let v1::outcome::Result::Found(other) = &mut other {
            other.number = 8;
            other.host_id = Some("PR_8".to_owned());
        }
        worker.answer(other).await;
        assert_eq!(owner.status(&chat.id).await.pull_request_title, "Other");
    })
    .await;
}

#[tokio::test]
async fn a_lease_says_since_when_a_ref_is_unchanged_and_unviewed() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        // Without reading it.
        let chat = stack.chat(&owner.caller).await;
        owner.report(&chat.id, "feat/x").await;
        let worker = Worker::of(stack);
        worker.answer(found()).await;
        run(
            stack,
            "UPDATE git_ref_polls SET changed_at = now() - interval '100 s',
                found_at = now() - interval '90 s';
             UPDATE git_refs SET reported_at = now() - interval '300 s',
                created_at = now() - interval '400 s';
             UPDATE chats SET updated_at = now() - interval '200 s'",
        )
        .await;
        let about = |duration: Option<prost_types::Duration>, seconds: i64| {
            let found = duration.unwrap().seconds;
            assert!((seconds..seconds + 10).contains(&found), "{found} s");
        };
        let lease = leased_again(stack, &worker).await;
        let git_ref = lease.git_ref();
        about(git_ref.since_changed, 100);
        about(git_ref.since_active, 200);
        about(git_ref.since_reported, 300);
        about(git_ref.since_first_reported, 400);
        about(git_ref.since_found, 90);
        assert!(!git_ref.viewed);
        assert!(!git_ref.known.as_ref().unwrap().draft);
        run(
            stack,
            "UPDATE git_ref_polls SET viewed_until = now() + interval '1 min'",
        )
        .await;
        worker.release(&lease.0.lease_token).await;
        settle_all(stack).await;
        assert!(worker.lease_one().await.git_ref().viewed);
    })
    .await;
}

#[tokio::test]
async fn no_pull_request_clears_the_fingerprint_of_the_former_one() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        answer_with(&worker, changed_at(100, "It"), |outcome| {
            outcome.fingerprint = Some("f1".to_owned());
        })
        .await;
        make_all_due(stack).await;
        worker.answer(none()).await;
        let lease = leased_again(stack, &worker).await;
        assert_eq!(lease.git_ref().fingerprint, None);
        let answer = outcome(lease.git_ref(), changed_at(50, "Again"));
        worker.finish(&lease, vec![answer]).await;
        let title: String = value(stack, "SELECT pull_request ->> 'title' FROM git_refs").await;
        assert_eq!(title, "Again");
    })
    .await;
}

#[tokio::test]
async fn a_malformed_observation_is_refused_by_field() {
    Stack::run(async |stack| {
        let owner = Owner::linked(stack).await;
        owner.chat("feat/x").await;
        let worker = Worker::of(stack);
        let lease = worker.lease_one().await;
        let with_budget = |budget: v1::BudgetObservation| v1::ReportOutcomesRequest {
            budget: Some(budget),
            ..report(&lease.0.lease_token, Vec::new())
        };
        let credential = lease.credential().unwrap();
        let observed = v1::CredentialObservation {
            credential_id: credential.id.clone(),
            generation: credential.generation,
            ..v1::CredentialObservation::default()
        };
        let window = |name: &str, remaining| v1::Window {
            name: name.to_owned(),
            remaining: Some(remaining),
            ..v1::Window::default()
        };
        let with_windows = |windows: Vec<v1::Window>| {
            with_budget(v1::BudgetObservation {
                windows,
                ..v1::BudgetObservation::default()
            })
        };
        let mut twice = report(&lease.0.lease_token, Vec::new());
        twice.credentials = vec![observed; 2];
        for (request, field) in [
            (
                with_windows(vec![window("graphql", -1)]),
                "budget.windows[0].remaining",
            ),
            (with_windows(vec![window("", 1)]), "budget.windows[0].name"),
            (
                with_windows(vec![window("core", 1), window("core", 2)]),
                "budget.windows[1].name",
            ),
            (
                with_budget(v1::BudgetObservation {
                    account_id: Some("a|b".to_owned()),
                    ..v1::BudgetObservation::default()
                }),
                "budget.account_id",
            ),
            (
                with_budget(v1::BudgetObservation {
                    pause: Some(v1::Pause {
                        duration: Some(seconds(1)),
                        ..v1::Pause::default()
                    }),
                    ..v1::BudgetObservation::default()
                }),
                "budget.pause.class",
            ),
            (twice, "credentials[1].credential_id"),
        ] {
            let (code, _, of) = refused(worker.try_report(request).await);
            assert_eq!(code, tonic::Code::InvalidArgument);
            assert_eq!(of.as_deref(), Some(field));
        }
    })
    .await;
}
