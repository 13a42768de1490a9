//! Opaque revisions: the point that a watcher has reached, with its rights and filters there.
//!
//! A revision is encrypted, since positions count the changes of all tenants, and authenticated, so
//! that no client can make one. Encryption is deterministic: two watchers that reach the same point
//! under the same rights get the same text.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{accounts::DerivedKeys, authz::Authorized, error::Error, store::event::Point};

/// Bytes of a revision before it is sealed: generation, position, rights.
const PLAIN_BYTES: usize = 16 + 8 + 16;
/// Bytes by which sealing makes it longer.
const TAG_BYTES: usize = 16;
/// AES-GCM-SIV stays safe when a nonce is used again: it then reveals only which texts are equal.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// The rights and filters of a watch: a digest of the predicates that policies and memberships lead
/// to, and of the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights([u8; 16]);

impl Rights {
    /// The digest of `preds` and `filters`. Equal filters must have equal bytes.
    #[must_use]
    pub fn of<'a>(preds: impl IntoIterator<Item = &'a Authorized>, filters: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for pred in preds {
            // The NUL separates texts, which have none.
            context.update(format!("{:?}\0", pred.pred()).as_bytes());
        }
        context.update(filters);
        let mut rights = [0; 16];
        rights.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(rights)
    }
}

/// A point that a watcher has reached, with its rights there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The point.
    pub point: Point,
    /// The rights.
    pub rights: Rights,
}

/// Makes and reads revisions. Cheap to clone.
#[derive(Clone)]
pub struct Revisions(Arc<[LessSafeKey]>);

impl Revisions {
    /// Seals with the active one of `keys`, and opens what any of them sealed.
    #[must_use]
    pub fn new(keys: &DerivedKeys) -> Self {
        let sealing = |key: &[u8; 32]| UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new);
        let keys = std::iter::once(&keys.active).chain(&keys.others);
        // Fails only for keys of another length.
        Self(keys.filter_map(|key| sealing(key).ok()).collect())
    }

    /// The text of a revision.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the cipher fails.
    pub fn encode(&self, revision: &Revision) -> Result<String, Error> {
        let Revision { point, rights } = revision;
        let mut bytes = point.generation.as_bytes().to_vec();
        bytes.extend_from_slice(&point.position.to_be_bytes());
        bytes.extend_from_slice(&rights.0);
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let key = self.0.first().ok_or_else(|| Error::internal("no key"))?;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes)
            .map_err(|_| Error::internal("sealing failed"))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The revision of a text; `None` for one that does not open, as when its key was removed from
    /// the key ring: the watcher then lists again, which is always right.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a text that was never a revision.
    pub fn decode(&self, text: &str) -> Result<Option<Revision>, Error> {
        let sealed = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .filter(|bytes| bytes.len() == PLAIN_BYTES + TAG_BYTES)
            .ok_or_else(|| Error::invalid("since_revision", "is not a revision of this service"))?;
        Ok(self.0.iter().find_map(|key| {
            let mut bytes = sealed.clone();
            let nonce = Nonce::assume_unique_for_key(NONCE);
            let opened = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
            read(opened)
        }))
    }
}

fn read(bytes: &[u8]) -> Option<Revision> {
    let (generation, rest) = bytes.split_first_chunk::<16>()?;
    let (position, rights) = rest.split_first_chunk::<8>()?;
    Some(Revision {
        point: Point {
            generation: Uuid::from_bytes(*generation),
            position: i64::from_be_bytes(*position),
        },
        rights: Rights(rights.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revisions(active: u8, others: &[u8]) -> Revisions {
        Revisions::new(&DerivedKeys {
            active: [active; 32],
            others: others.iter().map(|other| [*other; 32]).collect(),
        })
    }

    fn revision(position: i64) -> Revision {
        Revision {
            point: Point {
                generation: Uuid::now_v7(),
                position,
            },
            rights: Rights([7; 16]),
        }
    }

    #[test]
    fn a_revision_is_read_as_it_was_made_and_altered_in_any_byte_it_does_not_open() {
        let revisions = revisions(1, &[]);
        let revision = revision(0x0102_0304_0506);
        let text = revisions.encode(&revision).unwrap();
        assert_eq!(revisions.encode(&revision).unwrap(), text);
        assert_eq!(revisions.decode(&text).unwrap(), Some(revision));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            let altered = URL_SAFE_NO_PAD.encode(altered);
            assert_eq!(revisions.decode(&altered).unwrap(), None, "byte {index}");
        }
        for garbage in ["", "yesterday", "r1f", &text[1..], &"A".repeat(100_000)] {
            assert!(revisions.decode(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn a_revision_shows_neither_position_nor_generation() {
        let revisions = revisions(1, &[]);
        let revision = revision(0x0102_0304_0506);
        let next = Revision {
            point: Point {
                position: revision.point.position + 1,
                ..revision.point
            },
            ..revision
        };
        let [one, other] = [revision, next].map(|revision| {
            let text = revisions.encode(&revision).unwrap();
            URL_SAFE_NO_PAD.decode(text).unwrap()
        });
        let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(equal < 8, "{equal} bytes of neighbours are equal");
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let revision = revision(1);
        let made = revisions(1, &[]).encode(&revision).unwrap();
        let rotated = revisions(2, &[1]);
        assert_eq!(rotated.decode(&made).unwrap(), Some(revision));
        let made = rotated.encode(&revision).unwrap();
        assert_eq!(revisions(2, &[]).decode(&made).unwrap(), Some(revision));
        assert_eq!(revisions(1, &[]).decode(&made).unwrap(), None);
    }
}
