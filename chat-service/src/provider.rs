//! The git hosts that this service knows, as configured. Only they are ever dialled: an origin is
//! understood against them once, when it is reported, and a lease carries the parts.

pub mod oauth;
pub mod origin;

use std::{collections::BTreeMap, net::IpAddr};

use url::{Host, Url};

pub use proto::sync::{Provider, ProviderKind};

use self::oauth::{OauthClient, OauthEntry};

/// The prefix of every variable of a provider.
pub const VARIABLE_PREFIX: &str = "GIT_PROVIDER_";

const GITHUB_HOST: &str = "github.com";
/// Below this each tenant of GitHub Enterprise Cloud with data residency has a host.
const TENANTS: &str = ".ghe.com";
/// Where GitHub Enterprise Server has its API.
const ENTERPRISE_API_PATH: &str = "/api/v3";

/// A git host, and what is set of it for this service alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConfiguredProvider {
    provider: Provider,
    /// Further names of that host in users' SSH configurations, in lower case: `github.com-work`.
    ssh_hosts: Vec<String>,
    /// The app whose tokens can be renewed.
    oauth: Option<OauthClient>,
}

impl ConfiguredProvider {
    /// Whether an origin at `host`, in lower case, is one of its. The host may be written with
    /// `www.`. Over SSH it may be an alias, and GitHub's with `ssh.`, where SSH goes through the
    /// HTTPS port.
    fn is_at(&self, host: &str, ssh: bool) -> bool {
        let own = self.provider.host.as_str();
        own == host
            || host.strip_prefix("www.") == Some(own)
            || (ssh
                && (self.ssh_hosts.iter().any(|alias| alias == host)
                    || (own == GITHUB_HOST && host.strip_prefix("ssh.") == Some(GITHUB_HOST))))
    }
}

/// The configured providers. Ids and hosts are unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers(Vec<ConfiguredProvider>);

impl Default for Providers {
    /// github.com alone.
    fn default() -> Self {
        Self(vec![ConfiguredProvider {
            provider: Provider {
                id: ProviderKind::Github.name().to_owned(),
                kind: ProviderKind::Github,
                host: GITHUB_HOST.to_owned(),
                api_base_url: default_api(GITHUB_HOST),
            },
            ssh_hosts: Vec::new(),
            oauth: None,
        }])
    }
}

impl Providers {
    /// Reads `GIT_PROVIDER_<n>_TYPE`, `_ID`, `_HOST`, `_SSH_HOSTS`, `_API_BASE_URL` and, for an app
    /// whose tokens expire, `_OAUTH_CLIENT_ID`, `_OAUTH_CLIENT_SECRET_FILE` and `_OAUTH_TOKEN_URL`,
    /// for any numbers `n`.
    ///
    /// `_TYPE` is required (`github`). `_ID` is the type if unset, and `_HOST` is `github.com`.
    /// `_API_BASE_URL` is `https://api.HOST` for that host and for `TENANT.ghe.com`, and
    /// `https://HOST/api/v3` for any other. `_SSH_HOSTS` lists what users' SSH configurations call
    /// the host, with commas between. Without any of these variables, github.com is the one
    /// provider. Other variables are not looked at.
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
                    "{name} is no setting; there are {VARIABLE_PREFIX}<n>_TYPE, _ID, _HOST, \
                     _SSH_HOSTS, _API_BASE_URL, _OAUTH_CLIENT_ID, _OAUTH_CLIENT_SECRET_FILE and \
                     _OAUTH_TOKEN_URL"
                )),
            }
        }
        if entries.is_empty() && problems.is_empty() {
            return Ok(Self::default());
        }
        let mut providers: Vec<ConfiguredProvider> = Vec::new();
        for (number, entry) in entries {
            if let Some(configured) = entry.configured(number, &mut problems) {
                let ConfiguredProvider {
                    provider,
                    ssh_hosts,
                    oauth: _,
                } = &configured;
                for other in &providers {
                    if other.provider.id == provider.id {
                        problems.push(format!(
                            "{VARIABLE_PREFIX}{number}_ID is {:?}, as another provider's",
                            provider.id
                        ));
                    }
                    if other.provider.host == provider.host {
                        problems.push(format!(
                            "{VARIABLE_PREFIX}{number}_HOST is {:?}, as another provider's",
                            provider.host
                        ));
                    }
                    // An origin must not name two providers.
                    let shared = ssh_hosts.iter().find(|host| other.is_at(host, true));
                    let shared = shared.or_else(|| {
                        let mut theirs = other.ssh_hosts.iter();
                        theirs.find(|host| configured.is_at(host, true))
                    });
                    if let Some(shared) = shared {
                        problems.push(format!(
                            "{VARIABLE_PREFIX}{number}_SSH_HOSTS: {shared:?} is another \
                             provider's too"
                        ));
                    }
                }
                providers.push(configured);
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
        self.iter().find(|provider| provider.id == id)
    }

    /// The client that renews the tokens of users of the provider with this id.
    #[must_use]
    pub fn oauth(&self, id: &str) -> Option<&OauthClient> {
        let mut all = self.0.iter();
        let found = all.find(|configured| configured.provider.id == id)?;
        found.oauth.as_ref()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter().map(|configured| &configured.provider)
    }

    /// The provider whose host an origin names, which has no case and may end in a dot.
    fn by_host(&self, host: &str, ssh: bool) -> Option<&Provider> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let mut all = self.0.iter();
        all.find(|configured| configured.is_at(&host, ssh))
            .map(|configured| &configured.provider)
    }
}

