//! `chat-service policy check` and `policy explain`: for operators, before and after policies go
//! live.

pub mod abstraction;
pub mod agree;

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use policy::{Action, ChatFacts, Policies, Pred, Principal, Resource, ResourceKind};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_runtime::token::{AUDIENCE, Claims};

use self::agree::{Translation, World};
use crate::{
    auth::{self, ServiceNames},
    config::{ConfigError, DatabaseSettings, PolicyCheckSettings, PolicyExplainSettings},
    id::ChatId,
    store::{PoolOptions, Store, predicate},
};

/// Callers at most that are asked about chats: each takes statements of its own.
const MAX_CALLERS: usize = 1_000;
/// Callers, and owners of accounts, at most that are put together without SQL.
const MAX_OWNERS: usize = 100;
/// PostgreSQL decides about thousands of made-up chats at once.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// Policies of a directory, or of this binary. What is wrong with them is a wrong configuration.
fn load(directory: Option<&Path>) -> Result<Policies, ConfigError> {
    directory
        .map_or_else(Policies::embedded, Policies::directory)
        .map_err(|policy::LoadError(problems)| ConfigError::Problems(problems))
}

/// Checks policies; writes what was done.
///
/// # Errors
///
/// When they do not load, when the three ways of deciding differ (with the chat), or when there is
/// no database and that was not asked for.
pub async fn check(settings: &PolicyCheckSettings, out: &mut impl Write) -> anyhow::Result<()> {
    let policies = load(settings.dir.as_deref())?;
    writeln!(out, "{} policies, valid and translated", policies.count())?;
    for warning in policies.warnings() {
        writeln!(out, "warning: {warning}")?;
    }
    let store = if settings.without_sql {
        writeln!(
            out,
            "warning: the SQL was not run; nothing is known about it"
        )?;
        None
    } else {
        let url = settings.database.url().context(
            "the SQL cannot be run; name a database, or leave it out with --without-sql",
        )?;
        let options = PoolOptions {
            statement_timeout: STATEMENT_TIMEOUT,
            ..PoolOptions::default()
        };
        Some(Store::new(url.expose_secret(), &options)?)
    };
    check_chats(&policies, store.as_ref(), settings.max_evaluations, out).await?;
    check_rest(&policies, out)
}

/// The actions on chats: all three ways.
async fn check_chats(
    policies: &Policies,
    store: Option<&Store>,
    max_evaluations: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let actions: Vec<Action> = Action::ALL
        .into_iter()
        .filter(|action| action.resource() == ResourceKind::Chat)
        .collect();
    let (chats, combinations) = abstraction::chats(policies);
    let callers = abstraction::principals(policies);
    let kinds = callers.len();
    // Evaluations of one caller's decisions about one chat.
    let each = actions.len() * policies.count().max(1);
    let callers = sample(callers, MAX_CALLERS.min(max_evaluations / each));
    let mut world = World::new(policies, callers, chats)?;
    let share = max_evaluations / (each * world.principals.len());
    world.share = share.clamp(1, world.chats.len());
    if world.principals.len() < kinds {
        writeln!(
            out,
            "warning: a sample; {} of {kinds} callers are asked about",
            world.principals.len()
        )?;
    }
    if world.share < combinations {
        let of = if combinations == usize::MAX {
            format!("more than {}", i64::MAX)
        } else {
            combinations.to_string()
        };
        writeln!(
            out,
            "warning: a sample; each caller is asked about {} of {of} chats",
            world.share
        )?;
    }
    let translate = |principal: &_, action| Translation::new(policies, principal, action);
    let comparison = agree::compare(policies, translate, &world, &actions, store).await?;
    if let Some(difference) = comparison.difference {
        bail!("the ways of deciding differ:\n{difference}");
    }
    writeln!(
        out,
        "{} chats of {combinations} x {} callers x {} actions: {} decisions agree, {} of them allow; \
         {} predicates ran as SQL",
        world.chats.len(),
        world.principals.len(),
        actions.len(),
        comparison.decisions,
        comparison.allowed,
        comparison.predicates,
    )?;
    Ok(())
}

/// At most `most` of them, evenly; one at least.
fn sample<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    all.into_iter().step_by(step).collect()
}

