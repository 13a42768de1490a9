//! `policy check`, `policy explain`, and a start with policies that cannot be used.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use chat_service::{
    authz::Policies,
    command::policy_check::{self, abstraction},
    config::{DatabaseSettings, MAX_EVALUATIONS, PolicyCheckSettings, Settings},
};
use proto::chat::v1::{CreateChatRequest, GetChatRequest, GetChatsRequest};
use serde_json::json;
use testkit::{postgres::Database, process::status_kib};
use tonic::Code;
use uuid::Uuid;

use crate::stack::{Caller, Stack, refused};

/// A directory with the shipped policies, changed.
struct Directory(PathBuf);

impl Directory {
    fn new(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Self {
        let mut files: BTreeMap<String, String> = policy::Source::embedded()
            .into_iter()
            .map(|source| (source.name, source.text))
            .collect();
        change(&mut files);
        let path = std::env::temp_dir().join(format!("policies-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies")
}

async fn check(settings: &PolicyCheckSettings) -> Result<String, String> {
    let mut out = Vec::new();
    match policy_check::check(settings, &mut out).await {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// `policy check` by the real binary.
fn check_by_binary(directory: &Path, database: &Database) -> (Option<i32>, String, String) {
    output_of(&[
        "policy",
        "check",
        directory.to_str().unwrap(),
        "--database-url",
        database.url(),
    ])
}

#[tokio::test]
async fn the_shipped_policies_decide_alike_in_cedar_memory_and_sql() {
    let database = testkit::postgres::database().await;
    let (code, report, errors) = check_by_binary(&shipped(), &database);
    assert_eq!(code, Some(0), "{errors}");
    for part in ["decisions agree", "predicates ran as SQL", "about accounts"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    // Nothing was left out: not a chat, and no action on chats.
    let policies = Policies::embedded().unwrap();
    let (chats, combinations) = abstraction::chats(&policies);
    assert_eq!(chats.len(), combinations);
    let callers = abstraction::principals(&policies).len();
    let actions = policy::Action::ALL
        .iter()
        .filter(|action| action.resource() == policy::ResourceKind::Chat)
        .count();
    let all =
        format!("{combinations} chats of {combinations} x {callers} callers x {actions} actions");
    assert!(report.contains(&all), "{all} is not in {report}");
    // It needs PostgreSQL, and nothing that is in the database.
    let empty = testkit::postgres::empty_database().await;
    let sample = ["--max-evaluations", "10000", "--database-url", empty.url()];
    let shipped = shipped();
    let checked = [&["policy", "check", shipped.to_str().unwrap()], &sample[..]].concat();
    let (code, report, errors) = output_of(&checked);
    assert_eq!(code, Some(0), "{errors}");
    assert!(report.contains("predicates ran as SQL"), "{report}");
    // The real tables were not touched.
    let client = database.client().await;
    let rows = client.query("SELECT id FROM chats", &[]).await.unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_check_that_finds_a_difference_fails_and_prints_the_row() {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    // A PostgreSQL that reads the predicate otherwise: here, every level of a share is any level.
    client
        .batch_execute(
            "CREATE SCHEMA faulty;
             CREATE FUNCTION faulty.same(text, text) RETURNS boolean
                 RETURN $1 IS NOT DISTINCT FROM $2 OR $2 = 'writer';
             CREATE OPERATOR faulty.= (LEFTARG = text, RIGHTARG = text, FUNCTION = faulty.same);
             DO $$ BEGIN EXECUTE format(
                 'ALTER DATABASE %I SET search_path = faulty, public, pg_catalog', current_database()
             ); END $$",
        )
        .await
        .unwrap();
    let sharing = Directory::new(|files| files.retain(|name, _| name == "sharing.cedar"));
    let (code, _, errors) = check_by_binary(&sharing.0, &database);
    assert_eq!(code, Some(1), "{errors}");
    for part in [
        "the ways of deciding differ",
        "updateChat of",
        "Cedar says false, the interpreter false, PostgreSQL true",
        "principal: ",
        "shares: [",
        "predicate: ",
    ] {
        assert!(errors.contains(part), "{part} is not in {errors}");
    }
}

#[tokio::test]
async fn a_check_without_a_database_fails_unless_that_is_wanted() {
    let directory = Directory::new(|files| files.retain(|name, _| name == "service.cedar"));
    let mut settings = PolicyCheckSettings {
        dir: Some(directory.0.clone()),
        database: DatabaseSettings::default(),
        without_sql: false,
        max_evaluations: MAX_EVALUATIONS,
    };
    let refused = check(&settings).await.unwrap_err();
    assert!(refused.contains("the SQL cannot be run"), "{refused}");
    settings.without_sql = true;
    let report = check(&settings).await.unwrap();
    assert!(report.contains("the SQL was not run"), "{report}");
}

#[tokio::test]
async fn explain_names_decision_policies_predicate_and_sql() {
    Stack::run(async |stack| {
        let (owner, stranger) = (Caller::user(), Caller::user());
        let chat = stack.chat(&owner).await;
        let explain = async |principal: String, action: &str| {
            let (code, text, errors) = output_of(&[
                "policy",
                "explain",
                "--principal",
                &principal,
                "--chat",
                &chat.id,
                "--action",
                action,
                "--database-url",
                stack.database.url(),
            ]);
            if code == Some(0) { text } else { errors }
        };
        let allowed = explain(owner.token(), "readChat").await;
        for part in [
            "allowed",
            "decided by: owner-own-chats",
            "permit owner-own-chats (applies here): owner is",
            "permit reader-user (does not apply here)",
            "c.owner_id = ANY($",
        ] {
            assert!(allowed.contains(part), "{part} is not in {allowed}");
        }
        let claims = json!({ "sub": stranger.id(), "suspended": true }).to_string();
        let denied = explain(claims, "archiveChat").await;
        for part in [
            "denied, and the chat may not be read: NOT_FOUND",
            "forbid suspended-user (applies here): every chat",
            "FALSE",
        ] {
            assert!(denied.contains(part), "{part} is not in {denied}");
        }
        for (principal, action) in [("{}", "readChat"), ("x", "readChat"), ("a.b.c", "readChat")] {
            let refused = explain(principal.to_owned(), action).await;
            assert!(refused.contains("--principal "), "{refused}");
        }
        let unknown = explain(owner.token(), "readChats").await;
        assert!(unknown.contains("is no action on a chat"), "{unknown}");
    })
    .await;
}

/// Exit code, output and errors of the real binary.
fn output_of(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Runs the real binary.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat-service"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn policies_that_cannot_be_used_stop_the_start_with_their_name_and_construct() {
    let untranslatable = Directory::new(|files| {
        files.insert(
            "site.cedar".to_owned(),
            "@id(\"by-office\")\npermit (principal is User, action == Action::\"readChat\", resource)\n\
             when { resource.owner.suspended };"
                .to_owned(),
        );
    });
    let broken = Directory::new(|files| {
        files.insert("site.cedar".to_owned(), "permit (principal".to_owned());
    });
    let foreign = Directory::new(|files| {
        files.insert("schema.cedarschema".to_owned(), "entity Chat;".to_owned());
    });
    for (directory, parts) in [
        (&untranslatable, ["by-office", "resource.owner.suspended"]),
        (&broken, ["site.cedar", "line 1"]),
        (&foreign, ["schema.cedarschema", "is not the schema"]),
    ] {
        let path = directory.0.to_str().unwrap();
        for arguments in [
            vec!["serve", "--policy-dir", path],
            vec!["policy", "check", path, "--without-sql"],
        ] {
            let output = run(&arguments);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
            for part in parts {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
    }
}

/// A directory with one more policy, under this condition.
fn with_condition(condition: &str) -> Directory {
    Directory::new(|files| {
        files.insert("large.cedar".to_owned(), policy_of("large", condition));
    })
}

fn policy_of(id: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\")\npermit (principal, action == Action::\"readChat\", resource)\n\
         when {{ {condition} }};"
    )
}

fn compared(levels: usize) -> String {
    (1..levels).fold("resource.archived".to_owned(), |left, number| {
        format!("({left}) == (resource.title == \"{number}\")")
    })
}

fn terms(count: usize) -> String {
    let terms: Vec<String> = (0..count)
        .map(|number| format!("resource.title == \"{number}\""))
        .collect();
    terms.join(" || ")
}

#[test]
fn policies_beyond_a_bound_are_refused_by_name_and_none_ends_the_process_by_a_signal() {
    for condition in [
        format!(
            "{}resource.archived{}",
            "(".repeat(2_500),
            ")".repeat(2_500)
        ),
        format!("{}resource.archived", "!".repeat(5_000)),
        compared(22),
        terms(2_500),
    ] {
        let directory = with_condition(&condition);
        let path = directory.0.to_str().unwrap();
        for arguments in [
            vec!["serve", "--policy-dir", path],
            vec!["policy", "check", path, "--without-sql"],
        ] {
            let output = run(&arguments);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{text}");
            assert!(text.contains("policy \"large\""), "{text}");
        }
    }
}

#[tokio::test]
async fn what_the_check_passes_runs_in_production_though_every_answer_is_checked_again() {
    let users: Vec<String> = (0..10_000)
        .map(|number| format!("User::\"{}\"", Uuid::from_u128(number)))
        .collect();
    let users = users.join(", ");
    let conditions = [
        terms(600),
        compared(8),
        format!("resource.owner in [{users}]"),
        format!("resource.readerUsers.containsAny([{users}])"),
    ];
    let directory = Directory::new(|files| {
        for (number, condition) in conditions.iter().enumerate() {
            files.insert(
                format!("{number}.cedar"),
                policy_of(&number.to_string(), condition),
            );
        }
    });
    let database = testkit::postgres::database().await;
    let path = directory.0.to_str().unwrap();
    let (code, report, errors) = output_of(&[
        "policy",
        "check",
        path,
        "--max-evaluations=2000",
        "--database-url",
        database.url(),
    ]);
    assert_eq!(code, Some(0), "{report}{errors}");
    let policies = Arc::new(Policies::directory(&directory.0).unwrap());
    let change = |settings: &mut Settings, _: &mut _| {
        settings.policies = Some(policies);
        settings.policy_recheck = 1;
    };
    Stack::run_with(change, async |stack| {
        let owner = Caller::user();
        let chat = stack.chat(&owner).await;
        let listed = stack
            .chats(&owner)
            .get_chats(GetChatsRequest::default())
            .await;
        let listed = listed.unwrap().into_inner().chats;
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].id, chat.id);
    })
    .await;
}

#[tokio::test]
async fn five_hundred_policies_are_checked_in_bounded_memory_and_the_sample_is_named() {
    let policies: String = (0..500)
        .map(|number| {
            let group = Uuid::from_u128(0x1000 + number);
            format!(
                "@id(\"policy-{number}\")\npermit (principal is User, action == Action::\"readChat\", \
                 resource)\nwhen {{ resource.readerGroups.contains(Group::\"{group}\") || \
                 (resource.hasTag(\"l{number}\") && resource.getTag(\"l{number}\") like \"a*{number}\") }};\n"
            )
        })
        .collect();
    let directory = Directory::new(|files| {
        files.insert("many.cedar".to_owned(), policies);
    });
    let database = testkit::postgres::database().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_chat-service"))
        .args(["policy", "check", directory.0.to_str().unwrap()])
        .args([
            "--max-evaluations=1000000",
            "--database-url",
            database.url(),
        ])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        let kib = status_kib(child.id(), "VmHWM:");
        peak_kib = kib.unwrap_or(0).max(peak_kib);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{report}{:?}",
        String::from_utf8(output.stderr)
    );
    assert!(
        report.contains("warning: a sample; each caller is asked about 1 of more than"),
        "{report}"
    );
    assert!((1..512 << 10).contains(&peak_kib), "{peak_kib} KiB");
}

#[tokio::test]
async fn a_directory_of_policies_replaces_those_of_the_binary() {
    let directory = Directory::new(|files| {
        files.insert(
            "hidden.cedar".to_owned(),
            "@id(\"hidden\")\nforbid (principal, action, resource is Chat)\n\
             when { resource.hasTag(\"hidden\") && resource.getTag(\"hidden\") == \"100% '_\\\\\" };"
                .to_owned(),
        );
    });
    let policies = Policies::directory(&directory.0).unwrap();
    let change = |settings: &mut Settings, _: &mut _| settings.policies = Some(Arc::new(policies));
    Stack::run_with(change, async |stack| {
        let owner = Caller::user();
        let labelled = |value: &str| CreateChatRequest {
            labels: [("hidden".to_owned(), value.to_owned())].into(),
            ..CreateChatRequest::default()
        };
        // The policy holds for the chat as it would be.
        let mut client = stack.chats(&owner);
        let hidden = refused(client.create_chat(labelled("100% '_\\")).await);
        assert_eq!(hidden.0, Code::PermissionDenied);
        let chat = stack.chat_with(&owner, labelled("100% '_")).await;
        let get = GetChatRequest {
            chat_id: chat.id,
            ..GetChatRequest::default()
        };
        assert!(client.get_chat(get.clone()).await.is_ok());
        // A chat that becomes hidden is not found by any caller.
        let database = stack.database.client().await;
        database
            .execute(
                "UPDATE chats SET labels = $1",
                &[&json!({ "hidden": "100% '_\\" })],
            )
            .await
            .unwrap();
        assert_eq!(
            refused(client.get_chat(get.clone()).await).0,
            Code::NotFound
        );
        let mut admin = stack.chats(&Caller::user().site("admin"));
        assert_eq!(refused(admin.get_chat(get).await).0, Code::NotFound);
    })
    .await;
}

#[test]
fn the_embedded_policies_load_without_a_warning() {
    assert_eq!(Policies::embedded().unwrap().warnings(), &[] as &[String]);
}

#[test]
fn a_start_without_a_database_fails_with_another_exit_code_than_a_wrong_configuration() {
    let directory = std::env::temp_dir().join(format!("keys-{}", Uuid::now_v7()));
    let file = |flag: &str, name: &str| format!("--{flag}={}", directory.join(name).display());
    let generated = run(&["keys", "generate", "--dir", directory.to_str().unwrap()]);
    assert!(generated.status.success(), "{generated:?}");
    let keys = [file("jwt-keys", "jwt.pub"), file("keys-file", "seal.keys")];
    let arguments = ["serve", &keys[0], &keys[1]];
    let failed = run(&[&arguments[..], &["--database-url=postgres://127.0.0.1:1/x"]].concat());
    let refused = run(&arguments);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(failed.status.code(), Some(70), "{failed:?}");
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
}
