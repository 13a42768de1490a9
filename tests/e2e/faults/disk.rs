//! The disk of PostgreSQL is full.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::PathBuf,
};

use e2e::load::{Judged, Scene, Setting, under_load};
use proto::chat::v1::{CreateChatRequest, GetChatsRequest};
use testkit::{
    clients::Caller,
    postgres::{self, Database, Options, Server},
    process::{command, run},
    wait,
};
use tokio::time::sleep;
use tonic::{Code, Status};
use uuid::Uuid;

use super::OUTAGE;

/// Takes the database and the load, and is full soon.
const SIZE: &str = "size=96m";
/// Labels of a large chat, and the random ids in each.
const LABELS: usize = 32;
const IDS: usize = 7;

/// A small file system of its own. Dropping it takes it away.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one that `server` may write to.
    fn mount(server: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("disk-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&directory).unwrap();
        let mut mount = command("mount");
        mount
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(&directory);
        run(mount);
        let owner = std::fs::metadata(server).unwrap();
        chown(&directory, Some(owner.uid()), Some(owner.gid())).unwrap();
        Self(directory)
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        let part = vec![0; 64 << 10];
        loop {
            match ballast.write_all(&part) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = command("umount");
        unmount.arg("--lazy").arg(&self.0);
        run(unmount);
        // Not empty only if it is still mounted.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A database whose tables are on a disk of their own, which is returned.
async fn on_a_disk(server: &Server) -> (Database, Disk) {
    let database = postgres::database_on(server).await;
    let (client, connection) =
        tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls)
            .await
            .unwrap();
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(connection);
    let row = client.query_one("SHOW data_directory", &[]).await.unwrap();
    let disk = Disk::mount(row.try_get(0).unwrap());
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.display());
    client.batch_execute(&place).await.unwrap();
    let moved = format!("ALTER DATABASE {} SET TABLESPACE small", database.name());
    // The session that migrated it may still be ending.
    wait::until("the database is moved", || client.batch_execute(&moved)).await;
    (database, disk)
}

/// A chat that fits into no page that is there already.
async fn create_large(scene: &Scene<'_>, caller: &Caller) -> Result<(), Status> {
    let value = || {
        (0..IDS)
            .map(|_| Uuid::new_v4().simple().to_string())
            .collect()
    };
    let request = CreateChatRequest {
        labels: (0..LABELS)
            .map(|key| (format!("key{key}"), value()))
            .collect(),
        ..CreateChatRequest::default()
    };
    let mut chats = scene.stack.chats(caller);
    chats.create_chat(request).await.map(drop)
}

#[tokio::test]
async fn a_full_disk_refuses_writes_answers_lists_and_costs_nothing_that_was_acknowledged() {
    let server = Server::start(Options::default()).await.unwrap();
    let (database, disk) = on_a_disk(&server).await;
    let name = "PostgreSQL's disk full";
    let setting = Setting::default();
    under_load(name, database, setting, Judged::OUTAGE, async |scene| {
        let caller = Caller::user();
        create_large(scene, &caller).await.unwrap();
        disk.fill();
        let refused = wait::until("a write is refused", || async {
            match create_large(scene, &caller).await {
                Err(status) => Ok(status),
                Ok(()) => Err("it was taken"),
            }
        })
        .await;
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        sleep(OUTAGE).await;
        // Reads need no room.
        let mut chats = scene.stack.chats(&caller);
        chats.get_chats(GetChatsRequest::default()).await.unwrap();
        disk.free();
        wait::until("writes are taken", || create_large(scene, &caller)).await;
    })
    .await;
    server.stop().await.unwrap();
    drop(disk);
}
