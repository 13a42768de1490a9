use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use proto::sync::{Credential, GitAccountId, LeaseToken, Provider, ProviderKind, Window};
use uuid::Uuid;

use super::*;
use crate::{budget::Settings, metrics::Metrics};

const CORE: &str = "core";
const GRAPHQL: &str = "graphql";
/// The reset that the host states.
const RESET: Duration = Duration::from_secs(600);
/// When it is reported.
const LATER: Duration = Duration::from_secs(200);
const MINUTE: Duration = Duration::from_secs(60);

fn group() -> LeaseGroup {
    LeaseGroup {
        provider: Provider {
            id: "github".to_owned(),
            kind: ProviderKind::Github,
            host: "github.com".to_owned(),
            api_base_url: "https://api.github.com".to_owned(),
        },
        credential: Some(Credential {
            account: GitAccountId(Uuid::nil()),
            generation: 3,
            access_token: "token".into(),
            suspect: false,
            expires_at: None,
        }),
        refs: Vec::new(),
    }
}

fn lease(key: &str, budget: BudgetView) -> Lease {
    Lease {
        token: LeaseToken(Uuid::nil()),
        budget_key: BudgetKey(key.to_owned()),
        expires_in: MINUTE,
        groups: vec![group()],
        budget,
    }
}

fn budgets() -> Arc<Budgets> {
    Budgets::new(Settings::default(), 10, Arc::default())
}

fn open(budgets: &Arc<Budgets>, key: &str) -> (Arc<LeaseBudget>, Admission) {
    let lease = lease(key, BudgetView::default());
    let budget = budgets.open(&lease, Instant::now() + MINUTE);
    let admission = budget.admission(&lease.groups[0]);
    (budget, admission)
}

fn with_remaining(name: &str, remaining: i64) -> Window {
    Window {
        name: name.to_owned(),
        limit: Some(5000),
        remaining: Some(remaining),
        reset_in: Some(RESET),
        ..Window::default()
    }
}

#[test]
fn pauses_and_windows_end_when_they_were_to_end_however_late_they_are_reported() {
    let (budget, admission) = open(&budgets(), "key");
    admission.pause_window(CORE, Some(RESET));
    admission.observe(GRAPHQL, with_remaining(GRAPHQL, 7));
    admission.secondary_limit(Some(RESET), None);
    let now = Instant::now();
    let reported = |after: Duration| {
        let seen = budget.observation_at(now + after).unwrap();
        let window = |name| seen.windows.iter().find(|window| window.name == name);
        let paused = window(CORE).and_then(|core| core.pause_for);
        let graphql = window(GRAPHQL).unwrap();
        assert_eq!(graphql.remaining, Some(7));
        [
            paused,
            graphql.reset_in,
            seen.pause.map(|pause| pause.duration),
        ]
    };
    let [at_once, late] = [Duration::ZERO, LATER].map(reported);
    assert!(at_once[0] > Some(RESET));
    for (at_once, late) in at_once.into_iter().zip(late) {
        assert_eq!(at_once.unwrap() - late.unwrap(), LATER);
    }
    let [core, _, pause] = reported(RESET * 2);
    assert_eq!((core, pause), (None, None), "over");
}

#[test]
fn requests_on_the_wire_together_meet_one_secondary_limit_counted_until_its_report_arrives() {
    let (budget, admission) = open(&budgets(), "key");
    let counted = || budget.observation().unwrap().secondary_refusals;
    for _ in 0..8 {
        admission.secondary_limit(None, None);
    }
    assert_eq!(counted(), 1);
    assert_eq!(counted(), 1, "the first report was lost");
    budget.delivered();
    assert_eq!(counted(), 0);
}

#[test]
fn a_success_after_a_secondary_limit_does_not_lift_it() {
    let (budget, admission) = open(&budgets(), "key");
    let withheld = admission.secondary_limit(None, None);
    assert_eq!(withheld, WithholdReason::BudgetPaused);
    admission.answered();
    admission.accept_credential();
    for window in [CORE, GRAPHQL] {
        let checked = admission.check(window, Lane::Interactive, 1);
        assert_eq!(checked, Err(WithholdReason::BudgetPaused));
    }
    assert!(budget.observation().unwrap().pause.is_some());
}

#[test]
fn a_pause_that_could_not_be_reported_holds_until_an_operator_resumes_the_budget() {
    let budgets = budgets();
    let open = |resumes| {
        let view = BudgetView {
            resumes,
            ..BudgetView::default()
        };
        let lease = lease("key", view);
        let budget = budgets.open(&lease, Instant::now() + MINUTE);
        let admission = budget.admission(&lease.groups[0]);
        (budget, admission)
    };
    let (lost, admission) = open(3);
    admission.secondary_limit(Some(RESET), None);
    admission.pause_window(CORE, Some(RESET));
    lost.undeliverable();
    let (next, admission) = open(3);
    let checked = admission.check(GRAPHQL, Lane::Interactive, 1);
    assert_eq!(checked, Err(WithholdReason::BudgetPaused));
    assert_eq!(next.observation().unwrap().resumes, 3);
    next.undeliverable();
    let (resumed, admission) = open(4);
    for window in [CORE, GRAPHQL] {
        assert_eq!(admission.check(window, Lane::Interactive, 1), Ok(()));
    }
    assert_eq!(resumed.observation(), None);
}

