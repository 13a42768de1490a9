//! From files to policies: parse, name, validate, translate. All problems are collected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use cedar_policy::{
    Policy, PolicyId, PolicySet, Schema, SchemaFragment, ValidationMode, Validator,
    pst::{ActionConstraint, Effect, EntityUID, Template},
};

use crate::{
    action::Action,
    cond::Cond,
    error::{LoadError, Problem},
    literals::Literals,
    lower::{CallerKind, Refusal, Scope},
    source::{SCHEMA, SCHEMA_FILE, Source},
    table::{Grant, Rule, Table},
};

/// Our annotation for the reason of a permit.
const GRANT: &str = "grant";
/// Its one value.
const SHARE: &str = "share";

/// What loading gives.
pub(crate) struct Loaded {
    pub(crate) schema: Schema,
    pub(crate) set: PolicySet,
    pub(crate) table: Table,
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) literals: Literals,
    pub(crate) warnings: Vec<String>,
}

/// A policy that was parsed.
struct Parsed {
    id: String,
    grant: Option<Grant>,
    body: Template,
}

pub(crate) fn load(sources: &[Source]) -> Result<Loaded, LoadError> {
    let mut problems = Vec::new();
    let schema = schema()?;
    for source in sources.iter().filter(|source| source.name == SCHEMA_FILE) {
        if !same_schema(source)? {
            problems.push(Problem::ForeignSchema {
                file: source.name.clone(),
            });
        }
    }
    let mut policies = BTreeMap::new();
    for source in sources.iter().filter(|source| source.name != SCHEMA_FILE) {
        parse(source, &mut policies, &mut problems);
    }
    let texts = policies
        .iter()
        .map(|(id, policy)| (id.clone(), policy.to_string()))
        .collect();
    let mut literals = Literals::default();
    let mut parsed = Vec::new();
    for (id, policy) in &policies {
        match understood(id, policy, &mut literals) {
            Ok(policy) => parsed.push(policy),
            Err(problem) => problems.push(problem),
        }
    }
    let set = PolicySet::from_policies(policies.into_values())
        .map_err(|error| LoadError::one(syntax("the policies", &error)))?;
    let warnings = validate(&schema, &set, &mut problems);
    if !problems.is_empty() {
        return Err(LoadError(problems));
    }
    let table = translate(&parsed, &mut problems);
    if !problems.is_empty() {
        return Err(LoadError(problems));
    }
    Ok(Loaded {
        schema,
        set,
        table,
        texts,
        literals,
        warnings,
    })
}

fn syntax(file: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    // Cedar's parse errors say what is wrong in their sources.
    let mut problem = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        problem.push_str(": ");
        problem.push_str(&error.to_string());
        source = error.source();
    }
    Problem::Syntax {
        file: file.to_owned(),
        problem,
    }
}

/// Our schema, parsed once.
fn schema() -> Result<Schema, LoadError> {
    static PARSED: OnceLock<Schema> = OnceLock::new();
    if let Some(schema) = PARSED.get() {
        return Ok(schema.clone());
    }
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
        .map_err(|error| LoadError::one(syntax(SCHEMA_FILE, &error)))?;
    Ok(PARSED.get_or_init(|| schema).clone())
}

/// Whether a schema says what ours says, whatever its comments and layout.
fn same_schema(source: &Source) -> Result<bool, LoadError> {
    let meaning = |text: &str| {
        let (fragment, _) = SchemaFragment::from_cedarschema_str(text)
            .map_err(|error| LoadError::one(syntax(&source.name, &error)))?;
        fragment
            .to_json_value()
            .map_err(|error| LoadError::one(syntax(&source.name, &error)))
    };
    Ok(meaning(&source.text)? == meaning(SCHEMA)?)
}

