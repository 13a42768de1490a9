//! A server that speaks TLS.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, os::unix::fs::chown};

use tokio_postgres::NoTls;

use super::{Server, StartError, user::User};
use crate::{tls::Certified, wait};

/// Files of the server, beside its data.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const CLIENTS: &str = "clients.pem";

impl Server {
    /// Has new connections speak TLS by `certified`, if they ask for it; `clients` are the
    /// authorities (PEM) of clients' certificates, and `rules` come first in its `pg_hba.conf`. To
    /// be repeated with other certificates.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub async fn secure(
        &self,
        certified: &Certified,
        clients: &str,
        rules: &[&str],
    ) -> Result<(), StartError> {
        for (name, text) in [
            (CERTIFICATE, certified.certificate.as_str()),
            (KEY, &certified.key),
            (CLIENTS, clients),
        ] {
            let path = self.directory.join(name);
            std::fs::write(&path, text).map_err(StartError::io("write", &path))?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(StartError::io("protect", &path))?;
            if let Some(User { uid, gid }) = self.user {
                chown(&path, Some(uid), Some(gid)).map_err(StartError::io("give away", &path))?;
            }
        }
        let hba = self.directory.join("data/pg_hba.conf");
        let former = std::fs::read_to_string(&hba).map_err(StartError::io("read", &hba))?;
        let mut text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        text.push_str(&former);
        std::fs::write(&hba, text).map_err(StartError::io("write", &hba))?;

        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls)
            .await
            .expect("a connection without TLS");
        let reload = async {
            let file = |name: &str| self.directory.join(name).display().to_string();
            for (setting, value) in [
                ("ssl_cert_file", file(CERTIFICATE)),
                ("ssl_key_file", file(KEY)),
                ("ssl_ca_file", file(CLIENTS)),
                ("ssl", "on".to_owned()),
            ] {
                let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
                client.batch_execute(&set).await.expect("set a setting");
            }
            let loaded = "SELECT pg_conf_load_time()::text";
            let row = client.query_one(loaded, &[]).await.expect("a time");
            let before: String = row.try_get(0).expect("a text");
            client
                .batch_execute("SELECT pg_reload_conf()")
                .await
                .expect("reload");
            wait::until("the server has read its settings", || async {
                let row = client.query_one(loaded, &[]).await.expect("a time");
                let now: String = row.try_get(0).expect("a text");
                if now == before { Err(now) } else { Ok(()) }
            })
            .await;
        };
        tokio::select! {
            () = reload => Ok(()),
            ended = connection => panic!("the server ended the connection: {ended:?}"),
        }
    }
}
