//! By what of a chat it is decided who may read it.

use std::collections::BTreeSet;

use policy::{Action, Attribute, Policies, Source};

fn attributes(effect: &str, condition: &str) -> BTreeSet<Attribute> {
    let text = format!(
        "@id(\"a\") {effect} (principal is User, action == Action::\"readChat\", resource)
         when {{ {condition} }};
         @id(\"b\") permit (principal, action == Action::\"readChat\", resource)
         when {{ resource.readerGroups.contains(Group::\"00000000-0000-0000-0000-000000000001\") }};
         @id(\"c\") permit (principal, action == Action::\"updateChat\", resource)
         when {{ resource.archived && resource.title == \"a\" && resource.hasTag(\"a\") }};"
    );
    let policies = Policies::load(&[Source::new("test.cedar", text)]).unwrap();
    policies.attributes(Action::ReadChat)
}

#[test]
fn an_attribute_that_decides_about_reading_is_named_however_it_is_asked() {
    for effect in ["permit", "forbid"] {
        for (condition, named) in [
            ("resource.owner == principal", &[][..]),
            ("resource.readerUsers.contains(principal)", &[]),
            ("resource has workspace", &[]),
            ("principal.suspended", &[]),
            ("resource.title == \"a\"", &[Attribute::Title]),
            ("!(resource.title like \"a*\")", &[Attribute::Title]),
            (
                "resource.status == Status::\"running\"",
                &[Attribute::Status],
            ),
            ("resource.archived", &[Attribute::Archived]),
            (
                "if principal.suspended then resource.archived else false",
                &[Attribute::Archived],
            ),
            ("resource.hasTag(\"a\")", &[Attribute::Labels]),
            (
                "resource.hasTag(\"a\") && resource.getTag(\"a\") == \"b\"",
                &[Attribute::Labels],
            ),
            (
                "resource.hasTag(\"a\") && resource.getTag(\"a\") like \"b*\"",
                &[Attribute::Labels],
            ),
            (
                "resource.title == \"a\" || resource.archived",
                &[Attribute::Title, Attribute::Archived],
            ),
        ] {
            let named: BTreeSet<_> = named.iter().copied().collect();
            assert_eq!(attributes(effect, condition), named, "{effect} {condition}");
        }
    }
}

#[test]
fn the_shipped_policies_decide_about_reading_by_nothing_that_writers_change() {
    let shipped = Policies::embedded().unwrap();
    assert_eq!(shipped.attributes(Action::ReadChat), [].into());
}
