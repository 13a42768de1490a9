//! The rules of the contract, checked on its descriptors.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../build/secret.rs"]
mod secret;

use prost_reflect::{
    DescriptorPool,
    prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto,
        field_descriptor_proto::{Label, Type},
    },
};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap()
}

#[test]
fn every_rpc_says_what_it_does_who_may_call_it_and_whether_it_may_be_retried() {
    let pool = pool();
    let methods: Vec<_> = pool
        .services()
        .flat_map(|it| it.methods().collect::<Vec<_>>())
        .collect();
    assert!(methods.len() >= 16, "only {} RPCs", methods.len());
    for method in methods {
        let name = method.full_name();
        let file = method.parent_service().parent_file();
        let file = file.file_descriptor_proto();
        let mut locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comment = locations
            .find(|location| location.path == method.path())
            .map(|location| location.leading_comments().to_owned())
            .unwrap_or_default();
        assert!(
            comment.split("\n\n").count() >= 2,
            "{name}: the comment must say what it does and then who may call it: {comment:?}"
        );
        let words = comment.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            ["Safe to retry", "Retry with", "reconnect"]
                .iter()
                .any(|text| words.contains(text)),
            "{name}: the comment must say whether it may be retried: {comment:?}"
        );
    }
}

#[test]
fn what_may_be_unknown_is_absent_and_not_empty() {
    let status = pool()
        .get_message_by_name("chat.v1.ChatDiffStatus")
        .unwrap();
    for name in [
        "url",
        "pull_request_state",
        "head_branch",
        "base_branch",
        "head_sha",
        "author_login",
        "author_avatar_url",
        "pr_number",
        "commits",
        "approved",
        "reviewer_count",
        "refreshed_at",
        "pushed_after_merge",
        "next_refresh_at",
        "problem",
    ] {
        let field = status.get_field_by_name(name).unwrap();
        assert!(field.supports_presence(), "{name}");
    }
}

#[test]
fn messages_with_secrets_have_no_debug() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/chat.v1.rs"));
    let (_, rest) = generated.split_once("skip_debug").unwrap();
    let structs = rest
        .split("skip_debug")
        .map(|it| it.split_whitespace().nth(3));
    let mut secret: Vec<_> = structs.map(Option::unwrap).collect();
    secret.sort_unstable();
    assert_eq!(
        secret,
        [
            "Credential",
            "Lease",
            "LeaseDiffStatusesResponse",
            "LeaseGroup",
            "LinkGitAccountRequest",
        ]
    );
}

#[test]
fn a_secret_of_a_nested_message_makes_all_that_hold_it_secret() {
    let field = |name: &str, of: Option<&str>| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(of.map_or(Type::String, |_| Type::Message).into()),
        type_name: of.map(str::to_owned),
        ..FieldDescriptorProto::default()
    };
    let message = |name: &str, field, nested| DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![field],
        nested_type: nested,
        ..DescriptorProto::default()
    };
    let inner = message("Inner", field("password", None), Vec::new());
    let file = FileDescriptorProto {
        name: Some("a.proto".to_owned()),
        package: Some("a".to_owned()),
        message_type: vec![
            message("Plain", field("name", None), vec![inner]),
            message("Holder", field("inner", Some(".a.Plain.Inner")), Vec::new()),
        ],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    let secret = secret::secret_messages(&pool);
    assert_eq!(Vec::from_iter(secret), ["a.Holder", "a.Plain.Inner"]);
}
