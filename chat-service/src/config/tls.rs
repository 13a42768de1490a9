//! How the process speaks TLS, and where it does not.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use service_runtime::{
    config::Reader,
    tls::{Authorities, Certificates, Identity, ServerTls},
};

use crate::store::Address;

/// Where plain text may be spoken with other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plaintext {
    /// The listener for users, services and operators.
    Grpc,
    /// The listener for gitsync-service.
    Sync,
    /// The listener for KEDA.
    Scaler,
    /// The operations endpoint.
    Ops,
    /// The database.
    Database,
}

/// Settings of listeners about TLS.
#[derive(Args)]
pub struct TlsSettings {
    /// File with the certificate (PEM) of all listeners, followed by those of the authorities
    /// between it and the one that clients believe; read again when it is replaced
    #[arg(long, env = "CHAT_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the key (PEM) of the certificate
    #[arg(long, env = "CHAT_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// File with authorities (PEM), one of which must have signed the certificate of each client of
    /// the listeners for gitsync-service and KEDA [default: clients need no certificate]
    #[arg(long, env = "CHAT_TLS_CLIENT_CA_FILE", value_name = "FILE")]
    pub tls_client_ca_file: Option<PathBuf>,
}

/// The certificate and authorities of listeners.
#[derive(Default)]
pub struct ListenerTls {
    identity: Option<Identity>,
    clients: Option<Authorities>,
    plaintext: Vec<Plaintext>,
    /// The certificates, which are read again when they change.
    pub certificates: Certificates,
}

impl ListenerTls {
    /// Reads the files that the settings name, and refuses plain text where others could read it
    /// unless that is asked for.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut certificates = Certificates::default();
        let identity = reader.identity(&mut certificates, "server");
        let clients = reader.authorities(&mut certificates, "clients", "tls_client_ca_file");
        let plaintext: Vec<Plaintext> = reader.plaintext();
        let is_set = |field| reader.value::<PathBuf>(field).is_some();
        let is_plain = !is_set("tls_cert_file") || plaintext.contains(&Plaintext::Sync);
        if is_set("tls_client_ca_file") && is_plain {
            reader.refuse(
                "CHAT_TLS_CLIENT_CA_FILE needs CHAT_TLS_CERT_FILE, and no sync in CHAT_PLAINTEXT"
                    .to_owned(),
            );
        }
        reader.require_tls(&[
            ("listen", Plaintext::Grpc),
            ("sync_listen", Plaintext::Sync),
            ("scaler_listen", Plaintext::Scaler),
            ("ops_listen", Plaintext::Ops),
        ]);
        for (field, name) in [
            ("database_url", "CHAT_DATABASE_URL"),
            ("database_url_file", "CHAT_DATABASE_URL_FILE"),
            ("database_direct_url", "CHAT_DATABASE_DIRECT_URL"),
            ("database_direct_url_file", "CHAT_DATABASE_DIRECT_URL_FILE"),
        ] {
            let url = reader.value::<SecretString>(field);
            if let Some(problem) = url.and_then(|url| plain_database(name, &url, &plaintext)) {
                reader.refuse(problem);
            }
        }
        Self {
            identity,
            clients,
            plaintext,
            certificates,
        }
    }

    /// How the listener `place` speaks TLS, if it does. Clients of those for gitsync-service and
    /// KEDA must show a certificate if authorities are set.
    ///
    /// # Errors
    ///
    /// When the cryptography cannot be used.
    pub fn of(&self, place: Plaintext) -> anyhow::Result<Option<ServerTls>> {
        let identity = self.identity.as_ref();
        let Some(identity) = identity.filter(|_| !self.plaintext.contains(&place)) else {
            return Ok(None);
        };
        let is_for_processes = matches!(place, Plaintext::Sync | Plaintext::Scaler);
        let clients = self.clients.as_ref().filter(|_| is_for_processes);
        Ok(Some(ServerTls::new(identity, clients, !is_for_processes)?))
    }
}

/// The problem of the setting `name` that holds `url`, if connections may be in plain text where
/// others can read it, without being allowed by name.
pub(super) fn plain_database(
    name: &str,
    url: &SecretString,
    plaintext: &[Plaintext],
) -> Option<String> {
    let address: Address = url.expose_secret().parse().ok()?;
    let host = address.plain_host()?;
    let refused = !plaintext.contains(&Plaintext::Database);
    refused.then(|| {
        format!(
            "{name} leads to {host}, perhaps in plain text, where others can read it: set \
             sslmode=verify-full in it, or name database in CHAT_PLAINTEXT"
        )
    })
}
