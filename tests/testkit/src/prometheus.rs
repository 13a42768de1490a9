//! A real Prometheus: it scrapes the services, and evaluates their alerts.

use std::{
    fmt::Write as _,
    fs::File,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use url::form_urlencoded::byte_serialize;

use crate::{
    http,
    postgres::{Aside, Debian, free_port},
    process::Process,
    wait,
};

/// It, and what it is linked with.
const PACKAGES: [&str; 2] = ["prometheus", "libc6"];
/// How long an alert may take to fire: some scrapes, some evaluations, what the fault itself takes,
/// and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(120);

async fn fetched(program: &str) -> Command {
    let fetched = Debian::fetch("prometheus", "bookworm", &PACKAGES).await;
    let debian = fetched.unwrap_or_else(|error| panic!("no Prometheus: {error}"));
    debian.command(&format!("usr/bin/{program}"))
}

/// What `promtool` says with these arguments, in `directory`, of what is in `input`.
///
/// # Errors
///
/// The same, when it does not succeed.
pub async fn promtool(
    directory: &Path,
    arguments: &[&str],
    input: Option<&Path>,
) -> Result<String, String> {
    let mut promtool = fetched("promtool").await;
    let input = input.map(|path| Stdio::from(File::open(path).expect("open the input")));
    promtool
        .args(arguments)
        .current_dir(directory)
        .stdin(input.unwrap_or_else(Stdio::null));
    let Output {
        status,
        stdout,
        stderr,
    } = promtool.output().expect("run promtool");
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

/// The rules with times that a test can wait for: alerts fire after a second, and look back by
/// `window` at most.
pub fn hastened(rules: &str, window: &str) -> String {
    let mut hastened = String::new();
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with("for: ") {
            let _ = writeln!(hastened, "{:indent$}for: 1s", "");
            continue;
        }
        let mut rest = line;
        while let Some(at) = [rest.find('['), rest.find("offset ")]
            .into_iter()
            .flatten()
            .min()
        {
            let open = if rest[at..].starts_with('[') {
                1
            } else {
                "offset ".len()
            };
            let begin = at + open;
            let length = rest[begin..]
                .find(|of: char| !of.is_ascii_alphanumeric())
                .unwrap_or(rest.len() - begin);
            let end = begin + length;
            let is_time = rest[begin..].starts_with(|of: char| of.is_ascii_digit());
            hastened.push_str(&rest[..begin]);
            hastened.push_str(if is_time { window } else { &rest[begin..end] });
            rest = &rest[end..];
        }
        let _ = writeln!(hastened, "{rest}");
    }
    hastened
}

/// A running Prometheus. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    _process: Process,
    _directory: Aside,
}

impl Prometheus {
    /// Scrapes operations endpoints, each with its job, and evaluates `rules`, both twice a second.
    pub async fn start(rules: &str, endpoints: &[(&str, &str)]) -> Self {
        let port = free_port().unwrap_or_else(|error| panic!("{error}"));
        let directory = Aside::within(&std::env::temp_dir()).expect("a temporary directory");
        let mut config = "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  \
                          evaluation_interval: 500ms\nrule_files: [rules.yaml]\nscrape_configs:\n"
            .to_owned();
        for (index, (job, url)) in endpoints.iter().enumerate() {
            let address = url.trim_start_matches("http://");
            // The name of a configuration is its own; the label is the job's.
            let _ = write!(
                config,
                "  - job_name: endpoint-{index}\n    static_configs:\n      \
                 - targets: ['{address}']\n        labels: {{job: {job}}}\n"
            );
        }
        for (name, text) in [("prometheus.yaml", config.as_str()), ("rules.yaml", rules)] {
            std::fs::write(directory.0.join(name), text).expect("write the configuration");
        }
        let mut command = fetched("prometheus").await;
        command
            .current_dir(&directory.0)
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::spawn("prometheus", command).expect("start Prometheus");
        let url = format!("http://127.0.0.1:{port}");
        let address = format!("127.0.0.1:{port}");
        wait::until("Prometheus listens", || async {
            let connected = tokio::net::TcpStream::connect(&address).await;
            connected.map_err(|error| format!("{error}: {}", process.tail(5)))
        })
        .await;
        let started = Self {
            url,
            _process: process,
            _directory: directory,
        };
        // What is counted before the first scrape is no increase.
        let all_up = format!("sum(up) == {}", endpoints.len());
        wait::within(PATIENCE, "Prometheus has scraped all", || async {
            let answer = started.query(&all_up).await;
            if answer.contains("\"value\":") {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
        started
    }

    /// The answer to an instant query, as JSON.
    pub async fn query(&self, expression: &str) -> String {
        let encoded: String = byte_serialize(expression.as_bytes()).collect();
        http::get(&self.url, &format!("/api/v1/query?query={encoded}")).await
    }

    /// Waits until each of `alerts` fires; `meanwhile` is done before each look.
    pub async fn until_firing(&self, alerts: &[&str], meanwhile: impl AsyncFn()) {
        for alert in alerts {
            self.until(alert, true, &meanwhile).await;
        }
    }

    /// Waits until none of `alerts` fires; `meanwhile` is done before each look.
    pub async fn until_quiet(&self, alerts: &[&str], meanwhile: impl AsyncFn()) {
        for alert in alerts {
            self.until(alert, false, &meanwhile).await;
        }
    }

    async fn until(&self, alert: &str, fires: bool, meanwhile: &impl AsyncFn()) {
        let what = format!("{alert} {}", if fires { "fires" } else { "is quiet" });
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        wait::within(PATIENCE, &what, || async {
            meanwhile().await;
            let answer = self.query(&firing).await;
            let is_firing = answer.contains(&format!("\"alertname\":\"{alert}\""));
            if is_firing == fires && answer.contains("\"status\":\"success\"") {
                Ok(())
            } else {
                Err(answer)
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_hastened_and_else_as_they_were() {
        let rules =
            "- alert: A\n  expr: rate(a{b=\"[c]\"}[5m]) > 0 unless a offset 10m\n  for: 2m\n";
        let wanted =
            "- alert: A\n  expr: rate(a{b=\"[c]\"}[8s]) > 0 unless a offset 8s\n  for: 1s\n";
        assert_eq!(hastened(rules, "8s"), wanted);
    }
}
