//! A chat as one row: what the sidebar shows of it, in words.

use jiff::{Timestamp, tz::TimeZone};
use proto::chat::v1::{Chat, ChatDiffStatus, ChatStatus, Freshness};

use super::{
    merging::merging,
    name::words,
    table::{Cell, Color, TableColumn},
    time::{ago, clock, timestamp},
};

/// Columns of an event: when, what, and the chat.
pub(super) const EVENT_COLUMNS: &[TableColumn] = &[
    column("TIME", 8, 8),
    column("EVENT", 19, 24),
    column("ID", 36, 36),
    column("ICON", 9, 20),
    column("TITLE", 30, 48),
    column("PULL REQUEST", 16, 32),
    column("MERGE", 16, 48),
    column("CHANGES", 9, 16),
    column("REPOSITORY", 12, 40),
    column("BRANCH", 16, 40),
    column("FRESHNESS", 16, 40),
    column("PROBLEM", 0, 0),
];
/// How many of them come before those of the chat.
const OF_THE_EVENT: usize = 2;
/// Columns of a chat.
pub(super) const CHAT_COLUMNS: &[TableColumn] = &[
    column("ID", 36, 36),
    column("ICON", 0, 20),
    column("TITLE", 0, 48),
    column("PULL REQUEST", 0, 32),
    column("MERGE", 0, 48),
    column("CHANGES", 0, 16),
    column("REPOSITORY", 0, 40),
    column("BRANCH", 0, 40),
    column("FRESHNESS", 0, 40),
    column("PROBLEM", 0, 0),
];
const _: () = assert!(CHAT_COLUMNS.len() + OF_THE_EVENT == EVENT_COLUMNS.len());

const fn column(head: &'static str, least: usize, most: usize) -> TableColumn {
    TableColumn { head, least, most }
}

/// The time and the time zone of a reader.
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

impl Clock {
    /// Those of this machine.
    pub(super) fn new() -> Self {
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }
}

/// The cells of a chat.
pub(super) fn cells(chat: &Chat, clock: &Clock) -> Vec<Cell> {
    let (word, color) = icon(chat);
    let status = chat.diff_status.as_ref();
    let of = |text: fn(&ChatDiffStatus) -> String| Cell::new(status.map(text).unwrap_or_default());
    let problem = status.and_then(|status| problem(status, clock));
    vec![
        Cell::new(&chat.id),
        Cell::colored(word, color),
        Cell::new(&chat.title),
        of(pull_request),
        status.map(merging).unwrap_or_default(),
        of(changes),
        of(|status| status.repository.clone()),
        of(|status| status.git_branch.clone()),
        Cell::new(
            status
                .map(|status| freshness(status, clock))
                .unwrap_or_default(),
        ),
        Cell::colored(problem.unwrap_or_default(), Some(Color::Yellow)),
    ]
}

/// The cells of a chat whose event has only its id, with `text` in place of its title.
pub(super) fn only(id: &str, text: &str) -> Vec<Cell> {
    vec![Cell::new(id), Cell::default(), Cell::new(text)]
}

/// The meaning of the row's icon, and its colour.
fn icon(chat: &Chat) -> (String, Option<Color>) {
    let (word, color) = match chat.icon.as_str() {
        "git-merge" => ("merged".to_owned(), Some(Color::Purple)),
        "git-pull-request-closed" => ("closed".to_owned(), Some(Color::Red)),
        "git-pull-request-draft" => ("draft".to_owned(), Some(Color::Gray)),
        "git-pull-request-arrow" => ("open".to_owned(), Some(Color::Green)),
        // The chat's own status; also for an icon that only a later release knows.
        _ => {
            let status = chat.status();
            let color = match status {
                ChatStatus::Running | ChatStatus::Pending => Some(Color::Cyan),
                ChatStatus::Paused => Some(Color::Yellow),
                ChatStatus::Error => Some(Color::Red),
                ChatStatus::Waiting | ChatStatus::Completed | ChatStatus::Unspecified => None,
            };
            (words(status.as_str_name(), "CHAT_STATUS_"), color)
        }
    };
    if chat.archived {
        (format!("{word}, archived"), color)
    } else {
        (word, color)
    }
}

/// As in `#12 open`.
fn pull_request(status: &ChatDiffStatus) -> String {
    let Some(number) = status.pr_number else {
        return String::new();
    };
    let state = words(
        status.pull_request_state().as_str_name(),
        "PULL_REQUEST_STATE_",
    );
    let mut text = format!("#{number} {state}");
    if status.pushed_after_merge() {
        text.push_str(", pushed after merge");
    }
    text
}

fn changes(status: &ChatDiffStatus) -> String {
    if status.pr_number.is_none() {
        return String::new();
    }
    format!("+{} -{}", status.additions, status.deletions)
}

