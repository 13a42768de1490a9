//! What an operator sees of the settings: few numbers, each line of the help understood alone, and
//! all of them in the documentation.

use std::{collections::BTreeSet, fs, process::Command};

use testkit::process::{binaries, command};

use super::root;

/// Numbers that an operator can judge. The rest are constants.
const MOST_NUMBERS: [(&str, usize); 2] = [("CHAT_", 21), ("GITSYNC_", 27)];
/// Lists the settings of both services.
const DOCUMENT: &str = "deploy/docs/configuration.md";

/// A setting as the help shows it.
#[derive(Debug)]
struct Setting {
    flag: String,
    /// What its value is: `DURATION`, `NUMBER`, `FILE`.
    value: String,
    meaning: String,
    variable: String,
}

fn settings(prefix: &str) -> Vec<Setting> {
    let mut help = match prefix {
        "CHAT_" => {
            let mut help = command(&binaries().chat_service);
            help.arg("serve");
            help
        }
        _ => command(&binaries().gitsync_service),
    };
    let text = output(help.arg("--help"));
    let settings: Vec<_> = text.split("\n      --").skip(1).filter_map(parse).collect();
    assert!(settings.len() > 10, "{text}");
    settings
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Takes `flag <VALUE>  meaning [env: VARIABLE=] [default: ...]` apart.
fn parse(entry: &str) -> Option<Setting> {
    let words: Vec<_> = entry.split_whitespace().collect();
    let entry = words.join(" ");
    let (flag, rest) = entry.split_once(" <")?;
    let (value, rest) = rest.split_once("> ")?;
    let (meaning, rest) = rest.split_once(" [env: ")?;
    let end = rest.find(['=', ']'])?;
    Some(Setting {
        flag: flag.to_owned(),
        value: value.to_owned(),
        meaning: meaning.to_owned(),
        variable: rest[..end].to_owned(),
    })
}

#[test]
fn a_service_has_no_more_numbers_than_an_operator_can_judge() {
    for (prefix, most) in MOST_NUMBERS {
        let settings = settings(prefix);
        let is_number =
            |setting: &&Setting| ["DURATION", "NUMBER"].contains(&setting.value.as_str());
        let numbers: Vec<_> = settings.iter().filter(is_number).collect();
        assert!((5..=most).contains(&numbers.len()), "{numbers:#?}");
    }
}

/// A reader sees one line of it, and not the line above.
#[test]
fn every_line_of_the_help_is_understood_alone() {
    let elsewhere = [
        "The same", "How ", "When ", "After ", "Within ", "Over ", "That ", "This ", "It ",
        "They ", "Also ", "Then ",
    ];
    for (prefix, _) in MOST_NUMBERS {
        for setting in settings(prefix) {
            let meaning = &setting.meaning;
            let points_elsewhere = elsewhere.iter().any(|start| meaning.starts_with(start));
            assert!(!points_elsewhere, "{setting:?}");
            assert!(meaning.split(' ').count() >= 4, "{setting:?}");
            let name = setting.flag.to_uppercase().replace('-', "_");
            assert_eq!(setting.variable, format!("{prefix}{name}"));
            let is_share = setting.flag.ends_with("-percent");
            assert_eq!(is_share, meaning.contains("in percent"), "{setting:?}");
        }
    }
}

#[test]
fn the_documentation_lists_every_variable_and_no_other() {
    let text = fs::read_to_string(root().join(DOCUMENT)).unwrap();
    for (prefix, _) in MOST_NUMBERS {
        let heading = format!("all beginning with `{prefix}`");
        let table = text.split(&heading).nth(1).unwrap();
        let rows = table.lines().filter(|line| !line.is_empty()).skip(1);
        let listed: BTreeSet<String> = rows
            .take_while(|line| line.starts_with('|'))
            .flat_map(|row| row.split('`').skip(1).step_by(2))
            .filter(|name| !name.starts_with('/'))
            .map(|name| format!("{prefix}{name}"))
            .collect();
        let known: BTreeSet<String> = settings(prefix)
            .into_iter()
            .map(|setting| setting.variable)
            .collect();
        assert_eq!(listed, known);
    }
}
