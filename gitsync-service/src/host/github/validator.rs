//! What lets REST answer that nothing changed: the entity tags of a pull request and of its
//! reviews.
//!
//! They hold for one token only: with another they would say that everything changed, at full
//! price.

use aws_lc_rs::digest::{SHA256, digest};

/// The form's version. A validator of another version is not used.
const VERSION: &str = "1";
/// What chat-service keeps.
const MAX_BYTES: usize = 512;
/// Enough to tell tokens apart, and nothing to get back to one.
const TAG_BYTES: usize = 8;

/// The entity tags of a pull request and of its reviews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator {
    pub(super) pull: String,
    pub(super) reviews: String,
}

impl Validator {
    /// Reads one that was given for the same token.
    pub(super) fn parse(text: &str, tag: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (version, given_for) = (parts.next()?, parts.next()?);
        let (pull, reviews) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        (version == VERSION && given_for == tag && parts.next().is_none())
            .then_some(Self { pull, reviews })
    }

    /// To be kept with the ref, if it can be.
    pub(super) fn text(&self, tag: &str) -> Option<String> {
        let Self { pull, reviews } = self;
        let text = format!("{VERSION} {tag} {pull} {reviews}");
        let is_one = Self::parse(&text, tag).as_ref() == Some(self);
        (is_one && text.len() <= MAX_BYTES).then_some(text)
    }
}

/// Tells one token from another.
pub(super) fn token_tag(token: &str) -> String {
    let digest = digest(&SHA256, token.as_bytes());
    let beginning = digest.as_ref().iter().take(TAG_BYTES);
    beginning.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_is_never_used_with_another_token_than_it_was_given_for() {
        let validator = Validator {
            pull: "\"abc\"".to_owned(),
            reviews: "W/\"def\"".to_owned(),
        };
        let (ann, bob) = (token_tag("ann's"), token_tag("bob's"));
        let text = validator.text(&ann).unwrap();
        assert_eq!(Validator::parse(&text, &ann), Some(validator));
        assert_eq!(Validator::parse(&text, &bob), None);
        assert!(!text.contains("ann's"));
    }

    #[test]
    fn what_is_no_validator_is_none() {
        let tag = token_tag("t");
        for text in [
            "",
            "1",
            "2 x a b",
            &format!("1 {tag} a"),
            &format!("1 {tag} a b c"),
        ] {
            assert_eq!(Validator::parse(text, &tag), None, "{text}");
        }
        let too_long = Validator {
            pull: "x".repeat(600),
            reviews: "y".to_owned(),
        };
        let spaced = Validator {
            pull: "a b".to_owned(),
            reviews: "y".to_owned(),
        };
        assert_eq!((too_long.text(&tag), spaced.text(&tag)), (None, None));
    }
}
