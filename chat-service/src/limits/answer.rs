//! Answers on their way: counted until their last byte is written, and ended when that takes too
//! long.
//!
//! The HTTP server polls a body for a piece before it knows whether the peer takes any, keeps the
//! piece until the peer does, and does not poll meanwhile: a body that is not polled cannot end. So
//! a body here gives small pieces, few ahead of those that were written, and keeps the rest where
//! [`TrackedAnswer::sweep`] can drop it. What the server holds then goes with its stream, a sweep
//! later, or, where all was given, with its connection: nothing waits for the peer for longer.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use prost::bytes::{Buf as _, Bytes};
use service_runtime::listener::CallEnd;
use tokio::time::Instant;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

use super::{
    Limits,
    account::{Ticket, UnreadBytes},
    lock,
};

/// Bytes of a piece at most: what fits one DATA frame of HTTP/2 by default (RFC 9113, 4.2).
const PIECE: usize = 16 * 1024;
/// The next piece is given while no more than this was not written: one is written, one is ready.
const AHEAD: usize = PIECE;

/// Counts answers as they are written. The outermost layer: what is outside of it is not seen.
#[derive(Clone)]
pub(crate) struct AnswerLayer(Limits);

impl AnswerLayer {
    /// Counts the answers of the calls that were let in within these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        Self(limits)
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = AnswerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerService {
            inner,
            limits: self.0.clone(),
        }
    }
}

/// A service whose answers are counted.
#[derive(Clone)]
pub(crate) struct AnswerService<S> {
    inner: S,
    limits: Limits,
}

impl<S, B> Service<Request<B>> for AnswerService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limits = self.limits.clone();
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut response = call.await?;
            let ticket = response.extensions_mut().remove::<Arc<Ticket>>();
            Ok(response.map(|body| {
                if body.is_end_stream() {
                    AnswerBody::Empty(body)
                } else {
                    limits.answer(ticket, CallEnd::current(), body)
                }
            }))
        })
    }
}

impl Limits {
    pub(super) fn answer(
        &self,
        ticket: Option<Arc<Ticket>>,
        call: Option<CallEnd>,
        body: Body,
    ) -> AnswerBody {
        let answer = Arc::new(TrackedAnswer {
            limits: self.clone(),
            ticket,
            call,
            unwritten: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
            state: Mutex::new(State {
                body: Some(body),
                rest: Bytes::new(),
                unread: None,
                since: None,
                end: AnswerEnd::No,
                stalled: false,
            }),
        });
        lock(&self.0.answers).push(Arc::downgrade(&answer));
        AnswerBody::Counted(answer)
    }
}

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// The answer is all head, as that of a call that was not let in.
    Empty(Body),
    /// Counted.
    Counted(Arc<TrackedAnswer>),
}

/// An answer on its way: shared by its body, by the pieces that were not written yet, and by the
/// sweep.
pub(crate) struct TrackedAnswer {
    limits: Limits,
    /// `None` for what is no call: a file of the page. That has a deadline too, and no account.
    ticket: Option<Arc<Ticket>>,
    /// `None` outside of a listener.
    call: Option<CallEnd>,
    /// Bytes in pieces that were given and not written yet.
    unwritten: AtomicUsize,
    waker: AtomicWaker,
    state: Mutex<State>,
}

struct State {
    /// The rest of the body, not polled yet.
    body: Option<Body>,
    /// The rest of the message that was polled last.
    rest: Bytes,
    /// Of that message.
    unread: Option<UnreadBytes>,
    /// When that message was made.
    since: Option<Instant>,
    end: AnswerEnd,
    /// It waits until less is unread; the sweep wakes it.
    stalled: bool,
}

/// How far an answer that was not taken in time is ended. Each sweep goes one further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerEnd {
    /// It is not ended.
    No,
    /// What was not given is dropped, and the stream is reset if the server asks for more.
    Rest,
    /// The server did not ask: the stream is reset, unless all was given.
    Stream,
    /// All was given: what the connection still holds is dropped with it.
    Connection,
}

impl State {
    /// Drops all that is not given yet.
    fn end(&mut self) {
        self.body = None;
        self.rest = Bytes::new();
        self.unread = None;
    }
}

