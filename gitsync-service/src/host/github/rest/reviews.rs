//! Sums the reviews of a pull request up, as REST lists them.

use std::collections::HashMap;

use super::{
    super::{normalised, review_summary::ReviewSummary},
    model::Review,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    ChangesRequested,
    Approved,
    Dismissed,
}

/// Sums reviews up: per reviewer, whose login is compared without its case, the decisive review
/// with the highest id counts. Comments and pending reviews decide nothing and hide nothing, and
/// bots count like anyone.
pub(super) fn summarize(reviews: &[Review]) -> ReviewSummary {
    let mut latest: HashMap<String, (&Review, Decision)> = HashMap::new();
    for review in reviews {
        let Some(decision) = decision(&review.state) else {
            continue;
        };
        let login = review.user.as_ref();
        let Some(login) = login.and_then(|user| normalised::login(&user.login)) else {
            continue;
        };
        let held = latest
            .entry(login.to_lowercase())
            .or_insert((review, decision));
        if review.id >= held.0.id {
            *held = (review, decision);
        }
    }
    let any = |wanted| latest.values().any(|(_, decision)| *decision == wanted);
    let changes_requested = any(Decision::ChangesRequested);
    ReviewSummary {
        changes_requested,
        approved: any(Decision::Approved) && !changes_requested,
        reviewer_count: i32::try_from(latest.len()).unwrap_or(i32::MAX),
        change_requests: latest
            .values()
            .filter(|(_, decision)| *decision == Decision::ChangesRequested)
            .filter_map(|(review, _)| review.node_id.clone())
            .collect(),
        approved_by: latest
            .into_iter()
            .filter(|(_, (_, decision))| *decision == Decision::Approved)
            .map(|(login, _)| login)
            .collect(),
    }
}

fn decision(state: &str) -> Option<Decision> {
    match state.to_ascii_uppercase().as_str() {
        "CHANGES_REQUESTED" => Some(Decision::ChangesRequested),
        "APPROVED" => Some(Decision::Approved),
        "DISMISSED" => Some(Decision::Dismissed),
        _ => None,
    }
}
