//! The rules of the contract, checked on its descriptors.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap()
}

fn ours(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    pool.all_messages()
        .filter(|message| !message.full_name().starts_with("google."))
}

#[test]
fn every_rpc_has_messages_of_its_own_and_says_who_may_call_it() {
    let pool = pool();
    let mut seen = std::collections::BTreeSet::new();
    for service in pool.services() {
        for method in service.methods() {
            let name = method.full_name();
            for (message, suffix) in [(method.input(), "Request"), (method.output(), "Response")] {
                assert_eq!(
                    message.name(),
                    format!("{}{suffix}", method.name()),
                    "{name}"
                );
                assert!(
                    seen.insert(message.full_name().to_owned()),
                    "{name} shares a message"
                );
            }
            let parent = method.parent_service().parent_file();
            let file = parent.file_descriptor_proto();
            let comment = file
                .source_code_info
                .iter()
                .flat_map(|info| &info.location)
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
    assert!(
        seen.len() >= 32,
        "only {} messages of RPCs were looked at",
        seen.len()
    );
}

#[test]
fn every_enum_begins_with_unspecified() {
    for an_enum in pool()
        .all_enums()
        .filter(|an_enum| !an_enum.full_name().starts_with("google."))
    {
        let zero = an_enum.get_value(0).unwrap();
        assert!(
            zero.name().ends_with("_UNSPECIFIED"),
            "{}",
            an_enum.full_name()
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
        "next_refresh_at",
        "problem",
    ] {
        let field = status.get_field_by_name(name).unwrap();
        assert!(field.supports_presence(), "{name}");
    }
}

/// Whether a message holds a secret, itself or further inside.
fn holds_secret(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| {
        is_secret(&field)
            || matches!(field.kind(), Kind::Message(inner)
                if !inner.full_name().starts_with("google.") && holds_secret(&inner))
    })
}

fn is_secret(field: &FieldDescriptor) -> bool {
    matches!(field.name(), "access_token" | "refresh_token" | "password")
}

/// The build script's list must name every message that holds a secret.
#[test]
fn messages_with_secrets_have_no_debug() {
    let build = include_str!("../build.rs");
    let pool = pool();
    let mut secret = String::new();
    for message in ours(&pool).filter(holds_secret) {
        let name = format!("\".{}\"", message.full_name());
        assert!(build.contains(&name), "{name} holds a secret and has Debug");
        writeln!(secret, "{name}").unwrap();
    }
    assert_eq!(secret.lines().count(), 5, "{secret}");
}
