//! Whether the three ways of deciding agree: Cedar itself, the predicate on a row in memory, and
//! the predicate's SQL in PostgreSQL.
//!
//! `chat-service policy check` asks this of every abstract row before policies go live; the tests
//! ask it of random policies, and of translations with a known fault, which it must find.

use policy::{Action, EntityView, OracleError, Policies, Pred, Principal, Resource, Scene};

use crate::{chat::Chat, store::Store};

/// The translation from policies to decisions. Tests plant faults in it.
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

/// Callers at most that one statement is about.
const CALLERS_TOGETHER: usize = 8;

/// Callers and chats, as Cedar sees them.
pub struct World {
    /// Who asks.
    pub principals: Vec<Principal>,
    /// About what.
    pub chats: Vec<Chat>,
    /// How many of the chats each caller is asked about: the next caller about those that follow.
    pub share: usize,
    seen: Vec<EntityView>,
}

impl World {
    /// Puts callers and chats together: each caller is asked about every chat. The policies only
    /// lend their schema.
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
            .map(|chat| oracle.resource(&Resource::Chat(chat.id.0, chat.facts())));
        Ok(Self {
            seen: seen.collect::<Result<_, _>>()?,
            share: chats.len(),
            principals,
            chats,
        })
    }

    /// How many callers are asked about the same chats.
    fn together(&self) -> usize {
        if self.share < self.chats.len() {
            1
        } else {
            CALLERS_TOGETHER
        }
    }

    /// The chats that a caller is asked about.
    fn of_caller(&self, caller: usize) -> impl Iterator<Item = (&Chat, &EntityView)> + Clone {
        let chats = self.chats.iter().zip(&self.seen).cycle();
        let first = caller * self.share % self.chats.len().max(1);
        chats.skip(first).take(self.share.min(self.chats.len()))
    }
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Decisions of Cedar, each held against the other two.
    pub decisions: usize,
    /// Of these, how many allow.
    pub allowed: usize,
    /// Predicates whose SQL ran.
    pub predicates: usize,
    /// The first chat about which they do not agree: who asked for what, and what each of them
    /// says.
    pub difference: Option<String>,
}

/// Holds the three against each other, for all callers, `actions` and chats of `world`; without
/// `store`, only the first two. Stops at the first difference.
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
    let mut comparison = Comparison::default();
    // A few callers at a time: all at once would be held in memory, by Cedar and by PostgreSQL.
    let together = world.together();
    for (group, principals) in world.principals.chunks(together).enumerate() {
        let each = principals.iter().flat_map(|principal| {
            let translate = &translate;
            actions
                .iter()
                .map(move |action| translate(principal, *action))
        });
        let translations: Vec<_> = each.collect();
        let chats = world.of_caller(group * together);
        let answers = match store {
            None => None,
            Some(store) => {
                let printed = translations.iter().map(|one| (&one.printed, one.edit));
                let asked: Vec<&Chat> = chats.clone().map(|(chat, _)| chat).collect();
                Some(store.decide(&asked, &printed.collect::<Vec<_>>()).await?)
            }
        };
        comparison.predicates += answers.as_ref().map_or(0, |_| translations.len());
        for (of, principal) in principals.iter().enumerate() {
            let caller = policies.oracle().principal(principal)?;
            for (chat, seen) in chats.clone() {
                let scene = Scene::new(&caller, seen)?;
                let of_caller = translations.iter().enumerate().skip(of * actions.len());
                for ((place, Translation { pred, .. }), action) in of_caller.zip(actions) {
                    let cedar = policies.oracle().decide(&scene, *action)?.allowed;
                    let interpreter = pred.holds(&chat.facts());
                    // An answer that is missing is as bad as NULL.
                    let sql = answers.as_ref().map(|answers| {
                        let held = answers.get(&chat.id).and_then(|held| held.get(place));
                        held.copied().flatten()
                    });
                    comparison.decisions += 1;
                    comparison.allowed += usize::from(cedar);
                    if cedar != interpreter || sql.is_some_and(|sql| sql != Some(cedar)) {
                        let (action, caller, sql) = (action.name(), principal.name(), shown(sql));
                        comparison.difference = Some(format!(
                            "{action} of {caller}: Cedar says {cedar}, the interpreter \
                             {interpreter}, PostgreSQL {sql}\nprincipal: {principal:#?}\nchat: \
                             {chat:#?}\npredicate: {pred:#?}"
                        ));
                        return Ok(comparison);
                    }
                }
            }
        }
    }
    Ok(comparison)
}

/// The answer of PostgreSQL.
fn shown(sql: Option<Option<bool>>) -> &'static str {
    match sql {
        None => "not asked",
        Some(None) => "NULL",
        Some(Some(true)) => "true",
        Some(Some(false)) => "false",
    }
}