impl TrackedAnswer {
    /// Ends it if its peer has not taken a message within `timeout`. True when it just did.
    pub(super) fn sweep(&self, now: Instant, timeout: Duration) -> bool {
        // One that is being written is looked at the next time.
        let Ok(mut state) = self.state.try_lock() else {
            return false;
        };
        let waits = !state.rest.is_empty() || self.unwritten.load(Ordering::Acquire) > 0;
        let late = state
            .since
            .is_some_and(|since| now.saturating_duration_since(since) > timeout);
        let stalled = std::mem::take(&mut state.stalled);
        let end = match state.end {
            AnswerEnd::No if waits && late => {
                state.end();
                AnswerEnd::Rest
            }
            AnswerEnd::No => AnswerEnd::No,
            AnswerEnd::Rest => AnswerEnd::Stream,
            AnswerEnd::Stream | AnswerEnd::Connection => AnswerEnd::Connection,
        };
        let ended = end == AnswerEnd::Rest;
        state.end = end;
        drop(state);
        if ended || stalled {
            self.waker.wake();
        }
        if let Some(call) = &self.call {
            match end {
                AnswerEnd::No | AnswerEnd::Rest => {}
                AnswerEnd::Stream => call.end(),
                AnswerEnd::Connection => call.end_connection(),
            }
        }
        ended
    }

    fn poll(
        self: &Arc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = lock(&self.state);
        // Register before checking, so that a write between the two is not missed.
        self.waker.register(context.waker());
        if state.end != AnswerEnd::No {
            // RST_STREAM with this is RESOURCE_EXHAUSTED to a gRPC client.
            let reason = h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM);
            return Poll::Ready(Some(Err(reason.into())));
        }
        if self.unwritten.load(Ordering::Acquire) > AHEAD {
            return Poll::Pending;
        }
        if state.rest.is_empty() {
            let bounds = &self.limits.0.bounds;
            let too_much =
                |ticket: &Arc<Ticket>| ticket.is_stream() && ticket.unread_limit(bounds).is_some();
            if self.ticket.as_ref().is_some_and(too_much) {
                // The next sweep wakes it; events until then are coalesced per chat.
                state.stalled = true;
                return Poll::Pending;
            }
            let Some(body) = &mut state.body else {
                return Poll::Ready(None);
            };
            let frame = ready!(Pin::new(body).poll_frame(context));
            if let Some(ticket) = &self.ticket {
                ticket.end_turn();
            }
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(status)) => return Poll::Ready(Some(Err(status.into()))),
                None => {
                    state.body = None;
                    return Poll::Ready(None);
                }
            };
            if data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            state.unread = Some(UnreadBytes::new(self.ticket.clone(), data.len()));
            state.rest = data;
            state.since = Some(Instant::now());
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece(&mut state)))))
    }

    /// Takes a piece off the rest.
    fn piece(self: &Arc<Self>, state: &mut State) -> Bytes {
        let small = state
            .unread
            .take_if(|unread| unread.bytes() <= PIECE)
            .map(|unread| (std::mem::take(&mut state.rest), unread));
        let (bytes, unread) = small.unwrap_or_else(|| {
            // A copy: a slice of a message holds all of it for as long as the peer likes.
            let length = state.rest.len().min(PIECE);
            let bytes = Bytes::copy_from_slice(&state.rest.split_to(length));
            if !state.rest.has_remaining() {
                state.rest = Bytes::new();
                state.unread = None;
            }
            (bytes, UnreadBytes::new(self.ticket.clone(), length))
        });
        self.unwritten.fetch_add(bytes.len(), Ordering::AcqRel);
        Bytes::from_owner(Piece {
            bytes,
            answer: self.clone(),
            _unread: unread,
        })
    }
}

/// Bytes that the HTTP server drops once they are written, or will not be.
struct Piece {
    bytes: Bytes,
    answer: Arc<TrackedAnswer>,
    _unread: UnreadBytes,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = self.bytes.len();
        self.answer.unwritten.fetch_sub(bytes, Ordering::AcqRel);
        self.answer.waker.wake();
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty(body) => Pin::new(body).poll_frame(context).map_err(BoxError::from),
            Self::Counted(answer) => answer.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty(body) => body.is_end_stream(),
            Self::Counted(answer) => {
                let state = lock(&answer.state);
                let asked_for_all = state.body.as_ref().is_none_or(Body::is_end_stream);
                asked_for_all && state.rest.is_empty() && state.end == AnswerEnd::No
            }
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Self::Counted(answer) = self {
            // The peer is gone, or all is given. Pieces that are not written yet own their bytes.
            lock(&answer.state).end();
        }
    }
}
