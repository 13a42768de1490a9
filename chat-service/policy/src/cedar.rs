//! Cedar's own decision about a known resource: the reference. It knows nothing of the translation, so
//! that the two can be held against each other.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression, Schema,
};
use uuid::Uuid;

use crate::{
    SYNC_ID,
    action::Action,
    cond::{Membership, organizations},
    error::{LoadError, Problem},
    id::UserId,
    pred::{ChatFacts, Level, Subject},
    principal::{Principal, User},
};

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// A chat.
    Chat(Uuid, ChatFacts<'a>),
    /// The git accounts of a user.
    GitAccount(UserId),
    /// The synchronisation as a whole.
    Sync,
}

/// What Cedar decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
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
pub struct Seen {
    uid: EntityUid,
    entity: Entity,
}

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
    pub fn new(principal: &Seen, resource: &Seen) -> Result<Self, OracleError> {
        // Each was held against the schema when it was made.
        let both = [principal.entity.clone(), resource.entity.clone()];
        Ok(Self {
            principal: principal.uid.clone(),
            resource: resource.uid.clone(),
            entities: Entities::from_entities(both, None).map_err(problem)?,
        })
    }
}

/// Names of entity types, parsed once.
#[derive(Clone, Debug)]
struct Types {
    user: EntityTypeName,
    service: EntityTypeName,
    group: EntityTypeName,
    organization: EntityTypeName,
    workspace: EntityTypeName,
    status: EntityTypeName,
    chat: EntityTypeName,
    git_account: EntityTypeName,
    sync: EntityTypeName,
}

/// Decides as Cedar does.
pub struct Oracle {
    schema: Schema,
    set: PolicySet,
    authorizer: Authorizer,
    types: Types,
    actions: HashMap<Action, EntityUid>,
}

fn problem(error: impl std::fmt::Display) -> OracleError {
    OracleError(error.to_string())
}