/// The actions on accounts, and on none: without SQL.
fn check_rest(policies: &Policies, out: &mut impl Write) -> anyhow::Result<()> {
    let mut decisions = 0;
    let callers = sample(abstraction::principals(policies), MAX_OWNERS);
    let owners = sample(abstraction::owners(policies), MAX_OWNERS);
    for action in Action::ALL {
        for principal in &callers {
            let pred = policies.compile(principal, action);
            for owner in owners.iter().copied() {
                let (resource, ours) = match action.resource() {
                    ResourceKind::Chat => continue,
                    ResourceKind::GitAccount => {
                        let held = pred.holds(&ChatFacts::of_owner(owner));
                        (Resource::GitAccount(owner), held)
                    }
                    ResourceKind::Sync => (Resource::Sync, pred == Pred::True),
                };
                let oracle = policies.oracle();
                let cedar = oracle.is_authorized(principal, action, &resource)?.allowed;
                if ours != cedar {
                    bail!(
                        "the ways of deciding differ:\n{} of {}: Cedar says {cedar}, the \
                         interpreter {ours}\n{principal:#?}\n{resource:#?}",
                        action.name(),
                        principal.name(),
                    );
                }
                decisions += 1;
            }
        }
    }
    writeln!(
        out,
        "{decisions} decisions about accounts and synchronisation agree"
    )?;
    Ok(())
}

/// Explains a decision.
///
/// # Errors
///
/// When an argument is wrong, the policies do not load, or there is no such chat.
pub async fn explain(settings: &PolicyExplainSettings, out: &mut impl Write) -> anyhow::Result<()> {
    let PolicyExplainSettings {
        principal,
        chat,
        action,
        policy_dir,
        database,
    } = settings;
    let policies = load(policy_dir.as_deref())?;
    let principal = parse_principal(principal)?;
    let action = Action::parse(action)
        .filter(|action| action.resource() == ResourceKind::Chat)
        .with_context(|| format!("{action:?} is no action on a chat"))?;
    let chat = find(database, ChatId(*chat)).await?;
    let facts = chat.facts();
    let pred = policies.compile(&principal, action);
    let resource = Resource::Chat(chat.id.0, facts);
    let cedar = policies
        .oracle()
        .is_authorized(&principal, action, &resource)?;
    let readable = policies.compile(&principal, Action::ReadChat).holds(&facts);
    let answer = match (pred.holds(&facts) && cedar.allowed, readable) {
        (true, true) => "allowed",
        (true, false) => "allowed, but the chat may not be read: NOT_FOUND",
        (false, true) => "denied: PERMISSION_DENIED",
        (false, false) => "denied, and the chat may not be read: NOT_FOUND",
    };
    let (action_name, caller) = (action.name(), principal.name());
    writeln!(out, "{action_name} of {caller} on {}: {answer}", chat.id)?;
    if cedar.allowed != pred.holds(&facts) {
        writeln!(
            out,
            "BUG: the predicate decides otherwise than Cedar, which says {}",
            cedar.allowed
        )?;
    }
    let deciding = match &cedar.policies[..] {
        [] => "no policy permits it".to_owned(),
        ids => ids.join(", "),
    };
    writeln!(out, "\ndecided by: {deciding}")?;
    writeln!(out, "\npolicies that can apply to this caller:")?;
    for (id, forbids, when) in policies.explain(&principal, action) {
        let effect = if forbids { "forbid" } else { "permit" };
        let here = if when.holds(&facts) {
            "applies"
        } else {
            "does not apply"
        };
        writeln!(out, "  {effect} {id} ({here} here): {when}")?;
    }
    writeln!(out, "\npredicate:\n  {pred}")?;
    let (sql, params) = predicate::printed(&pred);
    writeln!(out, "\nSQL, on a chat c:\n  {sql}")?;
    for (index, value) in params.iter().enumerate() {
        writeln!(out, "  ${} = {value}", index + 1)?;
    }
    Ok(())
}

async fn find(database: &DatabaseSettings, id: ChatId) -> anyhow::Result<crate::chat::Chat> {
    let url = database.url()?;
    let store = Store::new(url.expose_secret(), &PoolOptions::default())?;
    let chats = store.list_chats_for_events(&[id]).await?;
    chats.into_iter().next().context("there is no such chat")
}

/// A caller, from claims or from a token that holds them.
fn parse_principal(text: &str) -> anyhow::Result<Principal> {
    let text = text.trim();
    let mut claims: Value = if text.starts_with('{') {
        serde_json::from_str(text).context("--principal is not JSON")?
    } else {
        let payload = text
            .split('.')
            .nth(1)
            .context("--principal is neither JSON nor a token")?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .context("--principal is not a token")?;
        serde_json::from_slice(&payload).context("--principal is not a token")?
    };
    if let Some(claims) = claims.as_object_mut() {
        for (name, value) in [("aud", json!(AUDIENCE)), ("exp", json!(0))] {
            claims.entry(name).or_insert(value);
        }
    }
    let claims: Claims =
        serde_json::from_value(claims).context("--principal has no such claims")?;
    auth::principal(claims, &ServiceNames::default()).context("--principal cannot be a caller")
}
