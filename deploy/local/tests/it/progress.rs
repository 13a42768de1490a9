//! What a start prints, and what one that fails prints.

use std::{fs, os::unix::fs::MetadataExt as _, os::unix::fs::PermissionsExt as _};

use crate::launcher::{Launcher, Place};

/// Starts, at a terminal or not, with a chat-service whose first call fails; returns what is
/// printed.
async fn failed_start(at_a_terminal: bool) -> String {
    let place = Place::new();
    let broken = place.program("chat-service", "echo 'no such table' >&2; exit 3");
    let launcher = Launcher::at(&place).with("CHAT_SERVICE_BIN", broken);
    let typescript = place.file("typescript");
    let mut process = if at_a_terminal {
        launcher.start_at_a_terminal(&typescript)
    } else {
        launcher.start()
    };
    let status = process.wait().await;
    assert_eq!(status.code(), Some(1), "{}", process.tail(20));
    if at_a_terminal {
        fs::read_to_string(typescript).unwrap()
    } else {
        process.tail(100)
    }
}

#[tokio::test]
async fn progress_is_one_line_that_lives_at_a_terminal_and_plain_lines_elsewhere() {
    let (shown, plain) = tokio::join!(failed_start(true), failed_start(false));
    for part in [
        "\r\u{1b}[K⠋ PostgreSQL",
        "\r\u{1b}[K✓ PostgreSQL (",
        "✓ Building the services",
    ] {
        let is_aloud = part.contains("Building");
        assert_ne!(shown.contains(part), is_aloud, "{part:?}: {shown:?}");
    }
    assert!(
        shown.contains("error: chat-service migrate failed: no such table"),
        "{shown}"
    );
    assert!(!plain.contains(['\r', '\u{1b}', '✓']), "{plain:?}");
    for line in ["PostgreSQL ...", "Schema ...", "PostgreSQL stopped"] {
        assert!(plain.lines().any(|found| found == line), "{line}: {plain}");
    }
    assert!(plain.contains("PostgreSQL: done in "), "{plain}");
}

/// Only root's database runs as another user.
#[tokio::test]
async fn a_data_directory_that_the_database_cannot_reach_is_refused_once_in_plain_words() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let place = Place::new();
    let closed = place.file("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let data = closed.join("data");
    let mut process = Launcher::at(&place).flag("--data-dir", &data).start();
    assert_eq!(process.wait().await.code(), Some(1), "{}", process.tail(20));
    let said = process.tail(20);
    let why = format!("who cannot enter {}: {}", closed.display(), data.display());
    assert_eq!(said.matches(&why).count(), 1, "{said}");
    assert!(!said.contains("denied"), "{said}");
}
