//! Which configurations are refused, by which words, and what the others become.

use std::{
    ffi::OsString,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use gitsync_service::{budget, config::Settings, schedule::Schedule};
use service_runtime::config::{ConfigError, EXIT_FAILURE, EXIT_USAGE};

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
fn all_problems_of_the_configuration_are_reported_at_once() {
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CONCURRENCY", "0")
            .env("GITSYNC_INTERVAL", "10")
            .env("GITSYNC_TICK_TIMEOUT", "5s")
            .env("GITSYNC_TOKEN_FILE", "/nowhere/token")
            .env("GITSYNC_INTERVALL", "10s")
            .env("GITSYNC_VIEWED_INTERVAL", "10s")
            .env("GITSYNC_LOG", "info,=,")
            .env("GITSYNC_LISTEN", "here")
            .env("GITSYNC_GRAPHQL", "maybe")
            .env("GITSYNC_HTTPS_PROXY", "socks5://ann:hush@proxy.example")
            .env("GITSYNC_NO_PROXY", "corp.example, *.corp.example")
            .env("GITSYNC_SERVICE_PORT", "tcp://10.0.0.1:50061")
            .arg("--batch-size=501"),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for problem in [
        "GITSYNC_CHAT_SERVICE_URL is required",
        "GITSYNC_JWT_KEYS is required",
        "GITSYNC_CONCURRENCY is \"0\"; it must be 1 to 1000",
        "GITSYNC_INTERVAL is \"10\"; it must be a number with a unit",
        "GITSYNC_TICK_TIMEOUT is 5s; it must not be less than GITSYNC_REQUEST_TIMEOUT, which is 12s",
        "GITSYNC_TOKEN_FILE is \"/nowhere/token\"; it cannot be used",
        "GITSYNC_INTERVALL is no setting of this service",
        "GITSYNC_VIEWED_INTERVAL is no setting of this service",
        "GITSYNC_LOG is \"info,=,\"; it must be a log filter",
        "GITSYNC_LISTEN is \"here\"; it must be an address and a port",
        "GITSYNC_GRAPHQL is \"maybe\"; it must be true or false",
        "GITSYNC_HTTPS_PROXY must begin with http:// or https://",
        "GITSYNC_NO_PROXY is \"corp.example, *.corp.example\"; it must be names",
        "GITSYNC_BATCH_SIZE is \"501\"; it must be 1 to 500",
    ] {
        assert!(text.contains(problem), "{problem:?} in {text}");
    }
    // What Kubernetes says about a Service of this name is no setting.
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
            .env("GITSYNC_CHAT_SERVICE_URL", "ftp://127.0.0.1:1")
            .env("GITSYNC_TOKEN_FILE", garbage)
            .env("GITSYNC_JWT_KEYS", garbage),
    );
    assert_eq!(code, Some(i32::from(EXIT_USAGE)));
    for name in [
        "GITSYNC_CHAT_SERVICE_URL",
        "GITSYNC_TOKEN_FILE",
        "GITSYNC_JWT_KEYS",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("garbage-secret"), "{text}");
}

#[test]
fn plain_text_off_this_machine_is_refused_unless_it_is_asked_for_by_name() {
    let keys = Keys::new();
    let flags = [
        "--chat-service-url=http://chat.example:50052",
        "--listen=0.0.0.0:0",
        "--ops-listen=0.0.0.0:0",
    ];
    let Err(ConfigError::Problems(problems)) = read(&keys, &flags) else {
        panic!("plain text is accepted");
    };
    for (problem, name) in problems.iter().zip([
        "GITSYNC_LISTEN is 0.0.0.0:0, in plain text",
        "GITSYNC_OPS_LISTEN is 0.0.0.0:0, in plain text",
        "GITSYNC_CHAT_SERVICE_URL leads to another machine in plain text",
    ]) {
        assert!(problem.starts_with(name), "{problem}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
    let asked = [&flags[..], &["--plaintext=grpc,ops,chat-service"]].concat();
    assert!(read(&keys, &asked).is_ok());
    let files = [
        "--chat-service-url=https://chat.example:50052",
        "--tls-cert-file=/x",
    ];
    let Err(ConfigError::Problems(problems)) = read(&keys, &files) else {
        panic!("a certificate without a key is accepted");
    };
    assert_eq!(
        problems,
        ["GITSYNC_TLS_CERT_FILE and GITSYNC_TLS_KEY_FILE are required together"]
    );
}

/// What is read of these flags, beside those that are required.
fn read(keys: &Keys, flags: &[&str]) -> Result<Settings, ConfigError> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.file(name).display());
    let mut required = vec![
        "gitsync-service".to_owned(),
        file("token-file", "token"),
        file("jwt-keys", "public.pem"),
    ];
    if !flags
        .iter()
        .any(|flag| flag.starts_with("--chat-service-url="))
    {
        required.push("--chat-service-url=http://127.0.0.1:1".to_owned());
    }
    let flags = flags.iter().map(|&flag| flag.to_owned());
    Settings::read(required.into_iter().chain(flags).map(OsString::from))
}

