//! Sessions with the server: how they are opened, under which limits, and how a statement that runs
//! in one is cancelled.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use service_runtime::jitter::jittered;
use tokio::{
    io::{AsyncRead, sink},
    net::{TcpStream, UnixStream, lookup_host},
    task::JoinSet,
    time::Instant,
};
use tokio_postgres::{
    Client, Error as PgError, NoTls, Statement as Prepared,
    config::{Host, TargetSessionAttrs},
    error::SqlState,
};

use super::{Address, sql::Statement, statements::Statements};

/// Either side gives a connection up when its peer was silent for this long. Without this, a query
/// to a host that is gone waits for as long as the kernel retransmits, which is a quarter of an
/// hour, and the server keeps the session of a client that is gone, with its locks, for two hours.
const DEAD_PEER: Duration = Duration::from_secs(10);
/// The interval of keepalive probes on an idle connection after that,
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// and the number of unanswered probes after which it is closed.
const PROBES: u32 = 3;
/// A cancelled statement ends within this, or it is cancelled again: the first attempt may have
/// come between two statements.
const CANCEL_INTERVAL: Duration = Duration::from_millis(250);
/// A session that is still busy after so long is closed.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// The ages of sessions differ by this share, so that those opened together do not end together.
const AGE_JITTER: f64 = 0.25;

/// PostgreSQL's port by default.
const DEFAULT_PORT: u16 = 5432;

/// Shows whether the options of the startup packet arrived: poolers drop or refuse them.
pub(super) const MARK: (&str, &str) = ("chat_service.options", "sent");

/// A statement waits for a lock for this part of its time at most. With all of it, the server would
/// end it for the time: nothing would say that it waited for another session. With half, a
/// statement that gets its lock late still has as long to run.
const LOCK_SHARE: u32 = 2;

