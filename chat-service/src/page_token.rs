//! Opaque page tokens: where the next page begins, signed together with whose list it is and what
//! it is narrowed to.
//!
//! A token carries the sort key, not authority: the next page checks everything again. The signature
//! is there so that a token of another request is an error and not a wrong page.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use proto::reason;
use uuid::Uuid;

use crate::{chat_filter::Cursor, error::Error, id::ChatId};

/// Version, microseconds, id.
const PAYLOAD_BYTES: usize = 1 + 8 + 16;
/// Of HMAC-SHA256; half of it is beyond guessing.
const TAG_BYTES: usize = 16;
const VERSION: u8 = 1;

/// Makes and reads page tokens.
#[derive(Clone)]
pub struct PageTokens {
    key: hmac::Key,
}

/// What a token is bound to: the caller, the list and its filters.
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
}

impl PageTokens {
    /// Signs with `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The token for the page after `place`.
    #[must_use]
    pub fn encode(&self, scope: &Scope, place: Cursor) -> String {
        let mut token = Vec::with_capacity(PAYLOAD_BYTES + TAG_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&place.updated_at.as_microsecond().to_be_bytes());
        token.extend_from_slice(place.id.0.as_bytes());
        let tag = self.tag(scope, &token);
        token.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The place that `token` names; none for the first page's empty one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a token that is malformed, forged, or of another scope: which
    /// of them it is, is not told.
    pub fn decode(&self, scope: &Scope, token: &str) -> Result<Option<Cursor>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        self.place(scope, token)
            .map(Some)
            .ok_or_else(|| Error::InvalidArgument {
                field: "page_token".to_owned(),
                problem: "is not a token of this list with these filters for this caller"
                    .to_owned(),
                reason: reason::PAGE_TOKEN_INVALID,
            })
    }

    fn place(&self, scope: &Scope, token: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        if bytes.len() != PAYLOAD_BYTES + TAG_BYTES {
            return None;
        }
        let (payload, tag) = bytes.split_at(PAYLOAD_BYTES);
        constant_time::verify_slices_are_equal(&self.tag(scope, payload), tag).ok()?;
        let (version, rest) = payload.split_first()?;
        let (microseconds, id) = rest.split_first_chunk::<8>()?;
        if *version != VERSION {
            return None;
        }
        Some(Cursor {
            updated_at: Timestamp::from_microsecond(i64::from_be_bytes(*microseconds)).ok()?,
            id: ChatId(Uuid::from_slice(id).ok()?),
        })
    }

    fn tag(&self, scope: &Scope, payload: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&scope.0);
        context.update(payload);
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Cursor {
        Cursor {
            updated_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            id: ChatId::new(),
        }
    }

    #[test]
    fn a_token_names_its_place() {
        let tokens = PageTokens::new(&[1; 32]);
        let scope = Scope::new("user:a", "chats", b"filters");
        let place = place();
        let token = tokens.encode(&scope, place);
        assert_eq!(tokens.decode(&scope, &token).unwrap(), Some(place));
        assert_eq!(tokens.decode(&scope, "").unwrap(), None);
    }

    #[test]
    fn a_token_of_another_caller_list_filter_or_key_is_refused() {
        let tokens = PageTokens::new(&[1; 32]);
        let token = tokens.encode(&Scope::new("user:a", "chats", b"filters"), place());
        for scope in [
            Scope::new("user:b", "chats", b"filters"),
            Scope::new("user:a", "other chats", b"filters"),
            Scope::new("user:a", "chats", b"other"),
            Scope::new("user:ac", "hats", b"filters"),
        ] {
            assert!(tokens.decode(&scope, &token).is_err());
        }
        let other = PageTokens::new(&[2; 32]);
        assert!(
            other
                .decode(&Scope::new("user:a", "chats", b"filters"), &token)
                .is_err()
        );
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let tokens = PageTokens::new(&[1; 32]);
        let scope = Scope::new("user:a", "chats", b"");
        let bytes = URL_SAFE_NO_PAD
            .decode(tokens.encode(&scope, place()))
            .unwrap();
        for index in 0..bytes.len() {
            let mut forged = bytes.clone();
            if let Some(byte) = forged.get_mut(index) {
                *byte ^= 1;
            }
            assert!(
                tokens
                    .decode(&scope, &URL_SAFE_NO_PAD.encode(forged))
                    .is_err(),
                "byte {index}"
            );
        }
        for garbage in ["x", "!!!", "AAAA", &"A".repeat(100_000)] {
            assert!(tokens.decode(&scope, garbage).is_err());
        }
    }
}
