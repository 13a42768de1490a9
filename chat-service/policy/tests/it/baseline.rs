//! What the shipped policies say, as predicates: one line for every kind of caller and action.

use std::fmt::Write as _;

use policy::{
    Action, GroupId, OrganizationId, Policies, Pred, Principal, ResourceKind, User, UserId,
};
use uuid::Uuid;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn user() -> User {
    User {
        id: UserId(id(1)),
        organizations: [
            (OrganizationId(id(0xa)), ["admin".to_owned()].into()),
            (OrganizationId(id(0xb)), ["member".to_owned()].into()),
        ]
        .into(),
        groups: [GroupId(id(0xc))].into(),
        site_roles: [].into(),
        suspended: false,
    }
}

fn with_role(role: &str) -> User {
    User {
        site_roles: [role.to_owned()].into(),
        ..user()
    }
}

/// Ids by what they are of.
fn readable(pred: &Pred) -> String {
    let mut text = pred.to_string().replace("every chat", "always");
    for (number, name) in [
        (1, "me"),
        (0xa, "administered"),
        (0xb, "joined"),
        (0xc, "mine"),
    ] {
        text = text.replace(&id(number).to_string(), name);
    }
    text
}

#[test]
fn the_shipped_policies_say_what_the_baseline_says() {
    let policies = Policies::embedded().unwrap();
    let callers = [
        ("user", Principal::User(user())),
        ("site admin", Principal::User(with_role("admin"))),
        ("site auditor", Principal::User(with_role("auditor"))),
        (
            "suspended site admin",
            Principal::User(User {
                suspended: true,
                ..with_role("admin")
            }),
        ),
        ("internal", Principal::Service("internal".to_owned())),
        ("gitsync", Principal::Service("gitsync".to_owned())),
        ("another service", Principal::Service("other".to_owned())),
    ];
    let mut table = String::new();
    for (name, caller) in &callers {
        writeln!(table, "{name}").unwrap();
        for action in Action::ALL {
            let pred = policies.compile(caller, action);
            if pred != Pred::False {
                writeln!(table, "  {}: {}", action.name(), readable(&pred)).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table, @"
    user
      readChat: (organization is administered or owner is me or group mine is reader or user me is reader)
      createChat: (owner is me and (organization is administered or joined or not (has an organization)))
      updateChat: (owner is me or group mine is writer or user me is writer)
      archiveChat: owner is me
      deleteChat: owner is me
      shareChat: owner is me
      refreshChat: owner is me
      reportGitRef: owner is me
      linkGitAccount: owner is me
      listGitAccounts: owner is me
      unlinkGitAccount: owner is me
    site admin
      readChat: always
      createChat: always
      updateChat: always
      archiveChat: always
      deleteChat: always
      shareChat: always
      refreshChat: always
      reportGitRef: owner is me
      linkGitAccount: owner is me
      listGitAccounts: owner is me
      unlinkGitAccount: owner is me
      getSyncState: always
      releaseLeaseOf: always
      resumeBudget: always
      requeueGitRefs: always
    site auditor
      readChat: always
      createChat: (owner is me and (organization is administered or joined or not (has an organization)))
      updateChat: (owner is me or group mine is writer or user me is writer)
      archiveChat: owner is me
      deleteChat: owner is me
      shareChat: owner is me
      refreshChat: owner is me
      reportGitRef: owner is me
      linkGitAccount: owner is me
      listGitAccounts: owner is me
      unlinkGitAccount: owner is me
    suspended site admin
    internal
      readChat: always
      createChat: always
      updateChat: always
      archiveChat: always
      deleteChat: always
      refreshChat: always
      reportGitRef: always
      linkGitAccount: always
      listGitAccounts: always
      unlinkGitAccount: always
    gitsync
      leaseDiffStatuses: always
      renewLease: always
      reportOutcomes: always
      releaseLease: always
      readGitCredential: always
    another service
    ");
}

#[test]
fn shared_with_me_is_made_of_shares_only() {
    let policies = Policies::embedded().unwrap();
    for caller in [user(), with_role("admin"), with_role("auditor")] {
        let pred = policies.compile_shares(&Principal::User(caller), Action::ReadChat);
        assert_eq!(
            readable(&pred),
            "(group mine is reader or user me is reader)"
        );
    }
    let suspended = User {
        suspended: true,
        ..user()
    };
    let pred = policies.compile_shares(&Principal::User(suspended), Action::ReadChat);
    assert_eq!(pred, Pred::False);
}

#[test]
fn a_group_or_organization_more_does_not_change_the_shape() {
    let policies = Policies::embedded().unwrap();
    let shape = |user: User| {
        let pred = policies.compile(&Principal::User(user), Action::ReadChat);
        if let Pred::Any(preds) = pred {
            preds.len()
        } else {
            0
        }
    };
    let mut large = user();
    for number in 0..400 {
        large.groups.insert(GroupId(id(0x1_0000 + number)));
        large.organizations.insert(
            OrganizationId(id(0x2_0000 + number)),
            ["admin".to_owned()].into(),
        );
    }
    assert_eq!(shape(user()), 4);
    assert_eq!(shape(large), 4);
}

#[test]
fn policies_about_accounts_and_the_site_ask_nothing_else() {
    let policies = Policies::embedded().unwrap();
    for action in Action::ALL {
        if action.resource() == ResourceKind::Sync {
            let pred = policies.compile(&Principal::User(user()), action);
            assert_eq!(pred, Pred::False, "{}", action.name());
        }
    }
}
