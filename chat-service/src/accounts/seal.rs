//! Sealing of tokens: AES-256-GCM under a key ring.
//!
//! The file of a ring holds one key per line, `id base64(32 bytes)`; the first seals, all open.
//! What is sealed is bound to its row and column, so that a value copied elsewhere does not open.
//!
//! A rotation is two rollouts, since old and new processes run side by side: a new line goes last,
//! so that all can open what is sealed by it, and then first. What else is derived from a key (page
//! tokens, hashes of tokens) is made by the first and recognised by all. `chat-service keys reseal`
//! then frees the old lines.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use uuid::Uuid;

use crate::id::GitAccountId;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of AES-GCM's nonce, which precedes the sealed text.
const NONCE_BYTES: usize = 12;

/// Separates keys that this service derives from those that other software derives from the same
/// key.
const DERIVE_SALT: &[u8] = b"chat-service/1";

/// A column that holds a sealed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenColumn {
    /// `git_accounts.access_token_sealed`
    AccessToken,
    /// `git_accounts.refresh_token_sealed`
    RefreshToken,
}

impl TokenColumn {
    fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token_sealed",
            Self::RefreshToken => "refresh_token_sealed",
        }
    }
}

/// Why a key ring's file is refused. No variant repeats what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key in it.
    #[error("the key ring has no key")]
    Empty,
    /// A line is not `id base64`.
    #[error("line {line} of the key ring is not `id base64(32 bytes)`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Two keys have one id.
    #[error("line {line} of the key ring repeats an id")]
    Repeated {
        /// Counted from 1.
        line: usize,
    },
}

/// Why a token cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key that sealed it is not in the ring.
    #[error("the key {0:?} is not in the key ring")]
    UnknownKey(String),
    /// It was sealed under another key, for another row or column, or it was altered.
    #[error("the sealed value does not open")]
    Broken,
    /// The cipher failed.
    #[error("sealing failed")]
    Cipher,
}

/// The keys that seal and open tokens. Has no `Debug`.
pub struct KeyRing {
    active: SealKey,
    others: Vec<SealKey>,
}

struct SealKey {
    id: String,
    cipher: RandomizedNonceKey,
    derive: Prk,
}

impl KeyRing {
    /// Reads the text of a key ring's file. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// [`KeyRingError`].
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<SealKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = SealKey::parse(line).ok_or(KeyRingError::Line { line: line_number })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeyRingError::Repeated { line: line_number });
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let active = keys.next().ok_or(KeyRingError::Empty)?;
        Ok(Self {
            active,
            others: keys.collect(),
        })
    }

    /// The text of a file with one new key.
    ///
    /// # Panics
    ///
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn generate_file_text() -> SecretString {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        #[expect(
            clippy::expect_used,
            reason = "without randomness there is no key to go on with"
        )]
        rand::fill(key.as_mut()).expect("the operating system gives random numbers");
        let id = Uuid::now_v7().simple();
        SecretString::from(format!("{id} {}\n", STANDARD.encode(key.as_ref())))
    }

    /// The id of the key that seals, to be kept beside what it sealed.
    #[must_use]
    pub fn active_id(&self) -> &str {
        &self.active.id
    }

    /// Seals `token` for a column of the row `account`.
    ///
    /// # Errors
    ///
    /// [`SealError::Cipher`].
    pub fn seal(
        &self,
        account: GitAccountId,
        column: TokenColumn,
        token: &SecretString,
    ) -> Result<Vec<u8>, SealError> {
        let token = token.expose_secret().as_bytes();
        // Room for the tag, so that the text is not moved while it is still readable.
        let mut text = Vec::with_capacity(token.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(token);
        let nonce = self
            .active
            .cipher
            .seal_in_place_append_tag(aad(account, column), &mut text)
            .map_err(|_| SealError::Cipher)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`KeyRing::seal`] made under the key `key_id`, for the same row and column.
    ///
    /// # Errors
    ///
    /// [`SealError::UnknownKey`] or [`SealError::Broken`].
    pub fn open(
        &self,
        key_id: &str,
        account: GitAccountId,
        column: TokenColumn,
        sealed: &[u8],
    ) -> Result<SecretString, SealError> {
        let key = std::iter::once(&self.active)
            .chain(&self.others)
            .find(|key| key.id == key_id)
            .ok_or_else(|| SealError::UnknownKey(key_id.to_owned()))?;
        let (nonce, text) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Broken)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = key
            .cipher
            .open_in_place(
                Nonce::from(nonce),
                aad(account, column),
                text.as_mut_slice(),
            )
            .map_err(|_| SealError::Broken)?;
        let opened = std::str::from_utf8(opened).map_err(|_| SealError::Broken)?;
        Ok(SecretString::from(opened))
    }

    /// Keys for another purpose, one of each key of the ring: each label has its own.
    #[must_use]
    pub fn derive(&self, label: &str) -> DerivedKeys {
        DerivedKeys {
            active: self.active.derive(label),
            others: self.others.iter().map(|key| key.derive(label)).collect(),
        }
    }
}

