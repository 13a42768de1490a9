//! Cedar's own decision about a known resource: the reference. It knows nothing of the translation,
//! so that the two can be held against each other.

use std::{collections::BTreeMap, str::FromStr as _};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, Schema,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    SYNC_ID,
    action::Action,
    cond::Membership,
    error::{LoadError, with_causes},
    id::UserId,
    pred::{ChatFacts, Level, Subject},
    principal::Principal,
};

/// The resource of a decision.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// A chat.
    Chat(Uuid, ChatFacts<'a>),
    /// The git accounts of a user.
    GitAccount(UserId),
    /// The synchronisation as a whole.
    Sync,
}

/// A decision of Cedar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CedarDecision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The policies that decided, by id.
    pub policies: Vec<String>,
}

/// Cedar could not decide: an entity does not fit the schema, or a policy failed. Denies.
#[derive(Debug, thiserror::Error)]
#[error("Cedar cannot decide: {0}")]
pub struct OracleError(String);

/// A caller or a resource as Cedar sees it.
#[derive(Clone, Debug)]
pub struct EntityView(Entity);

/// A caller and a resource, about which several actions can be decided.
#[derive(Clone, Debug)]
pub struct Scene {
    principal: EntityUid,
    resource: EntityUid,
    entities: Entities,
}

impl Scene {
    /// Puts the two together.
    ///
    /// # Errors
    ///
    /// When they are one and the same.
    pub fn new(principal: &EntityView, resource: &EntityView) -> Result<Self, OracleError> {
        // Each was held against the schema when it was made.
        let both = [principal.0.clone(), resource.0.clone()];
        Ok(Self {
            principal: principal.0.uid(),
            resource: resource.0.uid(),
            entities: Entities::from_entities(both, None).map_err(problem)?,
        })
    }
}

/// Stack of a decision about a policy without nesting, in bytes: Cedar's evaluator keeps 100 KiB in
/// reserve.
const BASE_STACK: usize = 256 << 10;
/// Stack that Cedar's evaluator takes for a level, in bytes. In a debug build 48,000 are too few
/// for the deepest policies, and 56,000 suffice; this is twice that, and a little.
const LEVEL_STACK: usize = 128 << 10;

/// Decides as Cedar does.
pub struct Oracle {
    schema: Schema,
    set: PolicySet,
    authorizer: Authorizer,
    /// Stack bytes that a decision may need.
    stack: usize,
    actions: BTreeMap<Action, EntityUid>,
}

fn problem(error: impl std::error::Error + 'static) -> OracleError {
    OracleError(with_causes(&error))
}

impl Oracle {
    /// `depth`: levels of the deepest policy.
    pub(crate) fn new(schema: Schema, set: PolicySet, depth: usize) -> Result<Self, LoadError> {
        let action_type = EntityTypeName::from_str("Action")
            .map_err(|error| LoadError::one(error.to_string()))?;
        let uid = |action: Action| {
            EntityUid::from_type_name_and_id(action_type.clone(), EntityId::new(action.name()))
        };
        Ok(Self {
            schema,
            set,
            authorizer: Authorizer::new(),
            stack: BASE_STACK + depth * LEVEL_STACK,
            actions: Action::ALL.map(|action| (action, uid(action))).into(),
        })
    }

    /// Decides.
    ///
    /// # Errors
    ///
    /// When an entity does not fit the schema, or a policy's evaluation failed: Cedar would skip
    /// such a policy, and skipping a `forbid` grants.
    pub fn is_authorized(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Result<CedarDecision, OracleError> {
        let scene = Scene::new(&self.principal(principal)?, &self.resource(resource)?)?;
        self.decide(&scene, action)
    }

    /// Decides about what was put together before.
    ///
    /// # Errors
    ///
    /// As [`Oracle::is_authorized`].
    pub fn decide(&self, scene: &Scene, action: Action) -> Result<CedarDecision, OracleError> {
        let action = self
            .actions
            .get(&action)
            .ok_or_else(|| OracleError("no such action".to_owned()))?;
        let request = Request::new(
            scene.principal.clone(),
            action.clone(),
            scene.resource.clone(),
            Context::empty(),
            Some(&self.schema),
        )
        .map_err(problem)?;
        // With the same stack on every thread, what one thread can decide is decided on all.
        let response = stacker::maybe_grow(self.stack, self.stack, || {
            self.authorizer
                .is_authorized(&request, &self.set, &scene.entities)
        });
        let diagnostics = response.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return Err(problem(error.clone()));
        }
        let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        policies.sort();
        Ok(CedarDecision {
            allowed: response.decision() == Decision::Allow,
            policies,
        })
    }

