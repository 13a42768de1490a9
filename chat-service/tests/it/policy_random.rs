//! Cedar, the predicate in memory and its SQL decide alike, for random policies, callers and chats; and
//! the same comparison finds every translation that has a fault.

pub(crate) mod generate;
mod mutants;

use chat_service::{
    authz::{
        Action, Policies,
        agree::{self, Comparison, Product, Translator, World},
    },
    store::shadow::Shadow,
};
use policy::Source;

use self::{
    generate::Random,
    mutants::{MUTANTS, Mutated},
};

const ACTIONS: [Action; 2] = [Action::ReadChat, Action::UpdateChat];
/// Worlds of a batch, and sets of policies that are asked about each.
const WORLDS: u64 = 10;
const SETS: u64 = 50;
const CHATS: usize = 20;
/// Worlds, of ten sets each, in which every mutant must be caught.
const MUTANT_WORLDS: u64 = 40;

pub(crate) fn load(text: &str) -> Policies {
    Policies::load(&[Source::new("random.cedar", text)])
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A world, also in the shadow.
async fn world(random: &mut Random, shadow: &Shadow) -> World {
    let (principals, chats) = (generate::principals(random), generate::chats(random, CHATS));
    let schema = Policies::embedded().unwrap();
    let world = World::new(&schema, principals, chats).unwrap();
    shadow.fill(agree::rows(&world)).await.unwrap();
    world
}

async fn compare(
    policies: &Policies,
    translator: &dyn Translator,
    world: &World,
    shadow: &Shadow,
) -> Comparison {
    agree::compare(policies, translator, world, &ACTIONS, Some(shadow))
        .await
        .unwrap()
}

/// Five hundred sets of policies.
async fn batch(number: u64) {
    let database = testkit::postgres::database().await;
    let shadow = Shadow::open(database.url()).await.unwrap();
    let (mut decisions, mut allowed) = (0, 0);
    for index in 0..WORLDS {
        let mut random = Random(number * 1_000_000 + index);
        let world = world(&mut random, &shadow).await;
        for _ in 0..SETS {
            let text = generate::policies(&mut random);
            let policies = load(&text);
            let comparison = compare(&policies, &Product, &world, &shadow).await;
            if let Some(difference) = comparison.difference {
                panic!("{difference}\n{text}");
            }
            decisions += comparison.decisions;
            allowed += comparison.allowed;
        }
    }
    // Policies that deny nearly everything, or nothing, would prove little.
    let share = allowed * 100 / decisions;
    assert!(
        (10..60).contains(&share),
        "{share} % of {decisions} are allowed"
    );
}

#[tokio::test]
async fn random_policies_decide_alike_first_batch() {
    batch(1).await;
}

#[tokio::test]
async fn random_policies_decide_alike_second_batch() {
    batch(2).await;
}

#[tokio::test]
async fn random_policies_decide_alike_third_batch() {
    batch(3).await;
}

#[tokio::test]
async fn random_policies_decide_alike_fourth_batch() {
    batch(4).await;
}

#[tokio::test]
async fn every_faulty_translation_is_caught() {
    let database = testkit::postgres::database().await;
    let shadow = Shadow::open(database.url()).await.unwrap();
    let mut random = Random(77);
    let mut left: Vec<_> = MUTANTS.iter().collect();
    for world_number in 0..MUTANT_WORLDS {
        let world = world(&mut random, &shadow).await;
        for _ in 0..10 {
            let text = generate::policies(&mut random);
            let policies = load(&text);
            let mut survivors = Vec::new();
            for mutant in left {
                let caught = match Mutated::new(mutant, &text) {
                    None => false,
                    Some(mutated) => compare(&policies, &mutated, &world, &shadow)
                        .await
                        .difference
                        .is_some(),
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
