//! Ended by a signal, at every stage.

use testkit::process::{Signal, binaries};

use crate::launcher::{Launcher, Place, appears, ends_without_a_trace, says, stuck, stuck_at};

/// The launcher with a program that comes to no end, so that the stage is certain; and SIGTERM,
/// which no terminal passes on to what the launcher has started.
async fn stuck_program_ends<'a>(place: &'a Place, launcher: Launcher<'a>) {
    let process = launcher.start();
    appears(&place.sign()).await;
    ends_without_a_trace(process, place, Signal::Terminate).await;
}

#[tokio::test]
async fn a_build_ends_with_the_launcher() {
    let place = Place::new();
    let cargo = place.program("cargo", &stuck(&place));
    let launcher = Launcher::at(&place)
        .without("CHAT_SERVICE_BIN")
        .with("CARGO", cargo);
    stuck_program_ends(&place, launcher).await;
}

#[tokio::test]
async fn the_making_of_a_cluster_ends_with_the_launcher() {
    let place = Place::new();
    std::fs::create_dir(place.file("bin")).unwrap();
    place.program("bin/initdb", &stuck(&place));
    place.program("bin/postgres", "exit 1");
    let launcher = Launcher::at(&place).with("TESTKIT_POSTGRES_BIN", place.file("bin"));
    stuck_program_ends(&place, launcher).await;
}

#[tokio::test]
async fn what_chat_service_does_first_ends_with_the_launcher() {
    for first in ["migrate", "keys", "token"] {
        let place = Place::new();
        let service = stuck_at(&place, first, &binaries().chat_service);
        let launcher = Launcher::at(&place).with("CHAT_SERVICE_BIN", service);
        stuck_program_ends(&place, launcher).await;
    }
}

/// Wherever a real start is, and once all is ready.
#[tokio::test]
async fn ctrl_c_leaves_nothing_behind() {
    for stage in [
        "PostgreSQL ...",
        "Schema ...",
        "chat-service ...",
        "gitsync-service ...",
        "Sample chats ...",
        "Pull requests, by the worker ...",
    ] {
        let place = Place::new();
        let mut process = Launcher::at(&place).start();
        says(&mut process, stage).await;
        ends_without_a_trace(process, &place, Signal::Interrupt).await;
    }
}

#[tokio::test]
async fn the_ready_file_goes_with_the_system() {
    let place = Place::new();
    let ready = place.file("ready.json");
    let launcher = Launcher::at(&place).flag("--ready-file", &ready);
    let process = launcher.start();
    appears(&ready).await;
    ends_without_a_trace(process, &place, Signal::Interrupt).await;
    assert!(!ready.exists());
}