    /// A caller as an entity.
    ///
    /// # Errors
    ///
    /// When it does not fit the schema.
    pub fn principal(&self, principal: &Principal) -> Result<EntityView, OracleError> {
        let user = match principal {
            Principal::Service(name) => return self.seen("Service", name, bare()),
            Principal::User(user) => user,
        };
        let in_organizations = |membership| {
            let ids = user.organizations(membership);
            set("Organization", ids.map(|id| id.0))
        };
        let entity = json!({
            "attrs": {
                "adminOf": in_organizations(Membership::Admin),
                "memberOf": in_organizations(Membership::Member),
                "siteRoles": user.site_roles,
                "suspended": user.suspended,
            },
            "parents": set("Group", user.groups.iter().map(|id| id.0)),
        });
        self.seen("User", &user.id, entity)
    }

    /// A resource as an entity.
    ///
    /// # Errors
    ///
    /// When it does not fit the schema.
    pub fn resource(&self, resource: &Resource<'_>) -> Result<EntityView, OracleError> {
        let (id, facts) = match resource {
            Resource::Sync => return self.seen("Sync", &SYNC_ID, bare()),
            Resource::GitAccount(owner) => {
                let entity = json!({ "attrs": { "owner": uid("User", owner) }, "parents": [] });
                return self.seen("GitAccount", owner, entity);
            }
            Resource::Chat(id, facts) => (id, facts),
        };
        let ChatFacts {
            owner,
            organization,
            workspace,
            title,
            status,
            labels,
            archived,
            shares,
        } = facts;
        let shared = |kind: &str, least: Level| -> Value {
            let subjects = shares.iter().filter(|(_, level)| *level >= least);
            let uids = subjects.map(|(subject, _)| match subject {
                Subject::User(id) => uid("User", id),
                Subject::Group(id) => uid("Group", id),
            });
            uids.filter(|uid| uid["type"] == kind).collect()
        };
        let mut attrs = json!({
            "owner": uid("User", owner),
            "title": title,
            "status": uid("Status", status),
            "archived": archived,
            "readerUsers": shared("User", Level::Reader),
            "writerUsers": shared("User", Level::Writer),
            "readerGroups": shared("Group", Level::Reader),
            "writerGroups": shared("Group", Level::Writer),
        });
        if let Some(id) = organization {
            attrs["organization"] = uid("Organization", id);
        }
        if let Some(id) = workspace {
            attrs["workspace"] = uid("Workspace", id);
        }
        self.seen(
            "Chat",
            id,
            json!({ "attrs": attrs, "parents": [], "tags": labels }),
        )
    }

    /// Holds an entity against the schema.
    fn seen(
        &self,
        kind: &str,
        id: &impl ToString,
        mut entity: Value,
    ) -> Result<EntityView, OracleError> {
        entity["uid"] = uid(kind, id);
        Entity::from_json_value(entity, Some(&self.schema))
            .map(EntityView)
            .map_err(problem)
    }
}

/// An entity without attributes.
fn bare() -> Value {
    json!({ "attrs": {}, "parents": [] })
}

fn uid(kind: &str, id: &impl ToString) -> Value {
    json!({ "type": kind, "id": id.to_string() })
}

fn set(kind: &str, ids: impl Iterator<Item = Uuid>) -> Value {
    ids.map(|id| uid(kind, &id)).collect()
}
