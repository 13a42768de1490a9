//! The git host that the services look at: the stand-in, the real GitHub, or another one.

use anyhow::Context as _;
use testkit::github::{
    GitHub,
    sample::{self, Sample, SamplePullRequest, SampleState},
};
use url::{Host, Url};

use crate::options::Options;

/// The provider's id, as chats and accounts name it.
pub(crate) const PROVIDER: &str = "github";

const GITHUB: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";

/// A git host as chat-service is configured for it.
pub(crate) struct GitHost {
    /// The host of remote origins.
    pub(crate) host: String,
    /// The base of its API.
    pub(crate) api: String,
    /// The stand-in, if it is one.
    pub(crate) stand_in: Option<StandIn>,
}

/// A running stand-in with its sample organization.
pub(crate) struct StandIn {
    pub(crate) github: GitHub,
    pub(crate) sample: Sample,
}

impl GitHost {
    /// Starts the stand-in, unless the options ask for another host.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        if let Some(url) = &options.github_api_url {
            return Ok(Self {
                host: origin_host(url),
                api: url.as_str().trim_end_matches('/').to_owned(),
                stand_in: None,
            });
        }
        if options.wants_other_host() {
            return Ok(Self {
                host: GITHUB.to_owned(),
                api: GITHUB_API.to_owned(),
                stand_in: None,
            });
        }
        let github = GitHub::start_on(crate::ports::any())
            .await
            .context("the GitHub stand-in cannot start")?;
        let sample = sample::organization(&github);
        let stand_in = StandIn { github, sample };
        stand_in.open_all();
        Ok(Self {
            host: GITHUB.to_owned(),
            api: stand_in.github.api_base_url(),
            stand_in: Some(stand_in),
        })
    }

    /// The origin of a repository, as `git remote` would print it.
    pub(crate) fn origin(&self, repository: &str) -> String {
        format!("https://{}/{repository}.git", self.host)
    }
}

impl StandIn {
    /// Opens every pull request: a branch leads a worker to an open one only.
    fn open_all(&self) {
        for SamplePullRequest {
            repository,
            number,
            state,
            ..
        } in &self.sample.pull_requests
        {
            match state {
                SampleState::Merged | SampleState::Closed => {
                    self.github.reopen(repository, *number);
                }
                SampleState::Open | SampleState::Draft => {}
            }
        }
    }

    /// Merges and closes those that the sample has so.
    pub(crate) fn settle(&self) {
        for SamplePullRequest {
            repository,
            number,
            state,
            ..
        } in &self.sample.pull_requests
        {
            match state {
                SampleState::Merged => self.github.merge(repository, *number),
                SampleState::Closed => self.github.close(repository, *number),
                SampleState::Open | SampleState::Draft => {}
            }
        }
    }
}

/// The host of remote origins, from that of the API: what GitHub runs has one of its own for the
/// API, an enterprise server's is the same, and a bare address is some stand-in for GitHub.
fn origin_host(api: &Url) -> String {
    match api.host() {
        Some(Host::Domain(name)) if name.contains('.') => {
            let by_github = |host: &&str| *host == GITHUB || host.ends_with(".ghe.com");
            let host = name.strip_prefix("api.").filter(by_github);
            host.unwrap_or(name).to_owned()
        }
        Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) | None => GITHUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origins_host_follows_from_the_apis() {
        for (api, host) in [
            ("https://api.github.com", "github.com"),
            ("https://api.acme.ghe.com", "acme.ghe.com"),
            ("https://ghe.corp.example/api/v3", "ghe.corp.example"),
            ("https://api.corp.example", "api.corp.example"),
            ("http://127.0.0.1:8080", "github.com"),
            ("http://localhost:8080", "github.com"),
        ] {
            assert_eq!(origin_host(&Url::parse(api).unwrap()), host, "{api}");
        }
    }
}
