//! Takes settings from flags and variables, and collects what is wrong with them.

use std::{collections::BTreeMap, ffi::OsString, fmt::Display, time::Duration};

use clap::{Arg, ArgMatches, Command};

use super::{
    ConfigError, EXIT_USAGE, FOREIGN_PREFIX, PREFIX, format_duration, parse_duration,
    settings::{Kind, SETTINGS, Setting},
};

pub(super) struct Reader<'a> {
    flags: ArgMatches,
    environment: &'a BTreeMap<String, String>,
    effective: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &'a BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let flags =
            command()
                .try_get_matches_from(arguments)
                .map_err(|error| ConfigError::Usage {
                    text: error.to_string(),
                    exit_code: if error.use_stderr() { EXIT_USAGE } else { 0 },
                })?;
        let problems = environment
            .keys()
            .filter(|name| name.starts_with(PREFIX) && !name.starts_with(FOREIGN_PREFIX))
            .filter(|name| !SETTINGS.iter().any(|known| known.variable == **name))
            .map(|name| format!("{name} is no setting of this service"))
            .collect();
        Ok(Self {
            flags,
            environment,
            effective: BTreeMap::new(),
            problems,
        })
    }

    /// The text that was given, or the default. An empty variable is not given.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let setting = setting(name)?;
        let text = self
            .flags
            .get_one::<String>(name)
            .or_else(|| self.environment.get(setting.variable))
            .filter(|text| !text.is_empty())
            .cloned()
            .or_else(|| setting.kind.default())?;
        self.effective.insert(setting.variable, text.clone());
        Some(text)
    }

    /// What `parse` makes of the text; its error completes a sentence, as in "must be a port".
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(name, &format!("is {text:?}; it {problem}"));
                None
            }
        }
    }

    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.text(name).is_none() {
            self.problem(name, "is required");
            return None;
        }
        self.parsed(name, parse)
    }

    /// A number in its range. When it is not, the default, so that reading can go on.
    pub(super) fn count(&mut self, name: &'static str) -> usize {
        let Some(Setting {
            kind: Kind::Count(default, least, most),
            ..
        }) = setting(name)
        else {
            self.problem(name, "is no number");
            return 0;
        };
        self.parsed(name, |text| match text.parse() {
            Ok(count) if (*least..=*most).contains(&count) => Ok(count),
            _ => Err(format!("must be {least} to {most}")),
        })
        .unwrap_or(*default)
    }

    /// A duration in its range. When it is not, the default, so that reading can go on.
    pub(super) fn span(&mut self, name: &'static str) -> Duration {
        let Some(Setting {
            kind: Kind::Span(default, least, most),
            ..
        }) = setting(name)
        else {
            self.problem(name, "is no duration");
            return Duration::ZERO;
        };
        self.parsed(name, |text| {
            let span = parse_duration(text).map_err(str::to_owned)?;
            if (*least..=*most).contains(&span) {
                return Ok(span);
            }
            Err(format!(
                "must be {} to {}",
                format_duration(*least),
                format_duration(*most)
            ))
        })
        .unwrap_or(*default)
    }

    pub(super) fn at_least(
        &mut self,
        name: &'static str,
        value: Duration,
        than: &'static str,
        least: Duration,
    ) {
        if value < least {
            let text = format!(
                "is {}; it must not be less than {}, which is {}",
                format_duration(value),
                variable(than),
                format_duration(least)
            );
            self.problem(name, &text);
        }
    }

    pub(super) fn problem(&mut self, name: &'static str, text: &str) {
        self.problems.push(format!("{} {text}", variable(name)));
    }

    /// What took effect, by variable.
    pub(super) fn finish(self) -> Result<BTreeMap<&'static str, String>, ConfigError> {
        if self.problems.is_empty() {
            Ok(self.effective)
        } else {
            Err(ConfigError::Problems(self.problems))
        }
    }
}

fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn variable(name: &'static str) -> &'static str {
    setting(name).map_or(name, |setting| setting.variable)
}

/// Flags are taken as text: clap would stop at the first that it cannot parse.
fn command() -> Command {
    let mut command = Command::new("gitsync-service")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Leases due git refs from chat-service and looks up their pull requests");
    for setting in SETTINGS {
        let mut help = format!("{} [env: {}]", setting.help, setting.variable);
        if let Some(default) = setting.kind.default() {
            help = format!("{help} [default: {default}]");
        }
        command = command.arg(
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(match setting.kind {
                    Kind::Required | Kind::Optional | Kind::Text(_) => "VALUE",
                    Kind::Count(..) => "COUNT",
                    Kind::Span(..) => "DURATION",
                })
                .help(help),
        );
    }
    command
}