#[test]
fn a_flag_wins_over_its_variable() {
    let keys = Keys::new();
    let flags = [
        ("--chat-service-url", "http://127.0.0.1:1".into()),
        ("--token-file", keys.file("token")),
        ("--jwt-keys", keys.file("public.pem")),
    ];
    let mut command = binary();
    for (flag, value) in flags {
        command.arg(flag).arg(value);
    }
    command.env("GITSYNC_INTERVAL", "99s");
    // The variable alone is refused; with the flag, something else is.
    let (_, text) = refused(&mut command);
    assert!(text.contains("GITSYNC_INTERVAL is \"99s\""), "{text}");
    let (_, text) = refused(command.args(["--interval=1s", "--batch-size=0"]));
    assert!(!text.contains("GITSYNC_INTERVAL"), "{text}");
    assert!(text.contains("GITSYNC_BATCH_SIZE is \"0\""), "{text}");
}

#[test]
fn a_start_that_fails_for_another_reason_has_another_exit_code() {
    let keys = Keys::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, text) = refused(
        binary()
            .env("GITSYNC_CHAT_SERVICE_URL", "http://127.0.0.1:1")
            .env("GITSYNC_TOKEN_FILE", keys.file("token"))
            .env("GITSYNC_JWT_KEYS", keys.file("public.pem"))
            .env("GITSYNC_LISTEN", taken.local_addr().unwrap().to_string()),
    );
    assert_eq!(code, Some(i32::from(EXIT_FAILURE)), "{text}");
}

/// The defaults of the flags are those of the code.
#[test]
fn without_settings_all_numbers_are_the_defaults_of_the_code() {
    let settings = read(&Keys::new(), &[]).unwrap();
    let of_code = (Schedule::default(), budget::Settings::default());
    assert_eq!(
        format!("{:?}", (settings.schedule(), settings.budget())),
        format!("{of_code:?}")
    );
    assert_eq!(settings.effective["GITSYNC_NO_TOKEN_BACKOFF"], "10m");
}

#[test]
fn every_number_of_schedule_and_budget_is_what_was_set() {
    let settings = read(
        &Keys::new(),
        &[
            "--diff-status-ttl=1s",
            "--active-window=2s",
            "--open-cap=3s",
            "--quiet-cap=4s",
            "--no-pull-request-interval=5s",
            "--no-pull-request-cap=6s",
            "--closed-interval=7s",
            "--failure-backoff=8s",
            "--failure-cap=9s",
            "--no-token-backoff=10s",
            "--access-backoff=11s",
            "--access-cap=12s",
            "--jitter-percent=13",
            "--reserve-percent=14",
            "--local-ceiling=15",
            "--reset-padding=16s",
            "--reset-spread=17s",
            "--secondary-pause=18s",
            "--host-probe-after=19s",
        ],
    )
    .unwrap();
    let seconds = Duration::from_secs;
    let schedule = Schedule {
        diff_status_ttl: seconds(1),
        active_window: seconds(2),
        open_cap: seconds(3),
        quiet_cap: seconds(4),
        no_pull_request_interval: seconds(5),
        no_pull_request_cap: seconds(6),
        closed_interval: seconds(7),
        failure_backoff: seconds(8),
        failure_cap: seconds(9),
        no_token_backoff: seconds(10),
        access_backoff: seconds(11),
        access_cap: seconds(12),
        jitter_percent: 13,
        ..Schedule::default()
    };
    let budget = budget::Settings {
        reserve_percent: 14,
        local_ceiling: 15,
        host_probe_after: seconds(19),
        reset_padding: seconds(16),
        reset_spread: seconds(17),
        secondary_pause: seconds(18),
        ..budget::Settings::default()
    };
    assert_eq!(
        format!("{:?}", (settings.schedule(), settings.budget())),
        format!("{:?}", (schedule, budget))
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused_once_and_by_name() {
    let flags = [
        "--tick-timeout=1s",
        "--open-cap=1s",
        "--quiet-cap=500ms",
        "--no-pull-request-cap=1s",
        "--failure-cap=1s",
        "--access-cap=1s",
        "--secondary-pause=31m",
    ];
    let Err(ConfigError::Problems(problems)) = read(&Keys::new(), &flags) else {
        panic!("settings that contradict each other are accepted");
    };
    assert_eq!(
        problems,
        [
            "GITSYNC_SECONDARY_PAUSE is \"31m\"; it must be 100ms to 30m",
            "GITSYNC_TICK_TIMEOUT is 1s; it must not be less than GITSYNC_REQUEST_TIMEOUT, which is 12s",
            "GITSYNC_OPEN_CAP is 1s; it must not be less than GITSYNC_DIFF_STATUS_TTL, which is 30s",
            "GITSYNC_QUIET_CAP is 500ms; it must not be less than GITSYNC_OPEN_CAP, which is 1s",
            "GITSYNC_NO_PULL_REQUEST_CAP is 1s; it must not be less than GITSYNC_NO_PULL_REQUEST_INTERVAL, which is 10s",
            "GITSYNC_FAILURE_CAP is 1s; it must not be less than GITSYNC_FAILURE_BACKOFF, which is 5s",
            "GITSYNC_ACCESS_CAP is 1s; it must not be less than GITSYNC_ACCESS_BACKOFF, which is 1h",
        ]
    );
}
