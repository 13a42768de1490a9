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
    let mut latest: HashMap<String, (u64, Decision)> = HashMap::new();
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
            .or_insert((review.id, decision));
        if review.id >= held.0 {
            *held = (review.id, decision);
        }
    }
    let any = |wanted| latest.values().any(|(_, decision)| *decision == wanted);
    let changes_requested = any(Decision::ChangesRequested);
    ReviewSummary {
        changes_requested,
        approved: any(Decision::Approved) && !changes_requested,
        reviewer_count: i32::try_from(latest.len()).unwrap_or(i32::MAX),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::github::rest::model::Login;

    /// Each review as its id, its author and its state; whether changes are requested, whether it
    /// is approved, and by how many reviewers.
    type Row = (
        &'static [(u64, &'static str, &'static str)],
        bool,
        bool,
        i32,
    );

    #[test]
    fn the_latest_decision_of_each_reviewer_who_still_exists_counts() {
        let rows: [Row; 9] = [
            (&[], false, false, 0),
            (&[(1, "ann", "CHANGES_REQUESTED")], true, false, 1),
            // A later approval or dismissal lifts a request for changes, and a comment nothing.
            (
                &[(1, "ann", "CHANGES_REQUESTED"), (2, "Ann", "APPROVED")],
                false,
                true,
                1,
            ),
            (
                &[(1, "ann", "CHANGES_REQUESTED"), (2, "Ann", "DISMISSED")],
                false,
                false,
                1,
            ),
            (
                &[
                    (1, "ann", "APPROVED"),
                    (2, "ann", "COMMENTED"),
                    (3, "ann", "PENDING"),
                ],
                false,
                true,
                1,
            ),
            // The highest id is the latest, whatever the order.
            (
                &[(9, "ann", "APPROVED"), (3, "ann", "CHANGES_REQUESTED")],
                false,
                true,
                1,
            ),
            // One request for changes among several reviewers stands.
            (
                &[
                    (1, "ann", "APPROVED"),
                    (2, "bob", "CHANGES_REQUESTED"),
                    (3, "eve", "COMMENTED"),
                ],
                true,
                false,
                2,
            ),
            // Deleted accounts do not count.
            (&[(1, "ghost", "APPROVED")], false, false, 0),
            (&[(1, " ", "APPROVED")], false, false, 0),
        ];
        for (listed, changes_requested, approved, reviewer_count) in rows {
            let review = |(id, login, state): &(u64, &str, &str)| Review {
                id: *id,
                user: Some(Login {
                    login: (*login).to_owned(),
                }),
                state: (*state).to_owned(),
            };
            let reviews: Vec<_> = listed.iter().map(review).collect();
            let expected = ReviewSummary {
                changes_requested,
                approved,
                reviewer_count,
            };
            assert_eq!(summarize(&reviews), expected, "{listed:?}");
        }
    }
}
