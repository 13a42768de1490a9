//! Listens in on what the service says to PostgreSQL: which statements it runs, and with which
//! values.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    task::JoinSet,
};

/// A statement that was run: its text, and its values as they were sent.
#[derive(Clone)]
struct Run {
    text: String,
    values: Vec<u8>,
}

/// Between the service and PostgreSQL. Dropping it closes every connection.
pub(crate) struct Recorder {
    address: SocketAddr,
    runs: Arc<Mutex<Vec<Run>>>,
    _tasks: JoinSet<()>,
}

impl Recorder {
    /// In front of the PostgreSQL at `upstream` (`host:port`).
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let runs = Arc::new(Mutex::new(Vec::new()));
        let recorded = runs.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&upstream).await.unwrap();
                let (mut server_read, server_write) = server.into_split();
                let (client_read, mut client_write) = client.into_split();
                connections.spawn(listen(client_read, server_write, recorded.clone()));
                connections.spawn(async move {
                    let copied = tokio::io::copy(&mut server_read, &mut client_write).await;
                    copied.ok().map(|_| ())
                });
            }
        });
        Self {
            address,
            runs,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap()
    }

    /// Forgets what was run so far.
    pub(crate) fn forget(&self) {
        self.runs().clear();
    }

    /// The statements that were run with `value` among their values, in order.
    pub(crate) fn with_value(&self, value: &[u8]) -> Vec<String> {
        self.runs()
            .iter()
            .filter(|run| run.values.windows(value.len()).any(|part| part == value))
            .map(|run| run.text.clone())
            .collect()
    }
}

/// Passes on what the client says, and reads Parse (which statement has which name) and Bind (which
/// statement is run, with what).
async fn listen(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    runs: Arc<Mutex<Vec<Run>>>,
) -> Option<()> {
    let mut texts: HashMap<Vec<u8>, String> = HashMap::new();
    // Only the very first message has no type.
    let start = body(&mut from).await?;
    send(&mut to, &[], &start).await?;
    loop {
        let kind = from.read_u8().await.ok()?;
        let body = body(&mut from).await?;
        match kind {
            b'P' => {
                let (name, rest) = text(&body)?;
                let (statement, _) = text(rest)?;
                let statement = String::from_utf8_lossy(statement).into_owned();
                texts.insert(name.to_owned(), statement);
            }
            b'B' => {
                let (_portal, rest) = text(&body)?;
                let (name, values) = text(rest)?;
                runs.lock().unwrap().push(Run {
                    text: texts.get(name).cloned().unwrap_or_default(),
                    values: values.to_owned(),
                });
            }
            _ => {}
        }
        send(&mut to, &[kind], &body).await?;
    }
}

async fn body(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    from.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn send(to: &mut OwnedWriteHalf, kind: &[u8], body: &[u8]) -> Option<()> {
    let length = u32::try_from(body.len() + 4).ok()?;
    let message = [kind, &length.to_be_bytes(), body].concat();
    to.write_all(&message).await.ok()
}

/// A text that ends with a zero byte, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