/// Keys for one purpose, derived from those of a ring. Has no `Debug`.
#[derive(Clone)]
pub struct DerivedKeys {
    /// From the key that seals: makes.
    pub active: [u8; KEY_BYTES],
    /// From the others: recognise, beside the active one, values made before or after a rotation.
    pub others: Vec<[u8; KEY_BYTES]>,
}

impl SealKey {
    fn derive(&self, label: &str) -> [u8; KEY_BYTES] {
        let mut derived = [0; KEY_BYTES];
        let filled = self
            .derive
            .expand(&[label.as_bytes()], HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut derived));
        // Fails only for lengths that HKDF does not have; 32 bytes are one block.
        debug_assert!(filled.is_ok(), "HKDF gives one block");
        derived
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, encoded) = line.split_once(char::is_whitespace)?;
        let plain = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !plain {
            return None;
        }
        let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        Some(Self {
            id: id.to_owned(),
            cipher: RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()?,
            derive: Salt::new(HKDF_SHA256, DERIVE_SALT).extract(&bytes),
        })
    }
}

fn aad(account: GitAccountId, column: TokenColumn) -> Aad<Vec<u8>> {
    let mut bound = account.0.as_bytes().to_vec();
    bound.extend_from_slice(column.name().as_bytes());
    Aad::from(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::parse(KeyRing::generate_file_text().expose_secret()).unwrap()
    }

    const COLUMN: TokenColumn = TokenColumn::AccessToken;

    fn seal(ring: &KeyRing, account: GitAccountId) -> Vec<u8> {
        ring.seal(account, COLUMN, &SecretString::from("ghp_hush"))
            .unwrap()
    }

    #[test]
    fn a_sealed_token_opens_unaltered_and_for_its_row_and_column_only() {
        let ring = ring();
        let [account, other] = [0; 2].map(|_| GitAccountId(Uuid::now_v7()));
        let sealed = seal(&ring, account);
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        let open = |account, column, sealed: &[u8]| {
            let opened = ring.open(ring.active_id(), account, column, sealed);
            opened.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(open(account, COLUMN, &sealed), Ok("ghp_hush".to_owned()));
        let broken = Err(SealError::Broken);
        assert_eq!(open(other, COLUMN, &sealed), broken);
        assert_eq!(open(account, TokenColumn::RefreshToken, &sealed), broken);
        assert_eq!(open(account, COLUMN, b"short"), broken);
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert_eq!(open(account, COLUMN, &altered), broken, "byte {index}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let texts = [0; 2].map(|_| KeyRing::generate_file_text());
        let [new_text, old_text] = texts.each_ref().map(|text| text.expose_secret());
        let rotated = format!("# rotated\n\n{new_text}{old_text}");
        let [old, new, both] =
            [old_text, new_text, &rotated].map(|text| KeyRing::parse(text).unwrap());
        assert_eq!(both.active_id(), new.active_id());
        let account = GitAccountId(Uuid::now_v7());
        let open = |ring: &KeyRing, by: &KeyRing, sealed: &[u8]| {
            ring.open(by.active_id(), account, COLUMN, sealed).err()
        };
        let sealed = seal(&old, account);
        assert_eq!(open(&both, &old, &sealed), None);
        let unknown = SealError::UnknownKey(old.active_id().to_owned());
        assert_eq!(open(&new, &old, &sealed), Some(unknown));
        assert_eq!(open(&new, &new, &seal(&both, account)), None);
    }

    #[test]
    fn derived_keys_differ_by_label_and_by_ring() {
        let (one, other) = (ring(), ring());
        let active = |ring: &KeyRing, label| ring.derive(label).active;
        assert_eq!(active(&one, "a"), active(&one, "a"));
        assert_ne!(active(&one, "a"), active(&one, "b"));
        assert_ne!(active(&one, "a"), active(&other, "a"));
        assert_ne!(active(&one, "a"), [0; 32]);
    }

    #[test]
    fn each_key_of_a_ring_derives_what_it_derives_wherever_it_stands() {
        let texts = [0; 2].map(|_| KeyRing::generate_file_text());
        let [one, other] = texts.each_ref().map(|text| text.expose_secret());
        let first = KeyRing::parse(&format!("{one}{other}"))
            .unwrap()
            .derive("a");
        let last = KeyRing::parse(&format!("{other}{one}"))
            .unwrap()
            .derive("a");
        assert_eq!(
            (first.active, first.others),
            (last.others[0], vec![last.active])
        );
    }

    #[test]
    fn a_file_that_is_no_key_ring_is_refused_by_line_and_not_repeated() {
        let good = KeyRing::generate_file_text();
        let good = good.expose_secret();
        assert_eq!(KeyRing::parse("").err(), Some(KeyRingError::Empty));
        for bad in ["hush", "id hush!", "id aHVzaA==", "i/d aHVzaA=="] {
            let error = KeyRing::parse(&format!("{good}{bad}\n")).err().unwrap();
            assert_eq!(error, KeyRingError::Line { line: 2 });
            assert!(!error.to_string().contains("hush"));
        }
        assert_eq!(
            KeyRing::parse(&format!("{good}{good}")).err(),
            Some(KeyRingError::Repeated { line: 2 })
        );
    }
}
