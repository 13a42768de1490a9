//! The one reader of settings.
//!
//! A service declares its settings with clap's derive, each as a flag and a variable. The reader
//! adds what an operator needs and clap lacks: every problem is reported in one start, and a
//! variable with the service's prefix that no setting has is one of them.

mod tls;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    ffi::OsString,
    process::ExitCode,
};

use clap::{
    Arg, ArgMatches, Command, CommandFactory, FromArgMatches,
    builder::OsStringValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
};

pub use tls::{Place, is_private};
pub use value::{
    Span, TextList, address, collector, count, file, list, log_filter, percent, span, token_file,
};

/// Exit code of a process whose configuration cannot be used: `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;
/// Exit code of a process that could not start, or had to end: `EX_SOFTWARE` of sysexits.h.
pub const EXIT_FAILURE: u8 = 70;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line cannot be parsed, or help or the version was asked for.
    #[error("{0}")]
    Usage(clap::Error),
    /// Each names its setting and says what is wrong with it.
    #[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
    Problems(Vec<String>),
}

impl ConfigError {
    /// Prints help to standard output and everything else to standard error: there is no log yet.
    #[expect(clippy::print_stderr, reason = "there is no log yet")]
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                // A closed pipe is no reason for another exit code.
                let _ = error.print();
                if error.use_stderr() {
                    ExitCode::from(EXIT_USAGE)
                } else {
                    ExitCode::SUCCESS
                }
            }
            Self::Problems(_) => {
                eprintln!("{self}");
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}

/// The variables of this process that are text.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the settings of a command, and collects what is wrong with them.
pub struct Reader {
    /// As the service declares it.
    declared: Command,
    matches: ArgMatches,
    problems: Vec<String>,
}

impl Reader {
    /// Parses `arguments` (the program's name first) and the variables that `T` declares, which
    /// clap takes from this process. Of `names`, those that begin with `prefix` must be settings;
    /// what begins with `prefix` and `SERVICE_` is exempt, since Kubernetes announces a Service by
    /// such variables to every pod beside it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Usage`] for what is no value of a setting, as an unknown flag.
    pub fn new<'a, T: CommandFactory>(
        arguments: impl IntoIterator<Item = OsString>,
        names: impl IntoIterator<Item = &'a String>,
        prefix: &str,
    ) -> Result<Self, ConfigError> {
        let declared = with_units(T::command());
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let mut problems = unknown(&declared, names, prefix);
        let mut refused = BTreeSet::new();
        // clap ends at its first problem. Each is noted, and then parsed around: a setting that was
        // refused takes any text, or none.
        let matches = loop {
            let mut lenient = loosen(declared.clone(), &refused);
            let error = match lenient.try_get_matches_from_mut(&arguments) {
                Ok(matches) => break matches,
                Err(error) => error,
            };
            let flags = flags(&error);
            let is_new = !flags.is_empty() && flags.is_disjoint(&refused);
            let (true, Some(found)) = (is_new, describe(&declared, &error, &flags)) else {
                return Err(ConfigError::Usage(error));
            };
            problems.extend(found);
            refused.extend(flags);
        };
        Ok(Self {
            declared,
            matches,
            problems,
        })
    }

    /// The subcommand that was named, if any.
    #[must_use]
    pub fn subcommand(&self) -> Option<&str> {
        self.matches.subcommand_name()
    }

    /// The value of a setting, which is named by its field; none where it is not set, or was
    /// refused.
    #[must_use]
    pub fn value<T: Clone + Send + Sync + 'static>(&self, field: &str) -> Option<T> {
        self.leaf().try_get_one(field).ok().flatten().cloned()
    }

    /// Adds a problem: a sentence that names its setting.
    pub fn refuse(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Refuses a duration that is shorter than another setting. Both are named by their fields.
    pub fn at_least(&mut self, field: &str, least: &str) {
        let value = |id| self.value::<Span>(id);
        // A setting that was refused has no value to compare.
        if let (Some(value), Some(least_value)) = (value(field), value(least))
            && *value < *least_value
        {
            let (name, least) = (self.name_of(field), self.name_of(least));
            self.problems.push(format!(
                "{name} is {value}; it must not be less than {least}, which is {least_value}"
            ));
        }
    }

    /// Refuses the absence of all of these settings, which are named by their fields.
    pub fn require_any(&mut self, fields: &[&str]) {
        if !fields.iter().any(|field| self.is_set(field)) {
            let names: Vec<_> = fields.iter().map(|field| self.name_of(field)).collect();
            self.problems
                .push(format!("{} is required", names.join(" or ")));
        }
    }

    /// Refuses a setting that means nothing without another one. Both are named by their fields.
    pub fn needs(&mut self, field: &str, other: &str) {
        if self.is_set(field) && !self.is_set(other) {
            let (name, other) = (self.name_of(field), self.name_of(other));
            self.problems.push(format!("{name} needs {other}"));
        }
    }

    fn is_set(&self, field: &str) -> bool {
        matches!(self.leaf().try_get_raw(field), Ok(Some(_)))
    }

    /// Adds the problems of something that is read beside the settings.
    pub fn collect<T: Default>(&mut self, read: Result<T, Vec<String>>) -> T {
        read.unwrap_or_else(|problems| {
            self.problems.extend(problems);
            T::default()
        })
    }

    /// The text of every setting as it took effect, by variable; none of those whose values are
    /// hidden.
    #[must_use]
    pub fn effective(&self) -> BTreeMap<String, String> {
        let mut effective = BTreeMap::new();
        for argument in arguments(&self.declared) {
            if let Some(variable) = variable(argument)
                && !argument.is_hide_env_values_set()
                && let Ok(Some(texts)) = self.leaf().try_get_raw(argument.get_id().as_str())
            {
                let texts: Vec<_> = texts.map(|text| text.to_string_lossy()).collect();
                effective.insert(variable.to_owned(), texts.join(" "));
            }
        }
        effective
    }

    /// The settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Problems`]: all of them.
    pub fn finish<T: FromArgMatches>(mut self) -> Result<T, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError::Problems(self.problems));
        }
        T::from_arg_matches_mut(&mut self.matches).map_err(ConfigError::Usage)
    }

    /// The matches of the innermost subcommand.
    fn leaf(&self) -> &ArgMatches {
        let mut leaf = &self.matches;
        while let Some((_, inner)) = leaf.subcommand() {
            leaf = inner;
        }
        leaf
    }

    fn name_of(&self, field: &str) -> String {
        arguments(&self.declared)
            .into_iter()
            .find(|argument| argument.get_id() == field)
            .map_or_else(|| field.to_owned(), name)
    }
}

