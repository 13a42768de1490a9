//! Parsers of values. Each error is the rest of a sentence that begins with the setting: "must be
//! ..." or "cannot be ...".

use std::{
    fmt::Display, net::SocketAddr, ops::RangeInclusive, path::Path, str::FromStr, time::Duration,
};

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use crate::token::TokenFile;

/// A duration as a setting: `250ms`, `10s`, `2m`, `1h 30m`, `30days`.
pub type Span = humantime::Duration;

/// Parses a duration from `least` to `most`.
pub fn span(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Span, String> + Clone + Send + Sync + 'static {
    move |text| {
        let span: Span = text
            .parse()
            .map_err(|_| "must be a number with a unit, as in 250ms, 10s, 2m or 24h".to_owned())?;
        if (least..=most).contains(&*span) {
            return Ok(span);
        }
        let (least, most) = (Span::from(least), Span::from(most));
        Err(format!("must be {least} to {most}"))
    }
}

/// Parses a number in `range`.
pub fn count<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(format!("must be {} to {}", range.start(), range.end())),
    }
}

/// Parses an address with a port, which may be 0: then any free one is taken.
///
/// # Errors
///
/// When it is not an address with a port.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an address and a port, as in 127.0.0.1:50051")
}

/// Parses a share in percent, which may have a fraction.
///
/// # Errors
///
/// When it is no number from 0 to 100.
pub fn percent(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("must be 0 to 100"),
    }
}

/// Checks that a URL is one of a collector of traces: a scheme, a host and a port.
///
/// # Errors
///
/// When it is not.
pub fn collector(text: &str) -> Result<String, &'static str> {
    let problem = "must be a URL of scheme, host and port, as in http://127.0.0.1:4317";
    let url: http::Uri = text.parse().map_err(|_| problem)?;
    let is_known = matches!(url.scheme_str(), Some("http" | "https"));
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
    // What stands before an `@` is a password.
    let is_open = url
        .authority()
        .is_some_and(|host| !host.as_str().contains('@'));
    if is_known && is_bare && is_open && url.port_u16().is_some() {
        Ok(text.to_owned())
    } else {
        Err(problem)
    }
}

/// Reads a file that holds one secret, without the white space around it.
///
/// # Errors
///
/// When it cannot be read; never with anything that it holds.
pub fn file(path: &str) -> Result<SecretString, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Takes texts with commas between.
///
/// # Errors
///
/// When there are none.
pub fn list(text: &str) -> Result<TextList, &'static str> {
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let entries: Vec<String> = entries.map(str::to_owned).collect();
    if entries.is_empty() {
        return Err("must be one or more, with commas between");
    }
    Ok(TextList(entries))
}

/// Texts of one setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextList(pub Vec<String>);

/// Reads a file with the process's own token for the first time.
///
/// # Errors
///
/// When it cannot be read or holds no token.
pub fn token_file(path: &str) -> Result<TokenFile, String> {
    TokenFile::open(Path::new(path)).map_err(|error| format!("cannot be used: {error}"))
}

/// Checks that a log filter is one that [`crate::telemetry::init`] takes.
///
/// # Errors
///
/// When it is not.
pub fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| "must be a log filter, as in info,tonic=debug".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_and_a_range() {
        let unit = "must be a number with a unit, as in 250ms, 10s, 2m or 24h";
        let range = "must be 100ms to 1day";
        let parse = span(
            Duration::from_millis(100),
            Duration::from_secs(24 * 60 * 60),
        );
        for (text, parsed) in [
            ("250ms", Ok(250)),
            ("10s", Ok(10_000)),
            ("2m", Ok(120_000)),
            ("", Err(unit)),
            ("10", Err(unit)),
            ("-1s", Err(unit)),
            ("99ms", Err(range)),
            ("25h", Err(range)),
        ] {
            let parsed = parsed.map_err(str::to_owned);
            assert_eq!(parse(text).map(|span| span.as_millis()), parsed, "{text}");
        }
    }

    #[test]
    fn a_collector_has_a_scheme_a_host_and_a_port_and_no_password() {
        for text in ["http://127.0.0.1:4317", "https://otel.example:4317/"] {
            assert_eq!(collector(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "127.0.0.1:4317",
            "http://127.0.0.1",
            "grpc://127.0.0.1:4317",
            "http://127.0.0.1:4318/v1/traces",
            "http://user:secret@127.0.0.1:4317",
        ] {
            assert!(collector(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_may_have_a_fraction_and_is_no_more_than_the_whole() {
        assert_eq!(percent("0.1"), Ok(0.1));
        assert_eq!(percent("100"), Ok(100.0));
        for text in ["-1", "100.1", "NaN", "half", ""] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_has_a_range_and_a_file_that_is_not_there_a_reason() {
        let parse = count(1..=10_u32);
        assert_eq!(parse("10"), Ok(10));
        for text in ["0", "11", "-1", "1.5", "many", ""] {
            assert_eq!(parse(text).unwrap_err(), "must be 1 to 10", "{text}");
        }
        let problem = file("/nowhere/at/all").unwrap_err();
        assert!(problem.starts_with("cannot be read: "), "{problem}");
    }
}
