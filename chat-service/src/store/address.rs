//! Where the database is, and how connections with it are secured: what libpq's `sslmode` and the
//! files beside it mean, which tokio-postgres knows in part.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use service_runtime::tls::{Authorities, Certificates, ClientTls, Identity, ServerCheck, TlsError};
use tokio::net::TcpStream;
use tokio_postgres::{
    Client, Config, Connection, Error as PgError, Socket,
    config::{Host, SslMode, SslNegotiation},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

/// The URL parameters that are read here, and not by tokio-postgres.
const OURS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];
/// `sslrootcert` of the system's authorities.
const SYSTEM: &str = "system";
/// Role of its certificates in metrics.
const ROLE: &str = "database";

/// The stream of a connection that is secured.
type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
/// The TLS connector of a stream.
type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;

/// Where a database is, who connects, and how connections are secured. Cheap to clone.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    tls: MakeRustlsConnect,
    certificates: Certificates,
}

/// Why a text is no address, as the rest of a sentence; nothing of the text but names of files.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a database.
    #[error("must be a PostgreSQL URL")]
    NotAUrl,
    /// Its TLS parameters have no meaning.
    #[error("{0}")]
    Tls(&'static str),
    /// A file that it names cannot be used.
    #[error("cannot be used: {0}")]
    File(#[from] TlsError),
    /// The cryptography cannot be used.
    #[error("cannot be used: {0}")]
    Cryptography(#[from] rustls::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (text, ours) = split(text);
        let mut config: Config = text.parse().map_err(|_| AddressError::NotAUrl)?;
        let file = |name: &str| ours.get(name).map(|path| Path::new(path.as_str()));
        let mut certificates = Certificates::default();
        let mode = mode(&config, &ours)?;
        let check = check(mode, file("sslrootcert"), &mut certificates)?;
        let identity = match (file("sslcert"), file("sslkey")) {
            (Some(certificate), Some(key)) => {
                Some(Identity::open(&mut certificates, ROLE, certificate, key)?)
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(AddressError::Tls(
                    "must name sslcert and sslkey, or neither",
                ));
            }
        };
        // libpq speaks TLS over no socket of the file system.
        let is_local = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            _ if is_local && config.get_hostaddrs().is_empty() => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        let protocols: &[&str] = match config.get_ssl_negotiation() {
            SslNegotiation::Direct => &["postgresql"],
            SslNegotiation::Postgres | _ => &[],
        };
        let tls = ClientTls::new(check, identity.as_ref(), protocols)?;
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls.config().as_ref().clone()),
            certificates,
        })
    }
}

impl Address {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When there is no server, or one that does not take it or is not believed.
    pub async fn connect(&self) -> Result<(Client, Connection<Socket, TlsStream>), PgError> {
        self.config.connect(self.tls.clone()).await
    }

    /// How a stream to the server that is called `host` is secured.
    pub(super) fn securing(&self, host: &str) -> TlsConnect {
        let mut tls = self.tls.clone();
        let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host);
        tls
    }

    /// The certificates that it names, which are read again when they change.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A server on another machine with which connections may be in plain text.
    #[must_use]
    pub fn plain_host(&self) -> Option<String> {
        if self.config.get_ssl_mode() == SslMode::Require {
            return None;
        }
        let addresses = self.config.get_hostaddrs();
        if !addresses.is_empty() {
            let remote = addresses.iter().find(|address| !address.is_loopback());
            return remote.map(ToString::to_string);
        }
        let is_remote = |host: &&String| {
            let address = host.parse::<std::net::IpAddr>();
            *host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        };
        let names = self
            .config
            .get_hosts()
            .iter()
            .filter_map(|host| match host {
                Host::Tcp(name) => Some(name),
                Host::Unix(_) => None,
            });
        names.clone().find(is_remote).cloned()
    }
}

/// The text without our parameters, and these.
fn split(text: &str) -> (String, BTreeMap<String, String>) {
    let mut ours = BTreeMap::new();
    // A password may hold a question mark.
    let begin = text.find('@').unwrap_or(0);
    let query = text[begin..].find('?').map(|place| begin + place);
    let (Some(query), true) = (query, text.contains("://")) else {
        return (text.to_owned(), ours);
    };
    let is_ours = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        OURS.contains(&name)
    };
    let parts = text[query + 1..].split('&');
    // Unlike in a form, a plus sign is one.
    for part in parts.clone().filter(is_ours) {
        let part = part.replace('+', "%2B");
        ours.extend(form_urlencoded::parse(part.as_bytes()).into_owned());
    }
    let others: Vec<&str> = parts.filter(|part| !is_ours(part)).collect();
    let mark = if others.is_empty() { "" } else { "?" };
    let text = format!("{}{mark}{}", &text[..query], others.join("&"));
    (text, ours)
}

