//! Clients that harm: one takes nothing of any answer but its head, since the windows of its
//! streams are 0 bytes; another sends headers far beyond those that a server accepts.

use std::sync::Arc;

use http::{Request, Response};
use prost::{Message, bytes::Bytes};
use tokio::{net::TcpStream, sync::Notify, task::JoinSet};
use tonic::Status;

/// As large as pages are.
const OPEN_WINDOW: u32 = 64 * 1024 * 1024;

/// One connection of such a client. Dropping it closes the connection.
pub struct Stalled {
    sender: h2::client::SendRequest<Bytes>,
    opened: Arc<Notify>,
    _connection: JoinSet<()>,
}

/// An answer of which nothing was taken yet.
pub struct Untaken(h2::RecvStream);

impl Stalled {
    /// Connects to `url`.
    pub async fn connect(url: &str) -> Self {
        Self::taking(url, 0).await
    }

    /// The same; of each answer it takes that many bytes.
    pub async fn taking(url: &str, bytes: u32) -> Self {
        let address = url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.expect("connect");
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(bytes)
            .handshake(stream)
            .await
            .expect("speak HTTP/2");
        let opened = Arc::new(Notify::new());
        let open = opened.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            tokio::select! {
                // It ends with an error when the server closes it.
                _ = &mut connection => return,
                () = open.notified() => {}
            }
            connection.set_target_window_size(OPEN_WINDOW);
            if connection.set_initial_window_size(OPEN_WINDOW).is_ok() {
                let _ = connection.await;
            }
        });
        Self {
            sender,
            opened,
            _connection: tasks,
        }
    }

    /// Opens the windows: from now on answers can be taken.
    pub fn open(&self) {
        self.opened.notify_one();
    }

    /// Calls `method`, as in `chat.v1.ChatService/GetChats`.
    ///
    /// # Errors
    ///
    /// What the server refuses it with.
    pub async fn call(
        &self,
        method: &str,
        token: &str,
        message: &impl Message,
    ) -> Result<Untaken, Status> {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).expect("a short message");
        let body = [&[0], &length.to_be_bytes()[..], &message].concat();
        let request = post(method, token).body(()).expect("a request");
        let mut sender = self.sender.clone().ready().await.expect("a stream");
        let (response, mut stream) = sender.send_request(request, false).expect("a stream");
        stream.send_data(body.into(), true).expect("a stream");
        let response: Response<h2::RecvStream> = response.await.map_err(from_h2)?;
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status),
            None => Ok(Untaken(response.into_body())),
        }
    }
}

impl Untaken {
    /// Takes the answer, once the windows are [open](Stalled::open), or waits until the server ends
    /// it. Returns its length.
    ///
    /// # Errors
    ///
    /// With how the server ended it, if it did not arrive whole.
    pub async fn take(mut self) -> Result<usize, h2::Error> {
        let mut bytes = 0;
        while let Some(data) = self.0.data().await {
            bytes += data?.len();
        }
        Ok(bytes)
    }
}

/// Makes one call with a megabyte of headers, on a connection of its own, and waits until it is
/// refused.
pub async fn header_bomb(url: &str, token: &str) {
    let stalled = Stalled::connect(url).await;
    let mut request = post("chat.v1.ChatService/GetChats", token);
    for number in 0..256 {
        request = request.header(format!("x-{number}"), "x".repeat(4096));
    }
    let request = request.body(()).expect("a request");
    let Ok(mut sender) = stalled.sender.clone().ready().await else {
        return;
    };
    if let Ok((response, _stream)) = sender.send_request(request, true) {
        // 431, a reset, or the end of the connection.
        let _ = response.await;
    }
}

fn post(method: &str, token: &str) -> http::request::Builder {
    Request::post(format!("http://chat/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
}

/// As gRPC's clients see a stream that was reset.
fn from_h2(error: h2::Error) -> Status {
    Status::from_error(Box::new(error))
}
