//! Plain HTTP, as an operations endpoint speaks it; no client is needed for that.

use std::{fmt::Debug, str::FromStr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wait;

/// What `path` answers at `url`, with its head.
pub async fn get(url: &str, path: &str) -> String {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("send a request");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("read an answer");
    answer
}

/// The value of a metric of the operations endpoint at `url`, by its name with its labels; none if
/// it is not there.
pub async fn metric<T: FromStr<Err: Debug>>(url: &str, name: &str) -> Option<T> {
    let metrics = get(url, "/metrics").await;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a metric's value"))
}

/// Waits until `path` answers at `url` with `text` in it.
pub async fn until_contains(url: &str, path: &str, text: &str) {
    wait::until(text, || async {
        let answer = get(url, path).await;
        if answer.contains(text) {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}