/// The settings of every session, in PostgreSQL's units: from the startup packet, or those of the
/// role.
///
/// No statement here runs for long enough to make up for being compiled first, which takes half a
/// second; PostgreSQL decides by its estimates, and those of large statements are wide. Each is
/// written for one plan, whatever is bound: to plan it again for each execution, as PostgreSQL
/// likes to, takes several times what most of them run for. The plan is kept while tables grow: to
/// scan a table is cheap only as long as it is small, and each statement has an index, so scans are
/// off. The limits are the server's, so that they hold for a statement whose caller went away, too.
pub(super) fn limits(statement_timeout: Duration) -> [(&'static str, String); 6] {
    let milliseconds = statement_timeout.as_millis().to_string();
    let lock = (statement_timeout / LOCK_SHARE).as_millis().to_string();
    [
        ("jit", "off".to_owned()),
        ("plan_cache_mode", "force_generic_plan".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("statement_timeout", milliseconds.clone()),
        ("lock_timeout", lock),
        ("idle_in_transaction_session_timeout", milliseconds),
    ]
}

/// How a session of its own with the server at `address` is opened, one that may write: with
/// `limits`, and with both sides noticing within seconds that the other is gone.
pub(super) fn direct(
    address: &Address,
    application_name: &str,
    limits: &[(&'static str, String)],
) -> Address {
    let mut address = pooled(address, application_name);
    let own = address.config.get_options().unwrap_or_default();
    let keepalives = [
        ("tcp_keepalives_idle", DEAD_PEER.as_secs().to_string()),
        (
            "tcp_keepalives_interval",
            PROBE_INTERVAL.as_secs().to_string(),
        ),
        ("tcp_keepalives_count", PROBES.to_string()),
        ("tcp_user_timeout", DEAD_PEER.as_millis().to_string()),
        (MARK.0, MARK.1.to_owned()),
    ];
    let options = limits.iter().chain(&keepalives);
    let options: String = options
        .map(|(name, value)| format!(" -c {name}={value}"))
        .collect();
    let options = format!("{own}{options}");
    address.config.options(options.trim_start());
    address
}

/// The same through a pooler, which refuses to set anything: the limits are then those of the role.
fn pooled(address: &Address, application_name: &str) -> Address {
    let mut address = address.clone();
    address
        .config
        .application_name(application_name)
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .tcp_user_timeout(DEAD_PEER)
        .keepalives_idle(DEAD_PEER)
        .keepalives_interval(PROBE_INTERVAL)
        .keepalives_retries(PROBES);
    address
}

/// Opens sessions.
pub(super) struct Server {
    direct: Address,
    pooled: Address,
    /// A pooler refused the options of the startup packet.
    is_pooler: AtomicBool,
    /// Sessions are retired at about this age.
    max_age: Duration,
    /// The server ends a statement that takes longer.
    pub(super) statement_timeout: Duration,
}

impl Server {
    pub(super) fn new(
        address: &Address,
        connect_timeout: Duration,
        statement_timeout: Duration,
        max_age: Duration,
    ) -> Self {
        let name = "chat-service";
        let mut direct = direct(address, name, &limits(statement_timeout));
        direct.config.connect_timeout(connect_timeout);
        let mut pooled = pooled(address, name);
        pooled.config.connect_timeout(connect_timeout);
        Self {
            direct,
            pooled,
            is_pooler: AtomicBool::new(false),
            max_age,
            statement_timeout,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.direct
    }

    pub(super) async fn connect(&self) -> Result<Session, PgError> {
        if !self.is_pooler.load(Ordering::Relaxed) {
            match Session::open(&self.direct, self.max_age).await {
                Err(error) if refuses_options(&error) => {
                    self.is_pooler.store(true, Ordering::Relaxed);
                }
                opened => return opened,
            }
        }
        Session::open(&self.pooled, self.max_age).await
    }
}

/// `PgBouncer`: "unsupported startup parameter in options: jit", or "unsupported startup parameter:
/// options".
fn refuses_options(error: &PgError) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::PROTOCOL_VIOLATION
            && error.message().contains("startup parameter")
    })
}

/// One connection with the server, and its prepared statements. Dropping it closes it.
pub(super) struct Session {
    pub(super) client: Client,
    /// How the session was opened: its server is one of these hosts.
    address: Address,
    /// Talks with the server until it is dropped.
    _driver: JoinSet<()>,
    statements: Mutex<Statements>,
    retire_at: Instant,
}

impl Session {
    async fn open(address: &Address, max_age: Duration) -> Result<Self, PgError> {
        let (client, connection) = address.connect().await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                // Whatever waits for an answer fails, and says so.
                tracing::debug!(%error, "a connection to the database broke");
            }
        });
        Ok(Self {
            client,
            address: address.clone(),
            _driver: driver,
            statements: Mutex::default(),
            retire_at: Instant::now() + jittered(max_age, AGE_JITTER),
        })
    }

    /// Whether it may be used once more.
    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && Instant::now() < self.retire_at
    }

    /// The prepared `statement`, if it is in the cache.
    pub(super) fn prepared(&self, statement: Statement<'_>) -> Option<Prepared> {
        self.with_statements(|statements| statements.get(statement))
    }

    /// Prepares `statement`, and keeps it in the cache.
    pub(super) async fn prepare(&self, statement: Statement<'_>) -> Result<Prepared, PgError> {
        let prepared = self.client.prepare(statement.text).await?;
        self.with_statements(|statements| statements.insert(statement, prepared.clone()));
        Ok(prepared)
    }

    fn with_statements<T>(&self, change: impl FnOnce(&mut Statements) -> T) -> T {
        change(
            &mut self
                .statements
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Cancels the statements under way (if `busy`) and rolls back (if a transaction is `open`);
    /// returns whether the session is at rest then. When it is, no cancellation is on its way that
    /// could hit a later statement: the server has acted on each before its connection closes, and
    /// has answered a statement since.
    pub(super) async fn settle(&self, mut busy: bool, mut open: bool) -> bool {
        let settled = async {
            loop {
                if busy && self.cancel().await.is_err() {
                    return false;
                }
                // In a transaction that failed, the server refuses a SELECT.
                let end = if open { "ROLLBACK" } else { "SELECT" };
                let answer = self.client.batch_execute(end);
                match tokio::time::timeout(CANCEL_INTERVAL, answer).await {
                    Ok(Ok(())) => return true,
                    // The cancellation hit the commit, and left the transaction open.
                    Ok(Err(error))
                        if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) =>
                    {
                        open = true;
                    }
                    // The cancellation came late, and hit this.
                    Ok(Err(error)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                        busy = false;
                    }
                    Ok(Err(_)) => return false,
                    Err(_) => {}
                }
            }
        };
        tokio::time::timeout(SETTLE_LIMIT, settled)
            .await
            .unwrap_or(false)
    }

    /// Cancels the statement under way, and returns when the server has acted on that: the client's
    /// `cancel_query` returns before. The request is sent to all addresses of the URL, since the
    /// one that the session uses is not known; a server ignores a key that it did not give out.
    async fn cancel(&self) -> io::Result<()> {
        let config = &self.address.config;
        let ports = config.get_ports();
        for (place, host) in config.get_hosts().iter().enumerate() {
            let port = ports.get(place).or(ports.first());
            let port = port.copied().unwrap_or(DEFAULT_PORT);
            match host {
                Host::Tcp(name) => {
                    for address in lookup_host((name.as_str(), port)).await? {
                        if let Ok(stream) = TcpStream::connect(address).await {
                            self.cancel_at(stream, name).await?;
                        }
                    }
                }
                Host::Unix(directory) => {
                    let socket = directory.join(format!(".s.PGSQL.{port}"));
                    if let Ok(mut stream) = UnixStream::connect(socket).await {
                        let token = self.client.cancel_token();
                        let cancelled = token.cancel_query_raw(&mut stream, NoTls).await;
                        cancelled.map_err(io::Error::other)?;
                        closed(stream).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Cancels over a stream to the server that is called `host`.
    async fn cancel_at(&self, stream: TcpStream, host: &str) -> io::Result<()> {
        // TLS takes the stream and closes it; what is left is the end, and that is seen by a second
        // descriptor of the same socket.
        let stream = stream.into_std()?;
        let end = TcpStream::from_std(stream.try_clone()?)?;
        let token = self.client.cancel_token();
        let secured = self.address.securing(host);
        let cancelled = token.cancel_query_raw(TcpStream::from_std(stream)?, secured);
        cancelled.await.map_err(io::Error::other)?;
        closed(end).await
    }
}

/// Waits until the server closes the connection, which it does when it has acted, without an
/// answer.
async fn closed(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    match tokio::io::copy(&mut stream, &mut sink()).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
