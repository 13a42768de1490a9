//! Whether the three ways of deciding agree: Cedar itself, the predicate on a row in memory, and the
//! predicate's SQL in PostgreSQL.
//!
//! `chat-service policy check` asks this of every abstract row before policies go live; the tests ask it of
//! random policies, and of translations with a known fault, which it must find.

use policy::{Action, OracleError, Policies, Pred, Principal, Resource, Scene, Seen};

use crate::{chat::Chat, store::Store};

/// What stands between policies and a decision. A test's has a fault.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The predicate that is interpreted.
    pub pred: Pred,
    /// The predicate that is printed.
    pub printed: Pred,
    /// Gives the SQL that runs, of the SQL that was printed.
    pub edit: fn(String) -> String,
}

impl Translation {
    /// The translation as it is.
    #[must_use]
    pub fn new(policies: &Policies, principal: &Principal, action: Action) -> Self {
        let pred = policies.compile(principal, action);
        Self {
            printed: pred.clone(),
            pred,
            edit: |text| text,
        }
    }
}

/// Callers and chats, as Cedar sees each pair. Made once, and asked about by many policies.
pub struct World {
    /// Who asks.
    pub principals: Vec<Principal>,
    /// About what.
    pub chats: Vec<Chat>,
    /// By principal, then by chat.
    scenes: Vec<Vec<Scene>>,
}

impl World {
    /// Puts callers and chats together. The policies only lend their schema.
    ///
    /// # Errors
    ///
    /// When one of them does not fit the schema.
    pub fn new(
        policies: &Policies,
        principals: Vec<Principal>,
        chats: Vec<Chat>,
    ) -> Result<Self, OracleError> {
        let oracle = policies.oracle();
        let seen = chats
            .iter()
            .map(|chat| oracle.resource(&Resource::Chat(chat.id.0, chat.facts())))
            .collect::<Result<Vec<Seen>, _>>()?;
        let scenes = principals
            .iter()
            .map(|principal| {
                let principal = oracle.principal(principal)?;
                seen.iter()
                    .map(|chat| Scene::new(&principal, chat))
                    .collect()
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            principals,
            chats,
            scenes,
        })
    }
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Decisions of Cedar, each held against the other two.
    pub decisions: usize,
    /// Of these, how many allow.
    pub allowed: usize,
    /// Predicates whose SQL ran.
    pub predicates: usize,
    /// The first chat about which they do not agree: who asked for what, and what each of them says.
    pub difference: Option<String>,
}

/// Holds the three against each other, for all callers, `actions` and chats of `world`; without `store`,
/// only the first two. Stops at the first difference.
///
/// # Errors
///
/// When Cedar or PostgreSQL fail.
pub async fn compare(
    policies: &Policies,
    translate: impl Fn(&Principal, Action) -> Translation,
    world: &World,
    actions: &[Action],
    store: Option<&Store>,
) -> anyhow::Result<Comparison> {
    let mut translations = Vec::new();
    for principal in &world.principals {
        translations.extend(actions.iter().map(|action| translate(principal, *action)));
    }
    let mut comparison = Comparison::default();
    let mut answers = None;
    if let Some(store) = store {
        let printed = translations.iter().map(|one| (&one.printed, one.edit));
        let printed: Vec<_> = printed.collect();
        comparison.predicates = printed.len();
        answers = Some(store.decide(&world.chats, &printed).await?);
    }
    for (of, (principal, scenes)) in world.principals.iter().zip(&world.scenes).enumerate() {
        for (chat, scene) in world.chats.iter().zip(scenes) {
            let first = of * actions.len();
            for (place, action) in (first..).zip(actions) {
                let Some(Translation { pred, .. }) = translations.get(place) else {
                    continue;
                };
                let cedar = policies.oracle().decide(scene, *action)?.allowed;
                let interpreter = pred.holds(&chat.facts());
                // An answer that is missing is as bad as NULL.
                let sql = answers.as_ref().map(|answers| {
                    let held = answers.get(&chat.id).and_then(|held| held.get(place));
                    held.copied().flatten()
                });
                comparison.decisions += 1;
                comparison.allowed += usize::from(cedar);
                if cedar != interpreter || sql.is_some_and(|sql| sql != Some(cedar)) {
                    let sql = match sql {
                        None => "not asked",
                        Some(None) => "NULL",
                        Some(Some(true)) => "true",
                        Some(Some(false)) => "false",
                    };
                    comparison.difference = Some(format!(
                        "{} of {}: Cedar says {cedar}, the interpreter {interpreter}, PostgreSQL \
                         {sql}\nprincipal: {principal:#?}\nchat: {chat:#?}\npredicate: {pred:#?}",
                        action.name(),
                        principal.name(),
                    ));
                    return Ok(comparison);
                }
            }
        }
    }
    Ok(comparison)
}
