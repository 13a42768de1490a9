use super::*;

async fn query(server: &Server, sql: &str) -> String {
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), NoTls)
        .await
        .unwrap();
    let answer = async {
        let row = client.query_opt(sql, &[]).await.unwrap();
        row.map_or_else(String::new, |row| row.try_get(0).unwrap())
    };
    tokio::select! {
        answer = answer => answer,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("testkit-kept-{}", uuid::Uuid::now_v7().simple()))
}

#[tokio::test]
async fn a_stopped_throwaway_server_leaves_nothing_behind() {
    let server = Server::start(Options::default()).await.unwrap();
    let (directory, url) = (server.directory.clone(), server.url("postgres"));
    assert_eq!(query(&server, "SHOW fsync").await, "off");
    assert!(directory.exists());
    server.stop().await.unwrap();
    assert!(!directory.exists());
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
}

#[tokio::test]
async fn a_dropped_throwaway_server_leaves_nothing_behind() {
    let server = Server::start(Options::default()).await.unwrap();
    let directory = server.directory.clone();
    drop(server);
    assert!(!directory.exists());
}

#[tokio::test]
async fn what_is_committed_survives_a_crash_and_the_address_stays() {
    let mut server = Server::start(Options::default()).await.unwrap();
    query(
        &server,
        "CREATE TABLE kept AS SELECT 'before the crash' AS note",
    )
    .await;
    let url = server.url("postgres");
    server.crash().await.unwrap();
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    server.resume().await.unwrap();
    assert_eq!(server.url("postgres"), url);
    assert_eq!(
        query(&server, "SELECT note FROM kept").await,
        "before the crash"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_kept_server_is_synced_to_disk_and_found_again() {
    let directory = scratch();
    let options = Options {
        durability: Durability::Kept(directory.clone()),
        ..Options::default()
    };
    let server = Server::start(options.clone()).await.unwrap();
    assert_eq!(query(&server, "SHOW fsync").await, "on");
    query(&server, "CREATE TABLE kept AS SELECT 'first run' AS note").await;
    server.stop().await.unwrap();
    let server = Server::start(options).await.unwrap();
    assert_eq!(query(&server, "SELECT note FROM kept").await, "first run");
    server.stop().await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_kept_server_whose_first_start_was_killed_is_made_anew() {
    let directory = scratch();
    let partial = directory.join(PARTIAL_DATA);
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join("PG_VERSION"), "17").unwrap();
    std::fs::write(directory.join(PASSWORD), "of then").unwrap();
    let options = Options {
        durability: Durability::Kept(directory.clone()),
        ..Options::default()
    };
    let server = Server::start(options).await.unwrap();
    assert_eq!(query(&server, "SHOW fsync").await, "on");
    server.stop().await.unwrap();
    assert!(!partial.exists());
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Whatever it was doing: making the cluster, or starting the server.
#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    for sign in [PASSWORD, PARTIAL_DATA, "log"] {
        let binaries = Binaries::find().await.unwrap();
        let mut server = Server::create(binaries, Options::default()).unwrap();
        let directory = server.directory.clone();
        let seen = crate::wait::until(sign, || async {
            directory.join(sign).exists().then_some(()).ok_or("not yet")
        });
        tokio::select! {
            biased;
            () = seen => {}
            begun = async move { server.begin().await } => panic!("{begun:?} before {sign}"),
        }
        assert!(!directory.exists(), "{sign}");
    }
}

#[tokio::test]
async fn a_directory_with_other_things_in_it_is_refused() {
    let directory = scratch();
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("thesis.tex"), "").unwrap();
    let error = Server::start(Options {
        durability: Durability::Kept(directory.clone()),
        ..Options::default()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, StartError::Foreign { .. }), "{error}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_the_error() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let error = Server::start(Options {
        port: Some(taken.local_addr().unwrap().port()),
        ..Options::default()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("could not bind"), "{error}");
}

/// Only as root is the server another user's.
#[tokio::test]
async fn a_directory_that_the_servers_user_cannot_reach_is_named_and_so_is_what_is_closed() {
    let closed = scratch();
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let directory = closed.join("below/postgres");
    let started = Server::start(Options {
        durability: Durability::Kept(directory.clone()),
        ..Options::default()
    })
    .await;
    match (started, user_to_become().unwrap()) {
        (Err(error @ StartError::Unreachable { .. }), Some(User { uid, .. })) => assert_eq!(
            with_causes(&error),
            format!(
                "PostgreSQL refuses to run as root and runs as the user with the id {uid}, who cannot \
                 enter {}: {} must be below a directory that every user can enter, as in /var/lib",
                closed.display(),
                directory.display()
            )
        ),
        (Ok(server), None) => server.stop().await.unwrap(),
        (started, user) => panic!("{started:?} as {user:?}"),
    }
    std::fs::remove_dir_all(&closed).unwrap();
}

/// An error with all its causes, as programs print it.
fn with_causes(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
