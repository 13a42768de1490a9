//! How large the SQL of a condition becomes, before it is printed: what is not bounded when
//! policies are loaded fails in PostgreSQL, at request time.

use crate::{
    cond::{Cond, Fact},
    pred::Formula,
};

/// Comparisons in the statement of a list at most. Each binds up to two of the 65,535 parameters
/// that the protocol allows, and the list's own filter binds more.
pub(crate) const MAX_COMPARISONS: usize = 8_000;
/// Branches of a list at most: with twice as many, planning alone takes about a second.
pub(crate) const MAX_BRANCHES: usize = 2_000;

/// How large a condition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Atoms.
    atoms: usize,
    /// Branches of a list at most: ways in which it can hold.
    pub(crate) branches: usize,
    /// Comparisons of these branches together, since each repeats what holds beside it.
    pub(crate) comparisons: usize,
}

impl Size {
    pub(crate) fn fits(self) -> bool {
        self.branches <= MAX_BRANCHES && self.comparisons <= MAX_COMPARISONS
    }
}

impl Cond {
    pub(crate) fn size(&self) -> Size {
        let sum = |sizes: &[Size], of: fn(&Size) -> usize| -> usize {
            sizes.iter().map(of).fold(0, usize::saturating_add)
        };
        let each = |parts: &[Self]| -> Vec<Size> { parts.iter().map(Self::size).collect() };
        match self {
            Formula::True | Formula::False => Size::default(),
            // The caller fills these in, so that they are in no statement.
            Formula::Atom(fact) if !fact.is_of_chat() => Size::default(),
            Formula::Atom(_) => Size {
                atoms: 1,
                branches: 1,
                comparisons: 1,
            },
            Formula::Any(parts) => {
                let sizes = each(parts);
                Size {
                    atoms: sum(&sizes, |size| size.atoms),
                    branches: sum(&sizes, |size| size.branches),
                    comparisons: sum(&sizes, |size| size.comparisons),
                }
            }
            Formula::All(parts) => {
                let sizes = each(parts);
                let atoms = sum(&sizes, |size| size.atoms);
                // One of them leads, and the others are asked of each row of each of its branches.
                let led = |size: &Size| {
                    let beside = size.branches.saturating_mul(atoms - size.atoms);
                    size.comparisons.saturating_add(beside)
                };
                Size {
                    atoms,
                    branches: sizes.iter().map(|size| size.branches).max().unwrap_or(0),
                    comparisons: sizes.iter().map(led).max().unwrap_or(0),
                }
            }
            Formula::Not(part) => {
                let atoms = part.size().atoms;
                Size {
                    atoms,
                    branches: 1,
                    comparisons: atoms,
                }
            }
        }
    }

    /// How many atoms there are.
    pub(crate) fn atoms(&self) -> usize {
        self.size().atoms
    }
}

impl Fact {
    /// Whether it leaves something to ask of the chat.
    fn is_of_chat(&self) -> bool {
        match self {
            Self::Chat(_)
            | Self::OwnerIsCaller
            | Self::OrganizationOfCaller(_)
            | Self::SharedWithCaller(_)
            | Self::SharedWithGroupsOfCaller(_) => true,
            Self::IsUser(_)
            | Self::IsService(_)
            | Self::InGroup(_)
            | Self::In(..)
            | Self::Nowhere(_)
            | Self::SiteRole(_)
            | Self::NoSiteRole
            | Self::Suspended => false,
        }
    }
}