#[test]
fn of_a_credential_only_news_are_reported() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let budgets = budgets();
    let (budget, admission) = open(&budgets, "key");
    admission.accept_credential();
    assert!(budget.credentials().is_empty());
    admission.credential_expires_at(at(1));
    let seen = budget.credentials();
    assert_eq!((seen[0].refused, seen[0].expires_at), (false, Some(at(1))));
    assert_eq!(admission.refuse_credential(), WithholdReason::Credential);
    let seen = budget.credentials();
    assert_eq!((seen[0].refused, seen[0].generation), (true, 3));

    let mut lease = lease("key", BudgetView::default());
    if let Some(credential) = &mut lease.groups[0].credential {
        credential.suspect = true;
        credential.expires_at = Some(at(1));
    }
    let budget = budgets.open(&lease, Instant::now() + MINUTE);
    let admission = budget.admission(&lease.groups[0]);
    admission.accept_credential();
    admission.credential_expires_at(at(1));
    let seen = budget.credentials();
    assert_eq!((seen[0].refused, seen[0].expires_at), (false, None));
}

#[tokio::test]
async fn nothing_is_sent_once_the_turn_is_over() {
    let budgets = budgets();
    let (stopped, admission) = open(&budgets, "stopped");
    let permit = admission.permit(CORE, Lane::Idle, 1).await.unwrap();
    stopped.stop();
    let refused = admission.permit(CORE, Lane::Interactive, 1).await;
    assert_eq!(refused.unwrap_err(), WithholdReason::TurnOver);
    // What is on the wire is finished.
    assert_eq!(permit.run(async { "answer" }).await, Some("answer"));

    let lease = lease("late", BudgetView::default());
    let late = budgets.open(&lease, Instant::now() + Duration::from_millis(10));
    let admission = late.admission(&lease.groups[0]);
    let permit = admission.permit(CORE, Lane::Idle, 1).await.unwrap();
    // The second waits for the answer to the first.
    let (cut_off, refused) = tokio::join!(
        permit.run(std::future::pending::<()>()),
        admission.permit(CORE, Lane::Idle, 1)
    );
    assert_eq!(cut_off, None);
    assert_eq!(refused.unwrap_err(), WithholdReason::TurnOver);
}

#[tokio::test]
async fn a_serial_window_has_one_request_on_the_wire_and_others_go_on() {
    let (_, admission) = open(&budgets(), "key");
    admission.serial(GRAPHQL);
    admission.accept_credential();
    admission.observe(GRAPHQL, with_remaining(GRAPHQL, 4000));
    let permit = admission.permit(GRAPHQL, Lane::Idle, 1).await.unwrap();
    let other = admission.permit(CORE, Lane::Idle, 1).await;
    assert!(other.is_ok());
    let next = tokio::join!(admission.permit(GRAPHQL, Lane::Idle, 1), async {
        drop(permit);
    });
    assert!(next.0.is_ok());
}

#[test]
fn what_was_withheld_is_a_rest_of_the_most_urgent_lane_until_its_window_ends() {
    let budgets = budgets();
    let (budget, admission) = open(&budgets, "key");
    admission.observe(CORE, with_remaining(CORE, 2000));
    assert_eq!(budget.observation().unwrap().rest, None);
    budget.note_unsent(Lane::Idle, WithholdReason::Reserved);
    budget.note_unsent(Lane::Active, WithholdReason::Reserved);
    let rest = budget.observation().unwrap().rest.unwrap();
    assert_eq!(
        (rest.class, rest.from_lane),
        (ProblemClass::LimitReserved, Lane::Active)
    );
    let longest = RESET + pause::RESET_PADDING + pause::RESET_SPREAD;
    assert!(
        rest.duration > RESET && rest.duration <= longest,
        "{rest:?}"
    );

    // Idle refs do not spend another window in place of one that is paused.
    let (budget, admission) = open(&budgets, "other");
    admission.pause_window(GRAPHQL, Some(RESET));
    budget.note_unsent(Lane::Idle, WithholdReason::WindowPaused);
    let rest = budget.observation().unwrap().rest.unwrap();
    assert_eq!(
        (rest.class, rest.from_lane),
        (ProblemClass::RateLimited, Lane::Idle)
    );
}

#[test]
fn a_rest_ends_with_the_window_that_it_is_for() {
    let (budget, admission) = open(&budgets(), "key");
    admission.observe(CORE, with_remaining(CORE, 2000));
    budget.note_unsent(Lane::Idle, WithholdReason::Reserved);
    let now = Instant::now();
    let rest = |at| budget.observation_at(at).unwrap().rest;
    assert!(rest(now).is_some());
    assert_eq!(rest(now + RESET), None);
}

#[test]
fn a_host_that_is_down_is_a_rest_of_all_lanes_and_is_shown_to_be() {
    let metrics = Arc::<Metrics>::default();
    let budgets = Budgets::new(Settings::default(), 10, Arc::clone(&metrics));
    let mut opened = Vec::new();
    for key in ["ann", "bob", "carl", "dora"] {
        let (budget, admission) = open(&budgets, key);
        admission.unanswered(None, None);
        let labels = [
            ("host", Cow::Owned(admission.api_base_url().to_owned())),
            ("state", Cow::Borrowed("breaker_open")),
        ];
        opened.push(metrics.host_state.get_or_create(&labels).get());
        budget.note_unsent(Lane::Idle, WithholdReason::HostClosed);
        let rest = budget.observation().unwrap().rest.unwrap();
        assert_eq!(
            (rest.class, rest.from_lane),
            (ProblemClass::HostUnavailable, Lane::Interactive)
        );
        assert!(rest.duration > Duration::ZERO && rest.duration <= PROBE_AFTER);
    }
    assert_eq!(opened, [0, 0, 1, 1]);
}
