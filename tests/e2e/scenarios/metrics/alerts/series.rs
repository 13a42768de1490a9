//! What alerts see of the first event of a process. A series that begins with 1 has no increase: so
//! it exists from the start, at 0, or its rule looks at series that are new.

use std::collections::BTreeSet;

use e2e::stack::Stack;
use testkit::wait;

use super::super::alerts;
use super::prometheus;

/// Series of rules that need no first event, since traffic alone knows their labels, each with why.
const ONGOING: [(&str, &str); 5] = [
    (
        "rpc_server_call_duration_seconds_count",
        "a share of all calls that has to last for minutes",
    ),
    (
        "rpc_client_call_duration_seconds_count",
        "a share of all calls that has to last for minutes",
    ),
    (
        "gitsync_outcomes_total",
        "a share of all lookups at a host that has to last for minutes",
    ),
    (
        "gitsync_window_left_ratio",
        "a share of all answers of a host that has to last for minutes",
    ),
    (
        "gitsync_host_requests_total",
        "while a circuit breaker is open, trial requests are counted again and again",
    ),
];

/// The series in `increase(...)` and `rate(...)` of a rule, each as a query; of several values of a
/// label that it names, a query for each. Those that it looks for as new ones, too, are left out.
fn counted(rule: &str) -> BTreeSet<String> {
    let mut counted = BTreeSet::new();
    for call in ["increase(", "rate("] {
        for rest in rule.split(call).skip(1) {
            let (series, _) = rest.split_once('[').expect("a range");
            let name = series.split('{').next().unwrap_or_default();
            if !rule.contains(&format!("unless {name} offset ")) {
                counted.extend(each_value(series));
            }
        }
    }
    counted
}

/// `a{b=~"c|d"}` as `a{b=~"c"}` and `a{b=~"d"}`.
fn each_value(series: &str) -> Vec<String> {
    let Some((before, rest)) = series.split_once("=~\"") else {
        return vec![series.to_owned()];
    };
    let (values, after) = rest.split_once('"').expect("a quoted value");
    let values = values.split('|');
    values
        .map(|value| format!("{before}=~\"{value}\"{after}"))
        .collect()
}

#[tokio::test]
async fn what_alerts_count_exists_before_anything_has_happened() {
    let mut counted_at_all = 0;
    Stack::run(async |stack| {
        let worker = stack.worker().await;
        let prometheus = prometheus(&[stack.ops_url()], &[&worker]).await;
        for (alert, rule) in alerts() {
            for series in counted(&rule) {
                if ONGOING.iter().any(|(name, _)| series.starts_with(name)) {
                    continue;
                }
                counted_at_all += 1;
                let what = format!("{series} of {alert} exists");
                wait::until(&what, || async {
                    let answer = prometheus.query(&series).await;
                    if answer.contains("\"metric\":{") {
                        Ok(())
                    } else {
                        Err(answer)
                    }
                })
                .await;
            }
        }
        vec![worker]
    })
    .await;
    assert!(
        counted_at_all > 15,
        "only {counted_at_all} series are looked at"
    );
}

#[test]
fn series_are_found_in_rules_whatever_surrounds_them() {
    let rule = "expr: 'sum(increase(a{b=~\"c|d\"}[5m])) > 0 or rate(e[10m]) > 0
        or increase(f[1h]) > 0 or (f unless f offset 1h) > 0'";
    let wanted = ["a{b=~\"c\"}", "a{b=~\"d\"}", "e"].map(str::to_owned);
    assert_eq!(counted(rule), wanted.into());
}