/// The arguments of a command and of all its subcommands.
fn arguments(command: &Command) -> Vec<&Arg> {
    let inner = command.get_subcommands().flat_map(arguments);
    command.get_arguments().chain(inner).collect()
}

/// Shows durations and numbers as such in the help, by what their defaults are.
fn with_units(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let default = argument.get_default_values().first();
            let text = default.and_then(|text| text.to_str()).unwrap_or_default();
            // `0` is both, and a duration is written with its unit.
            if text.parse::<u64>().is_ok() {
                argument.value_name("NUMBER")
            } else if text.parse::<Span>().is_ok() {
                argument.value_name("DURATION")
            } else {
                argument
            }
        })
        .mut_subcommands(with_units)
}

fn variable(argument: &Arg) -> Option<&str> {
    argument.get_env()?.to_str()
}

/// The operator's name of an argument: its variable, or its flag.
fn name(argument: &Arg) -> String {
    variable(argument)
        .map(str::to_owned)
        .or_else(|| argument.get_long().map(|flag| format!("--{flag}")))
        .unwrap_or_else(|| argument.to_string())
}

fn unknown<'a>(
    declared: &Command,
    names: impl IntoIterator<Item = &'a String>,
    prefix: &str,
) -> Vec<String> {
    let known: BTreeSet<&str> = arguments(declared)
        .into_iter()
        .filter_map(variable)
        .collect();
    let foreign = format!("{prefix}SERVICE_");
    names
        .into_iter()
        .filter(|name| name.starts_with(prefix) && !name.starts_with(&foreign))
        .filter(|name| !known.contains(name.as_str()))
        .map(|name| format!("{name} is no setting of this service"))
        .collect()
}

/// Lets the arguments of these flags be any text, or absent.
fn loosen(command: Command, refused: &BTreeSet<String>) -> Command {
    command
        .mut_args(|argument| {
            if argument
                .get_long()
                .is_some_and(|flag| refused.contains(flag))
            {
                argument
                    .required(false)
                    .value_parser(OsStringValueParser::new())
            } else {
                argument
            }
        })
        .mut_subcommands(|inner| loosen(inner, refused))
}

/// The flags that an error is about, without their dashes.
fn flags(error: &clap::Error) -> BTreeSet<String> {
    let of = |text: &str| {
        // As in `--interval <INTERVAL>`.
        let flag = text.split([' ', '=']).next().unwrap_or(text);
        flag.strip_prefix("--").map(str::to_owned)
    };
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => of(text).into_iter().collect(),
        Some(ContextValue::Strings(texts)) => texts.iter().filter_map(|text| of(text)).collect(),
        _ => BTreeSet::new(),
    }
}

/// A sentence for each flag, if the error is about their values.
fn describe(
    declared: &Command,
    error: &clap::Error,
    flags: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let reason = if error.kind() == ErrorKind::MissingRequiredArgument {
        "is required".to_owned()
    } else {
        refusal(error)?
    };
    let sentence = |flag: &String| {
        let argument = arguments(declared)
            .into_iter()
            .find(|argument| argument.get_long() == Some(flag))?;
        let value = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) if !argument.is_hide_env_values_set() => {
                format!("is {value:?}; it ")
            }
            _ => String::new(),
        };
        Some(format!("{} {value}{reason}", name(argument)))
    };
    flags.iter().map(sentence).collect()
}

/// Why a value is refused, as the rest of a sentence: "must be true or false".
fn refusal(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::ValueValidation {
        return error.source().map(ToString::to_string);
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if error.kind() == ErrorKind::InvalidValue => {
            let is_any = valid.is_empty();
            Some(if is_any {
                "must have a value".to_owned()
            } else {
                format!("must be {}", valid.join(" or "))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
