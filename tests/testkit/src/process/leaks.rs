//! Searching what a process prints for secrets: all of its log, and its metrics at its end.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{lock::lock, secrets};

/// How long a process that is about to end may take to tell its metrics. One that is stopped tells
/// none.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the rest of an ended process's log may take to be read.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// What was found of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaks(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    leaks: Vec<String>,
    /// Where its metrics are.
    ops: Option<String>,
}

impl Leaks {
    /// Searches a line of its log.
    pub(super) fn search(&self, line: &str) {
        let leak = secrets::found_in(line);
        let listening = line.contains("\"listening\"");
        if leak.is_none() && !listening {
            return;
        }
        let mut found = self.lock();
        found.leaks.extend(leak);
        if listening && let Ok(line) = serde_json::from_str::<Value>(line) {
            found.ops = line["ops"].as_str().map(str::to_owned).or(found.ops.take());
        }
    }

    /// Searches its metrics, as far as it still tells them.
    pub(super) fn search_metrics(&self) {
        let ops = self.lock().ops.clone();
        let metrics = ops.and_then(|address| scrape(&address).ok());
        let leak = metrics.and_then(|metrics| secrets::found_in(&metrics));
        self.lock().leaks.extend(leak);
    }

    /// What was found.
    pub(super) fn all(&self) -> Vec<String> {
        self.lock().leaks.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        lock(&self.0)
    }
}

/// Tells that a log was read to its end, when the other half is dropped.
pub(super) fn end_of_log() -> (Sender<()>, EndOfLog) {
    let (reading, end) = channel();
    (reading, EndOfLog(Mutex::new(end)))
}

/// Waits for the end of a log.
#[derive(Debug)]
pub(super) struct EndOfLog(Mutex<Receiver<()>>);

impl EndOfLog {
    pub(super) fn wait(&self) {
        let end = lock(&self.0);
        // Both errors are an end: nothing is ever sent.
        let _ = end.recv_timeout(LOG_TIMEOUT);
    }
}

fn scrape(address: &str) -> std::io::Result<String> {
    let socket = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&socket, SCRAPE_TIMEOUT)?;
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.set_write_timeout(Some(SCRAPE_TIMEOUT))?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut metrics = Vec::new();
    // Of an answer that is cut off, what has come is searched.
    let _ = stream.read_to_end(&mut metrics);
    Ok(String::from_utf8_lossy(&metrics).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::{Process, command};
    use crate::{secrets, wait};

    fn secret() -> String {
        let secret = format!("ghu_{}", uuid::Uuid::new_v4().simple());
        secrets::note("a planted token", &secret);
        secret
    }

    /// A process that writes this to its log, and waits to be ended.
    async fn printing(line: &str) -> Process {
        let mut command = command("sh");
        command.env("LINE", line).args([
            "-c",
            r#"echo "$LINE" >&2; echo '{"event":"up"}' >&2; exec sleep 60"#,
        ]);
        let mut process = Process::spawn("script", command).unwrap();
        process.wait_for_event("up").await;
        process
    }

    #[tokio::test]
    #[should_panic(expected = "script printed a secret: a planted token is in: it is ***")]
    async fn a_process_that_logs_a_secret_fails_its_test() {
        drop(printing(&format!("it is {} there", secret())).await);
    }

    #[tokio::test]
    async fn a_process_that_logs_none_does_not() {
        let _noted = secret();
        drop(printing("it is not there").await);
    }

    #[tokio::test]
    #[should_panic(expected = "script printed a secret: a planted token is in: HTTP/1.1 200 OK")]
    async fn a_process_whose_metrics_hold_a_secret_fails_its_test() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ops = listener.local_addr().unwrap();
        let metrics = format!(
            "HTTP/1.1 200 OK\r\n\r\nlinks_total{{token=\"{}\"}} 1\n",
            secret()
        );
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = std::io::Read::read(&mut stream, &mut request).unwrap();
            assert!(read > 0, "a request came");
            std::io::Write::write_all(&mut stream, metrics.as_bytes()).unwrap();
        });
        let line = format!(r#"{{"event":"listening","ops":"{ops}"}}"#);
        drop(printing(&line).await);
    }

    #[tokio::test]
    #[should_panic(expected = "a command printed a secret")]
    async fn a_command_that_prints_a_secret_fails_its_test() {
        let mut echo = command("sh");
        echo.env("LINE", secret()).args(["-c", r#"echo "$LINE""#]);
        let printed = super::super::output(echo, std::process::Stdio::piped()).await;
        wait::until("never", || async { Err::<(), _>(printed.is_ok()) }).await;
    }
}
