//! The tables of both conversions.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use super::*;
use crate::chat::v1;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind that the contract does not use yet fails here"
)]
fn value(field: &FieldDescriptor) -> Value {
    let name = field.name();
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(0.5),
        Kind::Int32 => Value::I32(7),
        Kind::Int64 => Value::I64(7),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::String if name.ends_with("id") || name.ends_with("_token") => {
            Value::String(Uuid::from_u128(7).to_string())
        }
        Kind::String if name.ends_with("repository") => Value::String("acme/web".to_owned()),
        Kind::String => Value::String(name.to_owned()),
        Kind::Message(inner) => Value::Message(filled(&inner)),
        other => panic!("{name} is of kind {other:?}"),
    }
}

/// A message of which every field is set; of alternatives, the last.
fn filled(descriptor: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let value = match value(&field) {
            value if field.is_list() => Value::List(vec![value]),
            value => value,
        };
        message.set_field(&field, value);
    }
    message
}

fn message<M: Message + Default>(name: &str) -> M {
    let pool = DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name(name).unwrap();
    filled(&descriptor).transcode_to().unwrap()
}

fn assert_survives<T: Wire<M>, M: Message + Clone + PartialEq>(message: &M) {
    let word = T::read(message.clone()).unwrap();
    assert!(word.message() == *message, "{:?}", message.encode_to_vec());
}

fn lease() -> v1::Lease {
    message("chat.v1.Lease")
}

/// A field that a table lacks, or carries to another place, would be lost.
#[test]
fn every_field_of_every_message_survives_being_read_and_written() {
    assert_survives::<Lease, _>(&lease());
    let renewal = message("chat.v1.RenewLeaseResponse");
    assert_survives::<Renewal, v1::RenewLeaseResponse>(&renewal);
    let request = message("chat.v1.LeaseDiffStatusesRequest");
    assert_survives::<LeaseRequest, v1::LeaseDiffStatusesRequest>(&request);
    let report: v1::ReportOutcomesRequest = message("chat.v1.ReportOutcomesRequest");
    for result in [
        v1::outcome::Result::Found(message("chat.v1.PullRequest")),
        v1::outcome::Result::NoPullRequest(v1::NoPullRequest {}),
        v1::outcome::Result::Gone(v1::Gone {}),
        v1::outcome::Result::Failed(message("chat.v1.Failed")),
        v1::outcome::Result::Unchanged(v1::Unchanged {}),
    ] {
        let mut report = report.clone();
        report.outcomes[0].result = Some(result);
        let answer = ReportAnswer {
            statuses: vec![Some(OutcomeStatus::Superseded)],
            awaited: true,
        };
        let outcomes = Report::read(report.clone()).unwrap().outcomes;
        assert_eq!(ReportAnswer::read(&answer.message(&outcomes)), answer);
        assert_survives::<Report, _>(&report);
    }
}

#[test]
fn a_word_of_a_later_release_does_not_hide_a_ref() {
    let mut message = lease();
    let git_ref = &mut message.groups[0].refs[0];
    git_ref.lane = 99;
    git_ref.known.as_mut().unwrap().state = 99;
    let read = Lease::read(message).unwrap();
    let git_ref = &read.groups[0].refs[0];
    assert_eq!(git_ref.lane, Lane::Idle);
    assert_eq!(
        git_ref.known.as_ref().unwrap().state,
        PullRequestState::Open
    );
}

#[test]
fn a_lease_prints_neither_its_token_nor_a_credential() {
    let mut message = lease();
    let token = message.lease_token.clone();
    message.groups[0].credential.as_mut().unwrap().access_token = "host-secret".to_owned();
    message.groups[0].credential.as_mut().unwrap().id = Uuid::nil().to_string();
    message.groups[0].refs.clear();
    message.groups[0].provider = Some(v1::Provider::default());
    let printed = format!("{:?}", Lease::read(message).unwrap());
    assert!(
        !printed.contains(&token) && !printed.contains("host-secret"),
        "{printed}"
    );
}

#[test]
fn an_empty_token_is_no_credential() {
    let mut message = lease();
    message.groups[0].credential.as_mut().unwrap().access_token = " ".to_owned();
    assert!(Lease::read(message).unwrap().groups[0].credential.is_none());
}

#[test]
fn a_field_that_cannot_be_read_is_named() {
    let mut message = lease();
    message.groups[0].refs[0].fence = None;
    let refused = Lease::read(message).unwrap_err();
    assert_eq!(refused.to_string(), "groups[0].refs[0].fence is required");
    let refused = LeaseRequest::read(v1::LeaseDiffStatusesRequest {
        request_id: Uuid::nil().to_string(),
        ..v1::LeaseDiffStatusesRequest::default()
    });
    assert_eq!(refused.unwrap_err().field, "worker_id");
}

fn found() -> FoundPullRequest {
    FoundPullRequest::read(message::<v1::PullRequest>("chat.v1.PullRequest")).unwrap()
}

#[test]
fn a_stored_pull_request_is_read_back_and_a_field_of_a_later_release_does_not_hide_it() {
    let mut stored = serde_json::to_value(found().shown).unwrap();
    stored["milestone"] = serde_json::json!("1.0");
    stored["head"]["signed"] = serde_json::json!(true);
    assert_eq!(
        serde_json::from_value::<PullRequest>(stored).unwrap(),
        found().shown
    );
}

