//! Cedar, the predicate in memory and its SQL decide alike, for random policies, callers and chats,
//! and lists are exactly what may be read, page by full page; and the same comparison finds every
//! translation that has a fault.

pub(crate) mod generate;
mod mutants;

use std::sync::Arc;

use chat_service::{
    authz::{Action, Authorizer, Policies, Principal, Subject},
    chat::Chat,
    chat_filter::ChatFilter,
    command::policy_check::agree::{self, Comparison, Translation, World},
    store::{PoolOptions, Store},
};
use policy::Source;
use serde_json::json;
use testkit::{
    postgres::Client,
    random::{Random, cases},
};

use self::mutants::{MUTANTS, Mutated};
use crate::page_walk;

const ACTIONS: [Action; 2] = [Action::ReadChat, Action::UpdateChat];
/// Worlds of a batch, and sets of policies that are asked about each.
const WORLDS: u64 = 10;
const SETS: u64 = 16;
const CHATS: usize = 20;
/// Worlds, of ten sets each, in which every mutant must be caught.
const MUTANT_WORLDS: u64 = 40;

pub(crate) fn load(text: &str) -> Policies {
    Policies::load(&[Source::new("random.cedar", text)])
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn world(random: &mut Random) -> World {
    let (principals, chats) = (generate::principals(random), generate::chats(random, CHATS));
    let schema = Policies::embedded().unwrap();
    World::new(&schema, principals, chats).unwrap()
}

async fn compare(
    policies: &Policies,
    translate: impl Fn(&Principal, Action) -> Translation,
    world: &World,
    store: &Store,
) -> Comparison {
    agree::compare(policies, translate, world, &ACTIONS, Some(store))
        .await
        .unwrap()
}

/// The same chats in the tables that are listed, with many ties in the sort key.
const PUT: [&str; 3] = [
    "DELETE FROM chats WHERE $1::jsonb IS NOT NULL",
    "INSERT INTO chats (id, owner_id, organization_id, workspace_id, title, status, labels, archived,
         updated_at)
     SELECT x.id, x.owner, x.organization, x.workspace, x.title, x.status, x.labels, x.archived,
         '2026-01-01'::timestamptz + ascii(right(x.id::text, 1)) % 4 * interval '1 us'
     FROM jsonb_to_recordset($1::jsonb) AS x (id uuid, owner uuid, organization uuid,
         workspace uuid, title text, status text, labels jsonb, archived boolean)",
    "INSERT INTO chat_acl (chat_id, subject_kind, subject_id, level, owner_id, chat_updated_at,
         chat_archived, chat_status, chat_pr, chat_attention)
     SELECT c.id, s.kind, s.id, s.level, c.owner_id, c.updated_at, c.archived, c.list_status, c.list_pr,
         c.primary_attention
     FROM jsonb_to_recordset($1::jsonb) AS x (id uuid, shares jsonb)
     JOIN chats c ON c.id = x.id
     CROSS JOIN jsonb_to_recordset(x.shares) AS s (kind text, id uuid, level text)",
];

async fn put(client: &Client, chats: &[Chat]) {
    let rows = chats.iter().map(|chat| {
        let shares = chat.shares.iter().map(|(subject, level)| {
            let (kind, id) = match subject {
                Subject::User(id) => ("user", id.0),
                Subject::Group(id) => ("group", id.0),
            };
            json!({ "kind": kind, "id": id, "level": level.name() })
        });
        json!({
            "id": chat.id.0,
            "owner": chat.owner.0,
            "organization": chat.organization.map(|id| id.0),
            "workspace": chat.workspace.map(|id| id.0),
            "title": chat.title,
            "status": chat.status.name(),
            "labels": chat.labels,
            "archived": chat.archived,
            "shares": shares.collect::<Vec<_>>(),
        })
    });
    let rows = json!(rows.collect::<Vec<_>>());
    for statement in PUT {
        client.execute(statement, &[&rows]).await.unwrap();
    }
}

