//! What a configuration that cannot work is told.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use gitsync_service::config::{Config, EXIT_USAGE};

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
            .env("GITSYNC_GRAPHQL", "maybe")
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
        "GITSYNC_GRAPHQL is \"maybe\"; it must be true or false",
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

/// What is read of these settings, beside those that are required.
fn read(keys: &Keys, settings: &[(&str, &str)]) -> Result<Config, String> {
    let path = |name: &str| keys.file(name).to_string_lossy().into_owned();
    let required = [
        ("CHAT_SERVICE_URL", "http://127.0.0.1:1".to_owned()),
        ("TOKEN_FILE", path("token")),
        ("JWT_PUBLIC_KEY_FILE", path("public.pem")),
    ];
    let settings = settings
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()));
    let environment = required
        .into_iter()
        .chain(settings)
        .map(|(name, text)| (format!("GITSYNC_{name}"), text))
        .collect();
    Config::read(["gitsync-service".into()], &environment).map_err(|error| format!("{error:#?}"))
}

#[test]
fn every_number_of_the_pace_is_what_was_set() {
    let settings = [
        ("GAP_JITTER_PERCENT", "1"),
        ("QUICK_ANSWER", "2s"),
        ("SLOW_ANSWER", "3s"),
        ("CLEAN_ANSWERS", "4"),
        ("BATCH_HOLD", "5s"),
        ("HOST_TROUBLE_KEYS", "6"),
        ("HOST_TROUBLE_WINDOW", "7s"),
        ("HOST_PROBE_AFTER", "8s"),
        ("HOST_PROBE_CAP", "9s"),
        ("HOST_PAUSE", "10s"),
        ("HOST_RAMP", "11s"),
        ("CAPABILITY_TTL", "12s"),
        ("RESET_PADDING", "13s"),
        ("RESET_SPREAD", "14s"),
        ("SECONDARY_PAUSE", "15s"),
        ("SECONDARY_CAP", "16s"),
        ("CONFIRMATION", "17s"),
        ("CONFIRMATION_SPREAD", "18s"),
        ("LOCKED_PAUSE", "19s"),
        ("FAILURE_JITTER_PERCENT", "20"),
        ("HEAVY_PAUSE", "21s"),
        ("HEAVY_SPREAD", "22s"),
        ("SLOW_DETAIL", "23s"),
        ("LOCAL_CEILING", "24"),
    ];
    let config = read(&Keys::new(), &settings).unwrap();
    let (pace, pauses) = (&config.pace, &config.pace.pauses);
    assert_eq!(
        [
            pace.gap_jitter_percent,
            pace.clean_answers,
            pace.host_trouble_keys,
            config.schedule.failure_jitter_percent,
            pace.local_ceiling,
        ],
        [1, 4, 6, 20, 24]
    );
    assert_eq!(
        [
            pace.quick_answer,
            pace.slow_answer,
            pace.batch_hold,
            pace.host_trouble_window,
            pace.host_probe_after,
            pace.host_probe_cap,
            pace.host_pause,
            pace.host_ramp,
            pace.capability_ttl,
            pauses.reset_padding,
            pauses.reset_spread,
            pauses.secondary_pause,
            pauses.secondary_cap,
            pauses.confirmation,
            pauses.confirmation_spread,
            pauses.locked_pause,
            pauses.heavy_pause,
            pauses.heavy_spread,
            pace.slow_detail,
        ],
        [
            2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23
        ]
        .map(Duration::from_secs)
    );
    // One that a group of refs is paused by and one that they are planned by are the same.
    assert_eq!(config.schedule.pauses, *pauses);
}

#[test]
fn numbers_of_the_pace_that_contradict_each_other_are_refused_once_and_by_name() {
    let settings = [
        ("SLOW_ANSWER", "1s"),
        ("HOST_PROBE_CAP", "1s"),
        ("SECONDARY_CAP", "59s"),
        ("RESET_PADDING", "soon"),
    ];
    let refused = read(&Keys::new(), &settings).err().unwrap();
    for problem in [
        "GITSYNC_SLOW_ANSWER is 1s; it must not be less than GITSYNC_QUICK_ANSWER, which is 2s",
        "GITSYNC_HOST_PROBE_CAP is 1s; it must not be less than GITSYNC_HOST_PROBE_AFTER, which is 5s",
        "GITSYNC_SECONDARY_CAP is 59s; it must not be less than GITSYNC_SECONDARY_PAUSE, which is 1m",
        "GITSYNC_RESET_PADDING is ",
    ] {
        assert_eq!(
            refused.matches(problem).count(),
            1,
            "{problem:?} in {refused}"
        );
    }
}
