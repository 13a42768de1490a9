//! Translations with one fault each, of the kinds that such translators have had.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a fault sits in one place and leaves the rest as it is"
)]

use chat_service::{
    authz::{Action, Atom, Level, Pattern, Policies, Pred, Principal},
    command::policy_check::agree::Translation,
};
use policy::Source;

/// A fault: its name, and where it sits.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
}

pub(crate) enum Fault {
    /// In reading policies: they are taken for others.
    Reading(fn(&str) -> String),
    /// In the predicate.
    Pred(fn(&Atom) -> Option<Pred>),
    /// In the predicate's shape.
    Shape(fn(Pred) -> Pred),
    /// In printing.
    Printing(fn(&Atom) -> Option<Pred>),
    /// In the SQL.
    Sql(fn(String) -> String),
}

pub(crate) const MUTANTS: [Mutant; 16] = [
    Mutant {
        name: "a forbid is dropped",
        fault: Fault::Reading(|text| {
            let mut policies = String::new();
            for policy in text.split_inclusive(";\n") {
                if !policy.contains("\nforbid (") {
                    policies.push_str(policy);
                }
            }
            policies
        }),
    },
    Mutant {
        name: "unless is taken for when",
        fault: Fault::Reading(|text| text.replace("unless", "when")),
    },
    Mutant {
        name: "containsAll is taken for containsAny",
        fault: Fault::Reading(|text| text.replace("containsAll", "containsAny")),
    },
    Mutant {
        name: "containsAny is taken for containsAll",
        fault: Fault::Reading(|text| text.replace("containsAny", "containsAll")),
    },
    Mutant {
        name: "an administrator is taken for a member",
        fault: Fault::Reading(|text| text.replace("adminOf", "memberOf")),
    },
    Mutant {
        name: "one group of the closure is missing",
        fault: Fault::Pred(|atom| match atom {
            Atom::SharedWithGroup(groups, level) => {
                let (_, rest) = groups.split_last()?;
                let rest = Atom::SharedWithGroup(rest.into(), *level);
                Some(if groups.len() > 1 {
                    Pred::Atom(rest)
                } else {
                    Pred::False
                })
            }
            _ => None,
        }),
    },
    Mutant {
        name: "one organization of the set is missing",
        fault: Fault::Pred(|atom| match atom {
            Atom::Organization(ids) => {
                let (_, rest) = ids.split_last()?;
                let rest = Atom::Organization(rest.into());
                Some(if ids.len() > 1 {
                    Pred::Atom(rest)
                } else {
                    Pred::False
                })
            }
            _ => None,
        }),
    },
    Mutant {
        name: "a reader is enough where a writer is asked for (> for >=)",
        fault: Fault::Pred(|atom| match atom {
            Atom::SharedWithUser(user, Level::Writer) => Some(Pred::Atom(Atom::SharedWithUser(
                user.clone(),
                Level::Reader,
            ))),
            Atom::SharedWithGroup(groups, Level::Writer) => Some(Pred::Atom(
                Atom::SharedWithGroup(groups.clone(), Level::Reader),
            )),
            _ => None,
        }),
    },
    Mutant {
        name: "the guard of an optional attribute is missing",
        fault: Fault::Pred(|atom| match atom {
            Atom::InSomeOrganization | Atom::InSomeWorkspace | Atom::Label(_) => Some(Pred::True),
            _ => None,
        }),
    },
    Mutant {
        name: "a label's value is not looked at",
        fault: Fault::Pred(|atom| match atom {
            Atom::LabelIs(key, _) => Some(Pred::Atom(Atom::Label(key.clone()))),
            _ => None,
        }),
    },
    Mutant {
        name: "not (a or b) becomes (not a) or (not b)",
        fault: Fault::Shape(|pred| match pred {
            Pred::Not(inner) => match *inner {
                Pred::Any(preds) => Pred::any(preds.into_iter().map(Pred::negated)),
                other => other.negated(),
            },
            other => other,
        }),
    },
    Mutant {
        name: "LIKE is not escaped",
        fault: Fault::Printing(|atom| {
            let unescaped = |pattern: &Pattern| -> Pattern {
                let text = pattern.literals().join("%");
                let pieces = text.chars();
                pieces
                    .map(|piece| (!matches!(piece, '%' | '_')).then_some(piece))
                    .collect()
            };
            match atom {
                Atom::TitleLike(pattern) => Some(Pred::Atom(Atom::TitleLike(unescaped(pattern)))),
                Atom::LabelLike(key, pattern) => {
                    Some(Pred::Atom(Atom::LabelLike(key.clone(), unescaped(pattern))))
                }
                _ => None,
            }
        }),
    },
    Mutant {
        name: "LIKE ignores case",
        fault: Fault::Sql(|text| text.replace(" LIKE ", " ILIKE ")),
    },
    Mutant {
        name: "NULL is not taken for false",
        fault: Fault::Sql(|text| text.replace("COALESCE(", "(").replace(", FALSE)", ")")),
    },
    Mutant {
        name: "the level is not in the SQL",
        fault: Fault::Sql(|text| text.replace(" AND a.level = 'writer'", "")),
    },
    Mutant {
        name: "a group is looked for among users",
        fault: Fault::Sql(|text| {
            text.replace("a.subject_kind = 'group'", "a.subject_kind = 'user'")
        }),
    },
];

/// A mutant, on one set of policies.
pub(crate) struct Mutated<'a> {
    mutant: &'a Mutant,
    /// What a fault in reading takes the policies for.
    misread: Option<Policies>,
}

impl<'a> Mutated<'a> {
    /// None when the fault makes the set unreadable, so that it would be noticed at once.
    pub(crate) fn new(mutant: &'a Mutant, text: &str) -> Option<Self> {
        let misread = match mutant.fault {
            Fault::Reading(misread) => {
                let text = misread(text);
                Some(Policies::load(&[Source::new("mutant.cedar", text)]).ok()?)
            }
            Fault::Pred(_) | Fault::Shape(_) | Fault::Printing(_) | Fault::Sql(_) => None,
        };
        Some(Self { mutant, misread })
    }
}

impl Mutated<'_> {
    pub(crate) fn translate(
        &self,
        policies: &Policies,
        principal: &Principal,
        action: Action,
    ) -> Translation {
        let policies = self.misread.as_ref().unwrap_or(policies);
        let mut translation = Translation::new(policies, principal, action);
        match self.mutant.fault {
            Fault::Reading(_) => {}
            Fault::Pred(fault) => {
                translation.pred = with_atoms(&translation.pred, fault);
                translation.printed = translation.pred.clone();
            }
            Fault::Shape(fault) => {
                translation.pred = with_shape(translation.pred, fault);
                translation.printed = translation.pred.clone();
            }
            Fault::Printing(fault) => translation.printed = with_atoms(&translation.pred, fault),
            Fault::Sql(fault) => translation.edit = fault,
        }
        translation
    }
}

fn with_atoms(pred: &Pred, fault: fn(&Atom) -> Option<Pred>) -> Pred {
    pred.replaced(&|atom| fault(atom).unwrap_or_else(|| Pred::Atom(atom.clone())))
}

fn with_shape(pred: Pred, fault: fn(Pred) -> Pred) -> Pred {
    let each = |preds: Vec<Pred>| preds.into_iter().map(|pred| with_shape(pred, fault));
    match fault(pred) {
        Pred::All(preds) => Pred::All(each(preds).collect()),
        Pred::Any(preds) => Pred::Any(each(preds).collect()),
        other => other,
    }
}