/// How old the status is, and whether a refresh is due, under way or paused.
fn freshness(status: &ChatDiffStatus, at: &Clock) -> String {
    let synced = status
        .refreshed_at
        .as_ref()
        .and_then(timestamp)
        .map_or_else(
            || "never synced".to_owned(),
            |synced| format!("synced {}", ago(synced, at.now)),
        );
    match status.freshness() {
        Freshness::Fresh | Freshness::Unspecified => synced,
        Freshness::Due => format!("due, {synced}"),
        Freshness::Refreshing => format!("refreshing, {synced}"),
        Freshness::Paused => match status.next_refresh_at.as_ref().and_then(timestamp) {
            Some(until) => format!("paused until {}", clock(until, at.now, &at.zone)),
            None => "paused".to_owned(),
        },
    }
}

/// Why lookups fail, and since when.
fn problem(status: &ChatDiffStatus, at: &Clock) -> Option<String> {
    let problem = status.problem.as_ref()?;
    let since = problem.since.as_ref().and_then(timestamp);
    Some(match since {
        Some(since) => format!(
            "{} (since {})",
            problem.message,
            clock(since, at.now, &at.zone)
        ),
        None => problem.message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{Problem, PullRequestState};

    use super::*;

    fn clock() -> Clock {
        Clock {
            now: "2026-11-30T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        }
    }

    fn at(text: &str) -> Option<prost_types::Timestamp> {
        let at: Timestamp = text.parse().unwrap();
        Some(prost_types::Timestamp {
            seconds: at.as_second(),
            nanos: 0,
        })
    }

    fn row(chat: &Chat) -> Vec<Cell> {
        cells(chat, &clock())
    }

    #[test]
    fn the_icons_word_is_the_pull_requests_where_the_icon_is() {
        for (name, status, word, color) in [
            (
                "git-merge",
                ChatStatus::Waiting,
                "merged",
                Some(Color::Purple),
            ),
            (
                "git-pull-request-closed",
                ChatStatus::Waiting,
                "closed",
                Some(Color::Red),
            ),
            (
                "git-pull-request-draft",
                ChatStatus::Completed,
                "draft",
                Some(Color::Gray),
            ),
            (
                "git-pull-request-arrow",
                ChatStatus::Completed,
                "open",
                Some(Color::Green),
            ),
            ("check", ChatStatus::Waiting, "waiting", None),
            ("check", ChatStatus::Completed, "completed", None),
            ("spinner", ChatStatus::Running, "running", Some(Color::Cyan)),
            ("spinner", ChatStatus::Pending, "pending", Some(Color::Cyan)),
            ("pause", ChatStatus::Paused, "paused", Some(Color::Yellow)),
            (
                "error-triangle",
                ChatStatus::Error,
                "error",
                Some(Color::Red),
            ),
            ("", ChatStatus::Unspecified, "unspecified", None),
        ] {
            let chat = Chat {
                icon: name.to_owned(),
                status: status.into(),
                ..Chat::default()
            };
            assert_eq!(row(&chat)[1], Cell::colored(word, color), "{name}");
        }
    }

    #[test]
    fn a_row_says_what_is_known_how_old_that_is_and_what_stands_in_the_way() {
        let status = ChatDiffStatus {
            pr_number: Some(12),
            pull_request_state: Some(PullRequestState::Open.into()),
            changes_requested: true,
            additions: 7,
            deletions: 3,
            repository: "acme/web".to_owned(),
            git_branch: "feat/\u{1b}[2Jx".to_owned(),
            refreshed_at: at("2026-11-30T11:59:20Z"),
            freshness: Freshness::Paused.into(),
            next_refresh_at: at("2026-11-30T12:04:00Z"),
            problem: Some(Problem {
                message: "rate limited until 12:04 UTC".to_owned(),
                since: at("2026-11-29T08:00:00Z"),
                ..Problem::default()
            }),
            ..ChatDiffStatus::default()
        };
        let chat = Chat {
            title: "Fix it".to_owned(),
            archived: true,
            icon: "git-pull-request-arrow".to_owned(),
            diff_status: Some(status.clone()),
            ..Chat::default()
        };
        let shown = row(&chat);
        for (index, text) in [
            (1, "open, archived"),
            (2, "Fix it"),
            (3, "#12 open"),
            (4, "± changes requested"),
            (5, "+7 -3"),
            (6, "acme/web"),
            (7, "feat/\\u{1b}[2Jx"),
            (8, "paused until 12:04"),
            (9, "rate limited until 12:04 UTC (since 2026-11-29 08:00)"),
        ] {
            assert_eq!(shown[index].text(), text);
        }
        for (freshness_, refreshed, text) in [
            (Freshness::Fresh, true, "synced 40 s ago"),
            (Freshness::Due, true, "due, synced 40 s ago"),
            (Freshness::Refreshing, false, "refreshing, never synced"),
            (Freshness::Unspecified, false, "never synced"),
        ] {
            let status = ChatDiffStatus {
                freshness: freshness_.into(),
                refreshed_at: status.refreshed_at.filter(|_| refreshed),
                ..status.clone()
            };
            assert_eq!(freshness(&status, &clock()), text);
        }
        assert!(
            row(&Chat::default())[2..]
                .iter()
                .all(|cell| cell.text().is_empty())
        );
    }
}
