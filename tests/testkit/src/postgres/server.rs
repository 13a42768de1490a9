//! One private PostgreSQL server: started on loopback, stopped with the process that started it.

mod standby;

use std::{
    fs::Permissions,
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;

use super::{
    StartError,
    binaries::Binaries,
    error::PATIENCE,
    user::{User, become_user, closed_to, owner_to_become, user_to_become},
};
use crate::process::{
    guard::{self, Guard},
    output_in,
};

/// The superuser of the server.
const USER: &str = "postgres";

/// What a directory holds before the cluster is whole.
const PASSWORD: &str = "password";
const PARTIAL_DATA: &str = "data.partial";

/// A free port may be taken between looking and binding; this many ports are tried.
const PORT_ATTEMPTS: u32 = 10;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longer than this, with the socket's name added, a path does not fit a socket address.
const MAX_SOCKET_DIRECTORY: usize = 80;

/// What becomes of the data.
#[derive(Clone, Debug, Default)]
pub enum Durability {
    /// In a temporary directory, not synced to disk, removed at the end: for tests.
    #[default]
    Throwaway,
    /// In this directory, synced to disk, used again at the next start.
    Kept(PathBuf),
}

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What becomes of the data.
    pub durability: Durability,
    /// The port on 127.0.0.1; `None` takes a free one.
    pub port: Option<u16>,
    /// Further settings, as on the command line after `-c`.
    pub settings: Vec<String>,
}

