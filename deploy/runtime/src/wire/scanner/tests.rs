//! Scans of bodies, whole and in parts.

use prost::Message as _;
use proto::{
    bounds::{MAX_OUTCOMES, MAX_WINDOWS},
    chat::v1,
};

use super::*;
use crate::described::files_of;

const MOST: usize = 64 * 1024;

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The result of scanning these bytes, in parts of every length.
fn scanned(message: &str, body: &[u8]) -> Result<(), Fault> {
    let shapes = Arc::new(Shapes::of(&files_of(&[
        "chat.v1.ChatService",
        "chat.v1.SyncService",
    ])));
    let message = shapes.find(&format!(".chat.v1.{message}")).unwrap();
    let answers: Vec<_> = [1, 2, 3, 7, body.len().max(1)]
        .into_iter()
        .map(|size| {
            let mut scanner = Scanner::new(Arc::clone(&shapes), message, MOST);
            body.chunks(size)
                .try_for_each(|part| scanner.push(part))
                .and_then(|()| scanner.finish())
        })
        .collect();
    let [first, rest @ ..] = answers.as_slice() else {
        unreachable!("there are sizes");
    };
    assert!(rest.iter().all(|answer| answer == first), "{answers:?}");
    first.clone()
}

fn create() -> v1::CreateChatRequest {
    v1::CreateChatRequest {
        title: "aé€😀".to_owned(),
        labels: [("key".to_owned(), "😀".to_owned())].into(),
        status: 3,
        ..v1::CreateChatRequest::default()
    }
}

#[test]
fn what_prost_writes_is_well_formed() {
    for request in [v1::CreateChatRequest::default(), create()] {
        let body = framed(&request.encode_to_vec());
        assert_eq!(scanned("CreateChatRequest", &body), Ok(()));
        let twice = [body.clone(), body].concat();
        assert_eq!(scanned("CreateChatRequest", &twice), Ok(()));
    }
    let report = v1::ReportOutcomesRequest {
        outcomes: vec![v1::Outcome::default(); MAX_OUTCOMES],
        budget: Some(v1::BudgetObservation {
            windows: vec![v1::Window::default(); MAX_WINDOWS],
            ..v1::BudgetObservation::default()
        }),
        ..v1::ReportOutcomesRequest::default()
    };
    let body = framed(&report.encode_to_vec());
    assert_eq!(scanned("ReportOutcomesRequest", &body), Ok(()));
    let list = v1::GetChatsRequest {
        statuses: vec![1; 10],
        ..v1::GetChatsRequest::default()
    };
    let body = framed(&list.encode_to_vec());
    assert_eq!(scanned("GetChatsRequest", &body), Ok(()));
    assert_eq!(scanned("GetChatsRequest", &[]), Ok(()));
}

#[test]
fn a_list_ends_at_its_bound_and_is_named() {
    let many = |field: &str, most| {
        Err(Fault::TooMany {
            field: field.to_owned(),
            most,
        })
    };
    let mut report = v1::ReportOutcomesRequest {
        outcomes: vec![v1::Outcome::default(); MAX_OUTCOMES + 1],
        ..v1::ReportOutcomesRequest::default()
    };
    let body = framed(&report.encode_to_vec());
    let outcomes = many("outcomes", MAX_OUTCOMES);
    assert_eq!(scanned("ReportOutcomesRequest", &body), outcomes);
    report.outcomes.clear();
    report.budget = Some(v1::BudgetObservation {
        windows: vec![v1::Window::default(); MAX_WINDOWS + 1],
        ..v1::BudgetObservation::default()
    });
    let body = framed(&report.encode_to_vec());
    let windows = many("budget.windows", MAX_WINDOWS);
    assert_eq!(scanned("ReportOutcomesRequest", &body), windows);
    // Packed or not.
    let statuses = many("statuses", proto::bounds::MAX_LIST);
    for message in [
        [&[0x22, 0x80, 0x08][..], &[1; 1024]].concat(),
        [0x20, 1].repeat(1024),
    ] {
        assert_eq!(scanned("GetChatsRequest", &framed(&message)), statuses);
    }
}

#[test]
fn a_body_that_is_no_message_is_malformed_and_the_field_is_named_where_it_is_known() {
    let of = |field: Option<&str>, problem| {
        Err(Fault::Malformed {
            field: field.map(str::to_owned),
            problem,
        })
    };
    let cut = "a message ends within a field";
    let longer = "the value is longer than what it is part of";
    for (message, fault) in [
        // A title of which the bytes are not UTF-8; a map's value likewise.
        (&b"\x22\x01\xff"[..], of(Some("title"), "is not UTF-8")),
        (b"\x22\x02\xf0\x9f", of(Some("title"), "is not UTF-8")),
        (
            b"\x32\x03\x12\x01\xff",
            of(Some("labels.value"), "is not UTF-8"),
        ),
        (b"\x20\x01", of(Some("title"), "the value has another type")),
        (b"\x22\x05a", of(Some("title"), longer)),
        (b"\x32\x03\x12\x05a", of(Some("labels.value"), longer)),
        (b"\x22", of(None, cut)),
        (b"\xff\xff", of(None, cut)),
        (b"\x00\x00", of(None, "a field has the number 0")),
        (
            b"\xa3\x06",
            of(None, "a field is written in a form that is not known"),
        ),
        (&[0xff; 11], of(None, "a number is too long")),
    ] {
        assert_eq!(
            scanned("CreateChatRequest", &framed(message)),
            fault,
            "{message:x?}"
        );
    }
    let whole = framed(&create().encode_to_vec());
    for end in 1..whole.len() {
        let early = of(None, "the request ends too early");
        assert_eq!(scanned("CreateChatRequest", &whole[..end]), early, "{end}");
    }
    let mut compressed = whole;
    compressed[0] = 1;
    let problem = "the message is compressed, and its encoding is not said";
    assert_eq!(scanned("CreateChatRequest", &compressed), of(None, problem));
}

#[test]
fn a_message_of_too_many_bytes_is_refused_by_its_head() {
    let head = u32::try_from(MOST + 1).unwrap().to_be_bytes();
    let body = [&[0], &head[..]].concat();
    assert_eq!(scanned("GetChatRequest", &body), Err(Fault::TooLarge(MOST)));
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    // Field 100: a number, eight bytes, bytes, four bytes.
    let message = b"\xa0\x06\x01\xa1\x06\0\0\0\0\0\0\0\0\xa2\x06\x02\xff\xff\xa5\x06\0\0\0\0";
    assert_eq!(scanned("CreateChatRequest", &framed(message)), Ok(()));
}