impl Oracle {
    pub(crate) fn new(schema: Schema, set: PolicySet) -> Result<Self, LoadError> {
        let refused = |error: &dyn std::fmt::Display| {
            LoadError::one(Problem::Syntax {
                file: "the schema".to_owned(),
                problem: error.to_string(),
            })
        };
        let name = |name: &str| EntityTypeName::from_str(name).map_err(|error| refused(&error));
        let action_type = name("Action")?;
        let mut actions = HashMap::new();
        for action in Action::ALL {
            let uid = uid(&action_type, action.name());
            if !schema.actions().any(|known| *known == uid) {
                return Err(refused(&format!("there is no action {}", action.name())));
            }
            actions.insert(action, uid);
        }
        Ok(Self {
            types: Types {
                user: name("User")?,
                service: name("Service")?,
                group: name("Group")?,
                organization: name("Organization")?,
                workspace: name("Workspace")?,
                status: name("Status")?,
                chat: name("Chat")?,
                git_account: name("GitAccount")?,
                sync: name("Sync")?,
            },
            schema,
            set,
            authorizer: Authorizer::new(),
            actions,
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
    ) -> Result<Decided, OracleError> {
        let scene = Scene::new(&self.principal(principal)?, &self.resource(resource)?)?;
        self.decide(&scene, action)
    }

    /// Decides about what was put together before.
    ///
    /// # Errors
    ///
    /// As [`Oracle::is_authorized`].
    pub fn decide(&self, scene: &Scene, action: Action) -> Result<Decided, OracleError> {
        let action = self
            .actions
            .get(&action)
            .ok_or_else(|| problem("no such action"))?;
        let request = Request::new(
            scene.principal.clone(),
            action.clone(),
            scene.resource.clone(),
            Context::empty(),
            Some(&self.schema),
        )
        .map_err(problem)?;
        let response = self
            .authorizer
            .is_authorized(&request, &self.set, &scene.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(problem(error));
        }
        let mut policies: Vec<String> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        policies.sort();
        Ok(Decided {
            allowed: response.decision() == Decision::Allow,
            policies,
        })
    }

    /// A caller as an entity.
    ///
    /// # Errors
    ///
    /// When it does not fit the schema.
    pub fn principal(&self, principal: &Principal) -> Result<Seen, OracleError> {
        match principal {
            Principal::Service(name) => self.plain(&self.types.service, name, HashMap::new()),
            Principal::User(user) => self.user(user),
        }
    }

    fn user(&self, user: &User) -> Result<Seen, OracleError> {
        let in_organizations = |membership| {
            let ids = organizations(user, membership);
            self.set_of(&self.types.organization, ids.iter().map(|id| id.0))
        };
        let roles = user
            .site_roles
            .iter()
            .cloned()
            .map(RestrictedExpression::new_string);
        let attrs = HashMap::from([
            ("adminOf".to_owned(), in_organizations(Membership::Admin)),
            ("memberOf".to_owned(), in_organizations(Membership::Member)),
            ("siteRoles".to_owned(), RestrictedExpression::new_set(roles)),
            (
                "suspended".to_owned(),
                RestrictedExpression::new_bool(user.suspended),
            ),
        ]);
        let parents: HashSet<EntityUid> = user
            .groups
            .iter()
            .map(|group| uid(&self.types.group, &group.to_string()))
            .collect();
        let uid = uid(&self.types.user, &user.id.to_string());
        let entity = Entity::new(uid.clone(), attrs, parents).map_err(problem)?;
        self.checked(uid, entity)
    }

    /// A resource as an entity.
    ///
    /// # Errors
    ///
    /// When it does not fit the schema.
    pub fn resource(&self, resource: &Resource<'_>) -> Result<Seen, OracleError> {
        match resource {
            Resource::Sync => self.plain(&self.types.sync, SYNC_ID, HashMap::new()),
            Resource::GitAccount(owner) => {
                let attrs = HashMap::from([("owner".to_owned(), self.one_user(*owner))]);
                self.plain(&self.types.git_account, &owner.to_string(), attrs)
            }
            Resource::Chat(id, facts) => self.chat(*id, facts),
        }
    }

    fn chat(&self, id: Uuid, facts: &ChatFacts<'_>) -> Result<Seen, OracleError> {
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
        let shared = |users: bool, least: Level| {
            let ids = shares
                .iter()
                .filter_map(move |(subject, level)| match subject {
                    Subject::User(user) if users && *level >= least => Some(user.0),
                    Subject::Group(group) if !users && *level >= least => Some(group.0),
                    Subject::User(_) | Subject::Group(_) => None,
                });
            let of = if users {
                &self.types.user
            } else {
                &self.types.group
            };
            self.set_of(of, ids)
        };
        let one = |of: &EntityTypeName, id: &str| RestrictedExpression::new_entity_uid(uid(of, id));
        let mut attrs = HashMap::from([
            ("owner".to_owned(), self.one_user(*owner)),
            (
                "title".to_owned(),
                RestrictedExpression::new_string((*title).to_owned()),
            ),
            ("status".to_owned(), one(&self.types.status, status)),
            (
                "archived".to_owned(),
                RestrictedExpression::new_bool(*archived),
            ),
            ("readerUsers".to_owned(), shared(true, Level::Reader)),
            ("writerUsers".to_owned(), shared(true, Level::Writer)),
            ("readerGroups".to_owned(), shared(false, Level::Reader)),
            ("writerGroups".to_owned(), shared(false, Level::Writer)),
        ]);
        if let Some(id) = organization {
            let value = one(&self.types.organization, &id.to_string());
            attrs.insert("organization".to_owned(), value);
        }
        if let Some(id) = workspace {
            let value = one(&self.types.workspace, &id.to_string());
            attrs.insert("workspace".to_owned(), value);
        }
        let tags = labels
            .iter()
            .map(|(key, value)| (key.clone(), RestrictedExpression::new_string(value.clone())));
        let uid = uid(&self.types.chat, &id.to_string());
        let entity = Entity::new_with_tags(uid.clone(), attrs, [], tags).map_err(problem)?;
        self.checked(uid, entity)
    }

    fn one_user(&self, id: UserId) -> RestrictedExpression {
        RestrictedExpression::new_entity_uid(uid(&self.types.user, &id.to_string()))
    }

    fn set_of(&self, of: &EntityTypeName, ids: impl Iterator<Item = Uuid>) -> RestrictedExpression {
        RestrictedExpression::new_set(
            ids.map(|id| RestrictedExpression::new_entity_uid(uid(of, &id.to_string()))),
        )
    }

    fn plain(
        &self,
        of: &EntityTypeName,
        id: &str,
        attrs: HashMap<String, RestrictedExpression>,
    ) -> Result<Seen, OracleError> {
        let uid = uid(of, id);
        let entity = Entity::new(uid.clone(), attrs, HashSet::new()).map_err(problem)?;
        self.checked(uid, entity)
    }

    /// Holds the entity against the schema.
    fn checked(&self, uid: EntityUid, entity: Entity) -> Result<Seen, OracleError> {
        Entities::from_entities([entity.clone()], Some(&self.schema)).map_err(problem)?;
        Ok(Seen { uid, entity })
    }
}

fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}
