//! `--data-dir`: what is kept, and a start that was killed.

use serde_json::Value;
use testkit::{
    process::{Signal, binaries},
    wait::until,
};

use crate::launcher::{Launcher, Place, appears, ends_without_a_trace, stuck_at};

/// Starts, and ends again once all is ready; returns what the ready file said.
async fn run(place: &Place) -> Value {
    let (ready, data) = (place.file("ready.json"), place.file("data"));
    let process = Launcher::at(place)
        .flag("--ready-file", &ready)
        .flag("--data-dir", &data)
        .start();
    appears(&ready).await;
    let said = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    ends_without_a_trace(process, place, Signal::Terminate).await;
    said
}

#[tokio::test]
async fn a_second_start_finds_what_the_first_one_made() {
    let place = Place::new();
    let (first, second) = (run(&place).await, run(&place).await);
    assert_eq!(first["chats_by_role"], second["chats_by_role"]);
    assert!(first["chats"].as_array().unwrap().len() > 3);
}

#[tokio::test]
async fn a_start_that_was_killed_while_it_made_keys_does_not_stand_in_the_way() {
    let place = Place::new();
    let service = stuck_at(&place, "keys", &binaries().chat_service);
    let process = Launcher::at(&place)
        .with("CHAT_SERVICE_BIN", service)
        .flag("--data-dir", &place.file("data"))
        .start();
    appears(&place.sign()).await;
    process.kill();
    until("the guards have seen it", || async {
        let left = place.processes();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    run(&place).await;
}
