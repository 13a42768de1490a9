//! What a request pays. Prints; run it with `--release -- --nocapture` for numbers that mean
//! something.

use std::{hint::black_box, time::Instant};

use policy::{
    Action, ChatFacts, GroupId, OrganizationId, Policies, Principal, Resource, Source, User, UserId,
};
use uuid::Uuid;

/// The shipped policies, and `more` of the same kind.
fn policies(more: usize) -> Policies {
    let mut sources = Source::embedded();
    let text: String = (0..more)
        .map(|number| {
            format!(
                "@id(\"more-{number}\")\npermit (principal is User, action == Action::\"readChat\", \
                 resource)\nwhen {{ principal.siteRoles.contains(\"role-{number}\") && \
                 resource.title like \"*{number}*\" && !resource.archived }};\n"
            )
        })
        .collect();
    sources.push(Source::new("more.cedar", text));
    Policies::load(&sources).unwrap()
}

fn caller(memberships: u128) -> Principal {
    Principal::User(User {
        id: UserId(Uuid::from_u128(1)),
        organizations: (0..memberships)
            .map(|number| {
                let id = OrganizationId(Uuid::from_u128(0x1000 + number));
                (id, ["admin".to_owned()].into())
            })
            .collect(),
        groups: (0..memberships)
            .map(|number| GroupId(Uuid::from_u128(0x2000 + number)))
            .collect(),
        site_roles: ["role-1".to_owned()].into(),
        suspended: false,
    })
}

fn microseconds(rounds: u32, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        run();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

/// Loads one policy of many terms, which is about every action; prints how long that takes.
#[test]
fn a_long_chain_loads_in_the_time_of_its_square() {
    for (between, name) in [(" || ", "or"), (" && ", "and")] {
        for terms in [125, 250, 500, 990] {
            let chain: Vec<String> = (0..terms)
                .map(|number| format!("resource.title like \"{number}*\""))
                .collect();
            let text = format!(
                "@id(\"long\")\npermit (principal, action, resource is Chat)\nwhen {{ {} }};",
                chain.join(between)
            );
            let start = Instant::now();
            Policies::load(&[Source::new("long.cedar", text)]).unwrap();
            println!(
                "{terms} terms, {name}: {:.1} ms",
                start.elapsed().as_secs_f64() * 1e3
            );
        }
    }
}

#[test]
fn compiling_for_a_request_takes_microseconds() {
    for more in [0, 30, 180] {
        let start = Instant::now();
        let policies = policies(more);
        let load = start.elapsed();
        for memberships in [3, 500] {
            let caller = caller(memberships);
            let compile = microseconds(2000, || {
                black_box(policies.compile(black_box(&caller), Action::ReadChat));
            });
            let facts = ChatFacts::of_owner(UserId(Uuid::from_u128(2)));
            let pred = policies.compile(&caller, Action::ReadChat);
            let holds = microseconds(2000, || {
                black_box(pred.holds(black_box(&facts)));
            });
            let resource = Resource::Chat(Uuid::from_u128(3), facts);
            let cedar = microseconds(20, || {
                let decided = policies
                    .oracle()
                    .is_authorized(&caller, Action::ReadChat, &resource);
                assert!(!decided.unwrap().allowed);
            });
            println!(
                "{} policies, {memberships} organizations and groups: load {:.1} ms, compile \
                 {compile:.2} µs, interpret {holds:.3} µs, Cedar with entities {cedar:.0} µs",
                policies.count(),
                load.as_secs_f64() * 1e3,
            );
            // Generous: this must not fail on a busy machine in a debug build.
            assert!(compile < 5000.0, "{compile} µs");
        }
    }
}