/// The settings of one number.
#[derive(Default)]
struct Entry {
    kind: Option<String>,
    id: Option<String>,
    host: Option<String>,
    ssh_hosts: Option<String>,
    api_base_url: Option<String>,
    oauth: OauthEntry,
}

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Id,
    Host,
    SshHosts,
    ApiBaseUrl,
    OauthClientId,
    OauthClientSecretFile,
    OauthTokenUrl,
}

/// Takes `<n>_<FIELD>` apart.
fn place(rest: &str) -> Option<(u32, Field)> {
    let (number, field) = rest.split_once('_')?;
    let field = match field {
        "TYPE" => Field::Kind,
        "ID" => Field::Id,
        "HOST" => Field::Host,
        "SSH_HOSTS" => Field::SshHosts,
        "API_BASE_URL" => Field::ApiBaseUrl,
        "OAUTH_CLIENT_ID" => Field::OauthClientId,
        "OAUTH_CLIENT_SECRET_FILE" => Field::OauthClientSecretFile,
        "OAUTH_TOKEN_URL" => Field::OauthTokenUrl,
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
            Field::SshHosts => &mut self.ssh_hosts,
            Field::ApiBaseUrl => &mut self.api_base_url,
            Field::OauthClientId => &mut self.oauth.client_id,
            Field::OauthClientSecretFile => &mut self.oauth.secret_file,
            Field::OauthTokenUrl => &mut self.oauth.token_url,
        };
        *place = Some(value);
    }

    fn configured(self, number: u32, problems: &mut Vec<String>) -> Option<ConfiguredProvider> {
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
        let ssh_hosts: Vec<String> = self.ssh_hosts.as_deref().map_or_else(Vec::new, |text| {
            let names = text.split(',').map(str::trim);
            names.map(str::to_ascii_lowercase).collect()
        });
        if !ssh_hosts.iter().all(|name| is_ssh_host(name)) {
            problems.push(format!(
                "{} must be names of hosts with commas between, each of letters, digits, `-`, `_` \
                 or `.`",
                name("SSH_HOSTS")
            ));
        }
        let api_base_url = match self.api_base_url {
            Some(text) => match secure_url(&text) {
                Ok(base) => base,
                Err(problem) => {
                    problems.push(format!("{} {problem}", name("API_BASE_URL")));
                    return None;
                }
            },
            None => default_api(&host),
        };
        let oauth = self.oauth.client(&host, &api_base_url, &name, problems);
        (problems.len() == before).then_some(ConfiguredProvider {
            provider: Provider {
                id,
                kind: kind?,
                host,
                api_base_url,
            },
            ssh_hosts,
            oauth,
        })
    }
}

/// Where GitHub has the API of `host`: what GitHub runs itself has a host of its own for it.
fn default_api(host: &str) -> String {
    let tenant = host.strip_suffix(TENANTS);
    if host == GITHUB_HOST || tenant.is_some_and(|tenant| !tenant.contains('.')) {
        format!("https://api.{host}")
    } else {
        format!("https://{host}{ENTERPRISE_API_PATH}")
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && is_plain(id)
}

/// Whether an SSH configuration could use this host alias; patterns are excluded.
fn is_ssh_host(name: &str) -> bool {
    (1..=253).contains(&name.len()) && !name.ends_with('.') && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    name.bytes()
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

/// Checks an API base, or a token endpoint. A token goes there with every request, so it is
/// `https`, but for a stand-in on this machine. The problem does not repeat the value, which may
/// hold a secret.
fn secure_url(text: &str) -> Result<String, &'static str> {
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
mod tests;
