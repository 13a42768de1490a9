//! The sample, the files and the page, once all is ready.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use serde_json::Value;
use testkit::process::{Signal, binaries, command};

use crate::launcher::{Launcher, Place, appears, ends_without_a_trace};

/// Sources the file of tokens, and runs a command of chat-service with the variables that it sets.
fn sourced(tokens: &Path, arguments: &str) -> Vec<Value> {
    let program = binaries().chat_service.display().to_string();
    let script = format!(
        ". {} && exec {program} {arguments} --json",
        tokens.display()
    );
    let output = command("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn the_sample_shows_every_icon_and_tokens_and_pages_are_for_their_owner_alone() {
    let place = Place::new();
    let ready = place.file("ready.json");
    let process = Launcher::at(&place).flag("--ready-file", &ready).start();
    appears(&ready).await;
    let said: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();

    let tokens = Path::new(said["tokens_file"].as_str().unwrap());
    let mut secrets = vec![ready.clone(), tokens.to_owned()];
    let each = fs::read_dir(tokens.with_file_name("tokens")).unwrap();
    secrets.extend(each.map(|entry| entry.unwrap().path()));
    secrets.push(tokens.with_file_name("sign-in.json"));
    assert!(secrets.len() > 5, "{secrets:?}");
    for secret in secrets {
        let metadata = fs::metadata(&secret).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{secret:?}");
        assert_eq!(metadata.uid(), fs::metadata("/proc/self").unwrap().uid());
    }

    let chats = sourced(tokens, "list --limit 200");
    let all = |field: &str| -> BTreeSet<&str> {
        chats
            .iter()
            .filter_map(|chat| chat[field].as_str())
            .collect()
    };
    assert_eq!(
        all("icon"),
        BTreeSet::from([
            "check",
            "error-triangle",
            "git-merge",
            "git-pull-request-arrow",
            "git-pull-request-closed",
            "git-pull-request-draft",
            "pause",
            "spinner",
        ])
    );
    let problems: BTreeSet<&str> = chats
        .iter()
        .filter_map(|chat| chat["diffStatus"]["problem"]["class"].as_str())
        .collect();
    let expected = [
        "PROBLEM_CLASS_NO_ACCOUNT",
        "PROBLEM_CLASS_REPOSITORY_NOT_FOUND",
    ];
    assert_eq!(problems, BTreeSet::from(expected));
    assert_eq!(all("status").len(), 6, "{:?}", all("status"));
    assert_eq!(
        chats.iter().filter(|chat| chat["archived"] == true).count(),
        1
    );
    assert_eq!(sourced(tokens, "list --shared-with-me").len(), 2);

    // Each address signs in once.
    let http = reqwest::Client::builder().timeout(testkit::wait::PATIENCE);
    let http = http.build().unwrap();
    let chat_service = said["chat_service"].as_str().unwrap();
    for role in ["owner", "colleague"] {
        let page = said["pages"][role].as_str().unwrap();
        let (address, code) = page.split_once("/#sign-in=").unwrap();
        assert_eq!(address, chat_service);
        let sign_in = async || {
            let client = http.post(format!("{chat_service}/sign-in"));
            client.body(code.to_owned()).send().await.unwrap()
        };
        let signed_in = sign_in().await;
        assert!(signed_in.status().is_success(), "{signed_in:?}");
        assert_eq!(
            signed_in.text().await.unwrap(),
            said["tokens"][role].as_str().unwrap()
        );
        assert!(sign_in().await.status().is_client_error());
    }
    let page = http.get(format!("{chat_service}/")).send().await.unwrap();
    assert!(page.status().is_success(), "{page:?}");
    ends_without_a_trace(process, &place, Signal::Interrupt).await;
}
