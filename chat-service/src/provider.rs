//! The git hosts that this service knows, as configured. Only they are ever dialled: an origin is
//! understood against them once, when it is reported, and a lease carries the parts.

pub mod origin;

use std::{collections::BTreeMap, net::IpAddr};

use url::{Host, Url};

pub use proto::sync::{Provider, ProviderKind};

/// What every variable of a provider begins with.
pub const VARIABLE_PREFIX: &str = "GIT_PROVIDER_";

/// The host whose API has a host of its own.
const GITHUB_HOST: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";
/// Where GitHub Enterprise Server has its API.
const ENTERPRISE_API_PATH: &str = "/api/v3";

/// The configured providers. Ids and hosts are unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(Vec<Provider>);

impl Default for Providers {
    /// github.com alone.
    fn default() -> Self {
        Self(vec![Provider {
            id: ProviderKind::Github.name().to_owned(),
            kind: ProviderKind::Github,
            host: GITHUB_HOST.to_owned(),
            api_base_url: GITHUB_API.to_owned(),
        }])
    }
}

impl Providers {
    /// Reads `GIT_PROVIDER_<n>_TYPE`, `_ID`, `_HOST` and `_API_BASE_URL`, for any numbers `n`.
    ///
    /// `_TYPE` is required (`github`). `_ID` is the type if unset, `_HOST` is `github.com`, and
    /// `_API_BASE_URL` is `https://api.github.com` for that host and `https://HOST/api/v3` for any
    /// other. Without any of these variables, github.com is the one provider. Other variables are
    /// not looked at.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its variable's name.
    pub fn from_vars(vars: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut entries: BTreeMap<u32, Entry> = BTreeMap::new();
        for (name, value) in vars {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            match place(rest) {
                Some((number, field)) => {
                    entries
                        .entry(number)
                        .or_default()
                        .set(field, value.trim().to_owned());
                }
                None => problems.push(format!(
                    "{name} is no setting; there are {VARIABLE_PREFIX}<n>_TYPE, _ID, _HOST and \
                     _API_BASE_URL"
                )),
            }
        }
        if entries.is_empty() && problems.is_empty() {
            return Ok(Self::default());
        }
        let mut providers: Vec<Provider> = Vec::new();
        for (number, entry) in entries {
            if let Some(provider) = entry.provider(number, &mut problems) {
                for other in &providers {
                    if other.id == provider.id {
                        problems.push(format!(
                            "{VARIABLE_PREFIX}{number}_ID is {:?}, as another provider's",
                            provider.id
                        ));
                    }
                    if other.host == provider.host {
                        problems.push(format!(
                            "{VARIABLE_PREFIX}{number}_HOST is {:?}, as another provider's",
                            provider.host
                        ));
                    }
                }
                providers.push(provider);
            }
        }
        if problems.is_empty() {
            Ok(Self(providers))
        } else {
            Err(problems)
        }
    }

    /// The provider with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.id == id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }

    /// The provider whose host an origin names. Hosts have no case, may end in a dot, and GitHub's
    /// may be written with `www.`, and with `ssh.` where SSH goes through the HTTPS port.
    fn by_host(&self, host: &str, ssh: bool) -> Option<&Provider> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().find(|provider| {
            provider.host == host
                || host.strip_prefix("www.") == Some(provider.host.as_str())
                || (ssh
                    && provider.host == GITHUB_HOST
                    && host.strip_prefix("ssh.") == Some(GITHUB_HOST))
        })
    }
}

/// The settings of one number.
#[derive(Default)]
struct Entry {
    kind: Option<String>,
    id: Option<String>,
    host: Option<String>,
    api_base_url: Option<String>,
}

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Id,
    Host,
    ApiBaseUrl,
}

/// Takes `<n>_<FIELD>` apart.
fn place(rest: &str) -> Option<(u32, Field)> {
    let (number, field) = rest.split_once('_')?;
    let field = match field {
        "TYPE" => Field::Kind,
        "ID" => Field::Id,
        "HOST" => Field::Host,
        "API_BASE_URL" => Field::ApiBaseUrl,
        _ => return None,
    };
    // `01` and `1` would be one provider with two spellings.
    let plain = number == "0" || !number.starts_with('0');
    let number = number.parse().ok().filter(|_| plain)?;
    Some((number, field))
}

impl Entry {
    fn set(&mut self, field: Field, value: String) {
        let place = match field {
            Field::Kind => &mut self.kind,
            Field::Id => &mut self.id,
            Field::Host => &mut self.host,
            Field::ApiBaseUrl => &mut self.api_base_url,
        };
        *place = Some(value);
    }

