//! Whether the three ways of deciding agree: Cedar itself, the predicate on a row in memory, and the
//! predicate's SQL in PostgreSQL.
//!
//! `chat-service policy check` asks this of every abstract row before policies go live; the tests ask it of
//! random policies, and of translations with a known fault, which it must find.

use std::{collections::BTreeMap, fmt};

use policy::{
    Action, ChatFacts, Level, OracleError, Policies, Pred, Principal, Resource, Scene, Seen,
    Subject,
};
use uuid::Uuid;

use crate::{
    id::{ChatId, OrganizationId, UserId, WorkspaceId},
    store::{StoreError, shadow::Shadow},
};

/// What stands between policies and a decision. A test's has a fault; the product's is [`Product`].
pub trait Translator: Sync {
    /// The predicate for a caller.
    fn compiled(&self, policies: &Policies, principal: &Principal, action: Action) -> Pred {
        policies.compile(principal, action)
    }

    /// What is printed as SQL.
    fn printable(&self, pred: &Pred) -> Pred {
        pred.clone()
    }

    /// The SQL that runs.
    fn sql(&self, text: String) -> String {
        text
    }
}

/// The translation as it is.
#[derive(Clone, Copy, Debug)]
pub struct Product;

impl Translator for Product {}

/// A chat that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeUp {
    /// Which.
    pub id: ChatId,
    /// Whose.
    pub owner: UserId,
    /// Where it belongs.
    pub organization: Option<OrganizationId>,
    /// Where its agent runs.
    pub workspace: Option<WorkspaceId>,
    /// What it is called.
    pub title: String,
    /// What its agent is doing.
    pub status: String,
    /// Free pairs.
    pub labels: BTreeMap<String, String>,
    /// Whether it is archived.
    pub archived: bool,
    /// Whom it is shared with.
    pub shares: Vec<(Subject, Level)>,
}

impl MadeUp {
    /// What policy can ask about it.
    #[must_use]
    pub fn facts(&self) -> ChatFacts<'_> {
        ChatFacts {
            owner: self.owner,
            organization: self.organization,
            workspace: self.workspace,
            title: &self.title,
            status: &self.status,
            labels: &self.labels,
            archived: self.archived,
            shares: &self.shares,
        }
    }
}

/// Callers and chats, as Cedar sees each pair. Made once, and asked about by many policies.
pub struct World {
    /// Who asks.
    pub principals: Vec<Principal>,
    /// About what.
    pub chats: Vec<MadeUp>,
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
        chats: Vec<MadeUp>,
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

/// A chat about which the three do not agree.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Who asks.
    pub principal: Principal,
    /// For what.
    pub action: Action,
    /// About which chat.
    pub chat: MadeUp,
    /// What Cedar says.
    pub cedar: bool,
    /// What the interpreter says.
    pub interpreter: bool,
    /// What PostgreSQL says: nothing when it was not asked, `Some(None)` for NULL.
    pub sql: Option<Option<bool>>,
    /// The predicate.
    pub pred: Pred,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sql = match self.sql {
            None => "not asked",
            Some(None) => "NULL",
            Some(Some(true)) => "true",
            Some(Some(false)) => "false",
        };
        writeln!(
            f,
            "{} of {}: Cedar says {}, the interpreter {}, PostgreSQL {sql}",
            self.action.name(),
            self.principal.name(),
            self.cedar,
            self.interpreter,
        )?;
        writeln!(f, "principal: {:#?}", self.principal)?;
        writeln!(f, "chat: {:#?}", self.chat)?;
        write!(f, "predicate: {:#?}", self.pred)
    }
}

/// Why nothing can be said about agreement.
#[derive(Debug, thiserror::Error)]
pub enum AgreeError {
    /// Cedar failed where strict validation promised that it does not.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// The printed SQL does not run, or the database is away.
    #[error("the printed SQL does not run")]
    Store(#[from] StoreError),
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
    /// The first chat about which they do not agree.
    pub difference: Option<Box<Difference>>,
}

/// Holds the three against each other, for all callers, `actions` and chats of `world`. `shadow`, if
/// given, was filled with these chats. Stops at the first difference.
///
/// # Errors
///
/// When Cedar or PostgreSQL fail.
pub async fn compare(
    policies: &Policies,
    translator: &dyn Translator,
    world: &World,
    actions: &[Action],
    shadow: Option<&Shadow>,
) -> Result<Comparison, AgreeError> {
    let preds: Vec<Pred> = world
        .principals
        .iter()
        .flat_map(|principal| {
            actions
                .iter()
                .map(move |action| translator.compiled(policies, principal, *action))
        })
        .collect();
    let answers = match shadow {
        Some(shadow) => {
            let printable: Vec<Pred> = preds
                .iter()
                .map(|pred| translator.printable(pred))
                .collect();
            let edit = |text| translator.sql(text);
            Some(shadow.decide(&printable, &edit).await?)
        }
        None => None,
    };
    let mut comparison = Comparison {
        predicates: if shadow.is_some() { preds.len() } else { 0 },
        ..Comparison::default()
    };
    for (of, (principal, scenes)) in world.principals.iter().zip(&world.scenes).enumerate() {
        for (chat, scene) in world.chats.iter().zip(scenes) {
            for (index, action) in actions.iter().enumerate() {
                let place = of * actions.len() + index;
                let Some(pred) = preds.get(place) else {
                    continue;
                };
                let cedar = policies.oracle().decide(scene, *action)?.allowed;
                let interpreter = pred.holds(&chat.facts());
                let sql = answers
                    .as_ref()
                    .map(|answers| held(answers.get(&chat.id.0), place));
                comparison.decisions += 1;
                comparison.allowed += usize::from(cedar);
                if cedar != interpreter || sql.is_some_and(|sql| sql != Some(cedar)) {
                    comparison.difference = Some(Box::new(Difference {
                        principal: principal.clone(),
                        action: *action,
                        chat: chat.clone(),
                        cedar,
                        interpreter,
                        sql,
                        pred: pred.clone(),
                    }));
                    return Ok(comparison);
                }
            }
        }
    }
    Ok(comparison)
}

/// What PostgreSQL said; nothing is as bad as NULL.
fn held(answers: Option<&Vec<Option<bool>>>, place: usize) -> Option<bool> {
    answers.and_then(|held| held.get(place)).copied().flatten()
}

/// The chats of `world`, as a shadow takes them.
pub fn rows(world: &World) -> impl Iterator<Item = (Uuid, ChatFacts<'_>)> {
    world.chats.iter().map(|chat| (chat.id.0, chat.facts()))
}
