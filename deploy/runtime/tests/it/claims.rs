//! What is read of a token, and under which names.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use service_runtime::token::{ClaimNames, Claims, Kind, Organization, Verifier};
use testkit::clients::{Caller, KeyPair};
use uuid::Uuid;

const USER: Uuid = Uuid::from_u128(1);
const ACME: Uuid = Uuid::from_u128(2);
const TEAM: Uuid = Uuid::from_u128(3);

fn read(names: &str, more: Value) -> Option<Claims> {
    let names: ClaimNames = names.parse().unwrap();
    let mut payload = json!({ "sub": USER, "aud": "chat", "exp": 1 });
    let Value::Object(more) = more else {
        panic!("no object: {more}");
    };
    for (name, value) in more {
        payload[name] = value;
    }
    names.read(payload).ok()
}

#[test]
fn an_existing_providers_token_is_read_under_its_own_names() {
    let names = "sub=https://acme.test/uid,kind=typ,organizations=/acme/orgs,groups=/acme/teams/ids,\
                 site_roles=/realm_access/roles,suspended=blocked";
    let claims = read(
        names,
        json!({
            "sub": "auth0|59",
            "https://acme.test/uid": USER,
            "typ": "user",
            "acme": { "orgs": [ACME, "acme"], "teams": { "ids": [TEAM, "/everyone"] } },
            "realm_access": { "roles": ["offline_access", "admin"] },
            "blocked": true,
            // Ours, which another issuer means otherwise.
            "groups": [ACME],
            "kind": "service",
            "suspended": "no",
        }),
    );
    let claims = claims.unwrap();
    assert_eq!(claims.sub, USER.to_string());
    assert_eq!(claims.kind, Some(Kind::User));
    assert_eq!(
        claims.organizations,
        [Organization {
            id: ACME,
            roles: BTreeSet::new()
        }]
    );
    assert_eq!(claims.groups, BTreeSet::from([TEAM]));
    assert!(claims.site_roles.contains("admin"));
    assert!(claims.suspended);
}

#[test]
fn a_claim_that_has_another_name_is_not_read_under_ours() {
    let ours = json!({ "groups": [TEAM], "suspended": true, "site_roles": ["admin"] });
    let claims = read("groups=teams,suspended=/a/b,site_roles=roles", ours).unwrap();
    assert!(claims.groups.is_empty() && claims.site_roles.is_empty() && !claims.suspended);
    assert_eq!(read("sub=uid", json!({})), None);
    // Two that change places.
    let swapped = read(
        "groups=site_roles,site_roles=groups",
        json!({
            "groups": ["admin"], "site_roles": [TEAM],
        }),
    );
    let swapped = swapped.unwrap();
    assert_eq!(swapped.groups, BTreeSet::from([TEAM]));
    assert!(swapped.site_roles.contains("admin"));
}

#[test]
fn names_of_claims_are_pairs_of_known_claims_and_each_of_them_once() {
    for (text, accepted) in [
        ("", true),
        ("sub=uid", true),
        (" sub = uid , groups=/a/b ", true),
        ("sub", false),
        ("sub=", false),
        ("exp=until", false),
        ("sub=a,sub=b", false),
    ] {
        assert_eq!(text.parse::<ClaimNames>().is_ok(), accepted, "{text}");
    }
}

#[test]
fn a_thousand_organizations_and_groups_are_short_enough_and_come_back_as_they_were() {
    let roles = |number: u128| match number % 3 {
        0 => BTreeSet::new(),
        1 => BTreeSet::from(["admin".to_owned()]),
        _ => BTreeSet::from(["member".to_owned()]),
    };
    let pair = KeyPair::generate();
    let verifier = Verifier::from_public_key_pem(pair.public_pem.as_bytes()).unwrap();
    for count in [1, 32, 33, 1000] {
        let mut caller = Caller::user();
        let organizations = (0..count).map(|number| Organization {
            id: Uuid::from_u128((number << 64) | 7),
            roles: roles(number),
        });
        caller.claims.organizations = organizations.collect();
        caller.claims.groups = (0..count)
            .map(|number| Uuid::from_u128(number << 32))
            .collect();
        let verified = verifier.verify(&pair.token(&caller));
        assert_eq!(verified, Ok(caller.claims), "{count}");
    }
}

#[test]
fn ids_in_short_that_are_none_are_refused() {
    for (short, accepted) in [
        (json!({ "groups": "AAAAAAAAAAAAAAAAAAAAAQ" }), true),
        (json!({ "groups": "" }), true),
        (json!({ "groups": "AAAA" }), false),
        (json!({ "groups": "AAAAAAAAAAAAAAAAAAAAAQ==" }), false),
        (
            json!({ "organizations": { "member": "AAAAAAAAAAAAAAAAAAAAAQ" } }),
            true,
        ),
        (json!({ "organizations": { "member": "%" } }), false),
        (json!({ "organizations": [{ "id": "acme" }] }), false),
        (json!({ "organizations": "acme" }), false),
    ] {
        assert_eq!(read("", short.clone()).is_some(), accepted, "{short}");
    }
}
