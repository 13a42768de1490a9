//! Policies that nest deeply, or are long, load and decide on any thread, or are refused by name.

use std::thread;

use policy::{Action, ChatFacts, Policies, Principal, Resource, Source, UserId};
use uuid::Uuid;

fn policy(condition: &str) -> Source {
    let text = format!(
        "@id(\"deep\")\npermit (principal, action == Action::\"readChat\", resource)\nwhen {{ {condition} }};"
    );
    Source::new("deep.cedar", text)
}

/// Loads and decides on a thread with little stack.
fn run(condition: &str) -> Result<bool, String> {
    let source = policy(condition);
    let thread = thread::Builder::new().stack_size(512 << 10);
    let running = thread.spawn(move || {
        let policies = Policies::load(&[source]).map_err(|error| error.to_string())?;
        let caller = Principal::Service("s".to_owned());
        let facts = ChatFacts::of_owner(UserId(Uuid::from_u128(1)));
        let pred = policies.compile(&caller, Action::ReadChat).holds(&facts);
        let resource = Resource::Chat(Uuid::from_u128(2), facts);
        let decided = policies
            .oracle()
            .is_authorized(&caller, Action::ReadChat, &resource);
        let allowed = decided.map_err(|error| error.to_string())?.allowed;
        assert_eq!(pred, allowed);
        Ok(allowed)
    });
    running.unwrap().join().unwrap()
}

fn wrapped(levels: usize, open: &str, close: &str) -> String {
    format!(
        "{}resource.archived{}",
        open.repeat(levels),
        close.repeat(levels)
    )
}

fn chain(terms: usize, between: &str) -> String {
    let terms: Vec<String> = (0..terms)
        .map(|number| format!("resource.title == \"{number}\""))
        .collect();
    terms.join(between)
}

/// Conditions of `levels` levels, one for each construct that nests.
fn deep(levels: usize) -> Vec<(&'static str, String)> {
    vec![
        ("or", chain(levels, " || ")),
        ("and", chain(levels, " && ")),
        ("parentheses", wrapped(levels, "(", ")")),
        ("not", wrapped(levels / 2, "!(", ")")),
        ("bang", wrapped(3, "!", "")),
        (
            "if",
            wrapped(levels / 2, "if resource.archived then (", ") else false"),
        ),
        (
            "else",
            wrapped(levels, "if resource.archived then false else ", ""),
        ),
        (
            "mixed",
            wrapped(
                levels / 4,
                "(resource.archived || (resource.archived && ",
                "))",
            ),
        ),
        ("clauses", chain(levels, " } when { ")),
    ]
}

#[test]
fn the_deepest_policies_load_and_decide_on_any_thread() {
    for (kind, condition) in deep(990) {
        run(&condition).unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

/// Conditions that compare conditions, and that choose by conditions, `levels` deep.
fn doubling(levels: usize) -> [String; 2] {
    let term = |number| format!("resource.title == \"{number}\"");
    let compared = (1..levels).fold(term(0), |left, number| {
        format!("({left}) == ({})", term(number))
    });
    let chosen = (1..levels).fold(term(0), |cond, number| {
        format!("if ({cond}) then {} else resource.archived", term(number))
    });
    [compared, chosen]
}

#[test]
fn what_doubles_at_every_level_is_refused_before_it_is_large() {
    for condition in doubling(8) {
        run(&condition).unwrap();
    }
    for condition in doubling(22) {
        let error = run(&condition).unwrap_err();
        assert!(error.contains("policy \"deep\" "), "{error}");
        assert!(error.contains("twice, which makes it too large"), "{error}");
        assert!(error.len() < 1_000, "{error}");
    }
}

#[test]
fn policies_that_no_list_could_ask_for_are_refused_with_the_largest() {
    let set = |name: &str, count: usize| {
        let policies = (0..count).map(|number| {
            let condition = chain(3, " && ");
            let other = format!("title == \"{number}\" || resource.title");
            let text = policy(&condition.replace("title", &other)).text;
            text.replace("deep", &format!("{name}-{number}")) + "\n"
        });
        policies.collect::<String>()
    };
    let load = |text: String| Policies::load(&[Source::new("many.cedar", text)]);
    load(set("fits", 500)).unwrap();
    let large = load(format!(
        "{}{}",
        set("small", 3_000),
        policy(&chain(900, " || ")).text
    ));
    let error = large.unwrap_err().to_string();
    assert!(
        error.contains("the policies about readChat take "),
        "{error}"
    );
    assert!(error.contains("the largest is policy \"deep\""), "{error}");
}

#[test]
fn ten_thousand_users_that_a_policy_names_are_one_comparison() {
    let users: Vec<String> = (0..10_000)
        .map(|number| format!("User::\"{}\"", Uuid::from_u128(number)))
        .collect();
    let users = users.join(", ");
    for (condition, atom) in [
        (format!("resource.owner in [{users}]"), "owner is"),
        (
            format!("resource.readerUsers.containsAny([{users}])"),
            "user 0",
        ),
    ] {
        let policies = Policies::load(&[policy(&condition)]).unwrap();
        let caller = Principal::Service("s".to_owned());
        let shown = policies.compile(&caller, Action::ReadChat).to_string();
        assert!(shown.starts_with(atom), "{shown}");
        assert!(shown.contains("one of 9997 more"), "{shown}");
    }
}

#[test]
fn what_nests_deeper_is_refused_by_name() {
    for (kind, condition) in deep(4_200) {
        if kind == "bang" {
            continue;
        }
        let error = run(&condition).unwrap_err();
        assert!(
            error.contains("deep.cedar: line 1: policy \"deep\" nests "),
            "{kind}: {error}"
        );
    }
}
