//! `PgBouncer` in transaction mode, as it stands between many services and their PostgreSQL.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
};

use tokio::net::TcpStream;
use url::Url;

use super::{Database, debian::Debian, fetch::Aside, server::free_port, user::user_to_become};
use crate::{process::Process, wait};

/// It and its libraries. Prepared statements in transaction mode need 1.21.
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

/// A running pooler. Dropping it kills it.
#[derive(Debug)]
pub struct PgBouncer {
    address: SocketAddr,
    _process: Process,
    _directory: Aside,
}

impl PgBouncer {
    /// Starts one in front of the server of `database`, as its user.
    pub async fn start(database: &Database) -> Self {
        let fetched = Debian::fetch("pgbouncer", "trixie", &PACKAGES).await;
        let debian = fetched.unwrap_or_else(|error| panic!("no PgBouncer: {error}"));
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
        let mut command = debian.command("usr/sbin/pgbouncer");
        command.arg(&settings);
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