/// A running server. Dropping it stops it, and a throwaway one leaves nothing behind.
#[derive(Debug)]
pub struct Server {
    binaries: Binaries,
    pub(super) user: Option<User>,
    /// Holds `data`, the password, the log and the socket.
    pub(super) directory: PathBuf,
    options: Options,
    password: String,
    port: u16,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Guard,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what to do.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let binaries = Binaries::find().await?;
        // From here on its drop cleans up, also when this is given up.
        let mut server = Self::create(binaries, options)?;
        server.begin().await?;
        Ok(server)
    }

    async fn begin(&mut self) -> Result<(), StartError> {
        self.initialize().await?;
        self.launch_on_a_port().await
    }

    /// The address of one of its databases, with the password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server and waits for its end; a throwaway one leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.halt("INT").await?;
        match self.throwaway() {
            Some(directory) => {
                std::fs::remove_dir_all(directory).map_err(StartError::io("remove", directory))
            }
            None => Ok(()),
        }
    }

    /// Stops the server as `pg_ctl stop -m fast` does; [`Server::resume`] starts it again.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn shut_down(&mut self) -> Result<(), StartError> {
        self.halt("INT").await
    }

    /// Ends the server as a crash does: no checkpoint, recovery at the next start.
    ///
    /// What was committed survives: the operating system holds what was written.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn crash(&mut self) -> Result<(), StartError> {
        self.halt("QUIT").await
    }

    /// Starts a stopped server again, on the same port and data.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn resume(&mut self) -> Result<(), StartError> {
        self.launch().await
    }

    /// How the server ended, if it ended by itself.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self) -> std::io::Result<Option<std::process::ExitStatus>> {
        self.running
            .as_mut()
            .map_or(Ok(None), |running| running.child.try_wait())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        const LINES: usize = 20;
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn create(binaries: Binaries, options: Options) -> Result<Self, StartError> {
        let directory = match &options.durability {
            Durability::Throwaway => {
                std::env::temp_dir().join(format!("testkit-{}", uuid::Uuid::now_v7().simple()))
            }
            Durability::Kept(directory) => std::path::absolute(directory)
                .map_err(StartError::io("make absolute", directory))?,
        };
        std::fs::create_dir_all(&directory).map_err(StartError::io("create", &directory))?;
        Ok(Self {
            user: None,
            port: 0,
            password: String::new(),
            running: None,
            binaries,
            directory,
            options,
        })
    }

    /// Only the user that the server runs as reaches into its directory, as PostgreSQL demands.
    fn close_directory(&self) -> Result<(), StartError> {
        std::fs::set_permissions(&self.directory, Permissions::from_mode(0o700))
            .map_err(StartError::io("protect", &self.directory))?;
        if let Some(User { uid, gid }) = self.user {
            chown(&self.directory, Some(uid), Some(gid))
                .map_err(StartError::io("give away", &self.directory))?;
        }
        Ok(())
    }

    /// Makes the cluster, unless a former start did.
    async fn initialize(&mut self) -> Result<(), StartError> {
        let password_file = self.directory.join(PASSWORD);
        if self.data().join("PG_VERSION").exists() {
            self.user = owner_to_become(&self.data())?;
            self.require_entry().await?;
            self.password = std::fs::read_to_string(&password_file)
                .map_err(StartError::io("read", &password_file))?
                .trim()
                .to_owned();
            return Ok(());
        }
        // Renamed once it is whole: what a start left that was killed is not taken for a cluster.
        let partial = self.directory.join(PARTIAL_DATA);
        self.clear(&[PASSWORD, PARTIAL_DATA])?;
        self.user = user_to_become()?;
        self.require_entry().await?;
        self.password = uuid::Uuid::new_v4().simple().to_string();
        std::fs::write(&password_file, &self.password)
            .map_err(StartError::io("write", &password_file))?;
        std::fs::set_permissions(&password_file, Permissions::from_mode(0o600))
            .map_err(StartError::io("protect", &password_file))?;
        self.close_directory()?;
        if let Some(User { uid, gid }) = self.user {
            chown(&password_file, Some(uid), Some(gid))
                .map_err(StartError::io("give away", &password_file))?;
        }
        // `password` and not SCRAM: connections never leave this machine, and SCRAM's 4096 rounds
        // cost an unoptimised client tens of milliseconds in each of hundreds of tests.
        let mut command = self.command(&self.binaries.initdb());
        command
            .args(["--username", USER, "--encoding", "UTF8"])
            .args(["--locale", "C.UTF-8", "--no-sync", "--no-instructions"])
            .args(["--auth", "password", "--pwfile"])
            .arg(&password_file)
            .arg("--pgdata")
            .arg(&partial);
        let output = output_in(command, Stdio::piped(), self.throwaway())
            .await
            .map_err(StartError::io("run", &self.binaries.initdb()))?;
        if output.status.success() {
            return std::fs::rename(&partial, self.data())
                .map_err(StartError::io("rename", &partial));
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Err(StartError::InitDb { output: text })
    }

    /// Fails if the user that the server runs as is another one than ours, and cannot reach the
    /// directory: neither program could then say what is wrong.
    async fn require_entry(&self) -> Result<(), StartError> {
        let Some(user) = self.user else {
            return Ok(());
        };
        let above = self.directory.parent().unwrap_or(Path::new("/"));
        match closed_to(user, above).await {
            Some(closed) => Err(StartError::Unreachable {
                uid: user.uid,
                closed,
                directory: self.directory.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Removes what a start left that did not come to its end; refuses a directory with other
    /// things.
    fn clear(&self, ours: &[&str]) -> Result<(), StartError> {
        let listed = || StartError::io("list", &self.directory);
        let mut left = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(listed())? {
            let entry = entry.map_err(listed())?;
            if !ours.iter().any(|name| entry.file_name() == *name) {
                return Err(StartError::Foreign {
                    directory: self.directory.clone(),
                });
            }
            left.push(entry.path());
        }
        for path in left {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(StartError::io("remove", &path))?;
        }
        Ok(())
    }

    async fn launch_on_a_port(&mut self) -> Result<(), StartError> {
        if let Some(port) = self.options.port {
            self.port = port;
            return self.launch().await;
        }
        let mut attempt = 1;
        loop {
            self.port = free_port()?;
            match self.launch().await {
                Err(StartError::Ended { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("could not bind") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn launch(&mut self) -> Result<(), StartError> {
        let log = std::fs::File::create(self.log_file())
            .map_err(StartError::io("create", &self.log_file()))?;
        let mut command = self.command(&self.binaries.postgres());
        command.arg("-D").arg(self.data());
        for setting in self.settings() {
            command.args(["-c", &setting]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(StartError::io("run", &self.binaries.postgres()))?;
        let signal = match self.options.durability {
            Durability::Throwaway => "QUIT",
            Durability::Kept(_) => "INT",
        };
        let guard = Guard::over(child.id(), signal, self.throwaway())
            .map_err(StartError::io("run", Path::new("sh")))?;
        self.running = Some(Running { child, guard });
        self.wait_until_it_answers().await
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), StartError> {
        let url = self.url("postgres");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The password is known to this process alone: a server that accepts it is ours. A
            // stranger on the port may as well never answer.
            let connecting = timeout(CONNECT_TIMEOUT, tokio_postgres::connect(&url, NoTls));
            if matches!(connecting.await, Ok(Ok(_))) {
                return Ok(());
            }
            let ended = self
                .ended()
                .map_err(StartError::io("wait for", &self.binaries.postgres()))?;
            if let Some(status) = ended {
                if let Some(running) = self.running.take() {
                    running.guard.release();
                }
                let log = self.log_tail();
                return Err(StartError::Ended { status, log });
            }
            if Instant::now() > deadline {
                let log = self.log_tail();
                self.running = None;
                return Err(StartError::Slow {
                    what: "did not accept connections",
                    log,
                });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn halt(&mut self, signal: &str) -> Result<(), StartError> {
        let Some(running) = self.running.as_mut() else {
            return Ok(());
        };
        let program = self.binaries.postgres();
        let deadline = Instant::now() + PATIENCE;
        let mut sent = false;
        while running
            .child
            .try_wait()
            .map_err(StartError::io("wait for", &program))?
            .is_none()
        {
            if !sent {
                guard::send(signal, running.child.id())
                    .map_err(StartError::io("signal", &program))?;
                sent = true;
            }
            if Instant::now() > deadline {
                let log = self.log_tail();
                return Err(StartError::Slow {
                    what: "did not end",
                    log,
                });
            }
            sleep(Duration::from_millis(10)).await;
        }
        if let Some(running) = self.running.take() {
            running.guard.release();
        }
        Ok(())
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "max_connections=300".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "log_min_messages=warning".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        settings.push(match self.directory.to_str() {
            Some(path) if path.len() <= MAX_SOCKET_DIRECTORY => {
                format!("unix_socket_directories={path}")
            }
            Some(_) | None => "unix_socket_directories=".to_owned(),
        });
        if let Durability::Throwaway = self.options.durability {
            // Commits stay synchronous: that costs nothing without fsync, and a crash of the server
            // (not of the machine) must not lose what was committed.
            for setting in ["fsync=off", "full_page_writes=off"] {
                settings.push(setting.to_owned());
            }
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    /// A command in a clean environment, as the right user, out of the reach of Ctrl-C.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .env("LC_ALL", "C")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .process_group(0);
        become_user(&mut command, self.user);
        command
    }

    /// The directory, if it goes with the server.
    fn throwaway(&self) -> Option<&Path> {
        match self.options.durability {
            Durability::Throwaway => Some(&self.directory),
            Durability::Kept(_) => None,
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Running { mut child, guard }) = self.running.take() {
            // The guard waits for the server's end, and a process that is not reaped does not end.
            std::thread::spawn(move || child.wait());
            guard.finish();
        } else if let Some(directory) = self.throwaway() {
            // Gone already if it was stopped in order.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

pub(crate) fn free_port() -> Result<u16, StartError> {
    let failed = || StartError::io("bind", Path::new("127.0.0.1:0"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
    Ok(listener.local_addr().map_err(failed())?.port())
}

#[cfg(test)]
mod tests;
