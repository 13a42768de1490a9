//! Faults of one replica: its certificate, its clock, its policies, its keys; and of the relay.

use std::{fs, path::Path};

use e2e::{
    lease::whatever_is_due,
    stack::{REPOSITORY, Replica, Stack},
};
use testkit::{
    clients::Caller,
    file::TempDirectory,
    postgres::Client,
    tls::{Authority, Life},
};

use super::{create, nothing, prometheus};

/// A clock that is a minute ahead, for sessions that begin from now on.
const AHEAD: &str = "
    CREATE SCHEMA ahead;
    CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS 'SELECT pg_catalog.clock_timestamp() + interval ''1 minute''';";

async fn replica(stack: &Stack, variables: &[(&str, &str)]) -> Replica {
    stack.replica_of(stack.database.address(), variables).await
}

/// Changes a setting of the sessions that begin from now on.
async fn set(stack: &Stack, client: &Client, what: &str) {
    let sql = format!("ALTER DATABASE {} {what}", stack.database.name());
    client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn of_a_certificate_that_ends_a_clock_that_is_off_and_changes_that_wait_operators_hear() {
    let directory = TempDirectory::new();
    let certified = Authority::new().certify(&["localhost"], Life::Soon);
    certified.write(directory.path(), "server");
    Stack::run(async |stack| {
        let (certificate, key) = (directory.file("server.crt"), directory.file("server.key"));
        let ending = [
            ("CHAT_TLS_CERT_FILE", certificate.as_str()),
            ("CHAT_TLS_KEY_FILE", &key),
            ("CHAT_PLAINTEXT", "ops"),
        ];
        let ending = replica(stack, &ending).await;
        let client = stack.database.client().await;
        client.batch_execute(AHEAD).await.unwrap();
        set(
            stack,
            &client,
            "SET search_path = ahead, public, pg_catalog",
        )
        .await;
        let off = replica(stack, &[]).await;
        set(stack, &client, "RESET search_path").await;
        let urls = [stack.ops_url(), ending.ops_url(), off.ops_url()];
        let prometheus = prometheus(&urls, &[]).await;
        let of_one = ["CertificateExpires", "DatabaseClockOff"];
        prometheus.until_firing(&of_one, nothing).await;
        for replica in [ending, off] {
            replica.process.stop().await;
        }

        stack.expect_warnings(&["the relay failed; trying again: the statement"]);
        let unplaced = ["ChangesUnplaced"];
        prometheus.until_quiet(&unplaced, nothing).await;
        let mut holder = stack.database.client().await;
        let held = holder.transaction().await.unwrap();
        held.batch_execute("SELECT FROM change_relay FOR UPDATE")
            .await
            .unwrap();
        let owner = Caller::user();
        create(stack, &owner).await;
        prometheus.until_firing(&unplaced, nothing).await;
        held.rollback().await.unwrap();
        prometheus.until_quiet(&unplaced, nothing).await;
        Vec::new()
    })
    .await;
}

/// The policies of this release, but that workers may not read credentials.
fn without_credentials(directory: &TempDirectory) {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chat-service/policies");
    let mut denied = false;
    for entry in fs::read_dir(policies).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "cedar")
        {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let without = text.replace(",\n         Action::\"readGitCredential\"", "");
        denied |= without != text;
        let name = path.file_name().unwrap();
        fs::write(directory.path().join(name), without).unwrap();
    }
    assert!(denied, "the policies let no worker read credentials");
}

#[tokio::test]
async fn of_credentials_that_policy_keeps_or_no_key_opens_operators_hear() {
    let (policies, keys) = (TempDirectory::new(), TempDirectory::new());
    without_credentials(&policies);
    Stack::run(async |stack| {
        let ring = keys.path().join("other");
        let ring = ring.to_str().unwrap();
        let _ = stack.chat_service_command(&["keys", "generate", "--dir", ring]);
        let ring = format!("{ring}/seal.keys");
        let mut denying = replica(stack, &[("CHAT_POLICY_DIR", &policies.name())]).await;
        let mut keyless = replica(stack, &[("CHAT_KEYS_FILE", &ring)]).await;
        denying.process.expect_errors();
        keyless.process.expect_errors();
        let prometheus = prometheus(&[denying.ops_url(), keyless.ops_url()], &[]).await;
        let all = ["CredentialReadsDenied", "CredentialsUnreadable"];
        prometheus.until_quiet(&all, nothing).await;
        let owner = stack.linked_user("ann").await;
        let chat = stack.chat(&owner).await;
        stack.report(&owner, &chat, REPOSITORY, "feature").await;
        for (alert, replica) in all.iter().zip([&denying, &keyless]) {
            let leasing = async || {
                let mut sync = stack.sync_at(replica.sync_url(), &Caller::gitsync());
                // Whether it is refused is what the alert is about.
                let _ = sync.lease_diff_statuses(whatever_is_due()).await;
            };
            prometheus.until_firing(&[*alert], leasing).await;
        }
        for replica in [denying, keyless] {
            replica.process.stop().await;
        }
        Vec::new()
    })
    .await;
}
