use testkit::file::TempFile;

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
            "GIT_PROVIDER_0_NAME is no setting; there are GIT_PROVIDER_<n>_TYPE, _ID, _HOST, _SSH_HOSTS and \
             _API_BASE_URL",
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
