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

    fn reviews(all: &[(u64, &str, &str)]) -> ReviewSummary {
        let all: Vec<_> = all
            .iter()
            .map(|(id, login, state)| Review {
                id: *id,
                user: Some(Login {
                    login: (*login).to_owned(),
                }),
                state: (*state).to_owned(),
            })
            .collect();
        summarize(&all)
    }

    fn summary(changes_requested: bool, approved: bool, reviewer_count: i32) -> ReviewSummary {
        ReviewSummary {
            changes_requested,
            approved,
            reviewer_count,
        }
    }

    #[test]
    fn no_review_decides_nothing() {
        assert_eq!(reviews(&[]), summary(false, false, 0));
    }

    #[test]
    fn one_request_for_changes_counts() {
        assert_eq!(
            reviews(&[(1, "ann", "CHANGES_REQUESTED")]),
            summary(true, false, 1)
        );
    }

    #[test]
    fn a_later_approval_or_dismissal_lifts_a_request_for_changes() {
        for (later, approved) in [("APPROVED", true), ("DISMISSED", false)] {
            assert_eq!(
                reviews(&[(1, "ann", "CHANGES_REQUESTED"), (2, "Ann", later)]),
                summary(false, approved, 1),
                "{later}"
            );
        }
    }

    #[test]
    fn one_request_for_changes_among_several_reviewers_stands() {
        assert_eq!(
            reviews(&[
                (1, "ann", "APPROVED"),
                (2, "bob", "CHANGES_REQUESTED"),
                (3, "eve", "COMMENTED")
            ]),
            summary(true, false, 2)
        );
    }

    #[test]
    fn a_later_comment_hides_no_decision() {
        assert_eq!(
            reviews(&[
                (1, "ann", "APPROVED"),
                (2, "ann", "COMMENTED"),
                (3, "ann", "PENDING")
            ]),
            summary(false, true, 1)
        );
    }

    #[test]
    fn the_highest_id_counts_whatever_the_order() {
        assert_eq!(
            reviews(&[(9, "ann", "APPROVED"), (3, "ann", "CHANGES_REQUESTED")]),
            summary(false, true, 1)
        );
    }

    #[test]
    fn reviews_of_deleted_accounts_do_not_count() {
        let ghost = Review {
            id: 1,
            user: None,
            state: "APPROVED".to_owned(),
        };
        assert_eq!(summarize(&[ghost]), summary(false, false, 0));
        assert_eq!(
            reviews(&[(1, "ghost", "APPROVED")]),
            summary(false, false, 0)
        );
        assert_eq!(reviews(&[(1, " ", "APPROVED")]), summary(false, false, 0));
    }
}