fn mode(config: &Config, ours: &BTreeMap<String, String>) -> Result<Mode, AddressError> {
    match ours.get("sslmode").map(String::as_str) {
        Some("disable") => Ok(Mode::Disable),
        Some("prefer") => Ok(Mode::Prefer),
        Some("require") => Ok(Mode::Require),
        Some("verify-ca") => Ok(Mode::VerifyCa),
        Some("verify-full") => Ok(Mode::VerifyFull),
        Some(_) => Err(AddressError::Tls(
            "must have an sslmode of disable, prefer, require, verify-ca or verify-full",
        )),
        None if ours.get("sslrootcert").is_some_and(|file| file == SYSTEM) => Ok(Mode::VerifyFull),
        // Of a text that is no URL.
        None => Ok(match config.get_ssl_mode() {
            SslMode::Disable => Mode::Disable,
            SslMode::Require => Mode::Require,
            SslMode::Prefer | _ => Mode::Prefer,
        }),
    }
}

/// The verification of the server's certificate, by libpq's modes: the authorities of a file are
/// used in each mode that speaks TLS, the name in one.
fn check(
    mode: Mode,
    authorities: Option<&Path>,
    certificates: &mut Certificates,
) -> Result<ServerCheck, AddressError> {
    let file = authorities.filter(|file| *file != Path::new(SYSTEM));
    let found = file.map(|file| Authorities::open(certificates, ROLE, file));
    match (mode, found.transpose()?) {
        (Mode::VerifyFull, Some(found)) => Ok(ServerCheck::Name(found)),
        (Mode::VerifyFull, None) => Ok(ServerCheck::Name(Authorities::of_system())),
        (_, Some(found)) => Ok(ServerCheck::Authority(found)),
        // The system's authorities sign for everyone: without the name that proves nothing.
        (_, None) if authorities.is_some() => Err(AddressError::Tls(
            "must have sslmode=verify-full with sslrootcert=system",
        )),
        (Mode::VerifyCa, None) => Err(AddressError::Tls("must name sslrootcert for verify-ca")),
        (Mode::Disable | Mode::Prefer | Mode::Require, None) => Ok(ServerCheck::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        match text.parse::<Address>() {
            Ok(_) => panic!("{text} is accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn parameters_of_tls_are_taken_out_and_the_others_stay_as_they_are() {
        let text = "postgres://ann:a?b@db/chats?sslmode=verify-full&options=-c%20jit%3Doff\
                    &sslrootcert=%2Fetc%2Fa+b.pem&connect_timeout=3";
        let (text, ours) = split(text);
        assert_eq!(
            text,
            "postgres://ann:a?b@db/chats?options=-c%20jit%3Doff&connect_timeout=3"
        );
        let ours: Vec<_> = ours
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(ours, ["sslmode=verify-full", "sslrootcert=/etc/a+b.pem"]);
        for text in ["postgres://ann:sslmode@db/chats", "host=db sslmode=require"] {
            assert_eq!(split(text), (text.to_owned(), BTreeMap::new()));
        }
        assert_eq!(
            split("postgres://db/c?sslmode=disable").0,
            "postgres://db/c"
        );
    }

    #[test]
    fn each_mode_means_what_libpq_means_by_it() {
        for (text, mode) in [
            ("postgres://db/c", SslMode::Prefer),
            ("postgres://db/c?sslmode=disable", SslMode::Disable),
            ("postgres://db/c?sslmode=require", SslMode::Require),
            ("postgres://db/c?sslmode=verify-full", SslMode::Require),
            ("postgres://db/c?sslrootcert=system", SslMode::Require),
            ("host=db sslmode=require", SslMode::Require),
            (
                "postgres:///c?host=/run/pg&sslmode=require",
                SslMode::Disable,
            ),
        ] {
            let address: Address = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.config.get_ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn what_has_no_meaning_or_is_weaker_than_it_looks_is_refused() {
        for (query, wanted) in [
            ("sslmode=allow", "must have an sslmode of"),
            ("sslmode=verify-ca", "must name sslrootcert"),
            ("sslmode=require&sslrootcert=system", "sslmode=verify-full"),
            ("sslmode=verify-full&sslcert=/x", "sslcert and sslkey"),
            (
                "sslrootcert=/nowhere/at/all",
                "cannot be used: /nowhere/at/all: ",
            ),
            ("sslhunter=2", "must be a PostgreSQL URL"),
        ] {
            let problem = problem(&format!("postgres://ann:hunter2@db/c?{query}"));
            assert!(problem.contains(wanted), "{query}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn plain_text_to_another_machine_is_seen() {
        for (text, host) in [
            ("postgres://localhost/c", None),
            ("postgres://127.0.0.2,[::1]/c?sslmode=disable", None),
            ("postgres:///c?host=/run/pg", None),
            ("postgres://db.example/c?sslmode=require", None),
            ("postgres://db.example/c?hostaddr=127.0.0.1", None),
            ("postgres://db.example/c", Some("db.example")),
            (
                "postgres://localhost,10.0.0.1/c?sslmode=prefer",
                Some("10.0.0.1"),
            ),
            ("postgres://localhost/c?hostaddr=10.0.0.1", Some("10.0.0.1")),
        ] {
            let address: Address = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.plain_host().as_deref(), host, "{text}");
        }
    }
}
