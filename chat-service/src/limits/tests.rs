use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body::{Body as _, Frame};
use prost::bytes::Bytes;
use tonic::body::Body;

use super::{answer::AnswerBody, *};
use crate::{authz::User, id::UserId};

const GET: &str = "/chat.v1.ChatService/GetChat";
const REFRESH: &str = "/chat.v1.ChatService/RefreshChat";
const WATCH: &str = "/chat.v1.ChatService/WatchChats";

const BOUNDS: Bounds = Bounds {
    user_calls: 3,
    user_calls_per_second: 10,
    user_watches: 2,
    user_waiting_calls: 1,
    user_unread_bytes: 100_000,
    service_weight: 2,
    calls: 8,
    waiting_calls: 3,
    unread_bytes: 250_000,
    answer_timeout: Duration::from_secs(30),
    database_connections: 8,
};

fn limits(bounds: Bounds) -> Limits {
    Limits::new(bounds, &mut Registry::default())
}

fn user() -> Principal {
    Principal::User(User {
        id: UserId(uuid::Uuid::new_v4()),
        organizations: std::collections::BTreeMap::default(),
        groups: Vec::new().into_iter().collect(),
        site_roles: std::collections::BTreeSet::default(),
        suspended: false,
    })
}

fn service() -> Principal {
    Principal::Service("internal".to_owned())
}

/// The reason of a refusal, or an empty text.
fn reason_of<T>(result: &Result<T, Error>) -> &'static str {
    result
        .as_ref()
        .err()
        .map_or("", |error| error.code_and_reason().1)
}

/// A call at this moment.
fn call(limits: &Limits, principal: &Principal, path: &str) -> Result<Ticket, Error> {
    limits.admit(Some(principal), path, Instant::now())
}

/// How many calls of `path` get in before one is refused, and why that one is.
fn let_in(
    limits: &Limits,
    principal: &Principal,
    path: &str,
) -> (usize, &'static str, Vec<Ticket>) {
    let mut tickets = Vec::new();
    loop {
        match call(limits, principal, path) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => return (tickets.len(), error.code_and_reason().1, tickets),
        }
    }
}

/// Without a token, all callers are one.
#[test]
fn streams_of_health_and_reflection_keep_no_probe_out() {
    let limits = limits(BOUNDS);
    let call = |path| limits.admit(None, path, Instant::now());
    let mut open = Vec::new();
    for path in [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        while open.len() < 100 {
            match call(path) {
                Ok(ticket) => open.push(ticket),
                Err(error) => {
                    let (_, reason) = error.code_and_reason();
                    assert_eq!(reason, reason::TOO_MANY_WAITING_CALLS, "{path}");
                    break;
                }
            }
        }
    }
    assert_eq!(open.len(), 2, "a service's share of waiting calls");
    assert!(call("/grpc.health.v1.Health/Check").is_ok());
}

#[test]
fn each_kind_of_call_has_a_limit_of_its_own_and_a_service_has_as_many_as_several_users() {
    let bounds = Bounds {
        user_calls_per_second: 1000,
        calls: 100,
        waiting_calls: 100,
        ..BOUNDS
    };
    let limits = limits(bounds);
    let (one, other) = (user(), user());
    let mut held = Vec::new();
    for (path, most, why) in [
        (GET, 3, reason::TOO_MANY_CALLS),
        (REFRESH, 1, reason::TOO_MANY_WAITING_CALLS),
        (WATCH, 2, reason::TOO_MANY_WATCHES),
    ] {
        for (principal, weight) in [(&one, 1), (&other, 1), (&service(), 2)] {
            let (number, reason, tickets) = let_in(&limits, principal, path);
            assert_eq!((number, reason), (most * weight, why), "{path}");
            held.push(tickets);
        }
    }
    drop(held);
    assert!(call(&limits, &one, GET).is_ok(), "places are given back");
}

