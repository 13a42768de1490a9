//! Text patterns of the operator `like`: literal text, and `*` for any number of any characters.

use std::{fmt, sync::Arc};

/// A pattern for the whole of a text. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(Arc<[String]>);

impl Pattern {
    /// The literal texts between its wildcards: one more than there are wildcards.
    #[must_use]
    pub fn literals(&self) -> &[String] {
        &self.0
    }

    /// Whether `text` as a whole fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return text.is_empty();
        };
        let Some(text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return text.is_empty();
        };
        // The earliest place of each literal leaves most for those after it.
        middle
            .iter()
            .try_fold(text, |text, literal| {
                Some(text.split_once(literal.as_str())?.1)
            })
            .is_some_and(|text| text.ends_with(last.as_str()))
    }
}

/// Made of characters, and `None` for a wildcard.
impl FromIterator<Option<char>> for Pattern {
    fn from_iter<T: IntoIterator<Item = Option<char>>>(pieces: T) -> Self {
        let mut literals = Vec::new();
        let mut literal = String::new();
        for piece in pieces {
            match piece {
                Some(character) => literal.push(character),
                None => literals.push(std::mem::take(&mut literal)),
            }
        }
        literals.push(literal);
        Self(literals.into())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped: Vec<String> = self.0.iter().map(|text| text.replace('*', "\\*")).collect();
        f.write_str(&escaped.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_text() {
        for (glob, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b", "abc", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*ab", "aab", true),
            ("**x", "xx", true),
            ("%_", "ab", false),
            ("é*", "éa", true),
        ] {
            let pattern: Pattern = glob.chars().map(|c| (c != '*').then_some(c)).collect();
            assert_eq!(pattern.matches(text), fits, "{glob:?} on {text:?}");
        }
    }
}
