//! What a configuration that cannot work is told.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use gitsync_service::config::EXIT_USAGE;

use crate::binary::{Keys, binary};

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn all_problems_of_the_configuration_are_told_at_once() {
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CONCURRENCY", "0")
            .env("GITSYNC_INTERVAL", "10")
            .env("GITSYNC_TICK_TIMEOUT", "5s")
            .env("GITSYNC_TOKEN_FILE", "/nowhere/token")
            .env("GITSYNC_INTERVALL", "10s")
            .env("GITSYNC_LISTEN", "here")
            .env("GITSYNC_SERVICE_PORT", "tcp://10.0.0.1:50061")
            .arg("--batch-size=501"),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for problem in [
        "GITSYNC_CHAT_SERVICE_URL is required",
        "GITSYNC_JWT_PUBLIC_KEY_FILE is required",
        "GITSYNC_CONCURRENCY is \"0\"; it must be 1 to 1000",
        "GITSYNC_INTERVAL is \"10\"; it must be a whole number with a unit",
        "GITSYNC_TICK_TIMEOUT is 5s; it must not be less than GITSYNC_REQUEST_TIMEOUT, which is 12s",
        "GITSYNC_TOKEN_FILE is \"/nowhere/token\"; it cannot be used",
        "GITSYNC_INTERVALL is no setting of this service",
        "GITSYNC_LISTEN is \"here\"; it must be an address and a port",
        "GITSYNC_BATCH_SIZE is \"501\"; it must be 1 to 500",
    ] {
        assert!(text.contains(problem), "{problem:?} in {text}");
    }
    // What Kubernetes says about a Service of our name is no setting.
    assert!(!text.contains("GITSYNC_SERVICE_PORT"), "{text}");
}

#[test]
fn an_unknown_flag_is_refused_and_help_names_every_variable() {
    let (code, _) = refused(binary().arg("--concurency=3"));
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    let help = binary().arg("--help").output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in [
        "GITSYNC_CONCURRENCY",
        "GITSYNC_NO_TOKEN_BACKOFF",
        "GITSYNC_READY_FILE",
    ] {
        assert!(help.contains(variable), "{variable} in {help}");
    }
}

#[test]
fn a_key_or_token_that_cannot_work_is_refused_by_name_and_not_shown() {
    let keys = Keys::new();
    std::fs::write(keys.file("garbage"), "garbage-secret and more").unwrap();
    let garbage: &Path = &keys.file("garbage");
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CHAT_SERVICE_URL", "https://127.0.0.1:1")
            .env("GITSYNC_TOKEN_FILE", garbage)
            .env("GITSYNC_JWT_PUBLIC_KEY_FILE", garbage),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for name in [
        "GITSYNC_CHAT_SERVICE_URL",
        "GITSYNC_TOKEN_FILE",
        "GITSYNC_JWT_PUBLIC_KEY_FILE",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("garbage-secret"), "{text}");
}