    fn provider(self, number: u32, problems: &mut Vec<String>) -> Option<Provider> {
        let before = problems.len();
        let name = |field: &str| format!("{VARIABLE_PREFIX}{number}_{field}");
        let kind = match self.kind.as_deref() {
            None => {
                problems.push(format!("{} is missing; it is `github`", name("TYPE")));
                None
            }
            Some(text) => {
                let kind = ProviderKind::from_name(text);
                let kind = kind.filter(|kind| *kind != ProviderKind::Unspecified);
                if kind.is_none() {
                    problems.push(format!("{} is {text:?}; it must be `github`", name("TYPE")));
                }
                kind
            }
        };
        let id = self
            .id
            .unwrap_or_else(|| kind.unwrap_or(ProviderKind::Github).name().to_owned());
        if !is_id(&id) {
            problems.push(format!(
                "{} is {id:?}; it must be 1 to 64 letters, digits, `-`, `_` or `.`",
                name("ID")
            ));
        }
        let host = self.host.unwrap_or_else(|| GITHUB_HOST.to_owned());
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            problems.push(format!(
                "{} is {host:?}; it must be a host without scheme, port or path",
                name("HOST")
            ));
        }
        let api_base_url = match self.api_base_url {
            Some(text) => match api_base(&text) {
                Ok(base) => base,
                Err(problem) => {
                    problems.push(format!("{} {problem}", name("API_BASE_URL")));
                    return None;
                }
            },
            None if host == GITHUB_HOST => GITHUB_API.to_owned(),
            None => format!("https://{host}{ENTERPRISE_API_PATH}"),
        };
        (problems.len() == before).then_some(Provider {
            id,
            kind: kind?,
            host,
            api_base_url,
        })
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_host(host: &str) -> bool {
    !host.contains(':')
        && match Host::parse(host) {
            Ok(Host::Domain(parsed)) => parsed == host && !host.ends_with('.'),
            Ok(Host::Ipv4(_)) => true,
            Ok(Host::Ipv6(_)) | Err(_) => false,
        }
}

/// Checks an API base. A token goes there with every request, so it is `https`, but for a stand-in
/// on this machine. The problem does not repeat the value, which may hold a secret.
fn api_base(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold user info");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither query nor fragment");
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => return Err("has no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("must be https: tokens are sent there"),
        _ => return Err("must be https"),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn without_settings_github_is_the_one_provider() {
        let providers = Providers::from_vars(&vars(&[("PATH", "/bin")])).unwrap();
        let all: Vec<&Provider> = providers.iter().collect();
        assert_eq!(
            all,
            [&Provider {
                id: "github".to_owned(),
                kind: ProviderKind::Github,
                host: "github.com".to_owned(),
                api_base_url: "https://api.github.com".to_owned(),
            }]
        );
    }

    #[test]
    fn enterprise_hosts_have_their_api_below_the_host_unless_told_otherwise() {
        let providers = Providers::from_vars(&vars(&[
            ("GIT_PROVIDER_0_TYPE", "github"),
            ("GIT_PROVIDER_1_TYPE", "github"),
            ("GIT_PROVIDER_1_ID", "corp"),
            ("GIT_PROVIDER_1_HOST", "GHE.corp.example"),
            ("GIT_PROVIDER_2_TYPE", "github"),
            ("GIT_PROVIDER_2_ID", "stand-in"),
            ("GIT_PROVIDER_2_HOST", "git.test"),
            ("GIT_PROVIDER_2_API_BASE_URL", "http://127.0.0.1:8080/"),
        ]))
        .unwrap();
        let corp = providers.by_id("corp").unwrap();
        assert_eq!(corp.host, "ghe.corp.example");
        assert_eq!(corp.api_base_url, "https://ghe.corp.example/api/v3");
        let stand_in = providers.by_id("stand-in").unwrap();
        assert_eq!(stand_in.api_base_url, "http://127.0.0.1:8080");
        assert_eq!(stand_in.api_host(), "127.0.0.1:8080");
    }

    #[test]
    fn all_problems_are_told_at_once_by_variable() {
        let problems = Providers::from_vars(&vars(&[
            ("GIT_PROVIDER_0_TYPE", "subversion"),
            ("GIT_PROVIDER_1_HOST", "https://x"),
            ("GIT_PROVIDER_2_TYPE", "github"),
            ("GIT_PROVIDER_2_API_BASE_URL", "http://elsewhere.example"),
            ("GIT_PROVIDER_3_TYPE", "github"),
            ("GIT_PROVIDER_4_TYPE", "github"),
            ("GIT_PROVIDER_5_TOKEN", "hush-hush"),
            ("GIT_PROVIDER_ID", "x"),
            ("GIT_PROVIDER_6_TYPE", "github"),
            (
                "GIT_PROVIDER_6_API_BASE_URL",
                "https://user:hush-hush@x.example",
            ),
        ]))
        .unwrap_err()
        .join("\n");
        for name in [
            "GIT_PROVIDER_0_TYPE",
            "GIT_PROVIDER_1_TYPE",
            "GIT_PROVIDER_1_HOST",
            "GIT_PROVIDER_2_API_BASE_URL",
            "GIT_PROVIDER_4_ID",
            "GIT_PROVIDER_4_HOST",
            "GIT_PROVIDER_5_TOKEN",
            "GIT_PROVIDER_ID",
            "GIT_PROVIDER_6_API_BASE_URL",
        ] {
            assert!(problems.contains(name), "{name} is not in {problems}");
        }
        assert!(!problems.contains("hush-hush"));
    }
}
