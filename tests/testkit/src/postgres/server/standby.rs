//! A hot standby: a copy of a server that follows it by streaming replication.

use std::{path::Path, process::Command, process::Stdio, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use super::{Durability, Options, PATIENCE, Server, StartError, USER};
use crate::process::output;

/// Whether the standby has what the server answers for: a commit waits for it from then on.
const IS_SYNCHRONOUS: &str =
    "SELECT coalesce(bool_or(sync_state = 'sync'), FALSE) FROM pg_stat_replication";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl Server {
    /// Starts a standby of this server, which is shut down meanwhile and then answers a commit only
    /// when the standby has it too.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what to do.
    pub async fn standby(&mut self) -> Result<Self, StartError> {
        self.shut_down().await?;
        let (password, port) = (&self.password, self.port);
        let follows =
            format!("primary_conninfo=host=127.0.0.1 port={port} user={USER} password={password}");
        let options = Options {
            durability: Durability::Throwaway,
            port: None,
            settings: vec![follows],
        };
        let mut standby = Self::copy_of(self, options)?;
        copy(&self.data(), &standby.data()).await?;
        let signal = standby.data().join("standby.signal");
        std::fs::write(&signal, "").map_err(StartError::io("write", &signal))?;
        self.resume().await?;
        standby.launch_on_a_port().await?;
        self.require_standby().await?;
        Ok(standby)
    }

    /// Makes a standby the server that takes writes, once it has applied all that it received.
    ///
    /// # Panics
    ///
    /// When it refuses, or does not become so.
    pub async fn promote(&self) {
        let client = self.session().await;
        let row = client.query_one("SELECT pg_promote(TRUE, 60)", &[]).await;
        let promoted: bool = row.and_then(|row| row.try_get(0)).expect("promote it");
        assert!(
            promoted,
            "the standby was not promoted:\n{}",
            self.log_tail()
        );
    }

    /// A server that is to run on a copy of the data of `other`, in a directory of its own.
    fn copy_of(other: &Self, options: Options) -> Result<Self, StartError> {
        let mut server = Self::create(other.binaries.clone(), options)?;
        server.user = other.user;
        server.password.clone_from(&other.password);
        server.close_directory()?;
        Ok(server)
    }

    /// Has commits wait for the standby.
    async fn require_standby(&self) -> Result<(), StartError> {
        let client = self.session().await;
        for sql in [
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ] {
            client.batch_execute(sql).await.expect("change a setting");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let row = client.query_one(IS_SYNCHRONOUS, &[]).await;
            let follows: bool = row.and_then(|row| row.try_get(0)).expect("look at it");
            if follows {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(StartError::Slow {
                    what: "was not followed by its standby",
                    log: self.log_tail(),
                });
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn session(&self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url("postgres"), NoTls).await;
        let (client, connection) = connected.expect("connect to PostgreSQL");
        drive(connection);
        client
    }
}

/// Talks with the server for as long as its client lives.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the client, and its errors are the client's"
)]
fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(connection);
}

/// Copies a directory with its owners and modes.
async fn copy(from: &Path, to: &Path) -> Result<(), StartError> {
    let mut command = Command::new("cp");
    command.arg("--archive").arg(from).arg(to);
    let copied = output(command, Stdio::piped()).await;
    let copied = copied.map_err(StartError::io("copy", from))?;
    if copied.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&copied.stderr).into_owned();
    Err(StartError::io("copy", from)(std::io::Error::other(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_standby_has_what_was_committed_and_takes_writes_once_it_is_promoted() {
        let mut primary = Server::start(Options::default()).await.unwrap();
        let standby = primary.standby().await.unwrap();
        let database = crate::postgres::database_on(&primary).await;
        let client = database.client().await;
        client
            .batch_execute("CREATE TABLE kept AS SELECT 7 AS number")
            .await
            .unwrap();
        primary.crash().await.unwrap();
        let url = standby.url(database.name());
        // It has received what was committed, and may be replaying it still.
        let client = crate::wait::until("the standby has the table", || async {
            let connected = tokio_postgres::connect(&url, NoTls).await;
            let (client, connection) = connected.map_err(|error| error.to_string())?;
            drive(connection);
            let read = client.query("SELECT number FROM kept", &[]).await;
            read.map(|_| client).map_err(|error| error.to_string())
        })
        .await;
        let refused = client.batch_execute("DELETE FROM kept").await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25006", "{refused:?}");
        standby.promote().await;
        let deleted = client.execute("DELETE FROM kept", &[]).await.unwrap();
        assert_eq!(deleted, 1);
        for server in [primary, standby] {
            server.stop().await.unwrap();
        }
    }
}
