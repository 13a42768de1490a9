//! Parses remote URLs: every form that git accepts for a host, read once, at the report.
//!
//! User info may be a token, so it is dropped before anything is kept, and no problem text repeats
//! what was reported.

use std::borrow::Cow;

use proto::{bounds::MAX_ORIGIN_BYTES, sync::RepositoryPath};

use super::{Provider, Providers};

/// Bytes of an origin at most as it is reported: user info may be a long token.
const MAX_REPORTED_BYTES: usize = 2048;
/// Characters of an owner's or a repository's name at most. GitHub allows 39 and 100.
const MAX_NAME_CHARS: usize = 100;

/// A remote that a configured provider has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose host it names.
    pub provider: Provider,
    /// Its path at the host, as spelled, without `.git`.
    pub repository: RepositoryPath,
    /// As reported, without user info.
    pub sanitized: String,
}

/// Why an origin is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is no remote that a host could have.
    #[error("{0}")]
    Invalid(&'static str),
    /// Its host is no configured provider's.
    #[error("the host is no configured provider's")]
    ProviderNotConfigured,
}

/// A remote's URL taken apart.
struct OriginParts<'a> {
    ssh: bool,
    host: &'a str,
    path: &'a str,
    sanitized: Cow<'a, str>,
}

/// Reads `text` as a remote of one of `providers`.
///
/// Understood are `https`, `http`, `ssh` and `git` URLs (also spelled `git+ssh`), and the scp-like
/// `[user@]host:path`, each with user info, port, `.git` and slashes at the end, in any case of the
/// host.
///
/// # Errors
///
/// [`OriginError`], whose text holds nothing of `text`.
pub fn parse(providers: &Providers, text: &str) -> Result<Origin, OriginError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(OriginError::Invalid("must not be empty"));
    }
    if text.len() > MAX_REPORTED_BYTES {
        return Err(OriginError::Invalid("must not be longer than 2048 bytes"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(OriginError::Invalid(
            "must not hold white space or control characters",
        ));
    }
    let parts = match text.split_once("://") {
        Some((scheme, rest)) => url_parts(text, scheme, rest)?,
        None => scp_parts(text)?,
    };
    if parts.sanitized.len() > MAX_ORIGIN_BYTES {
        return Err(OriginError::Invalid(
            "must not be longer than 512 bytes without user info",
        ));
    }
    let provider = providers
        .by_host(parts.host, parts.ssh)
        .ok_or(OriginError::ProviderNotConfigured)?;
    let repository = repository(parts.path)
        .ok_or(OriginError::Invalid("must name a repository as owner/name"))?;
    Ok(Origin {
        provider: provider.clone(),
        repository,
        sanitized: parts.sanitized.into_owned(),
    })
}

fn url_parts<'a>(
    text: &'a str,
    scheme: &'a str,
    rest: &'a str,
) -> Result<OriginParts<'a>, OriginError> {
    let ssh = match scheme.to_ascii_lowercase().as_str() {
        "https" | "http" | "git" => false,
        "ssh" | "git+ssh" | "ssh+git" => true,
        _ => {
            return Err(OriginError::Invalid(
                "must be an https, http, ssh or git URL, or host:owner/name",
            ));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A password may hold an unescaped `@`: the last one ends the user info.
    let (sanitized, host_and_port) = match authority.rsplit_once('@') {
        Some((_, host)) => (Cow::Owned(format!("{scheme}://{host}{path}")), host),
        None => (Cow::Borrowed(text), authority),
    };
    let host = without_port(host_and_port)?;
    Ok(OriginParts {
        ssh,
        host,
        path,
        sanitized,
    })
}

/// `[user@]host:path`. Git takes it for a local path if a slash comes before the colon.
fn scp_parts(text: &str) -> Result<OriginParts<'_>, OriginError> {
    const LOCAL: OriginError = OriginError::Invalid("must name a host, not a local path");
    let slash = text.find('/').unwrap_or(text.len());
    let at = text.get(..slash).and_then(|head| head.rfind('@'));
    let after_user = at.map_or(0, |at| at + 1);
    let rest = text.get(after_user..).ok_or(LOCAL)?;
    // `[host:port]:path`, which git also accepts.
    let (host, path) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, path) = rest.split_once("]:").ok_or(LOCAL)?;
            (without_port(host)?, path)
        }
        None => rest.split_once(':').ok_or(LOCAL)?,
    };
    if host.contains('/') || path.starts_with(':') {
        // `ext::command` would run it.
        return Err(LOCAL);
    }
    if host.is_empty() {
        return Err(OriginError::Invalid("must name a host"));
    }
    Ok(OriginParts {
        ssh: true,
        host,
        path,
        sanitized: Cow::Borrowed(rest),
    })
}

