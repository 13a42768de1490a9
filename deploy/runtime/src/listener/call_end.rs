//! The end of a call whose answer its peer does not take.
//!
//! hyper asks a body for a piece and then waits until the peer takes it, for as long as the
//! connection lasts; meanwhile it asks for no more, so that a body has no way to end its stream.
//! Dropping hyper's future of the stream does, until that has passed everything on: then the
//! connection alone can drop what it holds.

use std::{future::Future, pin::pin};

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio_util::sync::CancellationToken;

use super::ConnectionEnd;

tokio::task_local! {
    /// Of the call that is polled: over HTTP/1.1 all calls of a connection are one after the other,
    /// and have the same.
    static CURRENT: CallEnd;
}

/// Ends a call, whatever its peer takes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallEnd {
    call: CancellationToken,
    connection: ConnectionEnd,
}

impl CallEnd {
    /// Of a new call of that connection.
    pub(super) fn new(connection: ConnectionEnd) -> Self {
        Self {
            call: CancellationToken::new(),
            connection,
        }
    }

    /// Of the call whose future is polled. `None` outside of a listener's calls.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Drops the call with what was not passed on of its answer. Over HTTP/2 its stream is reset
    /// with `CANCEL` and the others go on; over HTTP/1.1 the connection is closed. A call whose
    /// answer was passed on is over, and this does nothing.
    pub fn end(&self) {
        self.call.cancel();
    }

    /// Ends its connection as at its age: the client is asked to connect again, other calls have
    /// the grace, and then all that is held for the peer is dropped.
    pub fn end_connection(&self) {
        self.connection.0.cancel();
    }

    /// Polls `call` as the one that this ends. `None` when it was ended.
    pub(super) async fn scope<F: Future>(&self, call: F) -> Option<F::Output> {
        let call = pin!(self.call.run_until_cancelled(call));
        CURRENT.scope(self.clone(), call).await
    }
}

/// Runs the calls of an HTTP/2 connection, each until it is over or ended.
#[derive(Clone, Debug)]
pub(super) struct CallExecutor(pub(super) ConnectionEnd);

impl<F> Executor<F> for CallExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, call: F) {
        let end = CallEnd::new(self.0.clone());
        TokioExecutor::new().execute(async move { end.scope(call).await });
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http::{Request, Response};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::mpsc,
        time::timeout,
    };
    use tonic::body::Body;
    use tower::service_fn;

    use super::*;
    use crate::listener::{ConnectionOptions, ListenerMetrics, serve};

    /// Over HTTP/1.1 there is no stream to reset.
    #[tokio::test]
    async fn a_call_that_is_ended_closes_its_http1_connection_and_no_other() {
        let (calls, mut called) = mpsc::unbounded_channel();
        let service = service_fn(move |_: Request<Body>| {
            let calls = calls.clone();
            async move {
                calls.send(CallEnd::current()).unwrap();
                std::future::pending::<Result<Response<Body>, Infallible>>().await
            }
        });
        let options = ConnectionOptions {
            most: 10,
            streams: 10,
            max_age: Duration::from_secs(3600),
            grace: Duration::from_secs(3600),
            http1: true,
            tls: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let close = CancellationToken::new();
        let serving = serve(
            listener,
            service,
            options,
            ListenerMetrics::default(),
            close,
        );
        let calling = async {
            let (mut one, end) = call(address, &mut called).await;
            let (mut other, _) = call(address, &mut called).await;
            end.end();
            let closed = timeout(Duration::from_secs(10), one.read(&mut [0; 100])).await;
            assert!(matches!(closed.unwrap(), Ok(0) | Err(_)));
            let moment = Duration::from_millis(100);
            let open = timeout(moment, other.read(&mut [0; 100])).await;
            assert!(open.is_err(), "{open:?}");
        };
        tokio::select! {
            () = serving => {}
            () = calling => {}
        }
    }

    async fn call(
        address: std::net::SocketAddr,
        called: &mut mpsc::UnboundedReceiver<Option<CallEnd>>,
    ) -> (TcpStream, CallEnd) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let end = called.recv().await.unwrap();
        (stream, end.expect("it is a call of a listener"))
    }
}
