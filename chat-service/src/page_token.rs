//! Opaque page tokens: where the next page begins, signed together with whose list it is and what
//! it is narrowed to.
//!
//! A token carries the sort key, not authority: the next page checks everything again. The
//! signature is there so that a token of another request is an error and not a wrong page.

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use proto::reason;
use uuid::Uuid;

use crate::{accounts::DerivedKeys, chat_filter::Cursor, error::Error, id::ChatId};

/// Of HMAC-SHA256.
const TAG_BYTES: usize = 32;

/// Makes and reads page tokens.
#[derive(Clone)]
pub struct PageTokens {
    /// Signs, and recognises.
    active: hmac::Key,
    /// Recognise what was signed before or after a rotation.
    others: Vec<hmac::Key>,
}

/// The scope of a token: the caller, the list and its filters.
#[derive(Clone, Debug)]
pub struct Scope([u8; 32]);

impl Scope {
    /// The scope of `list` with these `arguments` (without page size and token) for `caller`.
    #[must_use]
    pub fn new(caller: &str, list: &str, arguments: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [caller.as_bytes(), list.as_bytes(), arguments] {
            // Lengths keep neighbours apart.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut scope = [0; 32];
        scope.copy_from_slice(context.finish().as_ref());
        Self(scope)
    }

    fn with(&self, place: &[u8]) -> Vec<u8> {
        [&self.0[..], place].concat()
    }
}

/// Where a page ends, and the next one begins.
pub trait Place: Sized {
    /// As a token carries it.
    fn bytes(&self) -> Vec<u8>;

    /// From a token.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// Microseconds and id.
impl Place for Cursor {
    fn bytes(&self) -> Vec<u8> {
        let microseconds = self.updated_at.as_microsecond().to_be_bytes();
        [microseconds.as_slice(), self.id.0.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (microseconds, id) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            updated_at: Timestamp::from_microsecond(i64::from_be_bytes(*microseconds)).ok()?,
            id: ChatId(Uuid::from_slice(id).ok()?),
        })
    }
}

/// The sort key of lists by name.
impl Place for String {
    fn bytes(&self) -> Vec<u8> {
        self.clone().into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl PageTokens {
    /// Signs with the active one of `keys`, and recognises what any of them signed.
    #[must_use]
    pub fn new(keys: &DerivedKeys) -> Self {
        let key = |bytes: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self {
            active: key(&keys.active),
            others: keys.others.iter().map(key).collect(),
        }
    }

    /// The token for the page after `place`.
    #[must_use]
    pub fn encode(&self, scope: &Scope, place: &impl Place) -> String {
        let place = place.bytes();
        let tag = hmac::sign(&self.active, &scope.with(&place));
        let token = [tag.as_ref(), &place].concat();
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The position that `token` names; `None` for the empty token of the first page.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a token that is malformed, forged, or of another scope,
    /// without saying which.
    pub fn decode<P: Place>(&self, scope: &Scope, token: &str) -> Result<Option<P>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let place = || {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
            let (tag, place) = bytes.split_at_checked(TAG_BYTES)?;
            let signed = scope.with(place);
            std::iter::once(&self.active)
                .chain(&self.others)
                .any(|key| hmac::verify(key, &signed, tag).is_ok())
                .then(|| P::read(place))
                .flatten()
        };
        place().map(Some).ok_or_else(|| Error::InvalidArgument {
            field: "page_token".to_owned(),
            problem: "is not a token of this list with these filters for this caller".to_owned(),
            reason: reason::PAGE_TOKEN_INVALID,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(active: u8, others: &[u8]) -> DerivedKeys {
        DerivedKeys {
            active: [active; 32],
            others: others.iter().map(|other| [*other; 32]).collect(),
        }
    }

    #[test]
    fn a_token_is_taken_by_who_has_its_key_wherever_that_stands() {
        let scope = Scope::new("user:a", "list", b"");
        let place = "place".to_owned();
        let taken = |made_by: &DerivedKeys, read_by: &DerivedKeys| {
            let token = PageTokens::new(made_by).encode(&scope, &place);
            PageTokens::new(read_by)
                .decode::<String>(&scope, &token)
                .is_ok()
        };
        let (old, both, rotated, new) = (keys(1, &[]), keys(1, &[2]), keys(2, &[1]), keys(2, &[]));
        for (made_by, read_by) in [
            (&old, &both),
            (&both, &rotated),
            (&rotated, &both),
            (&old, &rotated),
        ] {
            assert!(taken(made_by, read_by));
        }
        assert!(!taken(&old, &new));
        assert!(!taken(&new, &old));
    }

    #[test]
    fn a_token_names_its_place_and_no_byte_of_it_can_be_changed() {
        let tokens = PageTokens::new(&keys(1, &[]));
        let scope = Scope::new("user:a", "chats", b"filters");
        let place = Cursor {
            updated_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            id: ChatId::new(),
        };
        let token = tokens.encode(&scope, &place);
        assert_eq!(tokens.decode(&scope, &token).unwrap(), Some(place));
        assert_eq!(tokens.decode::<Cursor>(&scope, "").unwrap(), None);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for index in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[index] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert!(
                tokens.decode::<Cursor>(&scope, &forged).is_err(),
                "byte {index}"
            );
        }
        for garbage in ["x", "!!!", "AAAA", &"A".repeat(100_000)] {
            assert!(tokens.decode::<Cursor>(&scope, garbage).is_err());
        }
        let other = Scope::new("user:ac", "hats", b"filters");
        assert!(tokens.decode::<Cursor>(&other, &token).is_err());
        assert!(
            PageTokens::new(&keys(2, &[]))
                .decode::<Cursor>(&scope, &token)
                .is_err()
        );
    }
}
