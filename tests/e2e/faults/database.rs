//! PostgreSQL is lost in one way or another.

use e2e::load::{Judged, Scene, Setting, under_load};
use testkit::postgres::{self, Client, Options, Server};
use tokio::time::sleep;

use super::OUTAGE;

/// Has `fault` happen to a server of its own.
async fn on_a_server(
    name: &str,
    judged: Judged,
    fault: impl AsyncFnOnce(&mut Scene<'_>, &mut Server),
) {
    let mut server = Server::start(Options::default()).await.unwrap();
    let database = postgres::database_on(&server).await;
    under_load(name, database, Setting::default(), judged, async |scene| {
        fault(scene, &mut server).await;
    })
    .await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_costs_nothing_that_was_acknowledged() {
    on_a_server("PostgreSQL killed", Judged::OUTAGE, async |_, server| {
        server.crash().await.unwrap();
        sleep(OUTAGE).await;
        server.resume().await.unwrap();
    })
    .await;
}

/// Short enough for the documented attempts.
#[tokio::test]
async fn a_restarted_server_fails_no_call() {
    on_a_server(
        "PostgreSQL restarted",
        Judged::UNNOTICED,
        async |_, server| {
            server.shut_down().await.unwrap();
            server.resume().await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_server_that_was_read_only_for_a_while_costs_nothing_that_was_acknowledged() {
    on_a_server("PostgreSQL read-only", Judged::OUTAGE, async |scene, _| {
        let client = scene.stack.database.client().await;
        set_read_only(&client, "on").await;
        sleep(OUTAGE).await;
        set_read_only(&client, "off").await;
    })
    .await;
}

async fn set_read_only(client: &Client, value: &str) {
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    for sql in [set.as_str(), "SELECT pg_reload_conf()"] {
        client.batch_execute(sql).await.unwrap();
    }
}

/// The standby is synchronous: a commit was answered when it had that, too.
#[tokio::test]
async fn a_failover_to_a_standby_costs_nothing_that_was_acknowledged() {
    let mut primary = Server::start(Options::default()).await.unwrap();
    let standby = primary.standby().await.unwrap();
    let database = postgres::database_on(&primary).await;
    let of_one = format!("127.0.0.1:{}", primary.port());
    let of_both = format!("{of_one},127.0.0.1:{}", standby.port());
    let url = database.url().replace(&of_one, &of_both);
    let setting = Setting {
        chat_service: &[("CHAT_DATABASE_URL", &url)],
        ..Setting::default()
    };
    let judged = Judged {
        // Positions may have gone back, for all that a replica knows.
        resyncs: 1,
        ..Judged::OUTAGE
    };
    let name = "PostgreSQL failed over to a standby";
    under_load(name, database, setting, judged, async |scene| {
        primary.crash().await.unwrap();
        sleep(OUTAGE).await;
        standby.promote().await;
        scene.database_url = standby.url(scene.stack.database.name());
    })
    .await;
    for server in [primary, standby] {
        server.stop().await.unwrap();
    }
}