/// Walks through what `principal` may read of the chats that were put; returns how many that are.
async fn walk(
    store: &Store,
    policies: &Arc<Policies>,
    principal: &Principal,
    world: &World,
    size: usize,
) -> usize {
    let readable = Authorizer::of(policies.clone()).chats(principal, Action::ReadChat);
    let listed: Vec<_> = page_walk::walk(store, &readable, &ChatFilter::default(), size)
        .await
        .iter()
        .map(|chat| (chat.updated_at, chat.id.0))
        .collect();
    assert!(
        listed.is_sorted_by(|a, b| a > b),
        "out of order: {listed:?}"
    );
    let mut ids: Vec<_> = listed.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    // In order of their ids, as they were made. The three ways of deciding agree about each.
    let expected: Vec<_> = world
        .chats
        .iter()
        .filter(|chat| readable.holds(&chat.facts()))
        .map(|chat| chat.id.0)
        .collect();
    assert_eq!(ids, expected, "pages of {size}, {:?}", readable.pred());
    ids.len()
}

/// Sets of policies: all decisions, and a walk through a list under each.
async fn batch(number: u64) {
    let database = testkit::postgres::database().await;
    let client = database.client().await;
    let store = Store::new(database.url(), &PoolOptions::default()).unwrap();
    let sets = usize::try_from(cases(SETS)).unwrap();
    let (mut decisions, mut allowed, mut listed) = (0, 0, 0);
    for index in 0..WORLDS {
        let mut random = Random::new(number * 1_000_000 + index);
        let world = world(&mut random);
        put(&client, &world.chats).await;
        for set in 0..sets {
            let text = generate::policies(&mut random);
            let policies = Arc::new(load(&text));
            let translate = |principal: &_, action| Translation::new(&policies, principal, action);
            let comparison = compare(&policies, translate, &world, &store).await;
            if let Some(difference) = comparison.difference {
                panic!("{difference}\n{text}");
            }
            decisions += comparison.decisions;
            allowed += comparison.allowed;
            let principal = &world.principals[set % world.principals.len()];
            listed += walk(&store, &policies, principal, &world, 1 + set % 7).await;
        }
    }
    // Policies that deny nearly everything, or nothing, would prove little.
    let share = allowed * 100 / decisions;
    assert!(
        (10..60).contains(&share),
        "{share} % of {decisions} are allowed"
    );
    assert!(listed > 20 * sets, "{listed} chats were listed");
}

/// Promise 2.
#[tokio::test]
async fn random_policies_decide_alike_and_fill_every_page_first_batch() {
    batch(1).await;
}

/// Promise 2.
#[tokio::test]
async fn random_policies_decide_alike_and_fill_every_page_second_batch() {
    batch(2).await;
}

/// Promise 2.
#[tokio::test]
async fn random_policies_decide_alike_and_fill_every_page_third_batch() {
    batch(3).await;
}

/// Promise 2.
#[tokio::test]
async fn random_policies_decide_alike_and_fill_every_page_fourth_batch() {
    batch(4).await;
}

/// Promise 2.
#[tokio::test]
async fn every_faulty_translation_is_caught() {
    let database = testkit::postgres::database().await;
    let store = Store::new(database.url(), &PoolOptions::default()).unwrap();
    let mut random = Random::new(77);
    let mut left: Vec<_> = MUTANTS.iter().collect();
    for world_number in 0..MUTANT_WORLDS {
        let world = world(&mut random);
        for _ in 0..10 {
            let text = generate::policies(&mut random);
            let policies = load(&text);
            let mut survivors = Vec::new();
            for mutant in left {
                let caught = match Mutated::new(mutant, &text) {
                    None => false,
                    Some(mutated) => {
                        let translate =
                            |principal: &_, action| mutated.translate(&policies, principal, action);
                        let comparison = compare(&policies, translate, &world, &store).await;
                        comparison.difference.is_some()
                    }
                };
                if !caught {
                    survivors.push(mutant);
                }
            }
            left = survivors;
        }
        if left.is_empty() {
            println!("all caught after {} sets", (world_number + 1) * 10);
            return;
        }
    }
    let names: Vec<&str> = left.iter().map(|mutant| mutant.name).collect();
    panic!("not caught: {names:#?}");
}
