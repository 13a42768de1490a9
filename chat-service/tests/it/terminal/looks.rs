//! Colours.

use proto::chat::v1::ChatStatus;

use super::{client::Client, named};
use crate::stack::{Caller, Stack};

const RED: &str = "\u{1b}[31merror\u{1b}[0m";

#[tokio::test]
async fn a_terminal_shows_colours_unless_its_user_has_none_and_nothing_else_does() {
    Stack::run(async |stack| {
        let owner = Caller::user();
        stack
            .chat_with(&owner, named("Broken", ChatStatus::Error))
            .await;
        let client = Client::of(stack, &owner).with("TERM", "xterm");
        let shown = client.at_a_terminal(&["list"]).await;
        assert!(shown.contains(RED), "{shown:?}");
        assert!(!client.ok(&["list"]).await.contains('\u{1b}'));
        let plain = client.at_a_terminal(&["list", "--json"]).await;
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        let plain = client.with("NO_COLOR", "1").at_a_terminal(&["list"]).await;
        assert!(
            plain.contains("Broken") && !plain.contains('\u{1b}'),
            "{plain:?}"
        );
    })
    .await;
}
