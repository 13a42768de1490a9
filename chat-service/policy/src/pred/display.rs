//! A predicate, for people.

use std::fmt::{self, Display, Formatter};

use super::{Atom, Pred};

impl Display for Pred {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("every chat"),
            Self::False => f.write_str("no chat"),
            Self::Atom(atom) => atom.fmt(f),
            Self::All(preds) => list(f, preds, " and "),
            Self::Any(preds) => list(f, preds, " or "),
            Self::Not(pred) => write!(f, "not ({pred})"),
        }
    }
}

fn list(f: &mut Formatter<'_>, preds: &[Pred], between: &str) -> fmt::Result {
    f.write_str("(")?;
    for (index, pred) in preds.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        pred.fmt(f)?;
    }
    f.write_str(")")
}

impl Display for Atom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(of) => write!(f, "owner is {}", ids(of)),
            Self::Organization(of) => write!(f, "organization is {}", ids(of)),
            Self::InSomeOrganization => f.write_str("has an organization"),
            Self::Workspace(of) => write!(f, "workspace is {}", ids(of)),
            Self::InSomeWorkspace => f.write_str("has a workspace"),
            Self::SharedWithUser(of, level) => write!(f, "user {} is {}", ids(of), level.name()),
            Self::SharedWithGroup(of, level) => write!(f, "group {} is {}", ids(of), level.name()),
            Self::Archived => f.write_str("archived"),
            Self::Status(names) => write!(f, "status is {}", names.join(" or ")),
            Self::Title(title) => write!(f, "title is {title:?}"),
            Self::TitleLike(pattern) => write!(f, "title is like \"{pattern}\""),
            Self::Label(key) => write!(f, "has label {key:?}"),
            Self::LabelIs(key, value) => write!(f, "label {key:?} is {value:?}"),
            Self::LabelLike(key, pattern) => write!(f, "label {key:?} is like \"{pattern}\""),
        }
    }
}

/// The first few, and how many more there are.
fn ids(of: &[impl Display]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<String> = of.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = of.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("one of {more} more"));
    }
    shown.join(" or ")
}
