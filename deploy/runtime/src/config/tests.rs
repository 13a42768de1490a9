use std::time::Duration;

use clap::{Parser, Subcommand};
use secrecy::SecretString;

use super::*;

/// The variables do not exist in the process that runs the tests.
const PREFIX: &str = "READER_TEST_";

#[derive(Debug, Parser)]
struct Program {
    #[command(subcommand)]
    command: Option<Inner>,
}

#[derive(Debug, Subcommand)]
enum Inner {
    Serve(Settings),
    Other,
}

#[derive(Debug, clap::Args)]
struct Settings {
    #[arg(long, env = "READER_TEST_REQUIRED")]
    required: String,
    #[arg(long, env = "READER_TEST_SECRET", hide_env_values = true, value_parser = secret)]
    secret: Option<SecretString>,
    #[arg(long, env = "READER_TEST_LEAST", value_parser = span(SECOND, 60 * SECOND))]
    #[arg(default_value_t = SECOND.into())]
    least: Span,
    #[arg(long, env = "READER_TEST_MOST", value_parser = span(SECOND, 60 * SECOND))]
    #[arg(default_value_t = (5 * SECOND).into())]
    most: Span,
    #[arg(long, env = "READER_TEST_NUMBER", value_parser = count(1..=9_u32), default_value_t = 3)]
    number: u32,
    #[arg(long, env = "READER_TEST_SWITCH", action = clap::ArgAction::Set, default_value_t = true)]
    switch: bool,
}

const SECOND: Duration = Duration::from_secs(1);

fn secret(_: &str) -> Result<SecretString, &'static str> {
    Err("must be better than that")
}

fn reader(flags: &[&str], names: &[&str]) -> Result<Reader, ConfigError> {
    let arguments = ["program"].iter().chain(flags).map(OsString::from);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    Reader::new::<Program>(arguments, &names, PREFIX)
}

fn problems(reader: Reader) -> Vec<String> {
    match reader.finish::<Program>() {
        Err(ConfigError::Problems(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_problems_are_reported_at_once_by_variable() {
    let flags = [
        "serve",
        "--secret=hunter2",
        "--most=10",
        "--least=2h",
        "--number=10",
        "--switch=maybe",
    ];
    // Kubernetes sets the last in every pod beside a Service that is called as the prefix says.
    let names = [
        "READER_TEST_LEASTT",
        "OTHER_LEASTT",
        "READER_TEST_SERVICE_PORT",
    ];
    let mut reader = reader(&flags, &names).unwrap();
    reader.collect::<()>(Err(vec!["BESIDE is wrong".to_owned()]));
    assert_eq!(
        problems(reader),
        [
            "READER_TEST_LEASTT is no setting of this service",
            "READER_TEST_SECRET must be better than that",
            "READER_TEST_MOST is \"10\"; it must be a number with a unit, as in 250ms, 10s, 2m or 24h",
            "READER_TEST_LEAST is \"2h\"; it must be 1s to 1m",
            "READER_TEST_NUMBER is \"10\"; it must be 1 to 9",
            "READER_TEST_SWITCH is \"maybe\"; it must be true or false",
            "READER_TEST_REQUIRED is required",
            "BESIDE is wrong",
        ]
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused_and_those_that_were_refused_are_not_compared() {
    let mut contradicting = reader(&["serve", "--required=x", "--least=9s"], &[]).unwrap();
    contradicting.at_least("most", "least");
    contradicting.require_any(&["secret", "absent"]);
    assert_eq!(
        problems(contradicting),
        [
            "READER_TEST_MOST is 5s; it must not be less than READER_TEST_LEAST, which is 9s",
            "READER_TEST_SECRET or absent is required",
        ]
    );
    let mut refused = reader(&["serve", "--required=x", "--most=0s"], &[]).unwrap();
    refused.at_least("most", "least");
    refused.require_any(&["secret", "required"]);
    assert_eq!(
        problems(refused),
        ["READER_TEST_MOST is \"0s\"; it must be 1s to 1m"]
    );
}

#[test]
fn what_took_effect_is_shown_by_variable_without_hidden_values() {
    let reader = reader(&["serve", "--required=x", "--most=90s"], &[]).unwrap_or_else(|error| {
        panic!("{error}");
    });
    assert_eq!(reader.subcommand(), Some("serve"));
    // One that was refused is shown as it was given.
    let effective = reader.effective();
    assert_eq!(
        effective
            .iter()
            .map(|(name, text)| format!("{name}={text}"))
            .collect::<Vec<_>>(),
        [
            "READER_TEST_LEAST=1s",
            "READER_TEST_MOST=90s",
            "READER_TEST_NUMBER=3",
            "READER_TEST_REQUIRED=x",
            "READER_TEST_SWITCH=true",
        ]
    );
}

#[test]
fn values_that_can_be_used_are_those_that_were_given() {
    let reader = reader(
        &["serve", "--required=x", "--switch=false", "--most=1m"],
        &[],
    )
    .unwrap();
    let program: Program = reader.finish().unwrap();
    let Some(Inner::Serve(settings)) = program.command else {
        panic!("{program:?}");
    };
    assert_eq!(settings.required, "x");
    assert_eq!((*settings.least, *settings.most), (SECOND, 60 * SECOND));
    assert_eq!((settings.number, settings.switch), (3, false));
    assert!(settings.secret.is_none());
}

#[test]
fn flags_that_do_not_exist_or_have_no_value_are_errors_of_usage() {
    for flags in [
        &["serve", "--requird=x"][..],
        &["serve", "--most"],
        &["srve"],
        &["serve", "--help"],
    ] {
        let refused = reader(flags, &[]);
        assert!(matches!(refused, Err(ConfigError::Usage(_))), "{flags:?}");
    }
}