#[test]
fn a_pull_request_that_an_earlier_release_stored_is_read_without_what_that_did_not_know() {
    let stored = serde_json::json!({
        "number": 7, "url": "https://github.com/acme/web/pull/7", "state": "open", "draft": false,
        "title": "Title", "base_branch": "main", "changes_requested": false, "approved": true,
        "reviewer_count": 1,
        "head": {
            "branch": "feature", "sha": "abc", "additions": 1, "deletions": 2, "changed_files": 3,
            "commits": 4,
        },
    });
    let read: PullRequest = serde_json::from_value(stored).unwrap();
    assert_eq!(read.progress, Progress::default());
    assert_eq!((read.head.checks, read.head.merge_state), (None, None));
}

#[test]
fn checks_that_a_later_release_wrote_otherwise_cost_themselves_and_no_status() {
    let mut stored = serde_json::to_value(found().shown).unwrap();
    stored["head"]["checks"]["state"] = serde_json::json!("on_fire");
    stored["head"]["merge_state"] = serde_json::json!("perhaps");
    stored["review_decision"] = serde_json::json!({"by": "ann"});
    let read: PullRequest = serde_json::from_value(stored).unwrap();
    assert_eq!((read.head.checks, read.head.merge_state), (None, None));
    assert_eq!(read.progress.review_decision, None);
    assert_eq!(read.number, found().shown.number);
}

/// They stay as they were, since they are not in the value that is written over it.
#[test]
fn what_a_host_did_not_tell_is_not_written() {
    let mut untold = found().shown;
    untold.progress = Progress::default();
    (untold.head.checks, untold.head.merge_state) = (None, None);
    let written = serde_json::to_value(untold).unwrap();
    let names = [
        "review_decision",
        "unresolved_threads",
        "unresolved_bot_threads",
        "auto_merge",
        "queue_position",
    ];
    for name in names {
        assert_eq!(written.get(name), None, "{name}");
    }
    for name in ["checks", "merge_state"] {
        assert_eq!(written["head"].get(name), None, "{name}");
    }
}

#[test]
fn checks_are_cut_to_what_is_shown_of_them() {
    let mut many = found();
    let failed = |name: String, url: &str| FailedCheck {
        name,
        url: Some(url.to_owned()),
        required: false,
    };
    let checks = many.shown.head.checks.as_mut().unwrap();
    checks.failed_checks = vec![
        failed("ä".repeat(500), "https://ci.example/1"),
        failed("script".to_owned(), "javascript:alert(1)"),
        failed(
            "long".to_owned(),
            &format!("https://ci.example/{}", "x".repeat(500)),
        ),
        failed("d".to_owned(), "http://ci.example/4"),
        failed("e".to_owned(), "https://ci.example/5"),
        failed("f".to_owned(), "https://ci.example/6"),
    ];
    many.shown.progress.requested_reviewers = (0..9).map(|name| name.to_string()).collect();
    many.shown.progress.change_requests = (0..9).map(|id| id.to_string()).collect();
    many.shown.progress.change_requests[0] = "x".repeat(500);
    let fitted = many.fitted().unwrap().shown;
    let checks = fitted.head.checks.unwrap().failed_checks;
    assert_eq!(checks[0].name, "ä".repeat(80));
    let urls: Vec<bool> = checks.iter().map(|check| check.url.is_some()).collect();
    assert_eq!(urls, [true, false, false, true, true]);
    assert_eq!(fitted.progress.requested_reviewers.len(), 5);
    assert_eq!(fitted.progress.change_requests, ["1", "2", "3"]);
}

#[test]
fn a_long_title_loses_its_end_and_not_the_status() {
    let mut long = found();
    long.shown.title = format!("\0{}", "ä".repeat(5000));
    long.shown.author_avatar_url = Some("x".repeat(5000));
    long.shown.author_login = Some(String::new());
    let fitted = long.fitted().unwrap();
    assert_eq!(fitted.shown.title, "ä".repeat(256));
    assert_eq!(fitted.shown.author_avatar_url, None);
    assert_eq!(fitted.shown.author_login, None);
}

#[test]
fn what_is_needed_and_does_not_fit_rejects_the_outcome() {
    let change: [fn(&mut FoundPullRequest); 8] = [
        |found| found.shown.url = "x".repeat(5000),
        |found| found.shown.url = String::new(),
        |found| found.repository = "web".to_owned(),
        |found| found.shown.head.branch = "a\0b".to_owned(),
        |found| found.shown.head.branch = "b".repeat(256),
        |found| found.shown.head.sha = "a".repeat(65),
        |found| found.shown.number = 0,
        |found| found.shown.head.commits = -1,
    ];
    for change in change {
        let mut bad = found();
        change(&mut bad);
        assert!(bad.clone().fitted().is_none(), "{bad:?}");
    }
    assert!(found().fitted().is_some());
}

/// A release that writes something new there costs that, and no lease.
#[test]
fn what_is_optional_in_a_lease_and_cannot_be_read_costs_no_more_than_itself() {
    let mut message = lease();
    let unreadable = prost_types::Duration {
        seconds: -1,
        nanos: 0,
    };
    let budget = message.budget.as_mut().unwrap();
    budget.cautious_for = Some(unreadable);
    budget.windows.push(v1::Window::default());
    let group = &mut message.groups[0];
    group.credential.as_mut().unwrap().expires_at = Some(prost_types::Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    });
    group.refs[0].canonical_repository = Some("/".to_owned());
    group.refs[0].since_found = Some(unreadable);
    let lease = Lease::read(message).unwrap();
    assert_eq!(
        (lease.budget.windows.len(), lease.budget.cautious_for),
        (1, None)
    );
    let group = &lease.groups[0];
    assert_eq!(group.credential.as_ref().unwrap().expires_at, None);
    let git_ref = &group.refs[0];
    assert_eq!(
        (git_ref.since_found, &git_ref.canonical_repository),
        (None, &None)
    );
}
