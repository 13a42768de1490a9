//! `PgBouncer` in transaction mode, as it stands between many services and their PostgreSQL.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use tokio::net::TcpStream;
use url::Url;

use super::{
    Database,
    fetch::{Aside, FetchError, cache_directory, io, run},
    server::free_port,
    user::user_to_become,
};
use crate::{
    process::{self, Process},
    wait,
};

/// The release of Debian that has it: prepared statements in transaction mode need 1.21.
const SUITE: &str = "trixie";
/// It and the libraries of that release, its C library too, so that it runs on any other. apt
/// proves their origin by the archive's signature; a digest of our own would be gone with the next
/// security fix.
const PACKAGES: [&str; 13] = [
    "pgbouncer",
    "libaudit1",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libcares2",
    "libevent-2.1-7t64",
    "libgcc-s1",
    "libpam0g",
    "libssl3t64",
    "libsystemd0",
    "libzstd1",
    "zlib1g",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A running pooler. Dropping it kills it.
#[derive(Debug)]
pub struct PgBouncer {
    address: SocketAddr,
    _process: Process,
    _directory: Aside,
}

impl PgBouncer {
    /// Starts one in front of the server of `database`, as its user.
    ///
    /// # Panics
    ///
    /// When it cannot be fetched or does not start.
    pub async fn start(database: &Database) -> Self {
        let root = fetch()
            .await
            .unwrap_or_else(|error| panic!("no PgBouncer: {error}"));
        let port = free_port().unwrap_or_else(|error| panic!("{error}"));
        let directory = Aside::within(&std::env::temp_dir()).expect("a temporary directory");
        let user = user_to_become().unwrap_or_else(|error| panic!("{error}"));
        let settings = directory.0.join("pgbouncer.ini");
        let users = directory.0.join("users");
        let url = Url::parse(database.url()).expect("the kit's own URL");
        let password = url.password().unwrap_or_default();
        std::fs::write(&users, format!("\"{}\" \"{password}\"\n", url.username()))
            .expect("write the users");
        std::fs::write(&settings, settings_of(&url, port, &users)).expect("write the settings");
        let libraries = root.join(LIBRARIES);
        let mut command = process::command(libraries.join("ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg(root.join("usr/sbin/pgbouncer"))
            .arg(&settings);
        if let Some(user) = user {
            // It refuses to run as root.
            command.uid(user.uid).gid(user.gid);
            for path in [&directory.0, &settings, &users] {
                chown(path, Some(user.uid), Some(user.gid)).expect("give it its files");
            }
        }
        let process = Process::spawn("pgbouncer", command).expect("start PgBouncer");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until("PgBouncer listens", || async {
            let connected = TcpStream::connect(address).await;
            connected.map_err(|error| format!("{error}: {}", process.tail(5)))
        })
        .await;
        Self {
            address,
            _process: process,
            _directory: directory,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn settings_of(server: &Url, port: u16, users: &Path) -> String {
    let host = server.host_str().unwrap_or_default();
    let server_port = server.port().unwrap_or(5432);
    let users = users.display();
    format!(
        "[databases]\n\
         * = host={host} port={server_port}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = plain\n\
         auth_file = {users}\n\
         pool_mode = transaction\n\
         max_prepared_statements = 200\n\
         default_pool_size = 20\n"
    )
}

/// The root of the unpacked packages, which are fetched if they are not in the cache.
async fn fetch() -> Result<PathBuf, FetchError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(FetchError::Platform);
    }
    let cache = cache_directory()?;
    let ready = cache.join(format!("pgbouncer-{SUITE}"));
    if !ready.exists() {
        let aside = Aside::within(&cache)?;
        let root = unpack(&aside.0).await?;
        aside.keep(&root, &ready)?;
    }
    Ok(ready)
}

async fn unpack(directory: &Path) -> Result<PathBuf, FetchError> {
    for name in ["state/lists/partial", "cache/archives/partial", "packages"] {
        let path = directory.join(name);
        std::fs::create_dir_all(&path).map_err(io("create", &path))?;
    }
    let sources = directory.join("sources.list");
    let line = format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian {SUITE} main\n");
    std::fs::write(&sources, line).map_err(io("write", &sources))?;
    let packages = directory.join("packages");
    run("apt-get update", apt(directory, &["update"]), directory).await?;
    let mut download = apt(directory, &["download"]);
    download.args(PACKAGES);
    run("apt-get download", download, &packages).await?;
    let root = directory.join("root");
    let list = std::fs::read_dir(&packages).map_err(io("list", &packages))?;
    for package in list {
        let package = package.map_err(io("list", &packages))?.path();
        let mut extract = Command::new("dpkg-deb");
        extract.arg("-x").arg(&package).arg(&root);
        run("dpkg-deb", extract, directory).await?;
    }
    Ok(root)
}

/// apt with lists, cache and state of its own: it neither needs nor changes the machine's.
fn apt(directory: &Path, arguments: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    for (name, value) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::State", "state"),
        ("Dir::Cache", "cache"),
    ] {
        let path = directory.join(value);
        apt.arg("-o").arg(format!("{name}={}", path.display()));
    }
    for option in [
        "Dir::Etc::sourceparts=-",
        "Dir::State::status=/dev/null",
        "APT::Architecture=amd64",
        "APT::Sandbox::User=root",
    ] {
        apt.args(["-o", option]);
    }
    apt.arg("-qq").args(arguments);
    apt
}
