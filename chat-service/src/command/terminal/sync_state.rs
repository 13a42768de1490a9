//! `chat-service sync-state`.

use proto::chat::v1::{
    BudgetState, GetSyncStateRequest, GetSyncStateResponse, Lane, LaneState, LeaseState, Pause,
    ProblemClass, ProblemCount, Window,
};

use super::{
    connection::{ANSWER_LIMIT, ServerConnection},
    name::words,
    output::Output,
    table::{Cell, Color, TableColumn},
    time::{duration, rough},
};
use crate::config::ServerSettings;

const LANES: &[TableColumn] = &[
    column("LANE", 20),
    column("DUE", 12),
    column("OVERDUE", 12),
    column("OLDEST", 0),
];
const LEASES: &[TableColumn] = &[
    column("WORKER", 60),
    column("BUDGET", 200),
    column("REFS", 12),
    column("EXPIRES IN", 0),
];
const BUDGETS: &[TableColumn] = &[
    column("BUDGET", 200),
    column("PROVIDER", 40),
    column("ACCOUNT", 12),
    column("PAUSE", 60),
    column("STRIKES", 8),
    column("LOST LEASES", 12),
    column("WINDOWS", 0),
];
const PROBLEMS: &[TableColumn] = &[column("PROBLEM", 40), column("REFS", 0)];

const fn column(head: &'static str, most: usize) -> TableColumn {
    TableColumn {
        head,
        least: 0,
        most,
    }
}

/// One of the tables.
struct Section {
    columns: &'static [TableColumn],
    rows: Vec<Vec<Cell>>,
    /// Printed in place of a table without rows.
    empty: &'static str,
}

impl Section {
    fn new<T>(
        columns: &'static [TableColumn],
        items: &[T],
        cells: fn(&T) -> Vec<Cell>,
        empty: &'static str,
    ) -> Self {
        Self {
            columns,
            rows: items.iter().map(cells).collect(),
            empty,
        }
    }
}

/// Prints what is due, leased, paused and wrong.
pub(super) async fn show(settings: &ServerSettings, output: &mut Output<'_>) -> anyhow::Result<()> {
    let connection = ServerConnection::new(settings)?;
    let call = connection.request(GetSyncStateRequest {});
    let state = connection
        .answer(ANSWER_LIMIT, connection.sync_admin().get_sync_state(call))
        .await?
        .map_err(|status| connection.failure(&status))?;
    let GetSyncStateResponse {
        lanes,
        leases,
        budgets,
        problems,
    } = &state;
    output.messages("chat.v1.GetSyncStateResponse", std::slice::from_ref(&state))?;
    let sections = [
        Section::new(LANES, lanes, lane_cells, "No ref is due."),
        Section::new(LEASES, leases, lease_cells, "No budget is leased."),
        Section::new(BUDGETS, budgets, budget_cells, "There is no budget."),
        Section::new(PROBLEMS, problems, problem_cells, "No ref has a problem."),
    ];
    for (index, section) in sections.into_iter().enumerate() {
        if index > 0 {
            output.heading("")?;
        }
        if section.rows.is_empty() {
            output.heading(section.empty)?;
        } else {
            output.rows(section.columns, &section.rows)?;
            output.end()?;
        }
    }
    Ok(())
}

fn lane_cells(state: &LaneState) -> Vec<Cell> {
    let oldest = state.oldest.as_ref().map(duration).map(rough);
    vec![
        Cell::new(words(state.lane().as_str_name(), "LANE_")),
        Cell::new(state.due.to_string()),
        Cell::colored(
            state.overdue.to_string(),
            Some(Color::Yellow).filter(|_| state.overdue > 0),
        ),
        Cell::new(oldest.unwrap_or_default()),
    ]
}

fn lease_cells(state: &LeaseState) -> Vec<Cell> {
    let expires_in = state.expires_in.as_ref().map(duration).map(rough);
    vec![
        Cell::new(&state.worker_id),
        Cell::new(&state.budget_key),
        Cell::new(state.refs.to_string()),
        Cell::new(expires_in.unwrap_or_default()),
    ]
}

fn budget_cells(state: &BudgetState) -> Vec<Cell> {
    let windows: Vec<String> = state.windows.iter().map(window).collect();
    let account = if state.account_known {
        "known"
    } else {
        "unknown"
    };
    vec![
        Cell::new(&state.budget_key),
        Cell::new(&state.provider_id),
        Cell::new(account),
        Cell::colored(
            state.pause.as_ref().map(pause).unwrap_or_default(),
            Some(Color::Yellow),
        ),
        Cell::new(state.secondary_strikes.to_string()),
        Cell::new(state.lost_leases.to_string()),
        Cell::new(windows.join("; ")),
    ]
}

fn problem_cells(count: &ProblemCount) -> Vec<Cell> {
    vec![
        Cell::new(class(count.class())),
        Cell::new(count.refs.to_string()),
    ]
}

fn class(class: ProblemClass) -> String {
    words(class.as_str_name(), "PROBLEM_CLASS_")
}

/// As in `core 4321 of 5000, reset in 12 min`.
fn window(window: &Window) -> String {
    let mut text = window.name.clone();
    match (window.remaining, window.limit) {
        (Some(remaining), Some(limit)) => text.push_str(&format!(" {remaining} of {limit}")),
        (Some(remaining), None) => text.push_str(&format!(" {remaining}")),
        (None, Some(limit)) => text.push_str(&format!(" of {limit}")),
        (None, None) => {}
    }
    if let Some(reset) = &window.reset_in {
        text.push_str(&format!(", reset in {}", rough(duration(reset))));
    }
    if let Some(pause) = &window.pause_for {
        text.push_str(&format!(", paused for {}", rough(duration(pause))));
    }
    text
}

/// As in `5 min, rate limited`.
fn pause(pause: &Pause) -> String {
    let mut text = pause
        .duration
        .as_ref()
        .map(duration)
        .map_or_else(String::new, rough);
    text.push_str(&format!(", {}", class(pause.class())));
    match pause.from_lane() {
        Lane::Unspecified | Lane::Interactive => {}
        lane @ (Lane::Viewed | Lane::Active | Lane::Idle) => {
            text.push_str(&format!(", from {} on", words(lane.as_str_name(), "LANE_")));
        }
    }
    text
}
