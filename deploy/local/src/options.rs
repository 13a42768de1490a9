//! Every flag of the launcher, and what goes with what.

use std::path::PathBuf;

use anyhow::bail;
use clap::Parser;

/// Runs the whole system on this machine: PostgreSQL, chat-service, gitsync-service, and a stand-in
/// for GitHub with a sample organization.
#[derive(Debug, Parser)]
#[command(name = "cargo up", bin_name = "cargo up", version, about)]
pub(crate) struct Options {
    /// Write JSON with addresses, tokens and ids here once everything is ready
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Keep the database and the keys here; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Use the real GitHub: the repository to look at
    #[arg(
        long,
        value_name = "OWNER/NAME",
        requires = "branch",
        help = "Use the real GitHub: the repository to look at. Needs --branch and GITHUB_TOKEN"
    )]
    pub(crate) repo: Option<String>,
    /// A branch of that repository; may be given several times
    #[arg(long, requires = "repo")]
    pub(crate) branch: Vec<String>,
    /// Use another GitHub API
    #[arg(
        long,
        value_name = "URL",
        help = "Use another GitHub API, as in https://ghe.example.com/api/v3. Needs GITHUB_TOKEN"
    )]
    pub(crate) github_api_url: Option<url::Url>,
    /// The token for the real GitHub or for --github-api-url
    #[arg(long, env = "GITHUB_TOKEN", hide_env_values = true, hide = true)]
    pub(crate) github_token: Option<String>,

    /// Port of chat-service [default: 50051, or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Port of gitsync-service [default: 50061, or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) gitsync_port: Option<u16>,
    /// Port of PostgreSQL [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) postgres_port: Option<u16>,

    /// Which log lines the services write
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        help = "Which log lines the services write, as in info,chat_service=debug"
    )]
    pub(crate) log: String,
}

impl Options {
    /// Refuses what cannot work, before anything is built.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.wants_other_host() && self.token().is_none() {
            bail!("--repo and --github-api-url need a token in the variable GITHUB_TOKEN");
        }
        if let Some(repo) = &self.repo
            && !repo.split_once('/').is_some_and(|(owner, name)| {
                !owner.is_empty() && !name.is_empty() && !name.contains('/')
            })
        {
            bail!("--repo is {repo:?}; it must be owner/name");
        }
        Ok(())
    }

    /// Whether something else than the stand-in is asked for.
    pub(crate) fn wants_other_host(&self) -> bool {
        self.repo.is_some() || self.github_api_url.is_some()
    }

    /// The token, if there is one that is not empty.
    pub(crate) fn token(&self) -> Option<&str> {
        self.github_token
            .as_deref()
            .filter(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let mut options = Options::parse_from([&["up"], arguments].concat());
        // Whatever the machine has.
        options.github_token = None;
        options
    }

    #[test]
    fn the_flags_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_stand_in_needs_no_token_and_everything_else_does() {
        assert!(options(&[]).check().is_ok());
        let mut real = options(&["--repo", "acme/web", "--branch", "main"]);
        assert!(real.check().is_err());
        real.github_token = Some("t".to_owned());
        assert!(real.check().is_ok());
        real.repo = Some("acme".to_owned());
        assert!(real.check().is_err());
    }

    #[test]
    fn a_repository_without_a_branch_is_refused() {
        assert!(Options::try_parse_from(["up", "--repo", "acme/web"]).is_err());
    }
}
