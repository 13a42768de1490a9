//! Text patterns of the operator `like`: literal characters, and `*` for any number of any characters.

use std::{fmt, sync::Arc};

/// A pattern for the whole of a text. Case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<[Piece]>);

/// One piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This character.
    Char(char),
    /// Any number of any characters.
    Any,
}

impl Pattern {
    /// Makes a pattern of pieces.
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self(pieces.into_iter().collect())
    }

    /// Its pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Whether `text` as a whole fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut piece) = (0, 0);
        // Where to go on after a wildcard took one character more.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(piece), text.get(at)) {
                (None, None) => return true,
                (Some(Piece::Any), _) => {
                    retry = Some((piece, at));
                    piece += 1;
                    continue;
                }
                (Some(Piece::Char(wanted)), Some(found)) if wanted == found => {
                    piece += 1;
                    at += 1;
                    continue;
                }
                (Some(Piece::Char(_)) | None, _) => {}
            }
            match retry {
                Some((wildcard, from)) if from < text.len() => {
                    retry = Some((wildcard, from + 1));
                    piece = wildcard + 1;
                    at = from + 1;
                }
                Some(_) | None => return false,
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Char('*') => f.write_str("\\*"),
            Piece::Char(character) => write!(f, "{character}"),
            Piece::Any => f.write_str("*"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text.chars().map(|character| match character {
            '*' => Piece::Any,
            other => Piece::Char(other),
        }))
    }

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
            ("*ab", "aab", true),
            ("**x", "xx", true),
            ("%_", "ab", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(pattern(glob).matches(text), fits, "{glob:?} on {text:?}");
        }
    }
}
