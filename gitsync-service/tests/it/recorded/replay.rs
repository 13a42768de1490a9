//! A host with canned answers: the same one to the same path, whatever was asked before.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Stands for every path.
pub(super) const ANY: &str = "*";

/// Headers that say how a body was sent, which is otherwise here.
const OF_TRANSPORT: [&str; 4] = [
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
];

#[derive(Clone)]
pub(super) struct Canned {
    pub(super) path: String,
    /// It answers queries alone that have this.
    pub(super) only: Option<&'static str>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Canned {
    pub(super) fn ok(path: &str, body: &Value) -> Self {
        Self {
            path: path.to_owned(),
            only: None,
            status: 200,
            headers: Vec::new(),
            body: body.to_string(),
        }
    }
}

/// A running host. Of what has no canned answer, a repository is no fork, and the rest a list of
/// nothing.
pub(super) struct Replay {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Replay {
    pub(super) async fn start(answers: Vec<Canned>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, noted) = (Arc::new(answers), Arc::clone(&asked));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
                connections.spawn(async move {
                    let path = read(client, &answers, address).await;
                    noted.lock().unwrap().push(path);
                });
            }
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The paths that were asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request, and tells its path.
async fn read(client: TcpStream, answers: &[Canned], address: SocketAddr) -> String {
    let mut client = BufReader::new(client);
    let (mut first, mut length) = (String::new(), 0);
    client.read_line(&mut first).await.unwrap();
    loop {
        let mut header = String::new();
        client.read_line(&mut header).await.unwrap();
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    client.read_exact(&mut vec![0; length]).await.unwrap();
    let target = first.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap().to_owned();
    let fits = |canned: &&Canned| {
        (canned.path == ANY || canned.path == path)
            && canned.only.is_none_or(|only| target.contains(only))
    };
    let ordinary = match path.strip_prefix("/repos/") {
        Some(name) if name.split('/').count() == 2 => Canned::ok(
            &path,
            &json!({"full_name": name, "fork": false, "default_branch": "trunk"}),
        ),
        _ => Canned::ok(&path, &json!([])),
    };
    let canned = answers.iter().find(fits).unwrap_or(&ordinary);
    let mut answer = format!(
        "HTTP/1.1 {} Recorded\r\nconnection: close\r\n",
        canned.status
    );
    if canned.status != 304 {
        answer.push_str(&format!("content-length: {}\r\n", canned.body.len()));
    }
    for (name, value) in &canned.headers {
        if !OF_TRANSPORT.contains(&name.to_ascii_lowercase().as_str()) {
            // Links and redirects lead to where the answer comes from.
            let value = value.replace("https://api.github.com", &format!("http://{address}"));
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    answer.push_str("\r\n");
    if canned.status != 304 {
        answer.push_str(&canned.body);
    }
    // The client reads no more of a refusal than it needs.
    let _ = client.get_mut().write_all(answer.as_bytes()).await;
    path
}
