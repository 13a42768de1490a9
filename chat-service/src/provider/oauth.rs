//! The apps whose tokens expire: what renews users' tokens at a provider.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use service_runtime::config::file;
use url::Url;

use super::secure_url;

/// Where GitHub renews tokens, at the host that people sign in at: github.com, a tenant's of
/// Enterprise Cloud, or an Enterprise Server.
const TOKEN_PATH: &str = "/login/oauth/access_token";

/// An app at a provider, as which users' tokens are renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthClient {
    /// The app's public id.
    pub client_id: String,
    /// Where tokens are renewed: at the provider's host, or beside its API.
    pub token_url: Url,
    secret_file: PathBuf,
}

impl OauthClient {
    /// The app's secret, read each time, so that it can be replaced while the service runs.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds nothing.
    pub fn secret(&self) -> Result<SecretString, String> {
        let secret = file(&self.secret_file.to_string_lossy())?;
        if secret.expose_secret().is_empty() {
            return Err("holds no secret".to_owned());
        }
        Ok(secret)
    }
}

/// The settings of a provider's app.
#[derive(Default)]
pub(super) struct OauthEntry {
    pub(super) client_id: Option<String>,
    pub(super) secret_file: Option<String>,
    pub(super) token_url: Option<String>,
}

impl OauthEntry {
    /// The app of the provider at `host`, whose API is at `api_base_url`; `name` gives the variable
    /// of a field. `None` without any setting, or with a problem.
    pub(super) fn client(
        self,
        host: &str,
        api_base_url: &str,
        name: &dyn Fn(&str) -> String,
        problems: &mut Vec<String>,
    ) -> Option<OauthClient> {
        let Self {
            client_id,
            secret_file,
            token_url,
        } = self;
        if client_id.is_none() && secret_file.is_none() && token_url.is_none() {
            return None;
        }
        let before = problems.len();
        if client_id.as_ref().is_none_or(|id| !is_client_id(id)) {
            problems.push(format!(
                "{} is required with the others of _OAUTH_, and is 1 to 100 visible characters",
                name("OAUTH_CLIENT_ID")
            ));
        }
        if secret_file.is_none() {
            problems.push(format!(
                "{} is required with the others of _OAUTH_",
                name("OAUTH_CLIENT_SECRET_FILE")
            ));
        }
        let text = token_url.unwrap_or_else(|| format!("https://{host}{TOKEN_PATH}"));
        let token_url = secure_url(&text).and_then(|text| endpoint(&text, host, api_base_url));
        if let Err(problem) = &token_url {
            problems.push(format!("{} {problem}", name("OAUTH_TOKEN_URL")));
        }
        let client = OauthClient {
            client_id: client_id?,
            token_url: token_url.ok()?,
            secret_file: secret_file?.into(),
        };
        if let Err(problem) = client.secret() {
            problems.push(format!("{} {problem}", name("OAUTH_CLIENT_SECRET_FILE")));
        }
        (problems.len() == before).then_some(client)
    }
}

fn is_client_id(id: &str) -> bool {
    (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A token endpoint, where refresh tokens are sent: they go where users sign in, or where their
/// tokens go anyway, and to no other host.
fn endpoint(text: &str, host: &str, api_base_url: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let beside_api = Url::parse(api_base_url).is_ok_and(|api| api.origin() == url.origin());
    if beside_api || url.host_str() == Some(host) {
        return Ok(url);
    }
    Err("must be at the provider's host or beside its API")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::provider::Providers;

    /// The file of a secret that is gone at the end.
    struct Secret(PathBuf);

    impl Secret {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("secret-{}", uuid::Uuid::now_v7()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for Secret {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn providers(secret: &Secret, more: &[(&str, &str)]) -> Result<Providers, Vec<String>> {
        let mut vars: BTreeMap<String, String> = [
            ("TYPE", "github"),
            ("OAUTH_CLIENT_ID", "Iv23liABC"),
            ("OAUTH_CLIENT_SECRET_FILE", secret.0.to_str().unwrap()),
        ]
        .iter()
        .chain(more)
        .map(|(name, value)| (format!("GIT_PROVIDER_0_{name}"), (*value).to_owned()))
        .collect();
        vars.retain(|_, value| !value.is_empty());
        Providers::from_vars(&vars)
    }

    #[test]
    fn tokens_are_renewed_where_users_sign_in() {
        let secret = Secret::new("hush\n");
        for (host, at) in [
            ("github.com", "https://github.com/login/oauth/access_token"),
            (
                "acme.ghe.com",
                "https://acme.ghe.com/login/oauth/access_token",
            ),
            (
                "ghe.corp.example",
                "https://ghe.corp.example/login/oauth/access_token",
            ),
        ] {
            let providers = providers(&secret, &[("HOST", host)]).unwrap();
            let client = providers.oauth("github").unwrap();
            assert_eq!(client.token_url.as_str(), at);
            assert_eq!(client.secret().unwrap().expose_secret(), "hush");
            assert!(!format!("{providers:?}").contains("hush"));
        }
        assert_eq!(Providers::default().oauth("github"), None);
    }

    /// Promise 8.
    #[test]
    fn a_refresh_token_goes_to_no_other_host() {
        let secret = Secret::new("hush");
        let base = ("API_BASE_URL", "http://127.0.0.1:8080/api/v3");
        for (url, problem) in [
            ("https://github.com:8443/token", None),
            ("http://127.0.0.1:8080/login/oauth/access_token", None),
            (
                "http://127.0.0.1:8081/token",
                Some("must be at the provider's host"),
            ),
            (
                "https://github.com.evil.example/token",
                Some("must be at the provider's host"),
            ),
            (
                "https://evil.example/github.com",
                Some("must be at the provider's host"),
            ),
            ("http://github.com/token", Some("must be https")),
            (
                "https://user:pw@github.com/token",
                Some("must not hold user info"),
            ),
            ("github.com", Some("is not a URL")),
        ] {
            let read = providers(&secret, &[base, ("OAUTH_TOKEN_URL", url)]);
            let problems = read.err().unwrap_or_default();
            assert_eq!(
                problems.is_empty(),
                problem.is_none(),
                "{url}: {problems:?}"
            );
            if let Some(problem) = problem {
                let begins = format!("GIT_PROVIDER_0_OAUTH_TOKEN_URL {problem}");
                assert!(problems[0].starts_with(&begins), "{problems:?}");
            }
        }
    }

    #[test]
    fn an_app_is_configured_whole_or_not_at_all() {
        let (secret, empty) = (Secret::new("hush"), Secret::new(" \n"));
        for (secret, more, named) in [
            (
                &secret,
                ("OAUTH_CLIENT_ID", ""),
                "_OAUTH_CLIENT_ID is required",
            ),
            (
                &secret,
                ("OAUTH_CLIENT_SECRET_FILE", ""),
                "_SECRET_FILE is required",
            ),
            (
                &secret,
                ("OAUTH_CLIENT_SECRET_FILE", "/nowhere"),
                "_SECRET_FILE cannot be read",
            ),
            (&empty, ("ID", "github"), "_SECRET_FILE holds no secret"),
        ] {
            let problems = providers(secret, &[more]).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(named), "{problems:?}");
        }
    }
}
