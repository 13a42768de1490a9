//! From files to policies: parse, name, validate, translate. All problems are collected.

use std::{collections::BTreeMap, sync::OnceLock};

use cedar_policy::{
    Policy, PolicyId, PolicySet, Schema, SchemaFragment, ValidationMode, Validator,
    pst::{ActionConstraint, Effect, EntityUID, Template},
};

use crate::{
    action::Action,
    cedar::Oracle,
    cond::Cond,
    depth::{MAX_DEPTH, PolicyDepth, nestings},
    error::{LoadError, with_causes},
    literals::Literals,
    lower::{CallerKind, Scope},
    policies::{Policies, Rule, Slice},
    source::{SCHEMA, SCHEMA_FILE, Source},
};

/// Stack for loading, in bytes. In a debug build 48 MiB are too few for the deepest policies, and
/// 64 suffice; this is twice that. It is address space: what is not needed is never touched.
const LOAD_STACK: usize = 128 << 20;

/// A policy that was parsed.
struct ParsedPolicy {
    id: String,
    /// Annotated with `@grant("share")`.
    share: bool,
    body: Template,
}

impl Policies {
    /// Loads policies: parses, validates strictly, translates.
    ///
    /// # Errors
    ///
    /// All problems at once, each with the policy and the construct that it is about.
    pub fn load(sources: &[Source]) -> Result<Self, LoadError> {
        stacker::grow(LOAD_STACK, || load(sources))
    }
}

fn load(sources: &[Source]) -> Result<Policies, LoadError> {
    let mut problems = Vec::new();
    let schema = schema()?;
    let mut policies = BTreeMap::new();
    let mut depth = 0;
    for source in sources {
        if source.name != SCHEMA_FILE {
            depth = depth.max(parse(source, &mut policies, &mut problems));
        } else if !same_schema(source)? {
            problems.push(format!(
                "{} is not the schema of this version of chat-service: leave it out, or copy that \
                 one",
                source.name
            ));
        }
    }
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
    let slices = translate(&parsed, &mut problems);
    if !problems.is_empty() {
        return Err(LoadError(problems));
    }
    Ok(Policies {
        slices,
        oracle: Oracle::new(schema, set, depth)?,
        count: parsed.len(),
        literals,
        warnings,
    })
}

fn syntax(file: &str, error: &(dyn std::error::Error + 'static)) -> String {
    format!("{file}: {}", with_causes(error))
}

fn untranslatable(id: &str, construct: &str, why: &str) -> String {
    format!("policy {id:?} cannot be translated to SQL: {construct}: {why}")
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

/// Adds the policies of a file under their names; returns the levels of the deepest one.
fn parse(
    source: &Source,
    policies: &mut BTreeMap<String, Policy>,
    problems: &mut Vec<String>,
) -> usize {
    let file = &source.name;
    let nestings = nestings(&source.text);
    let depth = nestings
        .iter()
        .map(|policy| policy.depth)
        .max()
        .unwrap_or(0);
    if depth > MAX_DEPTH {
        let deep = nestings.iter().filter(|policy| policy.depth > MAX_DEPTH);
        problems.extend(deep.map(|PolicyDepth { id, line, depth }| {
            format!(
                "{file}: line {line}: policy {id:?} nests {depth} levels, more than {MAX_DEPTH}: \
                 write a set in place of a long chain, or several policies"
            )
        }));
        return 0;
    }
    let set: PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(error) => {
            let error: cedar_policy::ParseErrors = error;
            let errors: Vec<String> = error
                .iter()
                .map(|error| line_of(&source.text, error))
                .collect();
            problems.push(format!("{file}: {}", errors.join("; ")));
            return 0;
        }
    };
    for template in set.templates() {
        let id = template.annotation("id").unwrap_or("without @id");
        problems.push(untranslatable(
            id,
            "a template",
            "templates are not linked here",
        ));
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
            let begin: String = policy.to_string().chars().take(80).collect();
            problems.push(format!("{file}: a policy has no @id(\"...\"): {begin}"));
        } else if policies.contains_key(id) {
            problems.push(format!("{file}: policy {id:?} exists already"));
        } else {
            policies.insert(id.to_owned(), policy.new_id(PolicyId::new(id)));
        }
    }
    depth
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

fn understood(id: &str, policy: &Policy, literals: &mut Literals) -> Result<ParsedPolicy, String> {
    let refused = |error: String| untranslatable(id, &error, "Cedar has no syntax tree for it");
    let pst = policy
        .to_pst()
        .map_err(|error| refused(error.to_string()))?;
    let body = pst.body().clone();
    // Of the tree, since of the text Cedar would parse it once more.
    let tree = Policy::from_pst(pst).map_err(|error| refused(error.to_string()))?;
    let json = tree.to_json().map_err(|error| refused(error.to_string()))?;
    literals.collect(&json);
    let share = match policy.annotation("grant") {
        None => false,
        Some("share") if body.effect == Effect::Permit => true,
        Some(value) => {
            return Err(format!(
                "policy {id:?}: @grant({value:?}) is unknown; the one there is, on a permit, is \
                 @grant(\"share\")"
            ));
        }
    };
    Ok(ParsedPolicy {
        id: id.to_owned(),
        share,
        body,
    })
}

/// Validates strictly; returns the warnings.
fn validate(schema: &Schema, set: &PolicySet, problems: &mut Vec<String>) -> Vec<String> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let mut invalid: Vec<String> = result
        .validation_errors()
        .map(|error| {
            format!(
                "policy {:?} is not valid: {error}",
                error.policy_id().to_string()
            )
        })
        .collect();
    invalid.sort();
    problems.extend(invalid);
    let mut warnings: Vec<String> = result
        .validation_warnings()
        .map(ToString::to_string)
        .collect();
    warnings.sort();
    warnings
}

/// Translates every policy for every kind of caller and every action that it is about.
fn translate(
    policies: &[ParsedPolicy],
    problems: &mut Vec<String>,
) -> BTreeMap<(CallerKind, Action), Slice> {
    let mut rules: BTreeMap<_, Vec<Rule>> = BTreeMap::new();
    for ParsedPolicy { id, share, body } in policies {
        for action in Action::ALL {
            if !is_about(&body.action, action) {
                continue;
            }
            for caller in CallerKind::ALL {
                let resource = action.resource();
                match (Scope { caller, resource }).policy(body) {
                    Ok(Cond::False) => {}
                    Ok(when) => rules.entry((caller, action)).or_default().push(Rule {
                        id: id.clone(),
                        forbids: body.effect == Effect::Forbid,
                        share: *share,
                        when,
                    }),
                    Err(refusal) => {
                        let problem = untranslatable(id, &refusal.construct, refusal.why);
                        if !problems.contains(&problem) {
                            problems.push(problem);
                        }
                    }
                }
            }
        }
    }
    let slices = rules.into_iter();
    let slices: BTreeMap<_, _> = slices.map(|(of, rules)| (of, Slice::new(rules))).collect();
    for ((_, action), slice) in &slices {
        if let Some(problem) = slice.too_large(*action)
            && !problems.contains(&problem)
        {
            problems.push(problem);
        }
    }
    slices
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
