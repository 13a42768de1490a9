//! Which settings make which providers.

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
fn enterprise_hosts_have_their_api_below_the_host_by_default() {
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
fn a_tenant_of_enterprise_cloud_has_its_api_on_a_host_of_its_own() {
    for (host, api) in [
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("ACME-eu.ghe.com", "https://api.acme-eu.ghe.com"),
        ("ghe.com", "https://ghe.com/api/v3"),
        ("git.acme.ghe.com", "https://git.acme.ghe.com/api/v3"),
        ("acmeghe.com", "https://acmeghe.com/api/v3"),
    ] {
        let set = [
            ("GIT_PROVIDER_0_TYPE", "github"),
            ("GIT_PROVIDER_0_HOST", host),
        ];
        let providers = Providers::from_vars(&vars(&set)).unwrap();
        let bases: Vec<_> = providers.iter().map(|one| &one.api_base_url).collect();
        assert_eq!(bases, [api], "{host}");
    }
}

#[test]
fn no_ssh_host_is_two_providers() {
    for (first, second) in [
        ("github-work", "gitsrv,GitHub-Work"),
        ("gitsrv", "github.com"),
        ("gitsrv", "ssh.github.com"),
        ("ghe.corp.example", "gitsrv"),
        ("www.ghe.corp.example", "gitsrv"),
    ] {
        let problems = Providers::from_vars(&vars(&[
            ("GIT_PROVIDER_0_TYPE", "github"),
            ("GIT_PROVIDER_0_SSH_HOSTS", first),
            ("GIT_PROVIDER_1_TYPE", "github"),
            ("GIT_PROVIDER_1_ID", "corp"),
            ("GIT_PROVIDER_1_HOST", "ghe.corp.example"),
            ("GIT_PROVIDER_1_SSH_HOSTS", second),
        ]))
        .unwrap_err();
        assert_eq!(problems.len(), 1, "{first} {second}: {problems:?}");
        assert!(problems[0].starts_with("GIT_PROVIDER_1_SSH_HOSTS"));
    }
}

#[test]
fn all_problems_are_reported_at_once_by_variable() {
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
        ("GIT_PROVIDER_7_TYPE", "github"),
        ("GIT_PROVIDER_7_SSH_HOSTS", "gitsrv,*.work"),
        ("GIT_PROVIDER_8_TYPE", "github"),
        ("GIT_PROVIDER_8_SSH_HOSTS", ""),
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
        "GIT_PROVIDER_7_SSH_HOSTS",
        "GIT_PROVIDER_8_SSH_HOSTS",
    ] {
        assert!(problems.contains(name), "{name} is not in {problems}");
    }
    assert!(!problems.contains("hush-hush"));
}