#[test]
fn the_process_has_limits_of_its_own_and_a_refusal_takes_no_place() {
    let limits = limits(BOUNDS);
    let waiting: Vec<_> = (0..3)
        .map(|_| call(&limits, &user(), REFRESH).unwrap())
        .collect();
    for _ in 0..20 {
        let refused = call(&limits, &user(), REFRESH);
        assert_eq!(reason_of(&refused), reason::TOO_MANY_REQUESTS);
    }
    let working: Vec<_> = (0..5)
        .map(|_| call(&limits, &user(), GET).unwrap())
        .collect();
    for path in [GET, WATCH] {
        let refused = call(&limits, &user(), path);
        assert_eq!(reason_of(&refused), reason::TOO_MANY_REQUESTS);
    }
    drop((waiting, working));
    assert_eq!(limits.0.metrics.calls.get(), 0);
    assert_eq!(limits.0.metrics.waiting_calls.get(), 0);
}

#[test]
fn calls_a_second_are_refused_with_the_time_until_the_next_one() {
    let limits = limits(BOUNDS);
    let (fast, other) = (user(), user());
    let now = Instant::now();
    let call_at = |principal: &Principal, now| limits.admit(Some(principal), GET, now);
    // Two seconds' worth at once.
    for _ in 0..20 {
        assert!(call_at(&fast, now).is_ok());
    }
    let refused = call_at(&fast, now).err().unwrap();
    let Error::ResourceExhausted {
        reason,
        retry_after: Some(wait),
        ..
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, reason::CALL_RATE_EXCEEDED);
    assert!(wait <= Duration::from_millis(100), "{wait:?}");
    assert!(call_at(&other, now).is_ok());
    assert!(call_at(&fast, now + wait).is_ok());
    assert!(call_at(&fast, now + wait).is_err());
    // Calls of health are not paced.
    for _ in 0..1000 {
        assert!(
            limits
                .admit(None, "/grpc.health.v1.Health/Check", now)
                .is_ok()
        );
    }
}

#[test]
fn a_caller_is_forgotten_when_it_is_idle_and_never_while_that_would_lift_a_limit() {
    let limits = limits(BOUNDS);
    let callers = || lock(&limits.0.callers).len();
    let now = Instant::now();
    let fast = user();
    while limits.admit(Some(&fast), GET, now).is_ok() {}
    let watching = limits.admit(Some(&service()), WATCH, now).unwrap();
    for _ in 0..100 {
        drop(limits.admit(Some(&user()), GET, now));
    }
    assert_eq!(callers(), 102);
    limits.sweep(now);
    assert_eq!(callers(), 102);
    limits.sweep(now + Duration::from_secs(1));
    assert_eq!(callers(), 2, "the fast one and the one that watches");
    limits.sweep(now + Duration::from_secs(2));
    assert_eq!(callers(), 1);
    assert_eq!(limits.0.metrics.callers.get(), 1);
    drop(watching);
    limits.sweep(now + Duration::from_secs(2));
    assert_eq!(callers(), 0);
}

#[test]
fn a_caller_waits_for_its_own_calls_and_another_does_not() {
    let limits = limits(BOUNDS);
    let (busy, other) = (user(), user());
    let take = |principal: &Principal, path| {
        let ticket = call(&limits, principal, path).unwrap();
        let taken = ticket.take_turn().now_or_never();
        taken.map(|()| ticket)
    };
    // A quarter of eight connections.
    let first = take(&busy, GET).unwrap();
    let _second = take(&busy, GET).unwrap();
    assert!(take(&busy, GET).is_none());
    // What waits for a worker holds no connection, and waits for none.
    assert!(take(&busy, REFRESH).is_some());
    assert!(take(&other, GET).is_some());
    // Its answer is made; that it was not taken yet is another limit's.
    first.end_turn();
    assert!(take(&busy, GET).is_some());
}

/// An answer with `messages`, and trailers.
fn answer(limits: &Limits, principal: &Principal, path: &str, messages: &[usize]) -> AnswerBody {
    struct Messages(Pin<Box<dyn futures_util::Stream<Item = Frame<Bytes>> + Send>>);
    impl http_body::Body for Messages {
        type Data = Bytes;
        type Error = tonic::Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_next_unpin(context).map(|frame| frame.map(Ok))
        }
    }
    let ticket = Arc::new(call(limits, principal, path).unwrap());
    let data: Vec<_> = messages
        .iter()
        .map(|length| Frame::data(Bytes::from(vec![7; *length])))
        .collect();
    let trailers = Frame::trailers(http::HeaderMap::new());
    let frames = stream::iter(data.into_iter().chain([trailers]));
    let body = Body::new(Messages(Box::pin(frames)));
    limits.answer(Some(ticket), None, body)
}

