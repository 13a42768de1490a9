use std::time::Duration;

use super::*;
use crate::lease::LeaseToken;

const HEARD: Duration = Duration::from_secs(600);
const LATER: Duration = Duration::from_secs(200);

fn refresh() -> Refresh {
    Refresher::builder().build().unwrap().open(Arc::new(Lease {
        token: LeaseToken::new("lease".to_owned()),
        budget_key: BudgetKey("key".to_owned()),
        expires_in: Duration::from_secs(60),
        groups: Vec::new(),
    }))
}

/// How the budget is told now and [`LATER`], after the host said what `say` does.
fn told(say: impl FnOnce(&Asker<'_>)) -> [BudgetObservation; 2] {
    let refresh = refresh();
    let (rejected, started) = (AtomicBool::new(false), AtomicBool::new(false));
    say(&Asker::new(&refresh.gate, &rejected, &started));
    let now = Instant::now();
    [now, now + LATER].map(|at| refresh.budget_at(at).unwrap())
}

#[test]
fn a_pause_ends_when_it_was_to_end_however_late_it_is_reported() {
    let [now, later] = told(|asker| {
        asker.spend(HEARD);
    });
    let (now, later) = (now.pause_for.unwrap(), later.pause_for.unwrap());
    assert!(now > HEARD, "{now:?}");
    assert_eq!(now - later, LATER);
}

#[test]
fn a_window_ends_when_it_was_to_end_however_late_it_is_reported() {
    let [now, later] = told(|asker| {
        asker.observe(Some(BudgetObservation {
            remaining: Some(7),
            reset_in: Some(HEARD),
            ..BudgetObservation::default()
        }));
    });
    assert_eq!(now.reset_in.unwrap() - later.reset_in.unwrap(), LATER);
    assert_eq!(later.remaining, Some(7));
}

#[test]
fn a_pause_that_is_over_is_not_reported() {
    let refresh = refresh();
    let (rejected, started) = (AtomicBool::new(false), AtomicBool::new(false));
    Asker::new(&refresh.gate, &rejected, &started).spend(LATER);
    assert_eq!(refresh.budget_at(Instant::now() + HEARD), None);
}