fn without_port(host_and_port: &str) -> Result<&str, OriginError> {
    let (host, port) = match host_and_port.split_once(':') {
        Some((host, port)) => (host, port),
        None => (host_and_port, ""),
    };
    if host.is_empty() {
        return Err(OriginError::Invalid("must name a host"));
    }
    // `ssh://host:owner/name` is a common mistake that git itself refuses.
    if !port.is_empty() && port.parse::<u16>().ok().is_none_or(|port| port == 0) {
        return Err(OriginError::Invalid("has an invalid port"));
    }
    Ok(host)
}

fn repository(path: &str) -> Option<RepositoryPath> {
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, name) = path.split_once('/')?;
    let named = is_name(owner) && is_name(name);
    RepositoryPath::parse(path).filter(|_| named)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn providers() -> Providers {
        let vars: BTreeMap<String, String> = [
            ("GIT_PROVIDER_0_TYPE", "github"),
            ("GIT_PROVIDER_1_TYPE", "github"),
            ("GIT_PROVIDER_1_ID", "corp"),
            ("GIT_PROVIDER_1_HOST", "ghe.corp.example"),
            ("GIT_PROVIDER_1_SSH_HOSTS", "gitsrv, Corp.git_2"),
            ("GIT_PROVIDER_0_SSH_HOSTS", "github.com-work"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        Providers::from_vars(&vars).unwrap()
    }

    #[test]
    fn every_form_that_git_accepts_names_its_repository() {
        for (text, provider, sanitized) in [
            ("https://github.com/acme/web", "github", None),
            ("https://github.com/acme/web.git", "github", None),
            ("https://github.com/acme/web/", "github", None),
            ("https://github.com/acme/web.git/", "github", None),
            ("http://github.com/acme/web", "github", None),
            ("git://github.com/acme/web.git", "github", None),
            ("https://GitHub.com/acme/web", "github", None),
            ("HTTPS://github.com./acme/web", "github", None),
            ("https://www.github.com/acme/web", "github", None),
            ("https://github.com:443/acme/web", "github", None),
            ("https://github.com:/acme/web", "github", None),
            (
                "  https://github.com/acme/web\n",
                "github",
                Some("https://github.com/acme/web"),
            ),
            (
                "https://ann@github.com/acme/web",
                "github",
                Some("https://github.com/acme/web"),
            ),
            (
                "https://x-access-token:hush-hush@github.com/acme/web.git",
                "github",
                Some("https://github.com/acme/web.git"),
            ),
            (
                "https://ann:hush@hush@github.com/acme/web",
                "github",
                Some("https://github.com/acme/web"),
            ),
            (
                "git@github.com:acme/web.git",
                "github",
                Some("github.com:acme/web.git"),
            ),
            (
                "git@github.com:/acme/web.git",
                "github",
                Some("github.com:/acme/web.git"),
            ),
            ("github.com:acme/web", "github", None),
            (
                "org-123@github.com:acme/web.git",
                "github",
                Some("github.com:acme/web.git"),
            ),
            (
                "git@[github.com:22]:acme/web",
                "github",
                Some("[github.com:22]:acme/web"),
            ),
            (
                "ssh://git@github.com/acme/web.git",
                "github",
                Some("ssh://github.com/acme/web.git"),
            ),
            (
                "ssh://git@github.com:22/acme/web",
                "github",
                Some("ssh://github.com:22/acme/web"),
            ),
            (
                "git+ssh://git@github.com/acme/web",
                "github",
                Some("git+ssh://github.com/acme/web"),
            ),
            (
                "ssh://git@ssh.github.com:443/acme/web.git",
                "github",
                Some("ssh://ssh.github.com:443/acme/web.git"),
            ),
            ("https://ghe.corp.example/acme/web", "corp", None),
            (
                "git@GHE.corp.example:acme/web.git",
                "corp",
                Some("GHE.corp.example:acme/web.git"),
            ),
        ] {
            let origin = parse(&providers(), text).unwrap();
            assert_eq!(origin.provider.id, provider, "{text}");
            assert_eq!(origin.repository.as_str(), "acme/web", "{text}");
            assert_eq!(origin.sanitized, sanitized.unwrap_or(text), "{text}");
            assert!(!format!("{origin:?}").contains("hush"), "{text}");
        }
    }

    #[test]
    fn an_ssh_host_of_a_provider_is_its_host_over_ssh_and_nowhere_else() {
        for (text, provider) in [
            ("git@github.com-work:MyOrg/cool_repo.git", Some("github")),
            ("github.com-work:MyOrg/cool_repo", Some("github")),
            (
                "ssh://git@GitHub.com-Work/MyOrg/cool_repo.git",
                Some("github"),
            ),
            ("gitsrv:MyOrg/cool_repo", Some("corp")),
            ("gitsrv:MyOrg/cool_repo.git/", Some("corp")),
            ("git@gitsrv:/MyOrg/cool_repo", Some("corp")),
            ("corp.GIT_2:MyOrg/cool_repo", Some("corp")),
            ("ssh://gitsrv:2222/MyOrg/cool_repo", Some("corp")),
            ("git+ssh://git@gitsrv/MyOrg/cool_repo", Some("corp")),
            ("ssh.github.com:MyOrg/cool_repo", Some("github")),
            ("git@www.github.com:MyOrg/cool_repo", Some("github")),
            // Another host's name, where no SSH configuration has a say.
            ("https://gitsrv/MyOrg/cool_repo", None),
            ("git://github.com-work/MyOrg/cool_repo", None),
            ("othersrv:MyOrg/cool_repo", None),
            ("git@github.com-home:MyOrg/cool_repo", None),
        ] {
            let read = parse(&providers(), text);
            match provider {
                Some(provider) => {
                    let origin = read.unwrap();
                    assert_eq!(origin.provider.id, provider, "{text}");
                    assert_eq!(origin.repository.as_str(), "MyOrg/cool_repo", "{text}");
                }
                None => assert_eq!(read, Err(OriginError::ProviderNotConfigured), "{text}"),
            }
        }
    }

    #[test]
    fn user_info_may_be_long_and_what_is_kept_may_not() {
        let token = "hush".repeat(400);
        let origin = parse(
            &providers(),
            &format!("https://x:{token}@github.com/acme/web"),
        );
        assert_eq!(origin.unwrap().sanitized, "https://github.com/acme/web");
        let slashes = "/".repeat(MAX_ORIGIN_BYTES);
        let problem = parse(
            &providers(),
            &format!("https://github.com/acme/web{slashes}"),
        );
        assert!(
            matches!(problem, Err(OriginError::Invalid(_))),
            "{problem:?}"
        );
    }

    #[test]
    fn the_case_of_a_repository_is_kept() {
        let origin = parse(&providers(), "https://github.com/Acme/my.Web_1").unwrap();
        assert_eq!(origin.repository.as_str(), "Acme/my.Web_1");
    }

    #[test]
    fn a_foreign_host_is_no_configured_provider() {
        for text in [
            "https://gitlab.com/acme/web",
            "git@bitbucket.org:acme/web.git",
            "https://github.com.evil.example/acme/web",
            "https://github.com@evil.example/acme/web",
            "https://evilgithub.com/acme/web",
            "https://api.github.com/acme/web",
            "https://ssh.github.com/acme/web",
            "https://ssh.ghe.corp.example/acme/web",
        ] {
            assert_eq!(
                parse(&providers(), text),
                Err(OriginError::ProviderNotConfigured),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_host_can_have_is_refused_and_not_repeated() {
        for text in [
            "",
            " ",
            "not-a-url",
            "/srv/git/web.git",
            "./web",
            "../acme/web",
            "file:///srv/git/web.git",
            "ext::sh -c hush",
            "ext::hush",
            "https://",
            "https:///acme/web",
            "https://github.com",
            "https://github.com/",
            "https://github.com/acme",
            "https://github.com/acme/",
            "https://github.com/acme/.git",
            "https://github.com/acme/..",
            "https://github.com/acme/web/pull/1",
            "https://github.com/acme/web?token=hush",
            "https://github.com/acme/web#hush",
            "https://github.com/acme/we%62",
            "https://github.com:99999/acme/web",
            "https://github.com:0/acme/web",
            "ssh://git@github.com:acme/web.git",
            "https://github.com/acme/w\u{0}eb",
            "https://github.com/ac me/web",
            "git@github.com:web",
            "git@:acme/web",
            "https://github.com/äcme/web",
        ] {
            match parse(&providers(), text) {
                Err(OriginError::Invalid(problem)) => {
                    assert!(!problem.contains("hush"), "{text}: {problem}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
        let long = format!("https://github.com/acme/{}", "a".repeat(3000));
        assert!(matches!(
            parse(&providers(), &long),
            Err(OriginError::Invalid(_))
        ));
    }
}