fn poll(body: &mut AnswerBody) -> Poll<Option<Result<Frame<Bytes>, String>>> {
    let mut context = Context::from_waker(Waker::noop());
    Pin::new(body)
        .poll_frame(&mut context)
        .map_err(|error| error.to_string())
}

/// The next piece, if it is given.
fn piece(body: &mut AnswerBody) -> Option<Bytes> {
    match poll(body) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        Poll::Ready(Some(Err(error))) => panic!("{error}"),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

#[test]
fn an_answer_arrives_whole_in_small_pieces_and_counts_until_the_last_is_written() {
    let limits = limits(BOUNDS);
    let unread = || limits.0.metrics.unread_bytes.get();
    let mut body = answer(&limits, &user(), GET, &[50_000]);
    let mut bytes = 0;
    let mut last = None;
    while let Some(piece) = piece(&mut body) {
        assert!(piece.len() <= 16 * 1024);
        assert!(piece.iter().all(|byte| *byte == 7));
        bytes += piece.len();
        // The one before is written when the next one is given.
        last = Some(piece);
    }
    assert_eq!(bytes, 50_000);
    let last = last.unwrap();
    assert_eq!(unread(), i64::try_from(last.len()).unwrap());
    drop(body);
    assert_eq!(
        limits.0.metrics.calls.get(),
        1,
        "in flight until it is written"
    );
    drop(last);
    assert_eq!((unread(), limits.0.metrics.calls.get()), (0, 0));
}

#[test]
fn a_peer_that_takes_nothing_pins_two_pieces_and_is_refused_until_it_takes_them() {
    let limits = limits(BOUNDS);
    let user = user();
    let mut body = answer(&limits, &user, GET, &[120_000]);
    let pieces: Vec<_> = std::iter::from_fn(|| piece(&mut body)).collect();
    assert_eq!(pieces.len(), 2);
    let next = call(&limits, &user, GET).unwrap();
    let refused = limits.check_unread(&next);
    assert_eq!(reason_of(&refused), reason::ANSWERS_NOT_READ);
    // The one after the deadline ends it, and drops all but the pieces that the server holds.
    limits.sweep(Instant::now() + Duration::from_secs(29));
    assert!(limits.0.metrics.unread_bytes.get() > 120_000 - 2 * 16 * 1024);
    limits.sweep(Instant::now() + Duration::from_secs(31));
    assert_eq!(limits.0.metrics.unread_bytes.get(), 2 * 16 * 1024);
    assert_eq!(limits.0.metrics.ended_answers.get(), 1);
    assert!(limits.check_unread(&next).is_ok());
    assert!(
        !body.is_end_stream(),
        "what was cut off must not look whole"
    );
    let Poll::Ready(Some(Err(error))) = poll(&mut body) else {
        panic!("an answer that is cut off ends with an error");
    };
    assert!(error.contains("calm") || error.contains("load"), "{error}");
    drop((pieces, body));
    assert_eq!(limits.0.metrics.unread_bytes.get(), 0);
}

#[test]
fn a_stream_takes_no_next_message_while_too_much_is_unread_and_goes_on_afterwards() {
    let limits = limits(BOUNDS);
    let (reader, idler) = (user(), user());
    let mut stream = answer(&limits, &reader, WATCH, &[10, 20]);
    assert_eq!(piece(&mut stream).unwrap().len(), 10);
    let mut pages: Vec<_> = (0..3)
        .map(|_| answer(&limits, &idler, GET, &[90_000]))
        .collect();
    let pieces: Vec<_> = pages.iter_mut().map(piece).collect();
    assert!(piece(&mut stream).is_none(), "the process has too much");
    drop((pages, pieces));
    assert_eq!(piece(&mut stream).unwrap().len(), 20);
}

/// Paths are texts: one that is misspelt would be no limit.
#[test]
fn the_methods_that_wait_and_that_watch_exist() {
    use prost::Message as _;
    let set = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut found = 0;
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let of = Use::of(&path);
                let lasts = method.server_streaming();
                assert!(lasts || of != Use::Watch, "{path}");
                assert!(!lasts || of != Use::Work, "{path}");
                found += usize::from(of != Use::Work);
            }
        }
    }
    assert_eq!(found, 5);
}
