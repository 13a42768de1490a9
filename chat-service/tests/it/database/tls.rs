//! Connections to a server that speaks TLS, by what the URL says of it.

use std::collections::BTreeMap;

use chat_service::{config::Settings, store::Address};
use testkit::{
    postgres::{self, Options, Server},
    tls::{Authority, Life},
};

use super::{drive, give_up_sixty_lists};
use crate::stack::Stack;

/// A directory that is gone at the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("database-tls-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes the certificate of an authority. Returns the path.
    fn authority(&self, name: &str, authority: &Authority) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path.display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a connection to `url` is secured, or why it was refused.
async fn secured(url: &str) -> Result<bool, String> {
    let address: Address = url.parse().map_err(|error| format!("{error}"))?;
    let connected = address.connect().await;
    let (client, connection) = connected.map_err(|error| format!("{error:?}"))?;
    drive(connection);
    let own = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(own, &[]).await.unwrap();
    Ok(row.try_get(0).unwrap())
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_its_url_says() {
    let server = Server::start(Options::default()).await.unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = Directory::new();
    let ours = directory.authority("ours.pem", &authority);
    let other = directory.authority("other.pem", &stranger);
    let by_address = server.url("postgres");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let at = |query: &str| format!("{by_address}?{query}");
    let named = |query: &str| format!("{by_name}?{query}");

    // It speaks none yet.
    assert_eq!(secured(&at("sslmode=prefer")).await, Ok(false));
    let none = secured(&at("sslmode=require")).await.unwrap_err();
    assert!(none.contains("server does not support TLS"), "{none}");

    let certified = authority.certify(&["localhost"], Life::Long);
    server
        .secure(&certified, &authority.pem(), &[])
        .await
        .unwrap();
    for (url, wanted) in [
        (at("sslmode=disable"), Ok(false)),
        (by_address.clone(), Ok(true)),
        (at("sslmode=require"), Ok(true)),
        (at(&format!("sslmode=require&sslrootcert={ours}")), Ok(true)),
        (
            at(&format!("sslmode=verify-ca&sslrootcert={ours}")),
            Ok(true),
        ),
        (
            named(&format!("sslmode=verify-full&sslrootcert={ours}")),
            Ok(true),
        ),
        (
            at(&format!("sslmode=verify-full&sslrootcert={ours}")),
            Err("NotValidForName"),
        ),
        // Plain text is no way out.
        (
            at(&format!("sslmode=prefer&sslrootcert={other}")),
            Err("UnknownIssuer"),
        ),
        (
            at(&format!("sslmode=require&sslrootcert={other}")),
            Err("UnknownIssuer"),
        ),
        (
            at(&format!("sslmode=verify-ca&sslrootcert={other}")),
            Err("UnknownIssuer"),
        ),
        (
            named(&format!("sslmode=verify-full&sslrootcert={other}")),
            Err("UnknownIssuer"),
        ),
        (named("sslmode=verify-full"), Err("UnknownIssuer")),
    ] {
        match (secured(&url).await, wanted) {
            (Ok(secured), Ok(wanted)) => assert_eq!(secured, wanted, "{url}"),
            (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{url}: {why}"),
            (other, _) => panic!("{url}: {other:?}"),
        }
    }

    let expired = authority.certify(&["localhost"], Life::Over);
    server
        .secure(&expired, &authority.pem(), &[])
        .await
        .unwrap();
    let url = named(&format!("sslmode=verify-full&sslrootcert={ours}"));
    let why = secured(&url).await.unwrap_err();
    assert!(why.contains("Expired"), "{why}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn statements_that_are_given_up_are_cancelled_over_tls_too() {
    let server = Server::start(Options::default()).await.unwrap();
    let authority = Authority::new();
    let certified = authority.certify(&["localhost"], Life::Long);
    server
        .secure(&certified, &authority.pem(), &[])
        .await
        .unwrap();
    let database = postgres::database_on(&server).await;
    let url = format!("{}?sslmode=require", database.url());
    let change = |settings: &mut Settings, _: &mut BTreeMap<String, String>| {
        settings.database.database_url = Some(url.into());
    };
    Stack::run_on(database, change, async |stack| {
        give_up_sixty_lists(stack).await;
    })
    .await;
    server.stop().await.unwrap();
}
