//! What is refused when policies are loaded, and how the refusal reads.

use policy::{Policies, Source};

/// All problems of one file.
fn problems(text: &str) -> Vec<String> {
    match Policies::load(&[Source::new("test.cedar", text)]) {
        Ok(_) => panic!("this loads: {text}"),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

/// The one problem of a policy with this condition.
fn refusal(condition: &str) -> String {
    let text = format!(
        "@id(\"under test\")\npermit (principal is User, action == Action::\"readChat\", resource)\n\
         when {{ {condition} }};"
    );
    let problems = problems(&text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn an_untranslatable_construct_is_named_with_its_policy() {
    let user = "User::\"00000000-0000-0000-0000-000000000001\"";
    let group = "Group::\"00000000-0000-0000-0000-000000000002\"";
    for (condition, construct) in [
        ("resource.owner.suspended", "resource.owner.suspended"),
        (
            "resource.owner.memberOf.containsAny(principal.memberOf)",
            "resource.owner.memberOf",
        ),
        (&format!("resource.owner in {group}"), "resource.owner in"),
        (&format!("{user} in {group}"), "User::"),
        (
            "resource.readerUsers == resource.writerUsers",
            "resource.readerUsers ==",
        ),
        (
            "resource.readerUsers.containsAll(resource.writerUsers)",
            "containsAll",
        ),
        ("resource.readerUsers.contains(resource.owner)", "contains"),
        ("resource.readerUsers.isEmpty()", "isEmpty"),
        (
            "[resource.owner].containsAll(resource.readerUsers)",
            "containsAll",
        ),
        ("1 + 1 == 2", "1 + 1"),
        ("1 < 2", "1 < 2"),
        ("principal == User::\"ann\"", "User::\"ann\""),
        (
            "principal == User::\"00000000-0000-0000-0000-00000000000A\"",
            "00000000000A",
        ),
        ("resource.title == \"a\\0b\"", "a\\0b"),
        ("resource.title like \"a\\0*\"", "resource.title like"),
        (
            "resource == Chat::\"00000000-0000-0000-0000-000000000003\"",
            "Chat::",
        ),
        ("{a: 1} == {a: 1}", "a"),
        ("resource.hasTag(resource.title)", "hasTag"),
        (
            "resource.title == (if principal.suspended then \"a\" else \"b\")",
            "is not a condition",
        ),
    ] {
        let refusal = refusal(condition);
        assert!(
            refusal.contains("policy \"under test\" cannot be translated to SQL"),
            "{condition}: {refusal}"
        );
        assert!(refusal.contains(construct), "{condition}: {refusal}");
    }
}

#[test]
fn strict_validation_names_the_policy() {
    for (condition, word) in [
        (
            "resource.organization == Organization::\"x\"",
            "organization",
        ),
        ("resource.getTag(\"team\") == \"a\"", "team"),
        ("resource.nonsense", "nonsense"),
        ("resource.status == Status::\"runing\"", "runing"),
        ("resource.owner == \"someone\"", "String"),
        ("principal.name == \"internal\"", "name"),
    ] {
        let refusal = refusal(condition);
        assert!(
            refusal.contains("policy \"under test\" is not valid"),
            "{condition}: {refusal}"
        );
        assert!(refusal.contains(word), "{condition}: {refusal}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let sources = [
        Source::new("a.cedar", "permit (principal, action, resource);"),
        Source::new(
            "b.cedar",
            "@id(\"x\") permit (principal is User, action, resource);\n\
             @id(\"x\") permit (principal is User, action, resource);",
        ),
        Source::new("c.cedar", "@id(\"y\")\npermit (principal;"),
        Source::new(
            "d.cedar",
            "@id(\"z\") @grant(\"office\") permit (principal is User, action, resource);\n\
             @id(\"t\") permit (principal == ?principal, action, resource);\n\
             @id(\"f\") @grant(\"share\") forbid (principal is User, action, resource);",
        ),
        Source::new("schema.cedarschema", "entity User;"),
    ];
    let error = Policies::load(&sources).unwrap_err().to_string();
    for part in [
        "a.cedar: a policy has no @id",
        "b.cedar: policy \"x\" exists already",
        "c.cedar: line 2: ",
        "policy \"z\": @grant(\"office\") is unknown",
        "policy \"f\": @grant(\"share\") is unknown",
        "policy \"t\" cannot be translated to SQL: a template",
        "schema.cedarschema is not the schema of this version",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn a_copy_of_the_schema_may_lie_beside_the_policies() {
    let mut sources = Source::embedded();
    for source in &mut sources {
        if source.name == "schema.cedarschema" {
            source.text = format!("// our copy\n{}", source.text);
        }
    }
    assert!(Policies::load(&sources).is_ok());
}

#[test]
fn a_directory_without_policies_is_refused() {
    let directory = std::env::temp_dir().join(format!("policies-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let error = Policies::directory(&directory).unwrap_err().to_string();
    std::fs::remove_dir(&directory).unwrap();
    assert!(error.contains("holds no policy"), "{error}");
    let error = Policies::directory(&directory).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}