/// Adds the policies of a file under their names.
fn parse(source: &Source, policies: &mut BTreeMap<String, Policy>, problems: &mut Vec<Problem>) {
    let set: PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(error) => {
            let error: cedar_policy::ParseErrors = error;
            problems.push(Problem::Syntax {
                file: source.name.clone(),
                problem: error
                    .iter()
                    .map(|error| line_of(&source.text, error))
                    .collect::<Vec<_>>()
                    .join("; "),
            });
            return;
        }
    };
    for template in set.templates() {
        problems.push(Problem::Untranslatable {
            policy_id: template
                .annotation("id")
                .unwrap_or("without @id")
                .to_owned(),
            construct: "a template".to_owned(),
            why: "templates are not linked here",
        });
    }
    // By their place in the file, so that the first of two with one name is the one that counts.
    let mut named: Vec<&Policy> = set.policies().collect();
    named.sort_by_key(|policy| {
        let id = policy.id().to_string();
        id.trim_start_matches("policy")
            .parse()
            .unwrap_or(usize::MAX)
    });
    for policy in named {
        let id = policy.annotation("id").unwrap_or_default();
        if id.is_empty() {
            problems.push(Problem::NoId {
                file: source.name.clone(),
                policy: policy.to_string().chars().take(80).collect(),
            });
        } else if policies.contains_key(id) {
            problems.push(Problem::DuplicateId {
                file: source.name.clone(),
                id: id.to_owned(),
            });
        } else {
            policies.insert(id.to_owned(), policy.new_id(PolicyId::new(id)));
        }
    }
}

/// A parse error with its line.
fn line_of(text: &str, error: &cedar_policy::ParseError) -> String {
    use miette::Diagnostic as _;
    let line = error
        .labels()
        .and_then(|mut labels| labels.next())
        .and_then(|label| text.get(..label.offset()))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {error}"),
        None => error.to_string(),
    }
}

fn understood(id: &str, policy: &Policy, literals: &mut Literals) -> Result<Parsed, Problem> {
    let refused = |construct: String| Problem::Untranslatable {
        policy_id: id.to_owned(),
        construct,
        why: "Cedar has no syntax tree for it",
    };
    let pst = policy
        .to_pst()
        .map_err(|error| refused(error.to_string()))?;
    let body = pst.body().clone();
    // Of the tree, since of the text Cedar would parse it once more.
    let tree = Policy::from_pst(pst).map_err(|error| refused(error.to_string()))?;
    let json = tree.to_json().map_err(|error| refused(error.to_string()))?;
    literals.collect(&json);
    let grant = match policy.annotation(GRANT) {
        None => None,
        Some(SHARE) if body.effect == Effect::Permit => Some(Grant::Share),
        Some(value) => {
            return Err(Problem::UnknownGrant {
                id: id.to_owned(),
                value: value.to_owned(),
            });
        }
    };
    Ok(Parsed {
        id: id.to_owned(),
        grant,
        body,
    })
}

/// Validates strictly; returns the warnings.
fn validate(schema: &Schema, set: &PolicySet, problems: &mut Vec<Problem>) -> Vec<String> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let mut invalid: Vec<(String, String)> = result
        .validation_errors()
        .map(|error| (error.policy_id().to_string(), error.to_string()))
        .collect();
    invalid.sort();
    problems.extend(
        invalid
            .into_iter()
            .map(|(id, problem)| Problem::Invalid { id, problem }),
    );
    let mut warnings: Vec<String> = result
        .validation_warnings()
        .map(ToString::to_string)
        .collect();
    warnings.sort();
    warnings
}

/// Translates every policy for every kind of caller and every action that it is about.
fn translate(policies: &[Parsed], problems: &mut Vec<Problem>) -> Table {
    let mut table = Table::default();
    let mut refused = BTreeSet::new();
    for policy in policies {
        for action in Action::ALL {
            if !is_about(&policy.body.action, action) {
                continue;
            }
            for caller in CallerKind::ALL {
                let scope = Scope {
                    caller,
                    resource: action.resource(),
                };
                match scope.policy(&policy.body) {
                    Ok(Cond::Const(false)) => {}
                    Ok(when) => table.add(
                        caller,
                        action,
                        policy.body.effect == Effect::Forbid,
                        Rule {
                            id: policy.id.clone(),
                            grant: policy.grant,
                            when,
                        },
                    ),
                    Err(Refusal { construct, why }) => {
                        if refused.insert((policy.id.clone(), construct.clone())) {
                            problems.push(Problem::Untranslatable {
                                policy_id: policy.id.clone(),
                                construct,
                                why,
                            });
                        }
                    }
                }
            }
        }
    }
    table.finish();
    table
}

/// Whether a policy is about `action`. Our schema has no groups of actions.
fn is_about(constraint: &ActionConstraint, action: Action) -> bool {
    let named = |uid: &EntityUID| uid.eid.as_str() == action.name();
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => named(uid),
        ActionConstraint::In(uids) => uids.iter().any(named),
    }
}
