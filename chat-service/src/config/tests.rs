use testkit::file::TempFile;

use secrecy::ExposeSecret as _;

use super::*;

fn problems(flags: &[&str], variables: &[&str]) -> Vec<String> {
    let arguments = ["chat-service", "serve"].iter().chain(flags);
    let environment = variables
        .iter()
        .map(|&name| (name.to_owned(), "x".to_owned()))
        .collect();
    match read(arguments.map(OsString::from), &environment) {
        Err(ConfigError::Problems(problems)) => problems,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{flags:?} are accepted"),
    }
}

#[test]
fn all_problems_are_reported_at_once_by_name() {
    let flags = [
        "--listen=nowhere",
        "--drain-timeout=soon",
        "--database-connections=0",
        "--log-format=xml",
        "--log=info,=,",
        "--policy-recheck=sometimes",
        "--web-origins=*",
        "--statement-timeout=40s",
        "--refresh-timeout=1m",
    ];
    let variables = ["CHAT_LISTN", "GIT_PROVIDER_0_NAME", "CHAT_SERVICE_PORT"];
    assert_eq!(
        problems(&flags, &variables),
        [
            "CHAT_LISTN is no setting of this service",
            "CHAT_LISTEN is \"nowhere\"; it must be an address and a port, as in 127.0.0.1:50051",
            "CHAT_DRAIN_TIMEOUT is \"soon\"; it must be a number with a unit, as in 250ms, 10s, 2m or 24h",
            "CHAT_DATABASE_CONNECTIONS is \"0\"; it must be 6 to 500",
            "CHAT_LOG_FORMAT is \"xml\"; it must be json or text",
            "CHAT_LOG is \"info,=,\"; it must be a log filter, as in info,tonic=debug",
            "CHAT_POLICY_RECHECK is \"sometimes\"; it must be 0 to 1000000",
            "CHAT_WEB_ORIGINS is \"*\"; it must be origins with commas between, as in https://chats.example.com",
            "CHAT_JWT_KEYS is required",
            "CHAT_KEYS_FILE is required",
            "CHAT_DATABASE_URL or CHAT_DATABASE_URL_FILE is required",
            "CHAT_CALL_TIMEOUT is 30s; it must not be less than CHAT_STATEMENT_TIMEOUT, which is 40s",
            "CHAT_CALL_TIMEOUT is 30s; it must not be less than CHAT_REFRESH_TIMEOUT, which is 1m",
            "GIT_PROVIDER_0_NAME is no setting; there are GIT_PROVIDER_<n>_TYPE, _ID, _HOST, \
             _SSH_HOSTS, _API_BASE_URL, _OAUTH_CLIENT_ID, _OAUTH_CLIENT_SECRET_FILE and \
             _OAUTH_TOKEN_URL",
        ]
    );
}

#[test]
fn keys_and_urls_that_cannot_be_used_are_reported_and_not_shown() {
    let file = TempFile::new("hunter2, which is no key");
    let path = file.name();
    let flags = [
        format!("--jwt-keys={path}"),
        format!("--keys-file={path}"),
        format!("--database-url-file={path}"),
        "--database-url=postgres://ann:hunter2@[::bad".to_owned(),
        "--policy-dir=/nowhere".to_owned(),
        format!("--web-sign-in-file={path}"),
    ];
    let problems = problems(&flags.each_ref().map(String::as_str), &[]);
    let names = [
        "CHAT_JWT_KEYS",
        "CHAT_KEYS_FILE",
        "CHAT_DATABASE_URL_FILE",
        "CHAT_DATABASE_URL",
        "CHAT_POLICY_DIR",
        "CHAT_WEB_SIGN_IN_FILE",
    ];
    for (problem, name) in problems.iter().zip(names) {
        assert!(problem.starts_with(&format!("{name} ")), "{problem}");
    }
    assert_eq!(problems.len(), names.len());
    assert!(!problems.join("").contains("hunter2"), "{problems:#?}");
}

#[test]
fn plain_text_off_this_machine_is_refused_unless_it_is_asked_for_by_name() {
    let seal = TempFile::new(KeyRing::generate_file_text().expose_secret());
    let flags = [
        "--listen=0.0.0.0:50051".to_owned(),
        "--sync-listen=[::]:50052".to_owned(),
        "--ops-listen=10.0.0.1:9101".to_owned(),
        "--database-url=postgres://ann:hunter2@db.example/c".to_owned(),
        "--database-direct-url=postgres://ann:hunter2@db.example/c?sslmode=disable".to_owned(),
        format!("--keys-file={}", seal.name()),
        // Without a certificate, no client can be asked for one.
        format!("--tls-client-ca-file={}", seal.name()),
        "--tls-key-file=/nowhere".to_owned(),
    ];
    let all = problems(&flags.each_ref().map(String::as_str), &[]);
    let starts = [
        "CHAT_JWT_KEYS is required",
        "CHAT_TLS_CERT_FILE and CHAT_TLS_KEY_FILE are required together",
        "CHAT_TLS_CLIENT_CA_FILE cannot be used: ",
        "CHAT_TLS_CLIENT_CA_FILE needs CHAT_TLS_CERT_FILE",
        "CHAT_LISTEN is 0.0.0.0:50051, in plain text",
        "CHAT_SYNC_LISTEN is [::]:50052, in plain text",
        "CHAT_OPS_LISTEN is 10.0.0.1:9101, in plain text",
        "CHAT_DATABASE_URL leads to db.example, perhaps in plain text",
        "CHAT_DATABASE_DIRECT_URL leads to db.example, perhaps in plain text",
    ];
    for (problem, start) in all.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    assert_eq!(all.len(), starts.len(), "{all:#?}");
    assert!(!all.join("").contains("hunter2"), "{all:#?}");
    let mut asked = flags[..6].to_vec();
    asked.push("--plaintext=grpc,sync,ops,database".to_owned());
    let left = problems(&asked.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    assert_eq!(left, ["CHAT_JWT_KEYS is required"]);
    // Commands that only use the database ask no less.
    let migrate = ["chat-service", "migrate", &flags[3]].map(OsString::from);
    let Ok(Command::Migrate(settings)) = read(migrate, &BTreeMap::new()) else {
        panic!("the settings are refused");
    };
    assert!(settings.url().is_err());
}

/// `serve` is what runs when no command is named.
#[test]
fn settings_may_stand_where_a_command_does() {
    let with = problems(&["--listen=nowhere"], &[]);
    let arguments = ["chat-service", "--listen=nowhere"].map(OsString::from);
    let Err(ConfigError::Problems(without)) = read(arguments, &BTreeMap::new()) else {
        panic!("the settings are accepted");
    };
    assert_eq!(with, without);
}

#[test]
fn other_commands_need_no_setting_of_the_service() {
    let arguments = [
        "chat-service",
        "migrate",
        "--database-url=postgres://localhost/x",
    ];
    let providers = BTreeMap::from([("GIT_PROVIDER_0_NAME".to_owned(), "x".to_owned())]);
    let command = read(arguments.map(OsString::from), &providers);
    assert!(matches!(command, Ok(Command::Migrate(settings)) if settings.url().is_ok()));
}

#[test]
fn help_is_no_failure_and_an_unknown_flag_is() {
    for (flag, is_failure) in [("--help", false), ("--listn=x", true)] {
        let arguments = ["chat-service", "serve", flag].map(OsString::from);
        let Err(ConfigError::Usage(error)) = read(arguments, &BTreeMap::new()) else {
            panic!("{flag} is a setting");
        };
        assert_eq!(error.use_stderr(), is_failure, "{flag}");
    }
}
